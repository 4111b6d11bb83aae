"""DeepSeek-V3 cases: latent attention with and without compressed queries, experts in groups with a
shared one, YaRN in the softmax scale, F8 files. The modules that predict further tokens are in
deepseek_mtp.py."""

import batches
import fp8
import spelling
from case import Case
from families.llama import CAUSAL, causal, classified, plain
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=71,
    hidden_size=28,
    intermediate_size=38,
    moe_intermediate_size=9,
    num_hidden_layers=3,
    num_attention_heads=3,
    num_key_value_heads=3,
    n_routed_experts=12,
    n_shared_experts=2,
    num_experts_per_tok=3,
    n_group=4,
    topk_group=2,
    first_k_dense_replace=1,
    routed_scaling_factor=2.5,
    q_lora_rank=17,
    kv_lora_rank=13,
    qk_nope_head_dim=9,
    qk_rope_head_dim=6,
    v_head_dim=10,
    max_position_embeddings=160,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
    rope_parameters={
        "rope_type": "yarn",
        "rope_theta": 100.0,
        "factor": 10.0,
        "original_max_position_embeddings": 16,
        "beta_fast": 4.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
)
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 1000.0}

CASES = [
    Case(
        "deepseek_v3",
        "causal",
        "DeepseekV3ForCausalLM",
        BASE,
        inputs=causal([40, 9, 1, 6], left=(1, 3)),
        outputs=CAUSAL + ("hidden_states",),
        grads=True,
        generate=Generate((5, 30, 1), 12),
        respell=spelling.old_rope(legacy_type=True),
        about="four groups of which two count, two shared experts, one dense layer, YaRN in the "
        "softmax scale; old spelling as published",
    ),
    Case(
        "deepseek_v3",
        "causal_plain_queries",
        "DeepseekV3ForCausalLM",
        {
            **BASE,
            "q_lora_rank": None,
            "n_group": 1,
            "topk_group": 1,
            "norm_topk_prob": False,
            "rope_interleave": False,
            "rope_parameters": PLAIN_ROPE,
            "routed_scaling_factor": 1.0,
            "n_shared_experts": 1,
            "first_k_dense_replace": 2,
        },
        inputs=causal([13, 1, 8]),
        outputs=CAUSAL,
        grads=True,
        generate=Generate((4, 7), 12, num_beams=3),
        about="queries not compressed, one group, weights as they are, halves instead of pairs "
        "turned, two dense layers",
    ),
    Case(
        "deepseek_v3",
        "causal_biases",
        "DeepseekV3ForCausalLM",
        {
            **BASE,
            "attention_bias": True,
            "tie_word_embeddings": True,
            "pad_token_id": 0,
            "num_hidden_layers": 2,
            "first_k_dense_replace": 0,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "num_experts_per_tok": 5,
            "topk_group": 3,
            "rope_parameters": {**BASE["rope_parameters"], "mscale": 0.7, "mscale_all_dim": 1.3},
        },
        inputs=causal([11, 20], left=(0,)),
        outputs=CAUSAL,
        grads=True,
        about="biases on the compressing and on the output projections, no dense layer, unequal "
        "mscale and mscale_all_dim, tied head; new spelling",
    ),
    Case(
        "deepseek_v3",
        "base",
        "DeepseekV3Model",
        BASE,
        inputs=plain([11, 2, 8], left=(1,)),
        outputs=("last_hidden_state", "hidden_states"),
        about="bare model, no prefix in tensor names",
    ),
    Case(
        "deepseek_v3",
        "sequence_classification",
        "DeepseekV3ForSequenceClassification",
        {**BASE, "pad_token_id": 0, "num_labels": 4, "num_hidden_layers": 2},
        inputs=classified,
        outputs=CAUSAL,
        grads=True,
        about="score of the last token, padding on either side",
    ),
    Case(
        "deepseek_v3",
        "fp8",
        "DeepseekV3ForCausalLM",
        BASE,
        inputs=causal([14, 7]),
        outputs=CAUSAL,
        grads=True,
        generate=Generate((6, 3), 10),
        respell=fp8.store((8, 5)),
        about="matrices stored as F8 with a scale a block of 8 by 5, cut off at the edges; "
        "activations not quantised",
    ),
    Case(
        "deepseek_v3",
        "train_causal",
        "DeepseekV3ForCausalLM",
        {**BASE, "pad_token_id": 0, "num_hidden_layers": 2, "n_routed_experts": 8},
        std=0.15,
        train=Train(
            "causal",
            batches.causal_steps(4, 14),
            {"kind": "cosine", "warmup": 4, "total": 24},
            {"lr": 2e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1},
            steps=24,
            accumulation=2,
        ),
        about="cosine, accumulation 2 with unequal counts; routes change on the way, the correction "
        "of the choice stays",
    ),
]
