"""Rewrites a saved model directory in another spelling that published files use. Each maker returns
a function of the directory; where it renames tensors, that function returns the map from the new
name to transformers' own."""

import json

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig


def edit_config(directory, edit, name="config.json"):
    path = directory / name
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config, indent=2) + "\n")


def old_rope(legacy_type=False):
    """rope_theta, rope_scaling (null for the default kind) and torch_dtype, as files before
    transformers 5 have it; with legacy_type the kind's key is `type`."""

    def edit(config):
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        kind = rope.pop("rope_type")
        config["rope_scaling"] = (
            None if kind == "default" else {"type" if legacy_type else "rope_type": kind, **rope}
        )
        config["torch_dtype"] = config.pop("dtype")
        config["transformers_version"] = "4.51.0"

    return lambda directory: edit_config(directory, edit)


def minimal(directory):
    """Only the keys of config.json that differ from the defaults, and no generation config."""

    def edit(config):
        defaults = AutoConfig.for_model(config["model_type"]).to_dict()
        kept = {"model_type", "architectures"}
        for key in [k for k in config if k not in kept]:
            if config[key] == defaults.get(key) or key in ("dtype", "transformers_version"):
                del config[key]
        # Derived from other keys where absent.
        for key in ("head_dim", "num_key_value_heads", "rope_parameters"):
            config.pop(key, None)

    edit_config(directory, edit)
    (directory / "generation_config.json").unlink(missing_ok=True)


def old_bert(directory):
    """The tensors of a BERT converted from TensorFlow: LayerNorm.gamma and .beta, the position_ids
    buffer, and the pooler and next-sentence head that a masked-LM model does not use."""
    file = directory / "model.safetensors"
    ours = load_file(file)

    def old(name):
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )

    tensors = {old(name): t for name, t in ours.items()}
    width = ours["bert.embeddings.word_embeddings.weight"].shape[1]
    positions = ours["bert.embeddings.position_embeddings.weight"].shape[0]
    tensors["bert.embeddings.position_ids"] = np.arange(positions, dtype=np.int64)[None]
    for name, shape in [
        ("bert.pooler.dense", (width, width)),
        ("cls.seq_relationship", (2, width)),
    ]:
        tensors[f"{name}.weight"] = np.full(shape, 0.25, np.float32)
        tensors[f"{name}.bias"] = np.full(shape[:1], 0.5, np.float32)
    save_file(tensors, file, metadata={"format": "pt"})

    def edit(config):
        config["torch_dtype"] = config.pop("dtype")
        config["position_embedding_type"] = "absolute"
        config["gradient_checkpointing"] = False
        config["transformers_version"] = "4.6.0.dev0"

    edit_config(directory, edit)
    names = {old(name): name for name in ours}
    return lambda name: names.get(name, name)


def old_mamba(directory):
    """The config.json of a Mamba as it was first converted: keys of the original repository beside
    transformers' own, which nothing reads."""

    def edit(config):
        config["torch_dtype"] = config.pop("dtype")
        config.update(
            d_model=config["hidden_size"],
            d_inner=config["hidden_size"] * config["expand"],
            intermediate_size=config["hidden_size"] * config["expand"],
            n_layer=config["num_hidden_layers"],
            ssm_cfg={},
            rms_norm=True,
            fused_add_norm=True,
            transformers_version="4.39.0.dev0",
        )

    edit_config(directory, edit)
