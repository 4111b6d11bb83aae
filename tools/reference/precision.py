"""The same torch model in f64, and the distance between two results as `stemma verify` measures it.

transformers computes norms, softmax, rotary angles and losses in torch.float32 whatever the model's
dtype is. Inside DoubleEverywhere every such request means float64, so that the second run is a true
f64 run of the same code.
"""

import numpy as np
import torch
from peft import PeftModel
from torch.overrides import TorchFunctionMode

import adapter


class DoubleEverywhere(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if a is torch.float32 else a for a in args)
        kwargs = {k: torch.float64 if v is torch.float32 else v for k, v in kwargs.items()}
        return func(*args, **kwargs)


def double_model(model):
    """A f64 copy of `model`. It is built anew, so that tables such as inverse frequencies are f64
    too. To be used inside DoubleEverywhere."""
    if isinstance(model, PeftModel):
        base = model.get_base_model()
        return adapter.double(model, type(base)(base.config))
    copy = type(model)(model.config).double().eval()
    untie(copy, model)
    copy.load_state_dict({name: t.double() for name, t in model.state_dict().items()})
    if getattr(model, "generation_config", None) is not None:
        copy.generation_config = model.generation_config
    return copy


def untie(copy, model):
    """Gives `copy` the parameters of its own that `model` has: the files of a class that ties them
    by default may hold both."""
    shared = dict(copy.named_parameters())
    for name, p in model.named_parameters():
        if name not in shared:
            module, _, leaf = name.rpartition(".")
            setattr(copy.get_submodule(module), leaf, torch.nn.Parameter(p.double()))


def double_inputs(inputs):
    return {k: t.double() if t.is_floating_point() else t for k, t in inputs.items()}


def relative(ours, reference, floor=0.0):
    """||ours - reference|| / max(||reference||, floor), over flat arrays."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    distance = float(np.linalg.norm((ours - reference).ravel()))
    scale = max(float(np.linalg.norm(reference.ravel())), floor)
    return distance / scale if scale > 0 else (0.0 if distance == 0 else float("inf"))


def gradient_errors(ours, reference):
    """The relative error of each gradient, with the floor of architecture section 6: 0.1 RMS over
    all gradients x sqrt(size)."""
    count = sum(t.size for t in reference.values())
    rms = (
        sum(float(np.square(t, dtype=np.float64).sum()) for t in reference.values()) / count
    ) ** 0.5
    return {name: relative(ours[name], t, 0.1 * rms * t.size**0.5) for name, t in reference.items()}
