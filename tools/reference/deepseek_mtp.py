#!/usr/bin/env python3
"""Makes the case of DeepSeek-V3 with modules that predict further tokens (multi-token prediction).

    run --python tools/reference/deepseek_mtp.py --out tests/cases

What is recorded is computed here, in float64 with NumPy, from the files alone: the formulas of the
report (DeepSeek-AI 2024, section 2.2) with latent attention written out. transformers has the
modules for drafting only; its layers, in f64, must agree to 1e-10 before anything is written, and
give the gradients.

Module k = 1..D at position t of a sequence sees h[t] (the main model's normed output for k = 1, the
module before's for k > 1) and the token t+k:
    z = eh_proj [enorm(E[token]) ; hnorm(h)];  h' = norm(block(z));  logits = head(h')
and predicts token t+k+1. Rows without a token t+k are zero. Loss: main + 0.3 / D times the sum of
the modules', each divided by the number of labels that count for the main one.
"""

import argparse
import json
import math
import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers.modeling_layers import MtpModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import batches  # noqa: E402
from case import save_case_json  # noqa: E402
from experts import unstacked  # noqa: E402
from families.deepseek_v3 import BASE  # noqa: E402
from precision import DoubleEverywhere, double_model  # noqa: E402

DEPTH, SHARE = 2, 0.3
CONFIG = {
    **BASE,
    "num_hidden_layers": 2,
    "n_routed_experts": 6,
    "n_group": 2,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "n_shared_experts": 1,
    "num_nextn_predict_layers": DEPTH,
}
LENGTHS, LEFT = [17, 2, 9, 1], (2,)


class Reference:
    """The model, one sequence at a time, from config.json and the published tensors."""

    def __init__(self, directory):
        self.config = json.loads((directory / "config.json").read_text())
        stored = load_file(directory / "model.safetensors")
        self.w = {name: t.astype(np.float64) for name, t in stored.items()}

    def norm(self, x, name, eps=None):
        eps = eps or self.config["rms_norm_eps"]
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.w[name + ".weight"]

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T

    def glu(self, x, name):
        gate = self.linear(x, name + ".gate_proj")
        return self.linear(
            gate / (1 + np.exp(-gate)) * self.linear(x, name + ".up_proj"), name + ".down_proj"
        )

    def frequencies(self):
        rope, d = self.config["rope_parameters"], self.config["qk_rope_head_dim"]
        theta, factor = rope["rope_theta"], rope["factor"]
        original = rope["original_max_position_embeddings"]
        plain = theta ** (-np.arange(0, d, 2) / d)

        def corner(turns):
            return d * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low = max(math.floor(corner(rope["beta_fast"])), 0)
        high = min(math.ceil(corner(rope["beta_slow"])), d - 1)
        high += 0.001 if low == high else 0
        ramp = np.clip((np.arange(d // 2) - low) / (high - low), 0, 1)
        return plain / factor * ramp + plain * (1 - ramp)

    def rotated(self, x, positions):
        """Pairs of x [T,H,D], turned in place. (cos and sin are not stretched where mscale equals
        mscale_all_dim.)"""
        angle = positions[:, None, None] * self.frequencies()
        even, odd = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
        out[..., 1::2] = odd * np.cos(angle) + even * np.sin(angle)
        return out

    def attention(self, x, name):
        c = self.config
        heads, nope, rope = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
        values, rank, tokens = c["v_head_dim"], c["kv_lora_rank"], len(x)
        positions = np.arange(tokens)
        q = self.norm(self.linear(x, name + ".q_a_proj"), name + ".q_a_layernorm", 1e-6)
        q = self.linear(q, name + ".q_b_proj").reshape(tokens, heads, nope + rope)
        latent = self.linear(x, name + ".kv_a_proj_with_mqa")
        shared = self.rotated(latent[:, None, rank:], positions)
        latent = self.norm(latent[:, :rank], name + ".kv_a_layernorm", 1e-6)
        kv = self.linear(latent, name + ".kv_b_proj").reshape(tokens, heads, nope + values)
        stretch = 0.1 * c["rope_parameters"]["mscale_all_dim"] * math.log(
            c["rope_parameters"]["factor"]
        ) + 1
        scores = np.einsum("qhd,khd->hqk", q[..., :nope], kv[..., :nope])
        scores += np.einsum("qhd,kd->hqk", self.rotated(q[..., nope:], positions), shared[:, 0])
        scores *= (nope + rope) ** -0.5 * stretch**2
        scores[:, np.triu(np.ones((tokens, tokens), bool), 1)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", p, kv[..., nope:]).reshape(tokens, -1)
        return self.linear(mixed, name + ".o_proj")

    def experts(self, x, name):
        c = self.config
        scores = 1 / (1 + np.exp(-self.linear(x, name + ".gate")))
        out = self.glu(x, name + ".shared_experts")
        for t, row in enumerate(scores):
            choice = row + self.w[name + ".gate.e_score_correction_bias"]
            groups = choice.reshape(c["n_group"], -1)
            goodness = np.sort(groups, 1)[:, -2:].sum(1)
            kept = np.argsort(-goodness)[: c["topk_group"]]
            hidden = np.setdiff1d(np.arange(c["n_group"]), kept)
            groups[hidden] = -np.inf
            chosen = np.argsort(-choice)[: c["num_experts_per_tok"]]
            weights = row[chosen] / (row[chosen].sum() + 1e-20) * c["routed_scaling_factor"]
            for e, weight in zip(chosen, weights):
                out[t] += weight * self.glu(x[t], f"{name}.experts.{e}")
        return out

    def block(self, x, layer, dense):
        name = f"model.layers.{layer}"
        x = x + self.attention(self.norm(x, name + ".input_layernorm"), name + ".self_attn")
        inner = self.norm(x, name + ".post_attention_layernorm")
        return x + (self.glu if dense else self.experts)(inner, name + ".mlp")

    def run(self, ids):
        """Logits of the main model, and of each module for the rows that have a token to see."""
        embedded = self.w["model.embed_tokens.weight"][ids]
        x, layers = embedded, self.config["num_hidden_layers"]
        for layer in range(layers):
            x = self.block(x, layer, layer < self.config["first_k_dense_replace"])
        hidden = self.norm(x, "model.norm")
        logits = [self.linear(hidden, "lm_head")]
        for k in range(1, DEPTH + 1):
            name = f"model.layers.{layers + k - 1}"
            seen = max(len(ids) - k, 0)
            both = np.concatenate(
                [
                    self.norm(embedded[k:], name + ".enorm"),
                    self.norm(hidden[:seen], name + ".hnorm"),
                ],
                -1,
            )
            z = self.linear(both, name + ".eh_proj")
            hidden = z
            if seen > 0:
                z = self.block(z, layers + k - 1, False)
                hidden = self.norm(z, name + ".shared_head.norm")
            logits.append(self.linear(hidden, "lm_head"))
        return logits


def loss_of(logits, labels):
    """The summed cross-entropy of rows that have a label."""
    rows = labels >= 0
    x = logits[rows]
    top = x.max(-1, keepdims=True) if len(x) else 0
    lse = np.log(np.exp(x - top).sum(-1)) + (top[:, 0] if len(x) else 0)
    return float((lse - x[np.arange(len(x)), labels[rows]]).sum())


def published(name, layers):
    """The name in files for one of transformers' modules."""
    _, layer, rest = name.split(".", 2)
    rest = rest.removeprefix("mtp_block.").replace("post_norm", "shared_head.norm")
    return f"model.layers.{layers + int(layer)}.{rest}"


def make_models():
    config = transformers.DeepseekV3Config(**CONFIG)
    config._attn_implementation = config._experts_implementation = "eager"
    main = transformers.DeepseekV3ForCausalLM(config).eval()
    modules = MtpModel(main, DEPTH).eval()
    modules.config._experts_implementation = "eager"
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for model in (main, modules):
            for name, p in list(model.named_parameters()) + list(model.named_buffers()):
                if model is modules and not name.startswith("layers."):
                    continue  # shared with the main model
                if "inv_freq" in name:
                    continue
                noise = torch.randn(p.shape, generator=rng)
                is_norm = p.dim() == 1 and "norm" in name
                bias = name.endswith("e_score_correction_bias")
                p.copy_(1 + 0.3 * noise if is_norm else (0.2 if bias else 0.35) * noise)
    return main, modules


def save_model(folder, main, modules):
    main.save_pretrained(folder)
    layers = main.config.num_hidden_layers
    tensors = load_file(folder / "model.safetensors")
    for name, t in unstacked(modules.state_dict()).items():
        if name.startswith("layers."):
            tensors[published(name, layers)] = np.ascontiguousarray(t.numpy())
    for k in range(DEPTH):  # copies, as published files have them
        tensors[f"model.layers.{layers + k}.embed_tokens.weight"] = tensors[
            "model.embed_tokens.weight"
        ]
        tensors[f"model.layers.{layers + k}.shared_head.head.weight"] = tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def in_torch(main, modules, ids, labels):
    """The same in f64 by transformers' own layers: logits, summed losses under autograd."""
    ids = torch.from_numpy(ids)[None]
    out = main.model(ids, use_cache=False)
    hidden = out.last_hidden_state
    logits = [main.lm_head(hidden)[0]]
    for k in range(1, DEPTH + 1):
        seen = ids.shape[1] - k
        if seen <= 0:
            break
        positions = torch.arange(k, ids.shape[1])[None]
        hidden = modules.forward_layer(
            k - 1, hidden[:, :seen], positions, None, input_ids=ids[:, k:]
        )
        logits.append(main.lm_head(hidden)[0])
    cross_entropy = torch.nn.functional.cross_entropy
    losses = [
        cross_entropy(x, torch.from_numpy(y), ignore_index=-100, reduction="sum")
        for x, y in zip(logits, labels)
    ]
    return logits, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    folder = parser.parse_args().out / "deepseek_v3" / "further_tokens"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, modules = make_models()
    save_model(folder / "model", model, modules)

    rng = np.random.default_rng(11)
    inputs = batches.causal_labels(rng, batches.padded(rng, model.config, LENGTHS, LEFT))
    ids, mask, labels = inputs["input_ids"], inputs["attention_mask"], inputs["labels"]
    vocab = model.config.vocab_size
    outputs = {"logits": np.zeros((*ids.shape, vocab))}
    for k in range(DEPTH):
        outputs[f"mtp_logits.{k}"] = np.zeros((*ids.shape, vocab))
    reference = Reference(folder / "model")
    with DoubleEverywhere():
        exact = double_model(model)
        twins = MtpModel(exact, DEPTH).double().eval()
        twins.load_state_dict({name: t.double() for name, t in modules.state_dict().items()})
    for config in (exact.config, twins.config):
        config._attn_implementation = config._experts_implementation = "eager"
    model, modules = exact, twins
    sums, total, count, worst = np.zeros(DEPTH + 1), 0, 0, 0.0
    with DoubleEverywhere():
        for row, real in enumerate(mask.astype(bool)):
            tokens, known = ids[row][real], labels[row][real]
            later = [
                np.append(known[k + 1 :], np.full(min(k + 1, len(known)), -100))[: len(known) - k]
                for k in range(DEPTH + 1)
            ]
            count += int((later[0] >= 0).sum())
            logits = reference.run(tokens)
            theirs, losses = in_torch(model, modules, tokens, later)
            for k, x in enumerate(logits):
                name = "logits" if k == 0 else f"mtp_logits.{k - 1}"
                places = np.flatnonzero(real)[: len(x)]
                outputs[name][row, places] = x
                if k < len(theirs):
                    worst = max(worst, np.abs(x - theirs[k].detach().numpy()).max())
                    sums[k] += loss_of(x, later[k])
                    total = total + losses[k] * (1.0 if k == 0 else SHARE / DEPTH)
        loss = (sums[0] + SHARE / DEPTH * sums[1:].sum()) / count
        total = total / count
        total.backward()
    worst = max(worst, abs(loss - float(total.detach())))
    if not worst < 1e-10:
        raise SystemExit(f"the two readings of the model differ by {worst}")
    outputs["loss"] = np.array(loss)

    layers = model.config.num_hidden_layers
    named = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    for name, p in modules.named_parameters():
        if name.startswith("layers.") and p.grad is not None:
            named[f"modules.{name}"] = p.grad
    grads = {}
    for name, t in unstacked(named).items():
        if name.startswith("modules."):
            name = published(name.removeprefix("modules."), layers)
        grads[name] = np.ascontiguousarray(t.numpy().astype(np.float32))
    save_file(inputs, folder / "inputs.safetensors")
    save_file({k: v.astype(np.float32) for k, v in outputs.items()}, folder / "outputs.safetensors")
    save_file(grads, folder / "grads.safetensors")
    save_case_json(
        folder,
        "deepseek_v3",
        "float64 NumPy, tools/reference/deepseek_mtp.py",
        about="two modules that predict further tokens, the second fed by the first; a sequence "
        "of one token, which has nothing to predict further",
        reference_error={},
    )
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{folder} {size} bytes; transformers' layers agree to {worst:.1e}")


if __name__ == "__main__":
    main()
