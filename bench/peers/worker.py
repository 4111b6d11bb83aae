#!/usr/bin/env python3
"""One peer doing one piece of work: a process of its own, started by compare.py.

    worker.py SPEC     SPEC is JSON: {"peer", "work", "dtype", "threads", ...}

Prepares the work, checks that the peer's output is right, and prints {"peer", "error"} as one line.
Then, for each line of standard input, works for that many seconds and prints the seconds of the
median call. A peer that cannot do the work prints {"not_run": why} and ends.
"""

import json
import os
import statistics
import sys
import time

PEERS = {}


def peer(name):
    """Registers a function that takes the spec and gives (title, error, call)."""

    def register(prepare):
        PEERS[name] = prepare
        return prepare

    return register


class NotRun(Exception):
    """Why a peer cannot do the work."""


def relative(ours, reference):
    """||ours - reference|| / ||reference||, in f64."""
    import numpy as np

    ours = np.asarray(ours, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    return float(np.linalg.norm(ours - reference) / np.linalg.norm(reference))


def fastest(calls, seconds=0.4):
    """The best of several ways to do the same work: the peer at its best."""
    best, least = None, float("inf")
    for call in calls:
        call()
        time_of_call = median_call(call, seconds)
        if time_of_call < least:
            best, least = call, time_of_call
    return best


def median_call(call, seconds):
    times = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def import_torch(spec):
    import torch

    torch.set_num_threads(spec["threads"])
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    return torch, {"f32": torch.float32, "bf16": torch.bfloat16}[spec["dtype"]]


def ids_of(count, vocab):
    import numpy as np

    return (np.arange(count, dtype=np.int64) * 7919 + 1) % vocab


# The matrix product.


@peer("torch-gemm")
def torch_gemm(spec):
    """torch's linear: weights in oneDNN's own layout, or plain, whichever is faster."""
    torch, dtype = import_torch(spec)
    m, k, n = spec["shape"]
    element = torch.finfo(dtype).bits // 8
    copies = 1 if m >= 512 else min(4096, spec["beyond_cache"] // (k * n * element) + 1)
    with torch.inference_mode():
        x = torch.randn(m, k, dtype=dtype)
        weights = [torch.randn(n, k, dtype=dtype) / k**0.5]
        weights += [weights[0].clone() for _ in range(copies - 1)]
        turn = [0]

        def plain():
            turn[0] += 1
            return torch.nn.functional.linear(x, weights[turn[0] % copies])

        calls = [plain]
        try:
            packed = [torch.ops.mkldnn._reorder_linear_weight(w.to_mkldnn(), m) for w in weights]

            def prepacked():
                turn[0] += 1
                return torch.ops.mkldnn._linear_pointwise(
                    x, packed[turn[0] % copies], None, "none", [], ""
                )

            prepacked()
            calls.append(prepacked)
        except (RuntimeError, AttributeError) as error:
            print("no packed weights:", error, file=sys.stderr)
        reference = x.double() @ weights[0].double().T
        error = max(relative(call().float().numpy(), reference.numpy()) for call in calls)
        best = fastest(calls)

    def call():
        with torch.inference_mode():
            best()

    return f"torch {torch.__version__} {best.__name__}", error, call


# Whole models with random weights.


def hugging_face_model(spec, torch):
    """The model of a config, and of the same weights in f32 as reference."""
    import transformers

    config = transformers.AutoConfig.for_model(**dict(spec["config"]))
    architecture = spec.get("architecture") or spec["config"]["architectures"][0]
    return getattr(transformers, architecture)(config).eval()


def encoder(spec, torch):
    """BertModel, the ids [S,T], and its hidden states in f32."""
    model = hugging_face_model({**spec, "architecture": "BertModel"}, torch)
    model.pooler = None
    sequences, length = spec["shape"]
    ids = torch.tensor(ids_of(sequences * length, model.config.vocab_size)).view(sequences, length)
    with torch.inference_mode():
        reference = model(ids).last_hidden_state.numpy()
    return model, ids, reference


@peer("torch-encode")
def torch_encode(spec):
    torch, dtype = import_torch(spec)
    model, ids, reference = encoder(spec, torch)
    model = model.to(dtype)

    def call():
        with torch.inference_mode():
            return model(ids).last_hidden_state

    error = relative(call().float().numpy(), reference)
    return f"torch {torch.__version__} eager", error, call


def openvino_model(model, ids, spec, dynamic=False):
    import openvino as ov

    converted = ov.convert_model(
        ExportedEncoder(model), example_input=ids, input=[-1, -1] if dynamic else list(ids.shape)
    )
    return ov, converted


def openvino_config(spec, streams):
    return {
        "INFERENCE_PRECISION_HINT": spec["dtype"],
        "INFERENCE_NUM_THREADS": spec["threads"],
        "NUM_STREAMS": streams,
        "PERFORMANCE_HINT": "THROUGHPUT" if streams > 1 else "LATENCY",
        "CPU_DENORMALS_OPTIMIZATION": True,
    }


def ExportedEncoder(model):
    """ids [S,T] -> hidden states, without a mask: nothing is padded."""
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids):
            return self.model(ids).last_hidden_state

    return Encoder().eval()


@peer("openvino-encode")
def openvino_encode(spec):
    """One stream on all threads, or a stream a thread with its share of the batch."""
    torch, _ = import_torch({**spec, "dtype": "f32"})
    model, ids, reference = encoder(spec, torch)
    ids = ids.numpy()
    calls = []
    for streams in sorted({1, spec["threads"]}):
        parts = [part.copy() for part in np_split(ids, streams)]
        ov, converted = openvino_model(model, torch.tensor(parts[0]), spec)
        compiled = ov.Core().compile_model(converted, "CPU", openvino_config(spec, streams))
        requests = [compiled.create_infer_request() for _ in parts]

        def call(requests=requests, parts=parts):
            for request, part in zip(requests, parts):
                request.start_async({0: part})
            for request in requests:
                request.wait()
            return requests

        call.__name__ = f"{streams} streams"
        calls.append(call)
    import numpy as np

    outputs = [[r.get_output_tensor(0).data.astype("float32") for r in call()] for call in calls]
    error = max(relative(np.concatenate(o), reference) for o in outputs)
    best = fastest(calls)
    import openvino

    return f"OpenVINO {openvino.__version__.split('-')[0]}, {best.__name__}", error, best


def np_split(array, count):
    import numpy as np

    return np.array_split(array, count)


@peer("onnxruntime-encode")
def onnxruntime_encode(spec):
    if spec["dtype"] != "f32":
        raise NotRun("ONNX Runtime's CPU kernels compute BERT in f32 or int8")
    import tempfile

    import onnxruntime as ort

    torch, _ = import_torch(spec)
    model, ids, reference = encoder(spec, torch)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        torch.onnx.export(ExportedEncoder(model), (ids,), path, input_names=["ids"], dynamo=True,
                          external_data=False, verbose=False)
        calls = []
        for source in [path, fused_onnx(path, spec, model.config)]:
            if source is None:
                continue
            options = ort.SessionOptions()
            options.intra_op_num_threads = spec["threads"]
            options.inter_op_num_threads = 1
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
            options.add_session_config_entry("session.set_denormal_as_zero", "1")
            session = ort.InferenceSession(source, options, ["CPUExecutionProvider"])

            def call(session=session, feed={"ids": ids.numpy()}):
                return session.run(None, feed)[0]

            call.__name__ = "fused" if source != path else "plain"
            calls.append(call)
    error = max(relative(call(), reference) for call in calls)
    best = fastest(calls)
    return f"ONNX Runtime {ort.__version__} {best.__name__}", error, best


def fused_onnx(path, spec, config):
    """The graph with attention and norms fused, by the runtime's own tool; None where it fails."""
    try:
        from onnxruntime.transformers import optimizer

        fused = optimizer.optimize_model(
            path, "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
        )
        fused.save_model_to_file(path + ".fused")
        return path + ".fused"
    except Exception as error:  # the tool follows the exporters of its day
        print("not fused:", error, file=sys.stderr)
        return None


# Sentences: text in, vectors out.


@peer("sentence-transformers")
def sentence_transformers_embed(spec):
    torch, dtype = import_torch(spec)
    import sentence_transformers

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(spec["threads"])
    model = sentence_transformers.SentenceTransformer(
        spec["directory"], device="cpu", model_kwargs={"dtype": dtype}
    ).eval()
    exact = sentence_transformers.SentenceTransformer(
        spec["directory"], device="cpu", model_kwargs={"dtype": torch.float32}
    ).eval()
    texts = spec["texts"]
    reference = exact.encode(texts, batch_size=32, show_progress_bar=False)
    calls = []
    for batch in [16, 32, 64, 128]:

        def call(batch=batch):
            with torch.inference_mode():
                return model.encode(texts, batch_size=batch, show_progress_bar=False)

        call.__name__ = f"batches of {batch}"
        calls.append(call)
    error = relative(calls[0](), reference)
    best = fastest(calls)
    title = f"sentence-transformers {sentence_transformers.__version__}, {best.__name__}"
    return title, error, best


@peer("openvino-embed")
def openvino_embed(spec):
    """A pipeline by hand: tokenize, sort by length, batches of little padding, mean, normalise."""
    import numpy as np
    import openvino as ov
    import sentence_transformers
    import tokenizers

    torch, _ = import_torch({**spec, "dtype": "f32"})
    os.environ["RAYON_NUM_THREADS"] = str(spec["threads"])
    directory, texts = spec["directory"], spec["texts"]
    exact = sentence_transformers.SentenceTransformer(directory, device="cpu").eval()
    reference = exact.encode(texts, batch_size=32, show_progress_bar=False)

    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = exact[0].model if hasattr(exact[0], "model") else exact[0].auto_model
            self.model.config._attn_implementation = "sdpa"

        def forward(self, ids, mask):
            hidden = self.model(ids, attention_mask=mask).last_hidden_state
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)

    example = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    converted = ov.convert_model(
        Masked().eval(), example_input=example, input=[[-1, -1], [-1, -1]]
    )
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
    tokenizer.no_padding()
    calls = []
    for streams in sorted({1, spec["threads"]}):
        compiled = ov.Core().compile_model(converted, "CPU", openvino_config(spec, streams))
        for size in [16, 32, 64]:

            def call(compiled=compiled, size=size, streams=streams):
                encoded = tokenizer.encode_batch(texts)
                order = sorted(range(len(texts)), key=lambda i: -len(encoded[i].ids))
                out = np.empty_like(reference)
                queue = ov.AsyncInferQueue(compiled, streams)

                def done(request, rows):
                    out[rows] = request.get_output_tensor(0).data

                queue.set_callback(done)
                for begin in range(0, len(order), size):
                    rows = order[begin : begin + size]
                    length = len(encoded[rows[0]].ids)
                    ids = np.zeros((len(rows), length), np.int64)
                    mask = np.zeros((len(rows), length), np.int64)
                    for row, i in enumerate(rows):
                        ids[row, : len(encoded[i].ids)] = encoded[i].ids
                        mask[row, : len(encoded[i].ids)] = 1
                    queue.start_async({0: ids, 1: mask}, rows)
                queue.wait_all()
                return out

            call.__name__ = f"{streams} streams, batches of {size}"
            calls.append(call)
    error = max(relative(call(), reference) for call in calls)
    best = fastest(calls)
    return f"OpenVINO {ov.__version__.split('-')[0]} sorted, {best.__name__}", error, best


# Decoders.


@peer("torch-generate")
def torch_generate(spec):
    torch, dtype = import_torch(spec)
    model = hugging_face_model(spec, torch)
    prompt, fresh = spec["shape"]
    ids = torch.tensor(ids_of(prompt, model.config.vocab_size)).view(1, -1)
    with torch.inference_mode():
        reference = model(ids).logits[0, -1].numpy()
        model = model.to(dtype)
        error = relative(model(ids).logits[0, -1].float().numpy(), reference)

    def call():
        with torch.inference_mode():
            if fresh == 1:
                return model(ids, use_cache=True, logits_to_keep=1).logits
            return model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=fresh,
                min_new_tokens=fresh,
                do_sample=False,
                pad_token_id=0,
            )

    return f"torch {torch.__version__} eager", error, call


# Training.


@peer("torch-train")
def torch_train(spec):
    """A step of AdamW: f32, or bf16 autocast over f32 weights."""
    import contextlib

    torch, dtype = import_torch(spec)
    model = hugging_face_model(spec, torch).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    sequences, length = spec["shape"]
    ids = torch.tensor(ids_of(sequences * length, model.config.vocab_size)).view(sequences, length)
    labels = ids.clone()
    if not spec["causal"]:
        labels.view(-1)[torch.arange(labels.numel()) % 7 != 0] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    low = dtype != torch.float32

    def loss_of(lower):
        with torch.autocast("cpu", dtype=dtype) if lower else contextlib.nullcontext():
            return model(input_ids=ids, labels=labels).loss

    with torch.no_grad():
        exact, ours = loss_of(False).item(), loss_of(low).item()

    def call():
        optimizer.zero_grad(set_to_none=True)
        loss_of(low).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return f"torch {torch.__version__} eager", abs(ours - exact) / exact, call


def main():
    spec = json.loads(sys.argv[1])
    # Thread counts are read when the libraries load.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(spec["threads"])
    try:
        title, error, call = PEERS[spec["peer"]](spec)
    except NotRun as why:
        print(json.dumps({"not_run": str(why)}), flush=True)
        return
    except ImportError as why:
        print(json.dumps({"not_run": f"not installed: {why}"}), flush=True)
        return
    call()
    print(json.dumps({"peer": title, "error": error}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": median_call(call, float(line))}), flush=True)


if __name__ == "__main__":
    main()
