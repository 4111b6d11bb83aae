#!/usr/bin/env python3
"""Makes the cases tests/cases/text/older_*: directories without a tokenizer.json, as published
before there was one, with toy vocabularies trained here.

    tools/reference/run --python tools/reference/older_tokenizers.py [OUT]

The reference is the class of transformers that the directory names (its backend_tokenizer), for
tiktoken files tiktoken, for RWKV's vocabulary greedy longest match. Of models of sentencepiece, only
rows on which sentencepiece agrees are kept. Needs sentencepiece, tiktoken and protobuf.
"""
import base64
import json
import pathlib
import shutil
import sys

import sentencepiece
import tiktoken
import tokenizers
import transformers
from transformers import AutoTokenizer

import toy_tokenizers
from toy_tokenizers import PAIRS, SENTENCES, TEXTS

FORMS = "41 301\tC1\nFB01\t66 69\n2460\t31\nA0\t20\n9\t20\nA\t20\nD\t20\nC\t20\n3000\t20\nAD\t\n"
SYMBOLS = ["before <mask> and <s> after</s>", "<user>  x [SEP] <extra_id_1>y [MASK]"]

# name -> class, file, options of the trainer, further configuration
MODELS = {
    "t5": ("T5Tokenizer", "spiece.model", dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
           {"extra_ids": 3}),
    "xlm_roberta": ("XLMRobertaTokenizer", "sentencepiece.bpe.model", {}, {}),
    "albert": ("AlbertTokenizer", "spiece.model",
               dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
                    control_symbols=["[CLS]", "[SEP]"], user_defined_symbols=["[MASK]", "("]), {}),
    "xlnet": ("XLNetTokenizer", "spiece.model",
              dict(control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]), {}),
    "deberta_v2": ("DebertaV2Tokenizer", "spm.model",
                   dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]",
                        bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]"),
                   {"do_lower_case": True, "split_by_punct": True}),
    "mbart": ("MBartTokenizer", "sentencepiece.bpe.model", dict(user_defined_symbols=["<user>"]),
              {"src_lang": "fr_XX"}),
    "mbart50": ("MBart50Tokenizer", "sentencepiece.bpe.model", {}, {}),
    "nllb": ("NllbTokenizer", "sentencepiece.bpe.model", dict(model_type="bpe"),
             {"src_lang": "fra_Latn", "additional_special_tokens": ["eng_Latn", "fra_Latn"]}),
    "nllb_legacy": ("NllbTokenizer", "sentencepiece.bpe.model", dict(model_type="bpe"),
                    {"legacy_behaviour": True}),
    "camembert": ("CamembertTokenizer", "sentencepiece.bpe.model", {}, {}),
    "pegasus": ("PegasusTokenizer", "spiece.model", dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
                {}),
    "big_bird": ("BigBirdTokenizer", "spiece.model",
                 dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, control_symbols=["[CLS]"]),
                 {"additional_special_tokens": ["[CLS]", "<user>"]}),
    "llama": ("LlamaTokenizer", "tokenizer.model",
              dict(model_type="bpe", byte_fallback=True, split_digits=True,
                   user_defined_symbols=["<user>"]), {"add_bos_token": True}),
    "llama_legacy": ("LlamaTokenizer", "tokenizer.model",
                     dict(model_type="bpe", byte_fallback=True),
                     {"legacy": True, "add_bos_token": True, "add_eos_token": True}),
    "gemma": ("GemmaTokenizer", "tokenizer.model",
              dict(model_type="bpe", byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                   eos_piece="<eos>", bos_piece="<bos>", add_dummy_prefix=False,
                   user_defined_symbols=["<mask>", "<user>"]), {"add_bos_token": True}),
    "nameless": ("PreTrainedTokenizerFast", "tokenizer.model",
                 dict(model_type="bpe", byte_fallback=True, add_dummy_prefix=False), {}),
}


def train(folder, file, options):
    corpus, forms = folder / "corpus.txt", folder / "forms.tsv"
    corpus.write_text("".join((s + "\n") * 3 for s in SENTENCES), encoding="utf-8")
    forms.write_text(FORMS)
    rule = (dict(normalization_rule_name="identity", remove_extra_whitespaces=False)
            if options.get("model_type") == "bpe" else dict(normalization_rule_tsv=str(forms)))
    size = 520 if options.get("byte_fallback") else 260
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "m"), vocab_size=size, minloglevel=2,
        character_coverage=0.999, hard_vocab_limit=False, num_threads=1, **rule, **options)
    (folder / "m.model").rename(folder / file)
    for left in ("corpus.txt", "forms.tsv", "m.vocab"):
        (folder / left).unlink()


def write_case(out, name, about, rows):
    (out / name / "case.json").write_text(json.dumps(
        {"family": "text", "source": f"transformers {transformers.__version__}",
         "versions": {"tokenizers": tokenizers.__version__}, "about": about}, indent=1) + "\n")
    toy_tokenizers.write_rows(out / name, rows)
    print(name, len(rows), "rows")


def model_folder(out, name):
    folder = out / name / "model"
    shutil.rmtree(out / name, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def sentencepiece_case(out, key):
    class_name, file, options, config = MODELS[key]
    folder = model_folder(out, f"older_{key}")
    train(folder, file, options)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": class_name, **config}, indent=1) + "\n")
    reference = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    own = sentencepiece.SentencePieceProcessor(model_file=str(folder / file))
    pieces = [own.id_to_piece(i) for i in range(own.get_piece_size())]

    def agrees(row):
        tokens = [reference.id_to_token(i) for i in row["ids"]]
        special = {t.content for t in reference.get_added_tokens_decoder().values() if t.special}
        ours = [t for t in tokens if t not in special]
        theirs = [pieces[i] for text in (row["text"], row.get("pair", ""))
                  for i in own.encode(text) if pieces[i] not in special]
        return ours == theirs

    rows = toy_tokenizers.rows(reference)
    kept = [row for row in rows if agrees(row)]
    kept += toy_tokenizers.rows(reference, SYMBOLS, [])
    write_case(out, f"older_{key}",
               f"{class_name} of a sentencepiece model; {len(rows) - len(kept) + len(SYMBOLS)} texts "
               "on which sentencepiece differs are left out", kept)


def gpt1_case(out):
    folder = model_folder(out, "older_gpt1")
    t = tokenizers.CharBPETokenizer(lowercase=True, unk_token="<unk>")
    t.train_from_iterator(SENTENCES, vocab_size=300, show_progress=False, special_tokens=["<unk>"])
    t.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "OpenAIGPTTokenizer"}\n')
    reference = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    write_case(out, "older_gpt1", "GPT-1's files", toy_tokenizers.rows(reference))


def byte_tokens():
    """Tokens of a byte-level BPE, as bytes by rank: single bytes first."""
    from tokenizers import pre_tokenizers
    letters = {c: b for b, c in _byte_letters().items()}
    vocab = toy_tokenizers.byte_level(vocab_size=420).get_vocab()
    tokens = [bytes(letters[c] for c in token) for token in sorted(vocab, key=vocab.get)]
    assert len(pre_tokenizers.ByteLevel.alphabet()) == 256
    return tokens


def _byte_letters():
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    return bytes_to_unicode()


def byte_rows(encode, decode):
    rows = []
    for text in TEXTS:
        ids = encode(text)
        rows.append({"text": text, "ids": ids, "decoded": decode(ids)})
    return rows


def tiktoken_case(out):
    folder = model_folder(out, "older_tiktoken")
    ranks = {token: rank for rank, token in enumerate(byte_tokens())}
    (folder / "tokenizer.tiktoken").write_text("".join(
        f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    encoding = tiktoken.Encoding("toy", pat_str=toy_tokenizers.LLAMA3_SPLIT, mergeable_ranks=ranks,
                                 special_tokens={})
    write_case(out, "older_tiktoken", "ranks of tiktoken, with Llama 3's expression",
               byte_rows(lambda text: encoding.encode(text, disallowed_special=()),
                         lambda ids: encoding.decode(ids)))


def rwkv_case(out):
    folder = model_folder(out, "older_rwkv")
    tokens = {token: i + 1 for i, token in enumerate(byte_tokens())}
    with open(folder / "rwkv_vocab_toy.txt", "w", encoding="utf-8") as file:
        for token, i in tokens.items():
            try:
                literal = repr(token.decode())
            except UnicodeDecodeError:
                literal = repr(token)
            file.write(f"{i} {literal} {len(token)}\n")

    def encode(text):
        rest, ids = text.encode(), []
        while rest:
            size = next(n for n in range(len(rest), 0, -1) if rest[:n] in tokens)
            ids.append(tokens[rest[:size]])
            rest = rest[size:]
        return ids

    back = {i: token for token, i in tokens.items()}
    write_case(out, "older_rwkv", "RWKV's World vocabulary: the longest token, from left to right",
               byte_rows(encode, lambda ids: b"".join(back[i] for i in ids).decode()))


def main():
    root = pathlib.Path(__file__).resolve().parents[2] / "tests" / "cases" / "text"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root
    transformers.logging.set_verbosity_error()
    for key in MODELS:
        sentencepiece_case(out, key)
    gpt1_case(out)
    tiktoken_case(out)
    rwkv_case(out)


if __name__ == "__main__":
    main()
