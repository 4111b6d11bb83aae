#!/usr/bin/env python3
"""Writes docs/performance.md from the rows of `stemma bench` and of bench/peers/run (JSON lines).

    page.py ROWS PAIRS COMMAND VERSION >performance.md
"""

import datetime
import json
import statistics
import sys

# What the project asks of itself: work, which rows, the least share.
GOALS = [
    ("gemm f32, M >= 512", lambda r: gemm(r, "f32", 512), 0.85),
    ("gemm bf16, M >= 512, without tiles", lambda r: gemm(r, "bf16", 512) and not tiles(r), 0.85),
    ("gemm bf16, M >= 512, tiles", lambda r: gemm(r, "bf16", 512) and tiles(r), 0.60),
    ("gemm f32 and bf16, M = 128", lambda r: gemm(r, ("f32", "bf16"), 128, 128), 0.80),
    ("gemm f32 and bf16, M = 32", lambda r: gemm(r, ("f32", "bf16"), 32, 32), 0.65),
    ("gemm int8, M >= 512", lambda r: gemm(r, "int8", 512), 0.80),
    ("gemm bf16 and int8, M = 1", lambda r: gemm(r, ("bf16", "int8"), 1, 1), 0.85),
    ("attention forward, length >= 1024",
     lambda r: r["work"] == "attention forward" and length(r) >= 1024, 0.60),
    ("encode bert-base 32x128", lambda r: model(r, "encode", "bert-base 32x128"), 0.75),
    ("encode minilm, 512 short", lambda r: model(r, "encode", "minilm 512 short"), 0.60),
    ("decode qwen-0.5b, bf16", lambda r: model(r, "decode", "qwen-0.5b", "bf16"), 0.80),
    ("prompt of 512 qwen-0.5b, bf16", lambda r: model(r, "prompt", "qwen-0.5b", "bf16"), 0.70),
    ("train step 4x512, f32", lambda r: model(r, "train step", "", "f32"), 0.55),
    ("train step 4x512, bf16", lambda r: model(r, "train step", "", "bf16"), 0.45),
]


def gemm(row, dtypes, least, most=1 << 30):
    dtypes = (dtypes,) if isinstance(dtypes, str) else dtypes
    if row["work"] != "gemm" or row["dtype"] not in dtypes:
        return False
    return least <= int(row["shape"].split("x")[0]) <= most


def tiles(row):
    return row["level"].startswith("amx")


def length(row):
    return int(row["shape"].split()[0].split("x")[1])


def model(row, work, shape, dtype=None):
    return (row["work"] == work and row["shape"].startswith(shape)
            and dtype in (None, row["dtype"]))


def processor():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def goals(rows):
    for name, matches, least in GOALS:
        found = [r for r in rows if matches(r)]
        ran = sorted(r["share"] for r in found if "not_run" not in r)
        if not ran:
            why = next((r["not_run"] for r in found), "no such row in this build")
            yield name, f"{least:.2f}", "not run", "", why
            continue
        spread = statistics.median(r["spread"] for r in found if "not_run" not in r)
        yield (name, f"{least:.2f}", f"{statistics.median(ran):.2f}",
               f"{ran[0]:.2f} to {ran[-1]:.2f}", f"{len(ran)} rows, spread {spread:.2f}")


def measured(rows):
    for r in rows:
        key = [r["work"], r["shape"], r["dtype"], r["level"], r["threads"]]
        if "not_run" in r:
            yield [*key, "not run", r["not_run"], "", ""]
        else:
            yield [*key, f"{r['value']:.1f} {r['unit']}", f"{r['ceiling']:.1f}",
                   f"{r['share']:.2f}", f"{r['spread']:.2f}"]


def compared(pairs):
    for p in pairs:
        if "not_run" in p:
            yield p["work"], p["peer"], "not run", p["not_run"], "", ""
        else:
            yield (p["work"], p["peer"], f"{p['ratio']:.2f}", f"{p['spread']:.2f}",
                   f"{p['share']:.2f}", f"{p['stemma_share']:.2f}")


def main():
    rows, pairs = ([json.loads(line) for line in open(path, encoding="utf-8")]
                   for path in sys.argv[1:3])
    command, version = sys.argv[3:5]
    print("# Performance\n")
    print(f"{processor()}, {version}, {datetime.date.today().isoformat()}, by `{command}`.\n")
    print("Shares are value / ceiling, where the ceiling is min(compute, bytes / bandwidth) of the\n"
          "machine's own rates, probed before and after each turn; medians over turns; the spread is\n"
          "the distance of the share's quartiles over its median. Absolute figures of a shared\n"
          "machine mean little.\n")
    print("## Goals\n")
    table(["work", "goal", "median share", "from ... to", "over"], goals(rows))
    print("## Peers\n")
    print("Each row is measured in turns of 0.3 s, one process an engine, the other stopped. The\n"
          "ratio is peer / Stemma: below 1, Stemma is faster. Not run: llama.cpp (there is no wheel\n"
          "of llama-cpp-python).\n")
    table(["work", "peer", "ratio", "spread", "its share", "Stemma's"], compared(pairs))
    print("## All rows\n")
    table(["work", "shape", "dtype", "level", "threads", "value", "ceiling", "share", "spread"],
          measured(rows))


if __name__ == "__main__":
    main()
