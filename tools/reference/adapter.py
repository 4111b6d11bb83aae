"""Adapters of a reference case: adapter/ is a directory as pip's peft writes it, and the case's
outputs, gradients and ids are those of the model with it."""

import json

import torch
from peft import LoraConfig, PeftModel, get_peft_model


def write(folder, model, spec, seed, std):
    """Saves a LoRA adapter of `model` with random A and B; returns the names of its tensors."""
    model = get_peft_model(model, LoraConfig(**spec))
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(std * torch.randn(p.shape, generator=rng))
    directory = folder / "adapter"
    model.save_pretrained(directory)
    (directory / "README.md").unlink()
    # Nothing of the machine it was made on, and sets in one order.
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = None
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def load(model, folder):
    """`model` with the adapter of `folder`, whose parameters alone take gradients."""
    return PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True).eval()


def in_memory(name):
    """The parameter's name in memory for its name in the file."""
    for part in ("lora_A", "lora_B"):
        name = name.replace(f".{part}.", f".{part}.default.")
    return name


def double(model, base):
    """A f64 copy of the peft model `model` around `base`, a fresh f64 model of the same class."""
    copy = get_peft_model(base, model.peft_config["default"]).double().eval()
    copy.load_state_dict({name: t.double() for name, t in model.state_dict().items()})
    return copy
