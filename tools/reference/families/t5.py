"""T5 cases: both versions, encoders alone, heads, stored forms."""

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import batches
import spelling
from case import Case
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=71,
    d_model=24,
    d_kv=7,
    d_ff=41,
    num_layers=2,
    num_decoder_layers=3,
    num_heads=3,
    relative_attention_num_buckets=32,
    relative_attention_max_distance=128,
    pad_token_id=0,
    eos_token_id=1,
    decoder_start_token_id=0,
    n_positions=512,
)
V11 = {**BASE, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
SMALL = {
    **BASE,
    "num_decoder_layers": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,
}
BOTH = ("logits", "loss", "encoder_last_hidden_state")
STATES = ("encoder_hidden_states", "decoder_hidden_states")


def pairs(lengths, targets, left=()):
    """Sources, and labels from which the decoder's inputs follow."""

    def make(rng, config):
        source = batches.padded(rng, config, lengths, left)
        return {**source, "labels": batches.target_labels(rng, config, targets)}

    return make


def given(lengths, targets, left=(), target_left=()):
    """Sources, and the decoder's inputs with a mask of their own; nothing is learnt."""

    def make(rng, config):
        source = batches.padded(rng, config, lengths, left)
        return batches.with_target(rng, source, config, targets, target_left)

    return make


def sources(lengths, left=()):
    return lambda rng, config: batches.padded(rng, config, lengths, left)


def token_classes(rng, config):
    batch = batches.padded(rng, config, [9, 1, 6])
    return batches.token_labels(rng, batch, config.num_labels)


def spans(rng, config):
    batch = batches.padded(rng, config, [9, 5, 12])
    labels = {"start_positions": np.array([2, 0, 11]), "end_positions": np.array([8, 4, 3])}
    return {**batch, **labels}


def own_head(directory):
    """As version 1.1 is published: a head that is not the embedding, and a config that says so."""
    file = directory / "model.safetensors"
    tensors = load_file(file)
    rng = np.random.default_rng(5)
    tensors["lm_head.weight"] = (0.3 * rng.standard_normal(tensors["shared.weight"].shape)).astype(
        np.float32
    )
    save_file(tensors, file, metadata={"format": "pt"})

    def edit(config):
        for key in ("scale_decoder_outputs", "dense_act_fn", "is_gated_act"):
            config.pop(key, None)
        config["tie_word_embeddings"] = False

    spelling.edit_config(directory, edit)


def stray_tensors(directory):
    """As early files have them: copies of the embedding, and a table that nothing reads."""
    file = directory / "model.safetensors"
    tensors = load_file(file)
    for stack in ("encoder", "decoder"):
        tensors[f"{stack}.embed_tokens.weight"] = tensors["shared.weight"].copy()
    table = tensors["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    stray = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    tensors[stray] = np.zeros_like(table)
    save_file(tensors, file, metadata={"format": "pt"})

    def edit(config):
        for key in ("scale_decoder_outputs", "dense_act_fn", "is_gated_act", "tie_word_embeddings"):
            config.pop(key, None)

    spelling.edit_config(directory, edit)


CASES = [
    Case(
        "t5",
        "conditional",
        "T5ForConditionalGeneration",
        BASE,
        inputs=pairs([13, 1, 7, 10], [5, 9, 1, 3], left=(2,)),
        outputs=BOTH + STATES,
        grads=True,
        generate=Generate((5, 1, 11, 30), 14, num_beams=3),
        about="version 1.0: relu, the head tied and scaled; more layers in the decoder than in the "
        "encoder",
    ),
    Case(
        "t5",
        "conditional_gated",
        "T5ForConditionalGeneration",
        V11,
        inputs=pairs([11, 4, 17], [6, 2, 8]),
        outputs=BOTH,
        grads=True,
        generate=Generate((6, 2, 9), 12, num_beams=4),
        respell=own_head,
        about="version 1.1 as published: gated gelu_new, a head of its own, nothing scaled",
    ),
    Case(
        "t5",
        "conditional_gated_tied",
        "T5ForConditionalGeneration",
        {**V11, "feed_forward_proj": "gated-silu"},
        inputs=pairs([9, 3], [4, 7]),
        outputs=BOTH,
        grads=True,
        about="gated silu; tied, and not scaled, as transformers 5 saves what it makes",
    ),
    Case(
        "t5",
        "conditional_long",
        "T5ForConditionalGeneration",
        SMALL,
        inputs=pairs([150, 70], [90, 131]),
        outputs=BOTH,
        grads=True,
        respell=stray_tensors,
        about="distances beyond the last bucket, few buckets; copies and a stray table in the file",
    ),
    Case(
        "t5",
        "conditional_gelu",
        "T5ForConditionalGeneration",
        {**BASE, "feed_forward_proj": "gelu", "d_kv": 8, "num_decoder_layers": None},
        inputs=given([8, 3, 12], [4, 7, 2], left=(1,), target_left=(0,)),
        outputs=("logits",),
        generate=Generate((4, 8, 3, 17), 12, num_beams=3, length_penalty=0.6, decoy_eos=True),
        about="plain gelu, as many layers in both stacks; decoder_input_ids with a mask, padded on "
        "the left; a length penalty",
    ),
    Case(
        "t5",
        "base",
        "T5Model",
        V11,
        inputs=given([6, 15, 2], [9, 1, 4]),
        outputs=("last_hidden_state", "encoder_last_hidden_state") + STATES,
        about="bare model, no prefix in tensor names",
    ),
    Case(
        "t5",
        "encoder",
        "T5EncoderModel",
        V11,
        inputs=sources([14, 1, 8], left=(2,)),
        outputs=("last_hidden_state", "hidden_states"),
        about="the encoder alone, as sentence-t5 has it",
    ),
    Case(
        "t5",
        "encoder_bf16",
        "T5EncoderModel",
        {**BASE, "num_layers": 1},
        inputs=sources([5, 3]),
        outputs=("last_hidden_state",),
        stored=torch.bfloat16,
        about="stored in bf16",
    ),
    Case(
        "t5",
        "token_classification",
        "T5ForTokenClassification",
        {**BASE, "num_labels": 3},
        inputs=token_classes,
        outputs=("logits", "loss"),
        grads=True,
        about="a class for each token of the encoder; names have the prefix transformer",
    ),
    Case(
        "t5",
        "question_answering",
        "T5ForQuestionAnswering",
        SMALL,
        inputs=spans,
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
        about="the decoder reads the source again, shifted right; answers among padding do not "
        "count",
    ),
    Case(
        "t5",
        "train_seq2seq",
        "T5ForConditionalGeneration",
        {**SMALL, "num_layers": 1, "num_decoder_layers": 1, "d_model": 20, "d_ff": 30},
        std=0.2,
        train=Train(
            "seq2seq",
            batches.seq2seq_steps(4, 12, 6),
            {"kind": "linear", "warmup": 3, "total": 30},
            {"lr": 3e-3, "betas": [0.9, 0.98], "eps": 1e-8, "weight_decay": 0.05},
            accumulation=2,
        ),
        about="reads a chain and writes its head in reverse; accumulation 2 with unequal counts",
    ),
]
