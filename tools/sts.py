#!/usr/bin/env python3
"""Spearman's rank correlation x 100 of `stemma embed` on an STS file.

    tools/sts.py STEMMA MODEL FILE.csv

FILE holds rows of sentence, sentence, score, without a header. The score of a pair is the cosine of
its two vectors; ranks of equal values are averaged. all-MiniLM-L6-v2 on STS-B test gives 82.03.
"""
import csv
import json
import math
import subprocess
import sys


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    out = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and values[order[end + 1]] == values[order[begin]]:
            end += 1
        for place in order[begin:end + 1]:
            out[place] = (begin + end) / 2
        begin = end + 1
    return out


def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    spread = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return covariance / math.sqrt(spread)


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    stemma, model, path = sys.argv[1:]
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    texts = [" ".join(row[side].split("\n")) for side in (0, 1) for row in rows]
    run = subprocess.run([stemma, "embed", model, "--json"], input="\n".join(texts) + "\n",
                         stdout=subprocess.PIPE, text=True, check=True)
    vectors = [json.loads(line)["embedding"] for line in run.stdout.splitlines()]
    pairs = [cosine(vectors[i], vectors[len(rows) + i]) for i in range(len(rows))]
    gold = [float(row[2]) for row in rows]
    print(f"{100 * correlation(ranks(pairs), ranks(gold)):.3f}  ({len(rows)} pairs)")


if __name__ == "__main__":
    main()
