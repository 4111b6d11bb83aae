#!/usr/bin/env python3
"""Compares Stemma with its peers on the same work, in turns.

    compare.py [--stemma BINARY] [--threads N] [--turns T] [--texts FILE] [--json] [PAIRS...]

Each engine is a process of its own. They take turns of --seconds each; whoever has no turn is
stopped (SIGSTOP), so that no spinning thread disturbs its neighbour. Stemma's turns carry probes of
the machine, so both get a share of the same ceiling. A peer's output is checked before its speed:
an error above the limit is a failed row. A ratio is peer / Stemma within one pair of turns, below 1
where Stemma is faster; the median counts, the spread is the distance of its quartiles over it.
PAIRS are substrings of the rows' names: gemm, encode, embed, decode, prompt, train; default: all.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# What the peer's output may differ by from the reference in f32 (gemm: f64).
LIMITS = {"f32": 1e-3, "bf16": 6e-2}


class Engine:
    """A process that works while it has a turn and is stopped otherwise."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def read(self):
        """The next object, or None where the process has ended."""
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        return None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, line):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.read()
        self.pause()
        return answer

    def close(self):
        """Ends the process; its last words where it failed."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.errors.seek(0)
        words = self.errors.read().strip().splitlines()
        return words[-1] if words else "it ended without a word"


def compare(ours_command, spec, amount, options):
    """One pair as a dictionary: ratio, spread and shares, or `not_run`."""
    ours = Engine(ours_command)
    first = ours.ask("")  # warms up, and tells whether there is a row at all
    if first is None or "not_run" in first:
        return {"not_run": "stemma: " + (first["not_run"] if first else ours.close())}
    peer = Engine([sys.executable, str(HERE / "worker.py"), json.dumps(spec)])
    told = peer.read()
    if told is None or "not_run" in told:
        why = told["not_run"] if told else peer.close()
        peer.close()
        ours.close()
        return {"not_run": why}
    row = {"peer": told["peer"], "error": told["error"]}
    if not told["error"] <= LIMITS[spec["dtype"]]:
        peer.close()
        ours.close()
        return {**row, "not_run": f"its output is wrong: error {told['error']:.1e}"}
    peer.pause()
    pairs = []
    for turn in range(options.turns + 1):
        mine, theirs = ours.ask(""), peer.ask(str(options.seconds))
        if mine is None or theirs is None:
            why = "stemma: " + ours.close() if mine is None else peer.close()
            (peer if mine is None else ours).close()
            return {**row, "not_run": why}
        if turn > 0:  # the first warms up
            scale = 1e9 if mine["unit"].startswith("G") else 1
            pairs.append((mine, amount / theirs["seconds"] / scale))
    ours.close()
    peer.close()
    ratios = [value / mine["value"] for mine, value in pairs]
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    median = statistics.median(ratios)
    return {
        **row,
        "level": mine["level"],
        "unit": mine["unit"],
        "stemma": statistics.median(mine["value"] for mine, _ in pairs),
        "value": statistics.median(value for _, value in pairs),
        "stemma_share": statistics.median(mine["share"] for mine, _ in pairs),
        "share": statistics.median(value / mine["ceiling"] for mine, value in pairs),
        "ratio": median,
        "spread": (quartiles[2] - quartiles[0]) / median,
    }


def beyond_cache():
    """As in src/bench/memory.cc: more bytes than the caches hold."""
    cache = int(subprocess.check_output(["getconf", "LEVEL3_CACHE_SIZE"]) or 0)
    return max(256 << 20, cache + cache // 4)


GEMM_SHAPES = [(1, 896, 4864), (32, 768, 3072), (128, 768, 3072), (512, 768, 768), (512, 768, 3072),
               (512, 3072, 768), (2048, 2048, 8192)]


def pairs(options):
    """All pairs: name, stemma's arguments, the peer's spec, the amount of one of its calls."""
    config = {
        name: json.loads(
            subprocess.check_output([options.stemma, "bench", "model", name, "--config"])
        )
        for name in ("bert-base", "qwen-0.5b", "llama-124m")
    }
    for dtype in ("f32", "bf16"):
        for m, k, n in GEMM_SHAPES:
            shape = f"{m}x{k}x{n}"
            size = 2 if dtype == "bf16" else 4
            yield (
                f"gemm {shape} {dtype}",
                ["gemm", "--shapes", shape, "--filter", f"{shape} {dtype}"],
                {"peer": "torch-gemm", "shape": [m, k, n], "beyond_cache": beyond_cache()},
                size * k * n if m == 1 else 2 * m * k * n,
            )
        for peer in ("openvino-encode", "onnxruntime-encode", "torch-encode"):
            yield (
                f"encode bert-base 32x128 {dtype}",
                ["model", "bert-base", "--filter", f"32x128 {dtype}"],
                {"peer": peer, "shape": [32, 128], "config": config["bert-base"]},
                32 * 128,
            )
        for peer in ("openvino-embed", "sentence-transformers"):
            if not options.texts:
                continue
            directory, texts, tokens = sentences(options)
            yield (
                f"embed minilm {len(texts)} sentences {dtype}",
                ["model", str(directory), "--texts", str(directory / "texts.txt"), "--filter",
                 f"texts {dtype}"],
                {"peer": peer, "directory": str(directory), "texts": texts},
                tokens,
            )
        for name, prompt, fresh in (("decode", 16, 32), ("prompt", 512, 1)):
            shape = "16+32" if fresh > 1 else "512"
            yield (
                f"{name} qwen-0.5b {shape} {dtype}",
                ["model", "qwen-0.5b", "--filter", f"{name} qwen-0.5b {shape} {dtype}"],
                {"peer": "torch-generate", "shape": [prompt, fresh], "config": config["qwen-0.5b"]},
                fresh if fresh > 1 else prompt,
            )
        for name, causal in (("bert-base", False), ("llama-124m", True)):
            yield (
                f"train step {name} 4x512 {dtype}",
                ["model", name, "--filter", f"train step {name} 4x512 {dtype}"],
                {"peer": "torch-train", "shape": [4, 512], "config": config[name],
                 "causal": causal},
                4 * 512,
            )


def sentences(options):
    """A MiniLM-shaped sentence-transformers directory of random weights, the first 512 sentences of
    --texts, and how many tokens they have. Made once."""
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    directory = folder / "stemma" / "peers-minilm"
    texts = [line for line in options.texts.read_text("utf-8").splitlines() if line.strip()][:512]
    if not (directory / "modules.json").exists():
        import torch
        import transformers
        from sentence_transformers import SentenceTransformer, models

        config = json.loads(
            subprocess.check_output([options.stemma, "bench", "model", "minilm", "--config"])
        )
        plain = directory / "plain"
        plain.mkdir(parents=True, exist_ok=True)
        tokenizer = word_pieces(options.texts, config["vocab_size"])
        torch.manual_seed(0)
        transformers.BertModel(transformers.AutoConfig.for_model(**config)).save_pretrained(plain)
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, model_max_length=256, pad_token="[PAD]", cls_token="[CLS]",
            sep_token="[SEP]", unk_token="[UNK]", mask_token="[MASK]"
        ).save_pretrained(plain)
        transformer = models.Transformer(str(plain))
        pooling = models.Pooling(config["hidden_size"], "mean")
        SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device="cpu").save(
            str(directory)
        )
    (directory / "texts.txt").write_text("\n".join(texts) + "\n", "utf-8")
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    return directory, texts, sum(len(e.ids) for e in tokenizer.encode_batch(texts))


def word_pieces(texts, size):
    """An uncased WordPiece tokenizer of the shape of BERT's, learnt from `texts`."""
    import tokenizers as t

    tokenizer = t.Tokenizer(t.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = t.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = t.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = t.trainers.WordPieceTrainer(vocab_size=size, special_tokens=special)
    tokenizer.train([str(texts)], trainer)
    tokenizer.post_processor = t.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    binary = HERE.parent.parent / "build" / "release" / "stemma"
    parser.add_argument("pairs", nargs="*", help="substrings of the rows' names")
    parser.add_argument("--stemma", default=str(binary), help="the program (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    parser.add_argument("--texts", type=pathlib.Path, help="sentences, one a line, for `embed`")
    parser.add_argument("--json", action="store_true", help="objects, one a line")
    return parser.parse_args()


def main():
    options = parse_arguments()
    for name, arguments, spec, amount in pairs(options):
        label = f"{name} {spec['peer']}"
        if options.pairs and not any(p in label for p in options.pairs):
            continue
        spec = {**spec, "dtype": name.split()[-1], "threads": options.threads}
        command = [options.stemma, "bench", *arguments, "--on-input", "--json", "--seconds",
                   str(options.seconds), "--threads", str(options.threads)]
        row = {"work": name, "threads": options.threads, "peer": spec["peer"],
               **compare(command, spec, amount, options)}
        if options.json:
            print(json.dumps(row), flush=True)
        elif "not_run" in row:
            print(f"{name:36} {row['peer']:44} not run: {row['not_run']}", flush=True)
        else:
            print(
                f"{name:36} {row['peer']:44} {row['ratio']:5.2f} of Stemma (spread "
                f"{row['spread']:.2f}); shares {row['share']:.2f} and {row['stemma_share']:.2f}; "
                f"error {row['error']:.0e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
