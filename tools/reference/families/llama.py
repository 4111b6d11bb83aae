"""Llama cases: wiring (GQA, tied heads, biases, head sizes), rotary scalings, heads, spellings and
stored forms."""

import torch

import batches
import spelling
from case import Case
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=83,
    hidden_size=36,
    intermediate_size=44,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=6,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
    tie_word_embeddings=False,
)
GQA = {**BASE, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
CAUSAL = ("logits", "loss")


def causal(lengths, left=()):
    return lambda rng, config: batches.causal_labels(
        rng, batches.padded(rng, config, lengths, left)
    )


def plain(lengths, left=()):
    return lambda rng, config: batches.padded(rng, config, lengths, left)


def rope(name, parameters, about, **more):
    config = {**GQA, "rope_parameters": {"rope_theta": 300.0, **parameters}}
    return Case(
        "llama",
        f"rope_{name}",
        "LlamaForCausalLM",
        config,
        inputs=causal([48, 5, 31]),
        outputs=CAUSAL,
        grads=True,
        about=about,
        **more,
    )


def classified(rng, config):
    # transformers takes the last id that is not pad, whatever the mask says; so no real id is pad
    # here.
    batch = batches.padded(rng, config, [9, 1, 6, 4], left=(3,), first_id=1)
    return {**batch, "labels": rng.integers(0, config.num_labels, 4)}


CASES = [
    Case(
        "llama",
        "causal",
        "LlamaForCausalLM",
        BASE,
        inputs=causal([13, 1, 7, 10]),
        outputs=CAUSAL + ("hidden_states",),
        grads=True,
        generate=Generate((5, 1, 11, 3), 14, num_beams=3),
        about="untied, every head its own key and value; one row of a single token",
    ),
    Case(
        "llama",
        "causal_tied_gqa",
        "LlamaForCausalLM",
        {
            **GQA,
            "head_dim": 12,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "pad_token_id": 0,
        },
        inputs=causal([12, 9, 4], left=(1, 2)),
        outputs=CAUSAL,
        grads=True,
        generate=Generate((4, 9, 2), 12, num_beams=2, eos=2, decoy_eos=True, length_penalty=0.6),
        about="tied head, one key head for four, head_dim unequal hidden/heads, left padding, "
        "pad row without input gradient, two eos ids in generation_config.json that override "
        "another one in config.json",
    ),
    Case(
        "llama",
        "causal_biases",
        "LlamaForCausalLM",
        {
            **GQA,
            "attention_bias": True,
            "mlp_bias": True,
            "hidden_act": "gelu",
            "eos_token_id": None,
        },
        inputs=causal([11, 6]),
        outputs=CAUSAL,
        grads=True,
        generate=Generate((3, 6), 10, eos=0),
        about="biases on q, k, v, o and on the feed-forward; erf gelu; null eos, which never stops",
    ),
    rope(
        "linear",
        {"rope_type": "linear", "factor": 3.0},
        "old spelling: rope_theta, rope_scaling.type, torch_dtype",
        respell=spelling.old_rope(legacy_type=True),
    ),
    rope(
        "llama3",
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
        "new spelling: rope_parameters, dtype",
    ),
    rope(
        "llama3_old",
        {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 2.0,
            "original_max_position_embeddings": 24,
        },
        "old spelling: rope_scaling.rope_type",
        respell=spelling.old_rope(),
    ),
    rope(
        "yarn",
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "beta_fast": 4.0,
            "beta_slow": 0.5,
        },
        "attention factor from the scaling factor",
    ),
    rope(
        "yarn_mscale",
        {
            "rope_type": "yarn",
            "rope_theta": 20.0,
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "beta_fast": 2.0,
            "beta_slow": 0.5,
            "mscale": 1.2,
            "mscale_all_dim": 0.7,
            "truncate": False,
        },
        "attention factor from mscale and mscale_all_dim, ramp not truncated",
    ),
    rope(
        "yarn_factor",
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "attention_factor": 0.8,
        },
        "attention factor given, default betas; old spelling",
        respell=spelling.old_rope(),
    ),
    Case(
        "llama",
        "minimal_config",
        "LlamaForCausalLM",
        {**BASE, "num_attention_heads": 3, "num_key_value_heads": 3, "rms_norm_eps": 1e-6},
        inputs=causal([9, 6]),
        outputs=CAUSAL,
        grads=True,
        generate=Generate((4, 6), 12, num_beams=2),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults, as early files; "
        "no generation_config.json: eos stands in config.json",
    ),
    Case(
        "llama",
        "adapter",
        "LlamaForCausalLM",
        GQA,
        inputs=causal([11, 1, 8], left=(2,)),
        outputs=CAUSAL + ("hidden_states",),
        grads=True,
        adapter=dict(
            r=3,
            lora_alpha=5,
            target_modules=["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
            task_type="CAUSAL_LM",
        ),
        about="LoRA on q and v but not k, on up but not gate: slices of what one product computes",
    ),
    Case(
        "llama",
        "base",
        "LlamaModel",
        GQA,
        inputs=plain([17, 2, 8], left=(2,)),
        outputs=("last_hidden_state", "hidden_states"),
        about="bare model, no prefix in tensor names",
    ),
    Case(
        "llama",
        "sequence_classification",
        "LlamaForSequenceClassification",
        {**GQA, "pad_token_id": 0, "num_labels": 3},
        inputs=classified,
        outputs=CAUSAL,
        grads=True,
        about="score of the last token, padding on either side",
    ),
    Case(
        "llama",
        "bf16_sharded",
        "LlamaForCausalLM",
        GQA,
        inputs=causal([9, 14]),
        outputs=CAUSAL,
        grads=True,
        stored=torch.bfloat16,
        max_shard_size="12KB",
        about="weights stored as bf16 in several files with an index",
    ),
    Case(
        "llama",
        "train_causal",
        "LlamaForCausalLM",
        {**GQA, "pad_token_id": 0},
        std=0.15,
        train=Train(
            "causal",
            batches.causal_steps(4, 14),
            {"kind": "cosine", "warmup": 5, "total": 40},
            {"lr": 3e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1},
        ),
        about="cosine with warm-up, ragged rows padded on the right",
    ),
]
