"""DeBERTa cases, v1 and v2/v3: each kind of position term, linear distances and log buckets, shared
and separate position projections, the convolution, both spellings of the masked-language head."""

import batches
import spelling
from case import Case
from families.bert import classes, each_token, masked, regression, span
from training import Train

COMMON = dict(
    vocab_size=71,
    hidden_size=36,
    intermediate_size=44,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=24,
    relative_attention=True,
    pos_att_type="c2p|p2c",
    position_biased_input=False,
)
SMALL = {**COMMON, "hidden_size": 28, "intermediate_size": 38}
V3 = {
    **SMALL,
    "position_buckets": 6,
    "max_relative_positions": 20,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}
LENGTHS = [11, 1, 6, 8]
LOSS = ("logits", "loss")
TRAIN = dict(
    schedule={"kind": "linear", "warmup": 6, "total": 24},
    # A key bias has no gradient but rounding; the large eps keeps Adam from blowing that up.
    optimizer={"lr": 3e-3, "betas": [0.9, 0.98], "eps": 1e-5, "weight_decay": 0.01},
    steps=24,
)


def tokens(lengths, left=(), types=False):
    def make(rng, config):
        batch = batches.padded(rng, config, lengths, left)
        return batches.with_types(rng, batch, config) if types else batch

    return make


def labelled(lengths, labels, left=()):
    return lambda rng, config: labels(rng, tokens(lengths, left)(rng, config), config)


CASES = [
    Case(
        "deberta",
        "base",
        "DebertaModel",
        {**COMMON, "num_hidden_layers": 3},
        inputs=tokens(LENGTHS),
        outputs=("last_hidden_state", "hidden_states"),
        about="no prefix in tensor names; fused projection with the heads interleaved; head size 9",
    ),
    Case(
        "deberta",
        "positions_and_types",
        "DebertaModel",
        {**COMMON, "position_biased_input": True, "type_vocab_size": 2, "hidden_act": "relu"},
        inputs=tokens([9, 1, 6, 4], left=(1, 2), types=True),
        outputs=("last_hidden_state", "hidden_states"),
        about="absolute positions and types in the embedding, too; padding on either side",
    ),
    Case(
        "deberta",
        "minimal_config",
        "DebertaModel",
        {**SMALL, "pos_att_type": None, "relative_attention": False, "position_biased_input": True},
        inputs=tokens([8, 3]),
        outputs=("last_hidden_state",),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults: absolute positions",
    ),
    Case(
        "deberta",
        "masked_lm",
        "DebertaForMaskedLM",
        SMALL,
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        about="the legacy names of the head",
    ),
    Case(
        "deberta",
        "masked_lm_new_head",
        "DebertaForMaskedLM",
        {**SMALL, "legacy": False, "pos_att_type": ["c2p"], "max_relative_positions": 5},
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        about="lm_predictions.lm_head; content to position alone; distances beyond the table",
    ),
    Case(
        "deberta",
        "sequence_classification",
        "DebertaForSequenceClassification",
        {**SMALL, "num_labels": 5, "pos_att_type": "p2c"},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
        about="position to content alone; the pooler's gelu",
    ),
    Case(
        "deberta",
        "sequence_regression",
        "DebertaForSequenceClassification",
        {**SMALL, "num_labels": 1, "pooler_hidden_act": "tanh"},
        inputs=labelled(LENGTHS, regression),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "deberta",
        "token_classification",
        "DebertaForTokenClassification",
        {**SMALL, "num_labels": 3},
        inputs=labelled(LENGTHS, each_token),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "deberta",
        "question_answering",
        "DebertaForQuestionAnswering",
        SMALL,
        inputs=labelled([10, 10, 10], span),
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
    ),
    Case(
        "deberta",
        "train_masked",
        "DebertaForMaskedLM",
        {**SMALL, "hidden_size": 24, "intermediate_size": 32},
        std=0.15,
        train=Train("masked", batches.masked_steps(4, 14, mask_id=2), **TRAIN),
        about="linear with warm-up",
    ),
    Case(
        "deberta-v2",
        "base",
        "DebertaV2Model",
        {**COMMON, "num_hidden_layers": 3, "position_buckets": 4, "max_relative_positions": 9},
        inputs=tokens([15, 1, 6, 8]),
        outputs=("last_hidden_state", "hidden_states"),
        about="log buckets past their greatest distance; separate position projections, no norm",
    ),
    Case(
        "deberta-v2",
        "linear",
        "DebertaV2Model",
        {**COMMON, "pos_att_type": "c2p", "max_relative_positions": 5, "type_vocab_size": 3},
        inputs=tokens([9, 1, 6, 4], left=(1, 2), types=True),
        outputs=("last_hidden_state", "hidden_states"),
        about="no buckets; padding on either side; three segments",
    ),
    Case(
        "deberta-v2",
        "minimal_config",
        "DebertaV2Model",
        {**SMALL, "pos_att_type": None, "relative_attention": False, "position_biased_input": True},
        inputs=tokens([8, 3]),
        outputs=("last_hidden_state",),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults: absolute positions",
    ),
    Case(
        "deberta-v2",
        "masked_lm",
        "DebertaV2ForMaskedLM",
        {**V3, "legacy": False},
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        about="v3: shared projections, log buckets, normed table; lm_predictions.lm_head",
    ),
    Case(
        "deberta-v2",
        "masked_lm_convolution",
        "DebertaV2ForMaskedLM",
        {**V3, "conv_kernel_size": 3, "conv_act": "gelu"},
        inputs=labelled([11, 1, 2, 8], masked, left=(3,)),
        outputs=LOSS + ("hidden_states",),
        grads=True,
        about="v2: a convolution beside the first layer, over rows as short as one token; legacy "
        "names of the head",
    ),
    Case(
        "deberta-v2",
        "masked_lm_grouped",
        "DebertaV2ForMaskedLM",
        {
            **V3,
            "share_att_key": False,
            "conv_kernel_size": 5,
            "conv_groups": 4,
            "pos_att_type": "p2c",
            "tie_word_embeddings": False,
        },
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        about="grouped convolution; position to content alone; nothing tied",
    ),
    Case(
        "deberta-v2",
        "sequence_classification",
        "DebertaV2ForSequenceClassification",
        {**V3, "num_labels": 5},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "deberta-v2",
        "token_classification",
        "DebertaV2ForTokenClassification",
        {**V3, "num_labels": 3},
        inputs=labelled(LENGTHS, each_token),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "deberta-v2",
        "question_answering",
        "DebertaV2ForQuestionAnswering",
        V3,
        inputs=labelled([10, 10, 10], span),
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
    ),
    Case(
        "deberta-v2",
        "train_masked",
        "DebertaV2ForMaskedLM",
        {**V3, "hidden_size": 24, "intermediate_size": 32, "legacy": False},
        std=0.15,
        train=Train("masked", batches.masked_steps(4, 14, mask_id=2), **TRAIN),
        about="linear with warm-up",
    ),
]
