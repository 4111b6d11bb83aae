"""Results of a sentence-transformers directory: `embeddings`, the output of the last module."""

import copy

import numpy as np
import sentence_transformers
import torch
from safetensors.numpy import save_file

from case import round_up
from precision import DoubleEverywhere, relative


def load(directory):
    model = sentence_transformers.SentenceTransformer(
        str(directory),
        device="cpu",
        model_kwargs={"dtype": torch.float32, "attn_implementation": "eager"},
    )
    return model.eval()


def embed(model, inputs):
    features = {k: torch.from_numpy(v) for k, v in inputs.items()}
    with torch.no_grad():
        return model(features)["sentence_embedding"].numpy()


def tokenized(tokenizer, texts, left=(), pad_id=0):
    """input_ids, attention_mask and token_type_ids of `texts`; rows in `left` are padded on the
    left."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encodings = [tokenizer.encode(text) for text in texts]
    width = max(len(e.ids) for e in encodings)
    batch = {
        name: np.zeros((len(texts), width), np.int64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    batch["input_ids"][:] = pad_id
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        real = slice(width - length, width) if row in left else slice(0, length)
        batch["input_ids"][row, real] = encoding.ids
        batch["attention_mask"][row, real] = 1
        batch["token_type_ids"][row, real] = encoding.type_ids
    return batch


def record_embeddings(folder, model, inputs):
    """Writes inputs and embeddings; returns the f32-against-f64 error. The encoder must hold no f32
    table beside its parameters (BERT's kind does not)."""
    embeddings = embed(model, inputs)
    with DoubleEverywhere():
        exact = embed(copy.deepcopy(model).double(), inputs)
    save_file(inputs, folder / "inputs.safetensors")
    save_file({"embeddings": np.ascontiguousarray(embeddings)}, folder / "outputs.safetensors")
    return {"embeddings": round_up(relative(embeddings, exact))}
