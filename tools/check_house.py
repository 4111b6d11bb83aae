#!/usr/bin/env python3
"""Checks what the compiler does not: the layers' include order, the family rule, ASCII sources,
that every test that docs/laws.md names exists, and that docs/spec.md is of this commit.

Prints files that have grown long (a report, not a failure). Exit status 1 on any breach.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# What each folder may include besides itself. Arrows point down (docs/architecture.md).
BELOW = {"base": []}


def layer(name, *below):
    BELOW[name] = sorted({b for direct in below for b in [direct, *BELOW[direct]]})


layer("hub", "base")
layer("tensor", "base")
layer("simd", "base")
layer("autograd", "tensor", "simd")
layer("gemm", "autograd")
layer("ops", "gemm")
layer("nn", "ops")
layer("model", "nn")
layer("text", "base")
layer("data", "text")
layer("train", "model", "data")
layer("run", "model", "text")
layer("retrieve", "run")
layer("eval", "run", "train", "retrieve")
layer("bench", "run", "train")
layer("cli", "eval", "bench", "hub")

# A family is data: it sees specs, rules and JSON, and its own folder's helpers.
FAMILY_MAY = ("families/", "model/family.h", "model/spec.h", "model/weight_rules.h", "base/json.h")

# Third-party headers live in the files that need them.
THIRD_PARTY = {
    "hwy/": ("src/simd/", "src/ops/", "src/gemm/"),
    "CLI/": ("src/cli/main.cc",),
    "curl/": ("src/hub/http.cc",),
    "toml++/": ("src/train/recipe.cc",),
    "gtest/": ("tests/",),
}

# The families' own words, as they would stand in forward code.
FAMILY_WORDS = re.compile(r"\b(bert|albert|modernbert|deberta|xlnet|t5|gpt2|llama|qwen3|deepseek|mamba2?)\b", re.IGNORECASE)
FORWARD = ("tensor", "autograd", "simd", "gemm", "ops", "nn", "model", "train", "run", "retrieve")

LONG_FILE, LONG_FAMILY = 600, 120


def code_lines(text):
    """Lines without comments and strings, numbered from 1."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    for number, line in enumerate(text.split("\n"), 1):
        yield number, re.sub(r"//.*", "", re.sub(r'"(\\.|[^"\\])*"', '""', line))


def main():
    breaches, reports = [], []
    files = [p for top in ("src", "tests", "bench", "examples", "fuzz", "tools")
             for p in sorted((ROOT / top).rglob("*")) if p.suffix in (".cc", ".h", ".py")]
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        text = path.read_bytes()
        if any(b > 126 for b in text):
            breaches.append(f"{name}: not ASCII")
        text = text.decode("utf-8", "replace")
        lines = text.count("\n")
        limit = LONG_FAMILY if name.startswith("src/families/") else LONG_FILE
        if lines > limit:
            reports.append(f"{name}: {lines} lines (two ideas may share a room)")
        if path.suffix == ".py":
            continue
        folder = path.relative_to(SRC).parts[0] if name.startswith("src/") else None
        for number, line in enumerate(text.split("\n"), 1):
            include = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
            if not include:
                continue
            target = include.group(1)
            for prefix, homes in THIRD_PARTY.items():
                if target.startswith(prefix) and not name.startswith(homes):
                    breaches.append(f"{name}:{number}: {target} belongs in {', '.join(homes)}")
            if folder == "families":
                if "/" in target and not target.startswith(FAMILY_MAY):
                    breaches.append(f"{name}:{number}: a family may not include {target}")
            elif folder and "/" in target and (SRC / target).exists():
                other = target.split("/")[0]
                if other != folder and other not in BELOW[folder]:
                    breaches.append(f"{name}:{number}: {folder} may not include {other}")
        if folder in FORWARD:
            for number, line in code_lines(text):
                if FAMILY_WORDS.search(line) and "Llama3" not in line and "#include" not in line:
                    breaches.append(f"{name}:{number}: forward code names a family")
    # A law without its test is a wish.
    tests = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("*.cc"))
    for suite, name in re.findall(r"`(\w+)\.(\w+)`", (ROOT / "docs/laws.md").read_text()):
        if not re.search(rf"TEST(_[FP])?\({suite},\s*{name}\)", tests):
            breaches.append(f"docs/laws.md: there is no test {suite}.{name}")
    if subprocess.run([ROOT / "tools/spec_page.py", "--check"]).returncode:
        breaches.append("docs/spec.md is out of date")
    for report in reports:
        print("note:", report)
    for breach in breaches:
        print("breach:", breach)
    print(f"house: {len(files)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
