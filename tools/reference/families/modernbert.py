"""ModernBERT cases: global and local layers, two rotations, every head, biases, spellings."""

import batches
import spelling
from case import Case
from families.bert import classes, each_token, masked, span
from training import Train

BASE = dict(
    vocab_size=71,
    hidden_size=32,
    intermediate_size=44,
    num_hidden_layers=4,
    num_attention_heads=4,
    max_position_embeddings=64,
    local_attention=8,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    cls_token_id=1,
    sep_token_id=2,
)
HEAD = {**BASE, "num_hidden_layers": 2}
LENGTHS = [23, 1, 6, 14]
LOSS = ("logits", "loss")


def tokens(lengths):
    return lambda rng, config: batches.padded(rng, config, lengths)


def labelled(lengths, labels):
    return lambda rng, config: labels(rng, tokens(lengths)(rng, config), config)


def choices(rng, config):
    batch = {k: v.reshape(2, 3, -1) for k, v in tokens([7, 4, 9, 1, 5, 6])(rng, config).items()}
    return {**batch, "labels": rng.integers(0, 3, 2)}


def old_thetas(directory):
    """global_rope_theta, local_rope_theta and global_attn_every_n_layers, as files before
    transformers 5 have them."""

    def edit(config):
        rope = config.pop("rope_parameters")
        config["global_rope_theta"] = rope["full_attention"]["rope_theta"]
        config["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
        del config["layer_types"]
        config["global_attn_every_n_layers"] = 2

    spelling.edit_config(directory, edit)


CASES = [
    Case(
        "modernbert",
        "base",
        "ModernBertModel",
        BASE,
        inputs=tokens([37, 1, 16, 9]),
        outputs=("last_hidden_state", "hidden_states"),
        about="layers 0 and 3 see all, 1 and 2 four tokens to either side; no prefix",
    ),
    Case(
        "modernbert",
        "masked_lm",
        "ModernBertForMaskedLM",
        BASE,
        inputs=labelled(LENGTHS, masked),
        outputs=LOSS,
        grads=True,
        about="tied decoder with a bias",
    ),
    Case(
        "modernbert",
        "masked_lm_biases",
        "ModernBertForMaskedLM",
        {
            **BASE,
            "attention_bias": True,
            "mlp_bias": True,
            "norm_bias": True,
            "classifier_bias": True,
            "decoder_bias": False,
            "hidden_activation": "silu",
            "classifier_activation": "relu",
            "tie_word_embeddings": False,
            "local_attention": 6,
        },
        inputs=labelled([18, 7], masked),
        outputs=LOSS,
        grads=True,
        about="biases everywhere but in the decoder, which is not tied",
    ),
    Case(
        "modernbert",
        "old_thetas",
        "ModernBertForMaskedLM",
        {
            **BASE,
            "layer_types": ["full_attention", "sliding_attention"] * 2,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 900.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 70.0},
            },
        },
        inputs=labelled([30, 11], masked),
        outputs=LOSS,
        respell=old_thetas,
        about="config.json as before transformers 5: global_rope_theta, local_rope_theta, every "
        "second layer global",
    ),
    Case(
        "modernbert",
        "minimal_config",
        "ModernBertModel",
        {**HEAD, "num_hidden_layers": 3},
        inputs=tokens([20, 3]),
        outputs=("last_hidden_state",),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults",
    ),
    Case(
        "modernbert",
        "sequence_classification",
        "ModernBertForSequenceClassification",
        {**HEAD, "num_labels": 5},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
        about="of the first token",
    ),
    Case(
        "modernbert",
        "sequence_classification_mean",
        "ModernBertForSequenceClassification",
        {**HEAD, "num_labels": 3, "classifier_pooling": "mean", "classifier_bias": True},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
        about="of the mean of the tokens",
    ),
    Case(
        "modernbert",
        "token_classification",
        "ModernBertForTokenClassification",
        {**HEAD, "num_labels": 3},
        inputs=labelled(LENGTHS, each_token),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "modernbert",
        "question_answering",
        "ModernBertForQuestionAnswering",
        HEAD,
        inputs=labelled([10, 10, 10], span),
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
    ),
    Case(
        "modernbert",
        "multiple_choice",
        "ModernBertForMultipleChoice",
        HEAD,
        inputs=choices,
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "modernbert",
        "train_masked",
        "ModernBertForMaskedLM",
        {**HEAD, "hidden_size": 24, "intermediate_size": 32},
        std=0.15,
        train=Train(
            "masked",
            batches.masked_steps(4, 14, mask_id=2),
            {"kind": "linear", "warmup": 6, "total": 30},
            {"lr": 3e-3, "betas": [0.9, 0.98], "eps": 1e-5, "weight_decay": 0.01},
        ),
    ),
]
