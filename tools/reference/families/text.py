"""Tokenizer cases: text.json and a model/ that holds tokenizer files only."""

import dataclasses
import json
import pathlib
import shutil
from typing import Callable

import tokenizers

import toy_tokenizers
from case import save_case_json


@dataclasses.dataclass
class TextCase:
    name: str
    make: Callable  # (model directory) -> tokenizer; writes the directory
    more_texts: tuple = ()
    decode: bool = True
    about: str = ""
    family: str = "text"

    @property
    def folder(self):
        return f"{self.family}/{self.name}"

    def write(self, root):
        folder = pathlib.Path(root) / self.folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "model").mkdir(parents=True)
        tokenizer = self.make(folder / "model")
        texts = toy_tokenizers.TEXTS + list(self.more_texts)
        toy_tokenizers.write_rows(folder, toy_tokenizers.rows(tokenizer, texts, decode=self.decode))
        save_case_json(
            folder, self.family, f"tokenizers {tokenizers.__version__}", about=self.about
        )
        return folder


def tokenizer_json(make, **settings):
    """Only tokenizer.json, read back from the file."""

    def write(directory):
        tokenizer = make()
        if settings:
            tokenizer.enable_truncation(settings["length"])
            tokenizer.enable_padding(length=settings["length"])
        tokenizer.save(str(directory / "tokenizer.json"))
        return tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))

    return write


def vocab_txt(lowercase, config=None):
    """Only vocab.txt, and tokenizer_config.json where `config` is given."""

    def write(directory):
        file = directory / "vocab.txt"
        file.write_text(
            toy_tokenizers.vocab_lines(toy_tokenizers.wordpiece(lowercase)), encoding="utf-8"
        )
        if config is not None:
            (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
        return toy_tokenizers.from_vocab(file, lowercase)

    return write


BERT_SPECIALS = ("a [MASK] in the [SEP] middle", "[CLS][PAD][UNK]", "[mask] [ MASK ] x[MASK]y")
BPE_SPECIALS = (
    "one<|endoftext|>two <|endoftext|> three",
    "<|begin_of_text|>hi<|eot_id|>",
    "<|im_start|>user\n<|x|>",
    "the  <mask> of a mill, a miller  and mill<mask>",
)

CASES = [
    TextCase(
        "wordpiece",
        tokenizer_json(toy_tokenizers.wordpiece, length=8),
        BERT_SPECIALS,
        about="lowercase, accents stripped; the file asks for truncation and padding to 8, which "
        "stay off",
    ),
    TextCase(
        "wordpiece_cased",
        tokenizer_json(lambda: toy_tokenizers.wordpiece(False)),
        BERT_SPECIALS,
        about="cased, accents kept",
    ),
    TextCase(
        "wordpiece_accents",
        tokenizer_json(
            lambda: toy_tokenizers.wordpiece(
                strip_accents=False, handle_chinese_chars=False, clean_text=False
            )
        ),
        about="lowercase, but accents, controls and runs of CJK stay as they are",
    ),
    TextCase(
        "wordpiece_vocab",
        vocab_txt(True),
        BERT_SPECIALS,
        decode=False,
        about="only vocab.txt: BERT's defaults",
    ),
    TextCase(
        "wordpiece_vocab_cased",
        vocab_txt(False, {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}),
        decode=False,
        about="vocab.txt, and tokenizer_config.json with do_lower_case false",
    ),
    TextCase(
        "bpe_gpt2",
        tokenizer_json(toy_tokenizers.gpt2),
        BPE_SPECIALS,
        about="GPT-2's regex, offsets not trimmed; added tokens that eat spaces or want word "
        "boundaries",
    ),
    TextCase(
        "bpe_llama3",
        tokenizer_json(toy_tokenizers.llama3),
        BPE_SPECIALS,
        about="Llama 3's regex, ignore_merges, a begin token from the template, offsets trimmed",
    ),
    TextCase(
        "bpe_qwen",
        tokenizer_json(toy_tokenizers.qwen),
        BPE_SPECIALS,
        about="NFC, Qwen's regex: single digits",
    ),
]
