"""GPT-2 cases: fused and transposed weights, learned positions, scaled scores, heads, spellings."""

import numpy as np

import batches
import spelling
from case import Case
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=79,
    n_embd=36,
    n_layer=2,
    n_head=4,
    n_positions=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
)
CAUSAL = ("logits", "loss")


def causal(lengths, left=()):
    return lambda rng, config: batches.causal_labels(
        rng, batches.padded(rng, config, lengths, left)
    )


def plain(lengths):
    return lambda rng, config: batches.padded(rng, config, lengths)


def classified(rng, config):
    # transformers takes the last id that is not pad; so no real id is pad here.
    batch = batches.padded(rng, config, [9, 1, 6, 4], first_id=1)
    return {**batch, "labels": rng.integers(0, config.num_labels, 4)}


def each_token(rng, config):
    batch = batches.padded(rng, config, [9, 2, 6])
    return batches.token_labels(rng, batch, config.num_labels)


def span(rng, config):
    batch = batches.padded(rng, config, [9, 9, 9])
    ends = {"start_positions": np.array([2, 0, 6]), "end_positions": np.array([5, 8, 7])}
    return {**batch, **ends}


CASES = [
    Case(
        "gpt2",
        "causal",
        "GPT2LMHeadModel",
        BASE,
        inputs=causal([13, 1, 7, 10]),
        outputs=CAUSAL + ("hidden_states",),
        grads=True,
        generate=Generate((5, 1, 11, 3), 14, num_beams=3, eos=0),
        about="tied head; queries, keys and values in one transposed matrix",
    ),
    Case(
        "gpt2",
        "causal_scaled",
        "GPT2LMHeadModel",
        {
            **BASE,
            "n_layer": 3,
            "n_inner": 52,
            "scale_attn_by_inverse_layer_idx": True,
            "activation_function": "relu",
            "layer_norm_epsilon": 1e-3,
            "tie_word_embeddings": False,
        },
        inputs=causal([12, 5]),
        outputs=CAUSAL,
        grads=True,
        generate=Generate((4, 9, 2, 7), 16, num_beams=2, eos=0),
        about="scores divided by the layer's number, own inner width, untied head",
    ),
    Case(
        "gpt2",
        "causal_unscaled",
        "GPT2LMHeadModel",
        {**BASE, "scale_attn_weights": False},
        std=0.2,
        inputs=causal([9, 6]),
        outputs=CAUSAL,
        grads=True,
        about="scores not divided by the root of the head size",
    ),
    Case(
        "gpt2",
        "base",
        "GPT2Model",
        BASE,
        inputs=plain([17, 2, 8]),
        outputs=("last_hidden_state", "hidden_states"),
        about="bare model, no prefix in tensor names",
    ),
    Case(
        "gpt2",
        "minimal_config",
        "GPT2LMHeadModel",
        {**BASE, "n_embd": 24, "n_head": 3},
        inputs=causal([9, 6]),
        outputs=CAUSAL,
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults",
    ),
    Case(
        "gpt2",
        "sequence_classification",
        "GPT2ForSequenceClassification",
        {**BASE, "pad_token_id": 0, "num_labels": 3},
        inputs=classified,
        outputs=CAUSAL,
        grads=True,
        about="score of the last token",
    ),
    Case(
        "gpt2",
        "token_classification",
        "GPT2ForTokenClassification",
        {**BASE, "num_labels": 4},
        inputs=each_token,
        outputs=CAUSAL,
        grads=True,
    ),
    Case(
        "gpt2",
        "question_answering",
        "GPT2ForQuestionAnswering",
        BASE,
        std=0.5,
        inputs=span,
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
        about="without padding the bias has no gradient but rounding",
    ),
    Case(
        "gpt2",
        "train_causal",
        "GPT2LMHeadModel",
        {**BASE, "n_embd": 24, "pad_token_id": 0},
        std=0.15,
        train=Train(
            "causal",
            batches.causal_steps(4, 14),
            {"kind": "cosine", "warmup": 5, "total": 40},
            {"lr": 3e-3, "betas": [0.9, 0.95], "eps": 1e-6, "weight_decay": 0.1},
        ),
        about="cosine with warm-up, ragged rows padded on the right",
    ),
]
