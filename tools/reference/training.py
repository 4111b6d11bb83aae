"""Training steps in plain torch: the definition that `verify` retraces.

Per step: gradients of the mean cross-entropy over all counted tokens of the step (whatever
`accumulation` cuts it into), clipped by their total norm, then AdamW at lrs[step]. Decay applies to
parameters of two or more dimensions. No dropout. transformers computes the logits; loss, clipping
and AdamW are torch's own.
"""

import dataclasses
import json
import math

import numpy as np
import torch
from safetensors.numpy import save_file

from experts import unstacked
from precision import DoubleEverywhere, double_model, relative


@dataclasses.dataclass
class Train:
    objective: str  # causal, masked or seq2seq
    batches: (
        callable  # (rng, config, steps) -> {input_ids, attention_mask, labels}, each [steps,B,T]
    )
    schedule: dict  # kind, warmup, total, decay_start
    optimizer: dict  # lr, betas, eps, weight_decay
    steps: int = 30
    accumulation: int = 1
    max_grad_norm: float = 1.0


def factor(schedule, step):
    """The share of the peak learning rate at `step` (from 0)."""
    warmup, total = schedule["warmup"], schedule["total"]
    if step < warmup:
        return step / warmup
    if schedule["kind"] == "constant":
        return 1.0
    if schedule["kind"] == "linear":
        return max(0.0, (total - step) / (total - warmup))
    if schedule["kind"] == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))
    if schedule["kind"] == "wsd":
        start = schedule["decay_start"]
        return 1.0 if step < start else max(0.0, (total - step) / (total - start))
    raise ValueError(f"unknown schedule {schedule['kind']}")


def summed_loss(model, spec, batch):
    """The summed cross-entropy and the number of counted tokens of some rows."""
    inputs, labels = {k: t for k, t in batch.items() if k != "labels"}, batch["labels"]
    if spec.objective == "seq2seq":
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)
    logits = model(**inputs).logits
    if spec.objective == "causal":
        logits, labels = logits[:, :-1], labels[:, 1:]
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-100, reduction="sum"
    )
    return loss, int((labels != -100).sum())


def run(model, spec, batches, lrs):
    decay = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    options = {
        "betas": tuple(spec.optimizer["betas"]),
        "eps": spec.optimizer["eps"],
        "foreach": False,
    }
    groups = [
        {"params": decay, "weight_decay": spec.optimizer["weight_decay"]},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lrs[0], **options)
    losses, norms = [], []
    for step, lr in enumerate(lrs):
        rows = {k: torch.from_numpy(v[step]) for k, v in batches.items()}
        rows = {k: t.to(model.dtype) if t.is_floating_point() else t for k, t in rows.items()}
        parts = [
            {k: t[cut] for k, t in rows.items()}
            for cut in np.array_split(np.arange(len(rows["labels"])), spec.accumulation)
        ]
        optimizer.zero_grad()
        labels = rows["labels"][:, 1:] if spec.objective == "causal" else rows["labels"]
        total = int((labels != -100).sum())
        loss = 0.0
        for part in parts:
            part_sum, _ = summed_loss(model, spec, part)
            (part_sum / total).backward()
            loss += float(part_sum.detach()) / total
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), spec.max_grad_norm, foreach=False)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        losses.append(loss)
        norms.append(float(norm))
    return losses, norms


def write(folder, model, spec, rng, names):
    batches = spec.batches(rng, model.config, spec.steps)
    lrs = [spec.optimizer["lr"] * factor(spec.schedule, step) for step in range(spec.steps)]
    with DoubleEverywhere():
        exact_model = double_model(model)
        exact_losses, exact_norms = run(exact_model, spec, batches, lrs)
    losses, norms = run(model, spec, batches, lrs)

    state, exact_state = (unstacked(m.state_dict()) for m in (model, exact_model))
    final = {f"final.{name}": t.numpy() for name, t in state.items() if name in names}
    errors = {
        "losses": max(abs(a - b) / b for a, b in zip(losses, exact_losses)),
        "grad_norms": max(abs(a - b) / b for a, b in zip(norms, exact_norms)),
        "final": max(
            relative(t, exact_state[k.removeprefix("final.")].numpy()) for k, t in final.items()
        ),
    }
    if errors["losses"] > 3e-6 or errors["final"] > 3e-5:
        raise RuntimeError(
            f"{folder}: training is too sensitive to rounding for a golden: {errors}"
        )
    save_file(
        {k: np.ascontiguousarray(v) for k, v in {**batches, **final}.items()},
        folder / "train.safetensors",
    )
    record = {
        "objective": spec.objective,
        "steps": spec.steps,
        "accumulation": spec.accumulation,
        "max_grad_norm": spec.max_grad_norm,
        "optimizer": {"kind": "adamw", **spec.optimizer},
        "schedule": spec.schedule,
        "lrs": lrs,
        "losses": losses,
        "grad_norms": norms,
    }
    (folder / "train.json").write_text(json.dumps(record, indent=1) + "\n")
    return {f"train.{k}": float(f"{v:.2g}") for k, v in errors.items()}
