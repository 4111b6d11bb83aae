#!/usr/bin/env python3
"""Trains one small model for each kind of objective on the same text, for the same time each, and
draws their losses into one plot.

usage: tools/curves.py STEMMA TEXT... [--seconds 60] [--out out/curves]

Writes OUT/curves.svg and OUT/KIND/; a loss is divided by the first one of its run, since a loss of
one objective says nothing about that of another.
"""

import argparse
import json
import pathlib
import signal
import subprocess

SIZES = ["model.width=192", "model.layers=4", "model.heads=6"]
KINDS = {
    "causal": ["objective=causal", "model.family=llama"],
    "mamba": ["objective=causal", "model.family=mamba"],
    "masked": ["objective=masked", "model.family=bert", "model.kv_heads=0"],
    "replaced": ["objective=replaced"],
    "permutation": ["objective=permutation"],
    "span_corruption": ["objective=span_corruption", "model.kv_heads=0"],
}
COLOURS = ["#1b6ca8", "#d1495b", "#66a182", "#edae49", "#7b4b94", "#2e4057"]


def train(stemma, texts, kind, seconds, out):
    recipe = out / f"{kind}.toml"
    recipe.write_text(f"data = {json.dumps(texts)}\nout = {json.dumps(str(out / kind))}\n")
    settings = [
        "tokenizer=bpe:2048",
        "length=128",
        "batch=8",
        "steps=1000000",
        "eval_every=0",
        "save_every=0",
        "validation=0.02",
        "eval_sequences=16",
        "schedule.kind=constant",
        "schedule.warmup=50",
        "optimizer.lr=1e-3",
        *SIZES,
        *KINDS[kind],
    ]
    run = subprocess.Popen([stemma, "train", str(recipe), *settings], stderr=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
        run.wait()
    rows = [json.loads(line) for line in (out / kind / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row.get("split", "train") == "train" and "loss" in row]


def draw(curves, seconds):
    width, height, left, top, right, bottom = 900, 460, 60, 30, 220, 50
    inner_w, inner_h = width - left - right, height - top - bottom
    highest = 1.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for tick in range(0, 11, 2):
        y = top + inner_h * (1 - tick / 10 / highest)
        parts.append(f'<line x1="{left}" x2="{left + inner_w}" y1="{y:.1f}" y2="{y:.1f}" '
                     'stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick / 10:.1f}</text>')
    for tick in range(0, int(seconds) + 1, 10):
        x = left + inner_w * tick / seconds
        parts.append(f'<text x="{x:.1f}" y="{top + inner_h + 18}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{left + inner_w / 2}" y="{height - 12}" text-anchor="middle">seconds of '
                 'training</text>')
    parts.append(f'<text x="{left}" y="{top - 10}">training loss / first loss</text>')
    for (kind, rows), colour in zip(curves.items(), COLOURS):
        first, begin = rows[0]["loss"], rows[0]["ts"]
        points = " ".join(
            f"{left + inner_w * min(row['ts'] - begin, seconds) / seconds:.1f},"
            f"{top + inner_h * (1 - row['loss'] / first / highest):.1f}"
            for row in rows
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" '
                     'stroke-width="1.6"/>')
        place = top + 20 * list(curves).index(kind)
        parts.append(f'<text x="{left + inner_w + 12}" y="{place + 4}" fill="{colour}">{kind} '
                     f'{first:.2f} to {rows[-1]["loss"]:.2f}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stemma")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/curves"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    curves = {}
    for kind in KINDS:
        curves[kind] = train(args.stemma, args.texts, kind, args.seconds, args.out)
        rows = curves[kind]
        print(f"{kind:16} {rows[-1]['step']:6} steps  loss {rows[0]['loss']:.3f} to "
              f"{rows[-1]['loss']:.3f}", flush=True)
    (args.out / "curves.svg").write_text(draw(curves, args.seconds))
    print(args.out / "curves.svg")


if __name__ == "__main__":
    main()
