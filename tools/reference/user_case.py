"""A case from a model directory of the user's own: what its class computes on some texts.

The class is the one that config.json names; a sentence-transformers directory (modules.json) gives
embeddings. Texts are tokenized by the directory's own tokenizer.json (literally) or vocab.txt,
padded on the right.
"""

import json
import shutil

import numpy as np
import tokenizers
import torch
import transformers

import batches
import case
import generation
import sentence
import toy_tokenizers


def read_texts(arguments):
    texts = []
    for argument in arguments:
        if argument.startswith("@"):
            with open(argument[1:], encoding="utf-8") as file:
                texts += file.read().splitlines()
        else:
            texts.append(argument)
    return texts


def read_tokenizer(directory):
    if (directory / "tokenizer.json").exists():
        return tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    if (directory / "vocab.txt").exists():
        settings = directory / "tokenizer_config.json"
        settings = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
        return toy_tokenizers.from_vocab(
            directory / "vocab.txt", settings.get("do_lower_case", True)
        )
    raise SystemExit(f"{directory} has neither tokenizer.json nor vocab.txt")


def stored_as(model):
    """Checkpoint name -> name in memory; a file may have or lack the base model's prefix."""
    known = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    prefix = model.base_model_prefix + "."

    def renamed(name):
        return next(
            (n for n in (name, prefix + name, name.removeprefix(prefix)) if n in known), name
        )

    return renamed


def with_labels(rng, inputs, model):
    name = type(model).__name__
    if name.endswith("ForCausalLM"):
        return batches.causal_labels(rng, inputs, dropped=0)
    if name.endswith("ForMaskedLM"):
        return batches.masked_labels(rng, inputs, model.config)
    raise SystemExit(f"--grads needs a causal or masked language model, not {name}")


def outputs_of(model, inputs):
    """The names of every tensor, or tuple of tensors, that a forward gives; caches are not
    outputs."""
    probe = {k: v[:1] for k, v in inputs.items()}
    output = model(**{k: torch.from_numpy(v) for k, v in probe.items()}, output_hidden_states=True)
    return tuple(k for k in output if k not in ("past_key_values", "attentions"))


def write(args):
    texts = read_texts(args.text)
    if args.out.exists():
        raise SystemExit(f"{args.out} exists already")
    tokenizer = read_tokenizer(args.model)
    settings = args.model / "config.json"
    pad_id = json.loads(settings.read_text(encoding="utf-8")).get("pad_token_id") or 0
    inputs = sentence.tokenized(tokenizer, texts, pad_id=pad_id)
    if not inputs["attention_mask"].any(1).all():
        raise SystemExit("a text has no tokens")

    args.out.mkdir(parents=True)
    if args.copy:
        shutil.copytree(args.model, args.out / "model")
    else:
        (args.out / "model").symlink_to(args.model.resolve(), target_is_directory=True)
    toy_tokenizers.write_rows(args.out, toy_tokenizers.rows(tokenizer, texts, []))

    if (args.model / "modules.json").exists():
        model = sentence.load(args.model)
        errors = sentence.record_embeddings(args.out, model, inputs)
        family, source = (
            "sentence_transformers",
            f"sentence-transformers {sentence.sentence_transformers.__version__}",
        )
    else:
        model = case.load_model(args.model)
        family, source = (
            model.config.model_type,
            f"transformers {transformers.__version__} {type(model).__name__}",
        )
        if not getattr(model.config, "type_vocab_size", 0):
            del inputs["token_type_ids"]
        if args.grads:
            inputs = with_labels(np.random.default_rng(0), inputs, model)
        wanted = outputs_of(model, inputs)
        errors = case.record_results(args.out, model, inputs, wanted, args.grads, stored_as(model))
        if args.generate:
            real = [
                row[mask == 1].tolist()
                for row, mask in zip(inputs["input_ids"], inputs["attention_mask"])
            ]
            generation.write(args.out, model, generation.Generate((), args.generate, prompts=real))
    case.save_case_json(args.out, family, source, reference_error=errors)
    worst = max(errors, key=errors.get)
    print(
        f"{args.out}: {len(texts)} texts, {len(errors)} tensors; "
        f"f32 is within {errors[worst]:.1e} of f64 ({worst})"
    )
