"""Matrices stored as F8 with a scale a block, as DeepSeek-V3 publishes them: `X.weight` is
float8_e4m3fn, `X.weight_scale_inv` f32 [ceil(out/rows), ceil(in/columns)], and the matrix is their
product. Embeddings, norms, routers, biases and the head stay as they are."""

import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file

LARGEST = 448.0
KEPT = ("embed_tokens", "norm", "mlp.gate.weight", "lm_head", "eh_proj", "shared_head")


def spread(scales, shape, block):
    """The scale of each element."""
    wide = scales.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    return wide[: shape[0], : shape[1]]


def quantised(t, block):
    """(codes, scales) of a matrix."""
    rows, columns = (-(-n // b) for n, b in zip(t.shape, block))
    scales = torch.empty(rows, columns)
    for i in range(rows):
        for j in range(columns):
            part = t[i * block[0] : (i + 1) * block[0], j * block[1] : (j + 1) * block[1]]
            scales[i, j] = part.abs().max() / LARGEST
    return (t / spread(scales, t.shape, block)).to(torch.float8_e4m3fn), scales


def store(block):
    """Rewrites a saved model/ as such a file; see spelling.py."""

    def rewrite(directory):
        file = directory / "model.safetensors"
        tensors = {}
        for name, t in load_file(file).items():
            if t.dim() < 2 or any(part in name for part in KEPT):
                tensors[name] = t
            else:
                tensors[name], tensors[f"{name}_scale_inv"] = quantised(t, block)
        save_file(tensors, file, metadata={"format": "pt"})
        path = directory / "config.json"
        config = json.loads(path.read_text())
        config["quantization_config"] = {
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "quant_method": "fp8",
            "weight_block_size": list(block),
        }
        path.write_text(json.dumps(config, indent=2) + "\n")

    return rewrite


def widened(directory, to):
    """Writes the same model in f32 to the new folder `to`; `directory` itself where it holds no
    such matrices."""
    directory = pathlib.Path(directory)
    config = json.loads((directory / "config.json").read_text())
    scheme = config.pop("quantization_config", None)
    if scheme is None:
        return directory
    shutil.copytree(directory, to)
    tensors = load_file(directory / "model.safetensors")
    out = {}
    for name, t in tensors.items():
        if name.endswith("_scale_inv"):
            continue
        scales = tensors.get(f"{name}_scale_inv")
        if scales is not None:
            t = t.to(torch.float32) * spread(scales, t.shape, scheme["weight_block_size"])
        out[name] = t
    save_file(out, to / "model.safetensors", metadata={"format": "pt"})
    (to / "config.json").write_text(json.dumps(config))
    return to
