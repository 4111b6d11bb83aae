"""Mamba cases: the mixer's sizes, its optional biases, padding on either side, spellings, a long
row."""

import torch

import batches
import spelling
from case import Case
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=83,
    hidden_size=20,
    state_size=7,
    num_hidden_layers=2,
    conv_kernel=4,
    time_step_rank=3,
    layer_norm_epsilon=1e-5,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
)
CAUSAL = ("logits", "loss")


def causal(lengths, left=()):
    return lambda rng, config: batches.causal_labels(
        rng, batches.padded(rng, config, lengths, left)
    )


def plain(lengths, left=()):
    return lambda rng, config: batches.padded(rng, config, lengths, left)


CASES = [
    Case(
        "mamba",
        "causal",
        "MambaForCausalLM",
        {**BASE, "tie_word_embeddings": True},
        inputs=causal([13, 1, 7, 3], left=(2,)),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        generate=Generate((5, 1, 11, 2), 14, num_beams=3),
        about="tied head, left padding, rows shorter than the convolution",
    ),
    Case(
        "mamba",
        "causal_biases",
        "MambaForCausalLM",
        {
            **BASE,
            "use_bias": True,
            "use_conv_bias": False,
            "expand": 3,
            "conv_kernel": 3,
            "time_step_rank": "auto",
            "hidden_size": 33,
            "tie_word_embeddings": False,
            "hidden_act": "gelu",
        },
        inputs=causal([11, 6, 2]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        generate=Generate((3, 6), 10, eos=0),
        about="biases on the projections but not on the convolution, untied head, rank from width, "
        "three times as wide inside, a convolution of three, gelu behind it",
    ),
    Case(
        "mamba",
        "published_sizes",
        "MambaForCausalLM",
        {**BASE, "hidden_size": 24, "state_size": 16, "time_step_rank": "auto", "conv_kernel": 4},
        inputs=causal([150, 66]),
        outputs=CAUSAL,
        grads=True,
        std=0.2,
        about="state of 16 and convolution of 4 as published; rows longer than a block of the scan",
    ),
    Case(
        "mamba",
        "narrow",
        "MambaForCausalLM",
        {**BASE, "expand": 1, "state_size": 1, "conv_kernel": 2, "hidden_size": 9},
        inputs=causal([9, 5]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        about="one state a channel, a convolution of two, no widening",
    ),
    Case(
        "mamba",
        "minimal_config",
        "MambaForCausalLM",
        {**BASE, "state_size": 16, "time_step_rank": "auto", "num_hidden_layers": 3},
        inputs=causal([9, 6]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        generate=Generate((4, 6), 12, num_beams=2),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults",
    ),
    Case(
        "mamba",
        "old_config",
        "MambaForCausalLM",
        BASE,
        inputs=causal([8, 12]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        respell=spelling.old_mamba,
        about="intermediate_size, d_model, ssm_cfg and other keys of early files",
    ),
    Case(
        "mamba",
        "base",
        "MambaModel",
        BASE,
        inputs=plain([17, 2, 8], left=(2,)),
        outputs=("last_hidden_state", "hidden_states"),
        std=0.3,
        about="bare model, no prefix in tensor names",
    ),
    Case(
        "mamba",
        "bf16_sharded",
        "MambaForCausalLM",
        BASE,
        inputs=causal([9, 14]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        stored=torch.bfloat16,
        max_shard_size="12KB",
        about="weights stored as bf16 in several files with an index",
    ),
    Case(
        "mamba",
        "train_causal",
        "MambaForCausalLM",
        {**BASE, "pad_token_id": 0},
        std=0.12,
        train=Train(
            "causal",
            batches.causal_steps(4, 14),
            {"kind": "cosine", "warmup": 5, "total": 40},
            {"lr": 3e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1},
        ),
        about="cosine with warm-up, ragged rows padded on the right",
    ),
]
