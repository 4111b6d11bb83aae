#!/usr/bin/env python3
"""Speed of tokenizers beside their peers, measured in turns in one run; prints MB/s and ratios.

    cmake --build build/release --target tokenizer_rate
    tools/reference/run --python bench/peers/tokenizer_speed.py build/release/tokenizer_rate DIR... \
        --texts FILE... [--rounds 5] [--tiktoken]

DIR is a model directory with a tokenizer. The peer is pip's tokenizers on one thread: for ids its
encode_batch_fast, for offsets encode_batch. --tiktoken compares with tiktoken as well, on the ranks of
the directory's byte-level BPE. Then the same texts on 1 and 2 threads, and how the time for texts
without a space grows from 64 KB to 1 MB (16 would be linear). The best of the rounds counts.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
import transformers
from tokenizers import Tokenizer
from transformers import AutoTokenizer

TEXT_BYTES = 2000  # about as much as a document has
HOSTILE = {"one letter": "a", "no space": "lighthouse", "marks": "e\u0301\u0323\u0302",
           "script": "\u706f\u53f0\u5b88\u306f", "digits": "1234567890", "spaces": " ",
           "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467"}


class Rate:
    def __init__(self, program, directory, texts):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".json")
        json.dump(texts, self.file)
        self.file.flush()
        self.process = subprocess.Popen([program, directory, self.file.name], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.load = float(self.process.stdout.readline())

    def seconds(self, what, threads):
        self.process.stdin.write(f"{what} {threads}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def documents(path):
    text = path.read_text(encoding="utf-8")
    out, at = [], 0
    while at < len(text):
        end = text.find("\n", at + TEXT_BYTES)
        end = len(text) if end < 0 else end + 1
        out.append(text[at:end])
        at = end
    return out


def reference_of(directory):
    file = pathlib.Path(directory, "tokenizer.json")
    tokenizer = (Tokenizer.from_file(str(file)) if file.exists()
                 else AutoTokenizer.from_pretrained(directory).backend_tokenizer)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tiktoken_of(reference):
    import tiktoken
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    letters = {c: b for b, c in bytes_to_unicode().items()}
    model = json.loads(reference.to_str())
    ranks = {bytes(letters[c] for c in token): i for token, i in model["model"]["vocab"].items()
             if all(c in letters for c in token)}
    steps = model["pre_tokenizer"].get("pretokenizers", [])
    pattern = (steps[0]["pattern"]["Regex"] if steps else
               r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    return tiktoken.Encoding("peer", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def timed(call, *args):
    start = time.perf_counter()
    call(*args)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("directories", nargs="+")
    parser.add_argument("--texts", nargs="+", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiktoken", action="store_true")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    print(f"{'vocabulary':22} {'text':18} {'ids':>7} {'peer':>6} {'ratio':>6}  {'offsets':>7} {'peer':>6}"
          f" {'ratio':>6}  {'2 threads':>9} {'load ms':>8} {'tiktoken':>9} {'ratio':>6}")
    for directory in args.directories:
        reference = reference_of(directory)
        encoding = tiktoken_of(reference) if args.tiktoken else None
        name = pathlib.Path(directory).name[:22]
        for path in args.texts:
            texts = documents(path)
            megabytes = sum(len(t.encode()) for t in texts) / 1e6
            rate = Rate(args.program, directory, texts)
            calls = {"ids": lambda: rate.seconds("ids", 1),
                     "fast": lambda: timed(reference.encode_batch_fast, texts),
                     "offsets": lambda: rate.seconds("offsets", 1),
                     "slow": lambda: timed(reference.encode_batch, texts),
                     "two": lambda: rate.seconds("ids", 2)}
            if encoding:
                calls["tiktoken"] = lambda: timed(lambda: [encoding.encode_ordinary(t) for t in texts])
            best = dict.fromkeys(calls, float("inf"))
            for _ in range(args.rounds):
                for key, call in calls.items():
                    best[key] = min(best[key], call())
            mb = {key: megabytes / seconds for key, seconds in best.items()}
            line = (f"{name:22} {path.stem[:18]:18} {mb['ids']:7.1f} {mb['fast']:6.2f} "
                    f"{mb['ids'] / mb['fast']:6.1f}  {mb['offsets']:7.1f} {mb['slow']:6.2f} "
                    f"{mb['offsets'] / mb['slow']:6.1f}  {mb['two'] / mb['ids']:9.2f} {rate.load * 1e3:8.0f}")
            if encoding:
                line += f" {mb['tiktoken']:9.1f} {mb['ids'] / mb['tiktoken']:6.2f}"
            print(line, flush=True)
            rate.close()
        growth = []
        for what, unit in HOSTILE.items():
            seconds = []
            for size in (1 << 16, 1 << 20):
                rate = Rate(args.program, directory, [unit * (size // len(unit.encode()))])
                seconds.append(min(rate.seconds("ids", 1) for _ in range(2)))
                rate.close()
            growth.append(f"{what} {seconds[1] / seconds[0]:.1f} ({seconds[1] * 1e3:.0f} ms)")
        print(f"{name:22} 64 KB to 1 MB: " + ", ".join(growth), flush=True)


if __name__ == "__main__":
    main()
