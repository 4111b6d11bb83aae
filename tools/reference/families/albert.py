"""ALBERT cases: shared blocks in one group and in several, factorised embeddings, every head."""

import batches
import spelling
from case import Case
from families.bert import choices, classes, each_token, labelled, masked, span, tokens
from training import Train

BASE = dict(
    vocab_size=71,
    embedding_size=20,
    hidden_size=36,
    intermediate_size=44,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=24,
    type_vocab_size=2,
    pad_token_id=0,
    hidden_dropout_prob=0.0,
    classifier_dropout_prob=0.0,
)
HEAD = {**BASE, "hidden_size": 28, "intermediate_size": 38, "num_hidden_layers": 2}
LENGTHS = [11, 1, 6, 8]
LOSS = ("logits", "loss")


def pretraining(rng, batch, config):
    batch = masked(rng, batch, config)
    return {**batch, "sentence_order_label": rng.integers(0, 2, len(batch["input_ids"]))}


CASES = [
    Case(
        "albert",
        "base",
        "AlbertModel",
        BASE,
        inputs=tokens(LENGTHS),
        outputs=("last_hidden_state", "hidden_states", "pooler_output"),
        about="one block run three times; bare model, no prefix in tensor names",
    ),
    Case(
        "albert",
        "groups",
        "AlbertForMaskedLM",
        {**HEAD, "num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2},
        inputs=labelled([9, 5], masked),
        outputs=LOSS,
        grads=True,
        about="two groups of two blocks over five layers: groups 0 0 0 1 1",
    ),
    Case(
        "albert",
        "masked_lm",
        "AlbertForMaskedLM",
        HEAD,
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        about="decoder tied to the narrow embeddings",
    ),
    Case(
        "albert",
        "masked_lm_untied",
        "AlbertForMaskedLM",
        {**HEAD, "tie_word_embeddings": False, "hidden_act": "gelu", "layer_norm_eps": 1e-3},
        inputs=labelled([8, 12], masked),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "albert",
        "minimal_config",
        "AlbertModel",
        {**HEAD, "embedding_size": 24},
        inputs=tokens([8, 3]),
        outputs=("last_hidden_state", "pooler_output"),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults",
    ),
    Case(
        "albert",
        "pretraining",
        "AlbertForPreTraining",
        HEAD,
        inputs=labelled(LENGTHS, pretraining),
        outputs=("prediction_logits", "sop_logits", "loss"),
        grads=True,
    ),
    Case(
        "albert",
        "sequence_classification",
        "AlbertForSequenceClassification",
        {**HEAD, "num_labels": 5},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "albert",
        "token_classification",
        "AlbertForTokenClassification",
        {**HEAD, "num_labels": 3},
        inputs=labelled(LENGTHS, each_token),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "albert",
        "question_answering",
        "AlbertForQuestionAnswering",
        HEAD,
        inputs=labelled([10, 10, 10], span),
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
    ),
    Case(
        "albert",
        "multiple_choice",
        "AlbertForMultipleChoice",
        HEAD,
        inputs=choices(3),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "albert",
        "train_masked",
        "AlbertForMaskedLM",
        {**HEAD, "hidden_size": 24, "intermediate_size": 32},
        std=0.15,
        train=Train(
            "masked",
            batches.masked_steps(4, 14, mask_id=2),
            {"kind": "linear", "warmup": 6, "total": 30},
            {"lr": 3e-3, "betas": [0.9, 0.98], "eps": 1e-5, "weight_decay": 0.01},
        ),
        about="every layer adds to the gradients of one block",
    ),
]
