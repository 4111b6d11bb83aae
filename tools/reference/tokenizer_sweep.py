#!/usr/bin/env python3
"""Compares `stemma tokenizer encode` with pip's tokenizers on published vocabularies, and prints a
table of differences: whole books, every code point alone and between others, fuzzed strings; ids,
offsets, type ids, word ids.

    tools/reference/run --python tools/reference/tokenizer_sweep.py STEMMA DATA [--fuzz 1000000]
        [--stride 1] [--only NAME ...]

DATA holds tokenizers/, hub/, text/ and math/. The reference of a directory without tokenizer.json is
the class of transformers that it names; of RWKV's vocabulary, greedy longest match. --stride N looks
at every N-th code point only.
"""
import argparse
import ast
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")


class LongestMatch:
    """RWKV's World vocabulary, in the shape of a Tokenizer."""

    def __init__(self, path):
        self.ids = {}
        for line in open(path, encoding="utf-8"):
            literal = ast.literal_eval(line[line.index(" "):line.rindex(" ")].strip())
            token = literal.encode() if isinstance(literal, str) else literal
            self.ids[token] = int(line[:line.index(" ")])
        self.longest = max(map(len, self.ids))

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]

    def encode(self, text):
        data, at, ids = text.encode(), 0, []
        while at < len(data):
            size = next(n for n in range(min(self.longest, len(data) - at), 0, -1)
                        if data[at:at + n] in self.ids)
            ids.append(self.ids[data[at:at + size]])
            at += size
        return type("Encoding", (), {"ids": ids})


def vocabularies(data, scratch):
    """name -> (directory, reference)"""
    hub, files = data / "hub", data / "tokenizers"

    def folder(name, copies, config=None):
        path = scratch / name
        path.mkdir()
        for source, target in copies:
            shutil.copy(source, path / target)
        if config:
            (path / "tokenizer_config.json").write_text(json.dumps(config))
        return path

    def classed(path):
        return path, AutoTokenizer.from_pretrained(path).backend_tokenizer

    def plain(path):
        return path, Tokenizer.from_file(str(path / "tokenizer.json"))

    yield "bge-large-zh", *plain(hub / "bge-large-zh-v1.5")
    yield "t5", *plain(hub / "t5-question-answering")
    yield "roberta", *classed(hub / "roberta-base-squad2")
    yield "albert", *classed(hub / "albert-base-v2-sentiment")
    yield "gpt-neox", *plain(folder("neox", [(files / "gpt-neox-20b.tokenizer.json", "tokenizer.json")]))
    yield "gpt2", *classed(folder("gpt2", [(files / "gpt2.encoder.json", "vocab.json"),
                                           (files / "gpt2.vocab.bpe", "merges.txt")],
                                  {"tokenizer_class": "GPT2Tokenizer"}))
    yield "gpt1", *classed(folder("gpt1", [(files / "gpt1.encoder_bpe_40000.json", "vocab.json"),
                                           (files / "gpt1.vocab_40000.bpe", "merges.txt")],
                                  {"tokenizer_class": "OpenAIGPTTokenizer"}))
    yield "llama2", *classed(folder("llama2", [(files / "llama2.tokenizer.model", "tokenizer.model")],
                                    {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}))
    for name in ("test_model", "test_ja_model"):
        yield name, *classed(folder(name, [(files / f"sentencepiece.{name}.model", "tokenizer.model")],
                                    {"tokenizer_class": "PreTrainedTokenizerFast"}))
    llama3 = Tokenizer(models.BPE.from_file(str(files / "llama3.2.encoder.json"),
                                            str(files / "llama3.2.vocab.bpe"), ignore_merges=True))
    llama3.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    llama3.decoder = decoders.ByteLevel()
    path = folder("llama3", [])
    llama3.save(str(path / "tokenizer.json"))
    yield "llama3", path, llama3
    name = "rwkv_vocab_v20230424.txt"
    yield "rwkv", folder("rwkv", [(files / name, name)]), LongestMatch(files / name)


def code_points(stride):
    points = [c for c in range(0, 0x110000, stride) if not 0xD800 <= c < 0xE000]
    for c in points:
        yield chr(c)
    for i in range(0, len(points), 8):
        yield "".join(f"a{chr(c)} 1{chr(c)}e{chr(c)}\u0301" for c in points[i:i + 8])


RANGES = [(0x20, 0x7F)] * 6 + [(0xA0, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE80),
                               (0x1100, 0x1200), (0x1E00, 0x2100), (0x2000, 0x2070), (0x2190, 0x2800),
                               (0x3000, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xF900, 0xFB00),
                               (0xFE00, 0x10000), (0x1F300, 0x1FB00), (0x20000, 0x2FA20), (0, 0x20),
                               (0x300, 0x370), (0xE0000, 0xE01F0), (0x10000, 0x12000)]
TRAPS = [" ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "e\u0301", "\u0130", "\u017f", "\u1e9b\u0323",
         "\ufb01", "\u2460\u0301", "\u200d", "\u00ad", "\ufeff", "\u2581", "<s>", "</s>", "[MASK]", "<unk>",
         "<|endoftext|>", "<0x41>", "``", "''", "123", "1,234", "\U0001f468\u200d\U0001f469", "\u1112\u1161\u11ab"]


def fuzzed(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        text = ""
        for _ in range(draw.randint(1, 12)):
            if draw.random() < 0.3:
                text += draw.choice(TRAPS)
            else:
                low, high = draw.choice(RANGES)
                text += "".join(chr(draw.randrange(low, high)) for _ in range(draw.randint(1, 5)))
        yield "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)


def compare(stemma, path, reference, texts, examples):
    """Number of texts that differ."""
    bare = isinstance(reference, LongestMatch)
    different = 0
    for start in range(0, len(texts), 20000):
        part = texts[start:start + 20000]
        lines = "".join(json.dumps(text) + "\n" for text in part)
        run = subprocess.run([stemma, "tokenizer", "encode", str(path), "--json", "--json-lines",
                              *([] if bare else ["--offsets"])], input=lines, capture_output=True,
                             text=True, check=True)
        for text, line, want in zip(part, run.stdout.splitlines(), reference.encode_batch(part),
                                    strict=True):
            got = json.loads(line)
            same = got["ids"] == want.ids
            if same and not bare:
                same = (got["type_ids"] == want.type_ids and
                        [tuple(x) for x in got["offsets"]] == want.offsets and
                        got["word_ids"] == [-1 if w is None else w for w in want.word_ids])
            if not same:
                different += 1
                if len(examples) < 5:
                    examples.append(text[:60])
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stemma")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--fuzz", type=int, default=1_000_000, help="strings, over all vocabularies")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    books = [path.read_bytes().decode() for folder in ("text", "math")
             for path in sorted((args.data / folder).iterdir()) if path.is_file()]
    points = list(code_points(args.stride))
    failed = False
    print(f"{'vocabulary':14} {'books':>12} {'code points':>20} {'fuzzed':>18}")
    with tempfile.TemporaryDirectory() as scratch:
        all_of_them = [v for v in vocabularies(args.data, pathlib.Path(scratch))
                       if not args.only or v[0] in args.only]
        for seed, (name, path, reference) in enumerate(all_of_them):
            if isinstance(reference, Tokenizer):
                reference.no_truncation()
                reference.no_padding()
            row, examples = [], []
            for texts in (books, points, list(fuzzed(args.fuzz // len(all_of_them), seed))):
                bad = compare(args.stemma, path, reference, texts, examples)
                failed |= bad > 0
                row.append(f"{bad} of {len(texts)}")
            print(f"{name:14} {row[0]:>12} {row[1]:>20} {row[2]:>18}", flush=True)
            for example in examples:
                print("    ", ascii(example))
    sys.exit(failed)


if __name__ == "__main__":
    main()
