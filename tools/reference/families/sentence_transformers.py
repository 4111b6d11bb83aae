"""Sentence-transformers directories: each pooling mode, modes side by side, Dense and Normalize,
old and new layout."""

import dataclasses
import json
import pathlib
import shutil
import zlib

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer, __version__
from sentence_transformers.sentence_transformer import modules

import sentence
import toy_tokenizers
from case import randomise, save_case_json

TEXTS = [
    "The river bends twice before it reaches the mill.",
    "",
    "Caf\u00e9 cr\u00e8me, na\u00efve r\u00e9sum\u00e9",
    "who reads 12345 numbers?",
]
# The keys of a published 1_Pooling/config.json, in the order in which several modes are
# concatenated.
OLD_POOLING = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
OLD_TYPE = "sentence_transformers.models."


@dataclasses.dataclass
class SentenceCase:
    name: str
    pooling: tuple
    left: tuple = ()  # rows padded on the left
    dense: dict = None  # out_features, bias, activation_function
    normalize: bool = False
    old: bool = True  # the layout of published files, before sentence-transformers 6
    hidden: int = 20
    text_rows: bool = False
    base: str = "bert"
    about: str = ""
    family: str = "sentence_transformers"

    @property
    def folder(self):
        return f"{self.family}/{self.name}"

    def write(self, root):
        folder = pathlib.Path(root) / self.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        seed = zlib.crc32(self.folder.encode())
        torch.manual_seed(seed)
        tokenizer = toy_tokenizers.wordpiece(vocab_size=150)
        self.save_model(folder / "model", tokenizer, seed)
        model = sentence.load(folder / "model")
        errors = sentence.record_embeddings(
            folder, model, sentence.tokenized(tokenizer, TEXTS, self.left)
        )
        if self.text_rows:
            toy_tokenizers.write_rows(folder, toy_tokenizers.rows(tokenizer, TEXTS, []))
        save_case_json(
            folder,
            self.family,
            f"sentence-transformers {__version__}",
            about=self.about,
            seed=seed,
            reference_error=errors,
        )
        return folder

    def save_model(self, directory, tokenizer, seed):
        model = getattr(self, self.base)(tokenizer.get_vocab_size())
        randomise(model, seed, 0.35)
        model.save_pretrained(directory)
        tokenizer.save(str(directory / "tokenizer.json"))
        settings = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "model_max_length": 40,
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        }
        write_json(directory / "tokenizer_config.json", settings)
        if self.old:
            self.save_old_modules(directory, seed)
        else:
            self.save_new_modules(directory, seed)

    def bert(self, vocab_size):
        return transformers.BertModel(
            transformers.BertConfig(
                vocab_size=vocab_size,
                hidden_size=self.hidden,
                intermediate_size=self.hidden + 8,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=40,
            )
        )

    def t5(self, vocab_size):
        return transformers.T5EncoderModel(
            transformers.T5Config(
                vocab_size=vocab_size,
                d_model=self.hidden,
                d_kv=6,
                d_ff=self.hidden + 8,
                num_layers=2,
                num_heads=4,
                feed_forward_proj="gated-gelu",
                tie_word_embeddings=False,
            )
        )

    def dense_width(self):
        return self.hidden * len(self.pooling)

    def dense_tensors(self, seed):
        rng = np.random.default_rng(seed)
        width = (self.dense["out_features"], self.dense_width())
        tensors = {"linear.weight": 0.3 * rng.standard_normal(width, np.float32)}
        if self.dense["bias"]:
            tensors["linear.bias"] = 0.3 * rng.standard_normal(width[:1], np.float32)
        return tensors

    def save_old_modules(self, directory, seed):
        (directory / "vocab.txt").write_text(
            toy_tokenizers.vocab_lines(toy_tokenizers.wordpiece(vocab_size=150)), encoding="utf-8"
        )
        write_json(
            directory / "sentence_bert_config.json", {"max_seq_length": 36, "do_lower_case": False}
        )
        listed = [("", "Transformer"), ("1_Pooling", "Pooling")]
        (directory / "1_Pooling").mkdir()
        flags = {key: mode in self.pooling for mode, key in OLD_POOLING.items()}
        write_json(
            directory / "1_Pooling" / "config.json",
            {"word_embedding_dimension": self.hidden, **flags},
        )
        if self.dense:
            path = f"{len(listed)}_Dense"
            (directory / path).mkdir()
            write_json(
                directory / path / "config.json", {"in_features": self.dense_width(), **self.dense}
            )
            save_file(
                self.dense_tensors(seed),
                directory / path / "model.safetensors",
                metadata={"format": "pt"},
            )
            listed.append((path, "Dense"))
        if self.normalize:
            listed.append((f"{len(listed)}_Normalize", "Normalize"))
        rows = [
            {"idx": i, "name": str(i), "path": path, "type": OLD_TYPE + kind}
            for i, (path, kind) in enumerate(listed)
        ]
        write_json(directory / "modules.json", rows)

    def save_new_modules(self, directory, seed):
        parts = [modules.Transformer(str(directory)), modules.Pooling(self.hidden, self.pooling)]
        if self.dense:
            tensors = {k: torch.from_numpy(v) for k, v in self.dense_tensors(seed).items()}
            activation = getattr(torch.nn, self.dense["activation_function"].rsplit(".", 1)[1])()
            dense = modules.Dense(
                self.dense_width(), self.dense["out_features"], self.dense["bias"], activation
            )
            dense.load_state_dict(tensors)
            parts.append(dense)
        if self.normalize:
            parts.append(modules.Normalize())
        SentenceTransformer(modules=parts).save(str(directory), create_model_card=False)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


TANH = "torch.nn.modules.activation.Tanh"
IDENTITY = "torch.nn.modules.linear.Identity"

CASES = [
    SentenceCase(
        "cls", ("cls",), left=(2,), about="the first real token, also where padding is on the left"
    ),
    SentenceCase(
        "mean",
        ("mean",),
        normalize=True,
        text_rows=True,
        about="mean and Normalize, as all-MiniLM-L6-v2",
    ),
    SentenceCase("max", ("max",), left=(0, 3)),
    SentenceCase("mean_sqrt_len", ("mean_sqrt_len",)),
    SentenceCase(
        "weightedmean",
        ("weightedmean",),
        left=(3,),
        about="weights 1, 2, ... from the first real token, also where padding is on the left",
    ),
    SentenceCase("lasttoken", ("lasttoken",), left=(2,)),
    SentenceCase("cls_mean", ("cls", "mean"), about="two modes, concatenated"),
    SentenceCase(
        "dense",
        ("max", "weightedmean", "lasttoken"),
        dense={"out_features": 13, "bias": True, "activation_function": TANH},
        normalize=True,
        hidden=36,
        about="three modes, Dense with tanh, Normalize; head size 9",
    ),
    SentenceCase(
        "dense_identity",
        ("mean",),
        dense={"out_features": 31, "bias": False, "activation_function": IDENTITY},
        about="Dense without bias and activation, no Normalize",
    ),
    SentenceCase(
        "new_layout",
        ("mean_sqrt_len_tokens", "cls"),
        dense={"out_features": 17, "bias": True, "activation_function": TANH},
        normalize=True,
        old=False,
        about="as sentence-transformers 6 saves: other type paths, pooling_mode a list whose own "
        "order counts",
    ),
    SentenceCase(
        "t5",
        ("mean",),
        dense={"out_features": 15, "bias": False, "activation_function": IDENTITY},
        normalize=True,
        base="t5",
        about="mean, Dense without bias and activation, Normalize over T5's encoder, as sentence-t5",
    ),
]
