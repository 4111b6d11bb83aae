#!/usr/bin/env python3
"""Compares two training runs to the last bit, for ./quickstart: RUN RUN STEP.

Losses of every step and split as their files spell them, and the weights of checkpoint-STEP by
SHA-256. Exit status 1 where they differ.
"""
import hashlib
import json
import pathlib
import sys


def losses(run):
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {(row["split"], row["step"]): repr(row["loss"]) for row in rows}


def weights(run, step):
    path = run / f"checkpoint-{step}" / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    first, second = (pathlib.Path(p) for p in sys.argv[1:3])
    step = int(sys.argv[3])
    ours, theirs = losses(first), losses(second)
    differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    for run, rows in ((first, ours), (second, theirs)):
        print(f"{run.name:>8}: loss {rows['train', step]} at step {step}, "
              f"weights {weights(run, step)[:16]}")
    if differing:
        print("losses differ at", ", ".join(f"{split} {at}" for split, at in sorted(differing)))
        return 1
    if weights(first, step) != weights(second, step):
        print("the weights differ")
        return 1
    print(f"equal to the last bit: {len(ours)} losses and the weights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
