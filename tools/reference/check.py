"""Is a folder a well-formed case? Reads the files as bytes and JSON, without torch: what `verify`
may rely on."""

import json
import pathlib

import numpy as np
from safetensors.numpy import load_file

from case import MAX_BYTES, load_file_names

KNOWN = {
    "case.json",
    "model",
    "adapter",
    "inputs.safetensors",
    "outputs.safetensors",
    "grads.safetensors",
    "generate.json",
    "train.json",
    "train.safetensors",
    "text.json",
}


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def check_masks(inputs, problems):
    check_mask(inputs, "attention_mask", ("input_ids", "token_type_ids"), problems)
    check_mask(inputs, "decoder_attention_mask", ("decoder_input_ids",), problems)


def check_mask(inputs, mask_name, names, problems):
    mask = inputs.get(mask_name)
    if mask is None:
        return
    if not np.isin(mask, (0, 1)).all():
        problems.append(f"{mask_name} has values other than 0 and 1")
    for row in mask.reshape(-1, mask.shape[-1]):
        real = np.flatnonzero(row)
        if len(real) == 0 or real[-1] - real[0] + 1 != len(real):
            problems.append(f"a row of {mask_name} is empty or has a hole")
    for name in names:
        if name in inputs and inputs[name].shape != mask.shape:
            problems.append(f"{name} and {mask_name} differ in shape")


def check_tensors(folder, names, problems):
    inputs = (
        load_file(folder / "inputs.safetensors") if (folder / "inputs.safetensors").exists() else {}
    )
    check_masks(inputs, problems)
    for file in folder.glob("*.safetensors"):
        for name, t in load_file(file).items():
            if t.dtype not in (np.float32, np.int64):
                problems.append(f"{file.name}: {name} is {t.dtype}")
            if t.dtype == np.float32 and not np.isfinite(t).all():
                problems.append(f"{file.name}: {name} is not finite")
    if (folder / "grads.safetensors").exists():
        for name in load_file_names(folder / "grads.safetensors"):
            if name not in names:
                problems.append(f"grads.safetensors: {name} is not in the checkpoint")


def check_generate(folder, problems):
    spec = read_json(folder / "generate.json")
    for key in ("greedy", "beam"):
        for row in spec.get(key, []):
            if not 0 < len(row) <= spec["max_new_tokens"]:
                problems.append(f"generate.json: a {key} row has {len(row)} ids")
        if key in spec and len(spec[key]) != len(spec["prompts"]):
            problems.append(f"generate.json: {key} and prompts differ in number")


def check_train(folder, names, problems):
    spec = read_json(folder / "train.json")
    tensors = load_file(folder / "train.safetensors")
    steps = len(spec["lrs"])
    if not len(spec["losses"]) == len(spec["grad_norms"]) == steps:
        problems.append("train.json: lrs, losses and grad_norms differ in number")
    for name, t in tensors.items():
        if name.startswith("final."):
            if name.removeprefix("final.") not in names:
                problems.append(f"train.safetensors: {name} is not in the checkpoint")
        elif t.shape[0] != steps:
            problems.append(f"train.safetensors: {name} has {t.shape[0]} steps, not {steps}")
    for mask in tensors["attention_mask"]:
        check_masks({"attention_mask": mask}, problems)


def check_text(folder, problems):
    for i, row in enumerate(read_json(folder / "text.json")):
        if "messages" in row:
            continue
        for key in ("type_ids", "offsets"):
            if key in row and len(row[key]) != len(row["ids"]):
                problems.append(f"text.json row {i}: {key} and ids differ in number")
        longest = max(len(row["text"]), len(row.get("pair", "")))
        if any(not 0 <= a <= b <= longest for a, b in row.get("offsets", [])):
            problems.append(f"text.json row {i}: an offset lies outside its text")


def check_case(folder):
    problems = [f"unexpected {p.name}" for p in folder.iterdir() if p.name not in KNOWN]
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    if size > MAX_BYTES and not (folder / "model").is_symlink():
        problems.append(f"{size} bytes, above {MAX_BYTES}")
    head = read_json(folder / "case.json")
    problems += [f"case.json lacks {key}" for key in ("family", "source") if key not in head]
    stored = [f for part in ("model", "adapter") for f in (folder / part).rglob("*.safetensors")]
    names = {name for file in stored for name in load_file_names(file)}
    check_tensors(folder, names, problems)
    if (folder / "generate.json").exists():
        check_generate(folder, problems)
    if (folder / "train.json").exists():
        check_train(folder, names, problems)
    if (folder / "text.json").exists():
        check_text(folder, problems)
    return problems


def check_all(roots):
    folders = sorted({p.parent for root in roots for p in pathlib.Path(root).rglob("case.json")})
    good = bool(folders)
    for folder in folders:
        problems = check_case(folder)
        good = good and not problems
        for problem in problems:
            print(f"{folder}: {problem}")
    verdict = "all well-formed" if good else "with problems" if folders else "nothing found"
    print(f"{len(folders)} cases, {verdict}")
    return good
