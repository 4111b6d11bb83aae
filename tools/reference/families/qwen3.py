"""Qwen3 cases: Llama wiring with a norm per query and key head."""

import batches
import spelling
from case import Case
from families.llama import CAUSAL, causal, classified, plain
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=83,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=10,
    max_position_embeddings=64,
    rms_norm_eps=1e-6,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
    tie_word_embeddings=False,
    rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
)

CASES = [
    Case(
        "qwen3",
        "causal",
        "Qwen3ForCausalLM",
        BASE,
        inputs=causal([12, 9, 1, 4], left=(1, 3)),
        outputs=CAUSAL + ("hidden_states",),
        grads=True,
        generate=Generate((5, 8, 1), 12),
        respell=spelling.old_rope(),
        about="untied, left padding; old spelling: rope_theta, rope_scaling, torch_dtype",
    ),
    Case(
        "qwen3",
        "causal_tied",
        "Qwen3ForCausalLM",
        {**BASE, "tie_word_embeddings": True, "pad_token_id": 0},
        inputs=causal([13, 1, 6]),
        outputs=CAUSAL,
        grads=True,
        generate=Generate((4, 7), 12, num_beams=3),
        about="tied head; new spelling: rope_parameters, dtype",
    ),
    Case(
        "qwen3",
        "attention_bias",
        "Qwen3ForCausalLM",
        {**BASE, "attention_bias": True, "num_key_value_heads": 1},
        inputs=causal([7, 10]),
        outputs=CAUSAL,
        grads=True,
        about="biases on q, k, v and o",
    ),
    Case(
        "qwen3",
        "yarn",
        "Qwen3ForCausalLM",
        {
            **BASE,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
        inputs=causal([40, 11]),
        outputs=CAUSAL,
        grads=True,
        respell=spelling.old_rope(),
        about="long context as published Qwen3 configurations spell it",
    ),
    Case(
        "qwen3",
        "base",
        "Qwen3Model",
        BASE,
        inputs=plain([11, 2, 8], left=(1,)),
        outputs=("last_hidden_state", "hidden_states"),
        about="bare model, no prefix in tensor names",
    ),
    Case(
        "qwen3",
        "sequence_classification",
        "Qwen3ForSequenceClassification",
        {**BASE, "pad_token_id": 0, "num_labels": 4},
        inputs=classified,
        outputs=CAUSAL,
        grads=True,
        about="score of the last token, padding on either side",
    ),
    Case(
        "qwen3",
        "train_causal",
        "Qwen3ForCausalLM",
        {**BASE, "pad_token_id": 0, "tie_word_embeddings": True},
        std=0.15,
        train=Train(
            "causal",
            batches.causal_steps(4, 14, left=True),
            {"kind": "wsd", "warmup": 4, "total": 30, "decay_start": 20},
            {"lr": 2e-3, "betas": [0.9, 0.98], "eps": 1e-8, "weight_decay": 0.05},
            accumulation=2,
        ),
        about="wsd, accumulation 2 with unequal counts in the parts, every other row padded on "
        "the left, tied head",
    ),
]
