#!/usr/bin/env python3
"""Embeds a file of lines with sentence-transformers: the peer of `stemma embed`.

    sentence_transformers_embed.py MODEL FILE [--threads N] [--batch B] [--repeat R] [--out JSON]

Computes in f32 on the CPU in inference mode. sentence-transformers sorts by length before it cuts
batches; the batch size is the best of a few unless --batch names one. Tokenizing counts, importing
and loading do not. Prints the seconds and sentences/s of the fastest repeat, then the same as one
JSON line. Needs the reference environment:

    tools/reference/run --python bench/peers/sentence_transformers_embed.py MODEL FILE
"""

import argparse
import json
import os
import pathlib
import time


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a sentence-transformers directory")
    parser.add_argument("file", type=pathlib.Path, help="texts, one a line")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--batch", type=int, help="batch size; default: the fastest of 16, 32, 64 and 128"
    )
    parser.add_argument("--repeat", type=int, default=3, help="timed repeats after one warm-up")
    parser.add_argument("--out", type=pathlib.Path, help="write [{text, embedding}] here")
    return parser.parse_args()


def main():
    args = parse_arguments()
    # Thread counts are read when the libraries load, so they are set before the imports.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["HF_HUB_OFFLINE"] = "1"
    import sentence_transformers
    import torch

    torch.set_num_threads(args.threads)
    lines = [line for line in args.file.read_text(encoding="utf-8").splitlines() if line.strip()]
    start = time.perf_counter()
    model = sentence_transformers.SentenceTransformer(
        args.model, device="cpu", model_kwargs={"dtype": torch.float32}
    ).eval()
    load_seconds = time.perf_counter() - start

    def encode(batch):
        begin = time.perf_counter()
        with torch.inference_mode():
            embeddings = model.encode(lines, batch_size=batch, show_progress_bar=False)
        return time.perf_counter() - begin, embeddings

    batches = [args.batch] if args.batch else [16, 32, 64, 128]
    encode(batches[0])
    best_seconds, best_batch, embeddings = float("inf"), 0, None
    for batch in batches:
        for _ in range(args.repeat):
            seconds, result = encode(batch)
            if seconds < best_seconds:
                best_seconds, best_batch, embeddings = seconds, batch, result

    if args.out:
        rows = [{"text": text, "embedding": row.tolist()} for text, row in zip(lines, embeddings)]
        args.out.write_text(json.dumps(rows), encoding="utf-8")
    rate = len(lines) / best_seconds
    print(
        f"{len(lines)} sentences in {best_seconds:.3f} s, {rate:.1f} sentences/s "
        f"({args.threads} threads, batch {best_batch}; loading took {load_seconds:.2f} s)"
    )
    print(
        json.dumps(
            {
                "peer": f"sentence-transformers {sentence_transformers.__version__}",
                "torch": torch.__version__,
                "model": args.model,
                "sentences": len(lines),
                "threads": args.threads,
                "batch": best_batch,
                "seconds": best_seconds,
                "sentences_per_second": rate,
                "load_seconds": load_seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
