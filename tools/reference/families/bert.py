"""BERT cases: the bare model and every head, mixed segments, padding on either side, rows of one
token."""

import numpy as np

import batches
import spelling
from case import Case
from training import Train

BASE = dict(
    vocab_size=71,
    hidden_size=36,
    intermediate_size=44,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=24,
    type_vocab_size=2,
    pad_token_id=0,
)
HEAD = {**BASE, "hidden_size": 28, "intermediate_size": 38}
LENGTHS = [11, 1, 6, 8]
LOSS = ("logits", "loss")


def tokens(lengths, left=()):
    def make(rng, config):
        return batches.with_types(rng, batches.padded(rng, config, lengths, left), config)

    return make


def labelled(lengths, labels, left=()):
    """`labels(rng, batch, config)` returns the batch with its labels."""
    return lambda rng, config: labels(rng, tokens(lengths, left)(rng, config), config)


def masked(rng, batch, config):
    return batches.masked_labels(rng, batch, config)


def pretraining(rng, batch, config):
    batch = masked(rng, batch, config)
    return {**batch, "next_sentence_label": rng.integers(0, 2, len(batch["input_ids"]))}


def classes(rng, batch, config):
    return {**batch, "labels": rng.integers(0, config.num_labels, len(batch["input_ids"]))}


def sentence_order(rng, batch, config):
    return {**batch, "labels": rng.integers(0, 2, len(batch["input_ids"]))}


def regression(rng, batch, config):
    return {**batch, "labels": rng.standard_normal(len(batch["input_ids"]), np.float32)}


def several(rng, batch, config):
    shape = (len(batch["input_ids"]), config.num_labels)
    return {**batch, "labels": rng.integers(0, 2, shape).astype(np.float32)}


def each_token(rng, batch, config):
    return batches.token_labels(rng, batch, config.num_labels)


def causal(rng, batch, config):
    return batches.causal_labels(rng, batch)


def span(rng, batch, config):
    # The last row's answer lies past the end: positions are clamped to the width, which is not
    # counted.
    width = batch["input_ids"].shape[1]
    start = np.array([2, 0, width + 3])
    return {**batch, "start_positions": start, "end_positions": np.array([5, width - 1, width + 4])}


def choices(count):
    """[B,choices,T] inputs, as BertForMultipleChoice takes them."""

    def make(rng, config):
        batch = tokens([7, 4, 9, 1, 5, 6])(rng, config)
        batch = {k: v.reshape(-1, count, v.shape[1]) for k, v in batch.items()}
        return {**batch, "labels": rng.integers(0, count, len(batch["input_ids"]))}

    return make


CASES = [
    Case(
        "bert",
        "base",
        "BertModel",
        {**BASE, "num_hidden_layers": 3},
        inputs=tokens(LENGTHS),
        outputs=("last_hidden_state", "hidden_states", "pooler_output"),
        about="bare model, no prefix in tensor names; head size 9; one row of a single token",
    ),
    Case(
        "bert",
        "base_left",
        "BertModel",
        {**BASE, "hidden_act": "relu", "type_vocab_size": 3},
        inputs=tokens([9, 1, 6, 4], left=(1, 2)),
        outputs=("last_hidden_state", "hidden_states"),
        about="padding on the left in two rows, which positions count (no pooler_output: "
        "transformers pools column 0 even where that is padding); relu; three segments",
    ),
    Case(
        "bert",
        "minimal_config",
        "BertModel",
        HEAD,
        inputs=tokens([8, 3]),
        outputs=("last_hidden_state", "pooler_output"),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults",
    ),
    Case(
        "bert",
        "masked_lm",
        "BertForMaskedLM",
        HEAD,
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        about="decoder tied to the word embeddings, whose pad row has a gradient from the output "
        "side only",
    ),
    Case(
        "bert",
        "adapter",
        "BertForMaskedLM",
        HEAD,
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        adapter=dict(
            r=4,
            lora_alpha=6,
            use_rslora=True,
            target_modules=["query", "key", "output.dense"],
        ),
        about="rank-stabilised LoRA; output.dense names two projections of a layer",
    ),
    Case(
        "bert",
        "masked_lm_gelu_new",
        "BertForMaskedLM",
        {**HEAD, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "tie_word_embeddings": False},
        inputs=labelled([8, 12], masked),
        outputs=LOSS + ("hidden_states",),
        grads=True,
        about="tanh gelu, a large norm epsilon; decoder not tied, nor its bias: "
        "cls.predictions.bias is stored and unused",
    ),
    Case(
        "bert",
        "masked_lm_old",
        "BertForMaskedLM",
        HEAD,
        inputs=labelled([7, 9], masked),
        outputs=LOSS,
        grads=True,
        respell=spelling.old_bert,
        about="tensors as converted from TensorFlow: gamma, beta, position_ids, unused pooler and "
        "next-sentence head",
    ),
    Case(
        "bert",
        "pretraining",
        "BertForPreTraining",
        HEAD,
        inputs=labelled(LENGTHS, pretraining),
        outputs=("prediction_logits", "seq_relationship_logits", "loss"),
        grads=True,
    ),
    Case(
        "bert",
        "next_sentence",
        "BertForNextSentencePrediction",
        HEAD,
        inputs=labelled(LENGTHS, sentence_order),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "bert",
        "sequence_classification",
        "BertForSequenceClassification",
        {**HEAD, "num_labels": 5},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
        about="one of five classes",
    ),
    Case(
        "bert",
        "sequence_regression",
        "BertForSequenceClassification",
        {**HEAD, "num_labels": 1},
        inputs=labelled(LENGTHS, regression),
        outputs=LOSS,
        grads=True,
        about="one label: mean squared error",
    ),
    Case(
        "bert",
        "sequence_multilabel",
        "BertForSequenceClassification",
        {**HEAD, "num_labels": 4, "problem_type": "multi_label_classification"},
        inputs=labelled(LENGTHS, several),
        outputs=LOSS,
        grads=True,
        about="float labels: binary cross-entropy",
    ),
    Case(
        "bert",
        "token_classification",
        "BertForTokenClassification",
        {**HEAD, "num_labels": 3},
        inputs=labelled(LENGTHS, each_token),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "bert",
        "question_answering",
        "BertForQuestionAnswering",
        HEAD,
        inputs=labelled([10, 10, 10], span),
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
        about="no padding: the class's loss normalises over padded columns too; one answer past "
        "the end",
    ),
    Case(
        "bert",
        "question_answering_padded",
        "BertForQuestionAnswering",
        HEAD,
        inputs=tokens([4, 9, 1], left=(0,)),
        outputs=("start_logits", "end_logits"),
    ),
    Case(
        "bert",
        "multiple_choice",
        "BertForMultipleChoice",
        HEAD,
        inputs=choices(3),
        outputs=LOSS,
        grads=True,
        about="inputs are [B,choices,T]",
    ),
    Case(
        "bert",
        "lm_head",
        "BertLMHeadModel",
        {**HEAD, "is_decoder": True},
        inputs=labelled(LENGTHS, causal),
        outputs=LOSS,
        grads=True,
        about="is_decoder: causal mask, labels shifted",
    ),
    Case(
        "bert",
        "train_masked",
        "BertForMaskedLM",
        {**HEAD, "hidden_size": 24, "intermediate_size": 32},
        std=0.15,
        train=Train(
            "masked",
            batches.masked_steps(4, 14, mask_id=2),
            {"kind": "linear", "warmup": 6, "total": 30},
            # A key bias has no gradient but rounding; the large eps keeps Adam from blowing that
            # up.
            {"lr": 3e-3, "betas": [0.9, 0.98], "eps": 1e-5, "weight_decay": 0.01},
        ),
        about="linear with warm-up",
    ),
]
