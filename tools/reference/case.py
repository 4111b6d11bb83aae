"""Describes a reference case and writes its folder (the format is section 6 of the architecture
page).

A Case names a transformers class and its configuration; write_case() fills a model with random
weights, saves it as published models are saved, loads it back, and records what that model
computes: outputs, gradients, generated ids, training steps. Every result is computed in f32 and
again in f64; the difference goes to case.json.
"""

import dataclasses
import json
import pathlib
import shutil
import tempfile
import zlib
from typing import Callable, Optional

import numpy as np
import peft
import torch
import transformers
from safetensors.numpy import save_file

import adapter
import fp8
import generation
import training
from experts import unstacked
from precision import DoubleEverywhere, double_inputs, double_model, gradient_errors, relative

MAX_BYTES = 500_000
# Outputs that have one row a sequence although their shape might suggest one a token.
PER_SEQUENCE = {"pooler_output", "sop_logits", "seq_relationship_logits", "embeddings", "loss"}


@dataclasses.dataclass
class Case:
    family: str
    name: str
    architecture: str  # a class of transformers
    config: dict
    inputs: Optional[Callable] = None  # (rng, config) -> {name: numpy array}
    outputs: tuple = ()  # names of ModelOutput fields; a tuple field becomes name.{i}
    grads: bool = False  # gradients of the class's loss
    std: float = 0.35  # of the random weights: large, so that masks and nonlinearities matter
    stored: torch.dtype = torch.float32
    max_shard_size: Optional[str] = None
    respell: Optional[Callable] = None  # rewrites the saved model/ in another published spelling
    generate: Optional[generation.Generate] = None
    train: Optional[training.Train] = None
    adapter: Optional[dict] = None  # peft's LoraConfig: everything is then computed through it
    about: str = ""  # for people

    @property
    def folder(self):
        return f"{self.family}/{self.name}"

    @property
    def seed(self):
        return zlib.crc32(self.folder.encode())

    def write(self, root):
        return write_case(self, root)


def randomise(model, seed, std):
    """Every parameter, including the norm weights (around 1) and the biases, which are trivial in a
    fresh model and would hide bugs."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=rng)
            is_norm = p.dim() == 1 and "norm" in name.lower() and name.endswith("weight")
            p.copy_(1 + 0.3 * noise if is_norm else std * noise)
        for name, b in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                b.copy_(0.2 * torch.randn(b.shape, generator=rng))


def load_model(directory, architecture=None):
    """The class that config.json names (or `architecture`), in f32, eager attention, evaluation
    mode."""
    directory = pathlib.Path(directory)
    if architecture is None:
        architecture = json.loads((directory / "config.json").read_text())["architectures"][0]
    cls = getattr(transformers, architecture)
    with tempfile.TemporaryDirectory() as folder:
        directory = fp8.widened(directory, pathlib.Path(folder) / "model")
        model = cls.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    model.config._experts_implementation = "eager"
    return model.eval()


def stored_names(directory):
    """The tensor names of a checkpoint's files."""
    names = []
    for file in sorted(pathlib.Path(directory).glob("*.safetensors")):
        names += load_file_names(file)
    return names


def load_file_names(file):
    with open(file, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    return [name for name in header if name != "__metadata__"]


def save_case_json(folder, family, source, **entries):
    head = {
        "family": family,
        "source": source,
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
            **({"peft": peft.__version__} if (folder / "adapter").exists() else {}),
        },
    }
    (folder / "case.json").write_text(json.dumps({**head, **entries}, indent=1) + "\n")


def collect(output, wanted):
    """The wanted ModelOutput fields as {name: array}, tuples numbered."""
    found = {}
    for name in wanted:
        value = output[name]
        for key, t in (
            [(name, value)]
            if torch.is_tensor(value)
            else [(f"{name}.{i}", t) for i, t in enumerate(value)]
        ):
            found[key] = t.detach().numpy()
    return found


def as_lists(inputs):
    """Numbered inputs (mems.0, mems.1, ...) as lists."""
    numbered = {k.partition(".")[0] for k in inputs if "." in k}
    lists = {
        name: [inputs[k] for k in sorted(inputs, key=len) if k.startswith(name + ".")]
        for name in numbered
    }
    return {**{k: t for k, t in inputs.items() if "." not in k}, **lists}


def run_model(model, inputs, wanted, grads):
    """One forward (and backward): ({output: array}, {parameter in memory: gradient})."""
    model.zero_grad()
    states = any(name.endswith("hidden_states") for name in wanted)
    output = model(**as_lists(inputs), output_hidden_states=states)
    outputs = collect(output, wanted)
    if not grads:
        return outputs, {}
    output.loss.backward()
    named = model.named_parameters(remove_duplicate=False)
    gradients = {name: p.grad.numpy().copy() for name, p in named if p.grad is not None}
    return outputs, unstacked(gradients)


def real_positions(name, array, inputs, reads_source):
    """The part of an output that `verify` compares."""
    decoder = reads_source and not name.startswith("encoder_")
    mask = inputs.get("decoder_attention_mask" if decoder else "attention_mask")
    if mask is None or name in PER_SEQUENCE or array.ndim < 2 or array.shape[:2] != mask.shape:
        return array
    return array[mask.astype(bool)]


def under_stored_names(gradients, names, renamed=lambda name: name):
    """Gradients under the names that the checkpoint uses; a tied parameter keeps the name that is
    in the file."""
    return {name: gradients[renamed(name)] for name in names if renamed(name) in gradients}


def round_up(x):
    return float(f"{x:.2g}")


def record_results(folder, model, inputs, wanted, grads, renamed=lambda name: name):
    """Writes inputs, outputs and gradients; returns the f32-against-f64 errors."""
    tensors = {k: torch.from_numpy(v) for k, v in inputs.items()}
    with torch.set_grad_enabled(grads):
        outputs, gradients = run_model(model, tensors, wanted, grads)
        with DoubleEverywhere():
            exact, exact_gradients = run_model(
                double_model(model), double_inputs(tensors), wanted, grads
            )

    save_file(
        {k: np.ascontiguousarray(v) for k, v in inputs.items()}, folder / "inputs.safetensors"
    )
    save_file(
        {k: np.ascontiguousarray(v) for k, v in outputs.items()}, folder / "outputs.safetensors"
    )
    reads_source = model.config.is_encoder_decoder and hasattr(model.base_model, "decoder")
    errors = {}
    for name in outputs:
        ours, right = (
            real_positions(name, t[name], inputs, reads_source) for t in (outputs, exact)
        )
        errors[name] = round_up(relative(ours, right))
    if grads:
        learnt = folder / "adapter"
        names = stored_names(learnt if learnt.exists() else folder / "model")
        gradients = under_stored_names(gradients, names, renamed)
        exact_gradients = under_stored_names(exact_gradients, names, renamed)
        save_file(
            {k: np.ascontiguousarray(v) for k, v in gradients.items()}, folder / "grads.safetensors"
        )
        errors.update(
            {k: round_up(v) for k, v in gradient_errors(gradients, exact_gradients).items()}
        )
    return errors


def write_case(case, root):
    folder = pathlib.Path(root) / case.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.set_num_threads(1)
    torch.manual_seed(case.seed)
    rng = np.random.default_rng(case.seed)

    cls = getattr(transformers, case.architecture)
    config = cls.config_class(**case.config)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = cls(config).eval()
    randomise(model, case.seed, case.std)
    if case.generate:
        generation.choose_eos(model, case.generate, rng)
    model = model.to(case.stored)
    shard = {"max_shard_size": case.max_shard_size} if case.max_shard_size else {}
    model.save_pretrained(folder / "model", **shard)
    renamed = case.respell and case.respell(folder / "model") or (lambda name: name)
    # What counts is the folder: everything below is computed by the model as loaded from it.
    model = load_model(folder / "model", case.architecture)
    if case.adapter:
        adapter.write(folder, model, case.adapter, case.seed, case.std)
        model = adapter.load(load_model(folder / "model", case.architecture), folder)
        renamed = adapter.in_memory
    errors = {}
    if case.inputs:
        inputs = case.inputs(rng, config)
        errors.update(record_results(folder, model, inputs, case.outputs, case.grads, renamed))
    if case.generate:
        generation.write(folder, model, case.generate)
    if case.train:
        errors.update(
            training.write(folder, model, case.train, rng, stored_names(folder / "model"))
        )

    source = f"transformers {transformers.__version__} {case.architecture}"
    save_case_json(
        folder, case.family, source, about=case.about, seed=case.seed, reference_error=errors
    )
    return folder
