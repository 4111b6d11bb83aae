"""Mamba-2 cases: heads and groups, the limits of the time step, biases, padding, a long row."""

import torch

import batches
from case import Case
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=83,
    hidden_size=20,
    num_heads=8,
    head_dim=5,
    state_size=7,
    n_groups=1,
    num_hidden_layers=2,
    conv_kernel=4,
    chunk_size=16,
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
        "mamba2",
        "causal",
        "Mamba2ForCausalLM",
        BASE,
        inputs=causal([13, 1, 7, 3], left=(2,)),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        generate=Generate((5, 1, 11, 2), 14, num_beams=3),
        about="untied head, one group, left padding, rows shorter than the convolution",
    ),
    Case(
        "mamba2",
        "groups",
        "Mamba2ForCausalLM",
        {**BASE, "n_groups": 4, "tie_word_embeddings": True},
        inputs=causal([19, 6, 2]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        generate=Generate((3, 7, 1), 12),
        about="four groups of two heads, each normalised on its own; tied head",
    ),
    Case(
        "mamba2",
        "biases",
        "Mamba2ForCausalLM",
        {
            **BASE,
            "use_bias": True,
            "use_conv_bias": False,
            "hidden_size": 18,
            "expand": 3,
            "num_heads": 6,
            "head_dim": 9,
            "n_groups": 3,
            "conv_kernel": 3,
            "hidden_act": "gelu",
        },
        inputs=causal([11, 6, 2]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        generate=Generate((3, 6), 10, eos=0),
        about="biases on the projections but not on the convolution, three groups, gelu",
    ),
    Case(
        "mamba2",
        "time_step_limit",
        "Mamba2ForCausalLM",
        {**BASE, "time_step_limit": (0.4, 0.9)},
        inputs=causal([12, 9, 4]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        about="time steps held between two bounds",
    ),
    Case(
        "mamba2",
        "long",
        "Mamba2ForCausalLM",
        {**BASE, "state_size": 16, "head_dim": 16, "num_heads": 2, "hidden_size": 16},
        inputs=causal([150, 66]),
        outputs=CAUSAL,
        grads=True,
        std=0.2,
        about="rows longer than a block of the scan, many chunks of the reference",
    ),
    Case(
        "mamba2",
        "one_head",
        "Mamba2ForCausalLM",
        {**BASE, "num_heads": 1, "head_dim": 22, "hidden_size": 11, "state_size": 3},
        inputs=causal([9, 5]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        about="a single head",
    ),
    Case(
        "mamba2",
        "base",
        "Mamba2Model",
        BASE,
        inputs=plain([17, 2, 8], left=(2,)),
        outputs=("last_hidden_state", "hidden_states"),
        std=0.3,
        about="bare model, no prefix in tensor names",
    ),
    Case(
        "mamba2",
        "bf16_sharded",
        "Mamba2ForCausalLM",
        {**BASE, "n_groups": 2},
        inputs=causal([9, 14]),
        outputs=CAUSAL,
        grads=True,
        std=0.3,
        stored=torch.bfloat16,
        max_shard_size="12KB",
        about="weights stored as bf16 in several files with an index",
    ),
    Case(
        "mamba2",
        "train_causal",
        "Mamba2ForCausalLM",
        {**BASE, "pad_token_id": 0, "n_groups": 2},
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
