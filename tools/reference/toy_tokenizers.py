"""Tiny tokenizers, trained on a few sentences, and the text.json rows that they give.

Ids come from the `tokenizers` library reading tokenizer.json literally, never from transformers'
tokenizer classes, which rebuild parts of it. Truncation and padding are off; offsets count code
points.
"""

import collections
import json

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers.implementations import BertWordPieceTokenizer

SENTENCES = [
    "The river bends twice before it reaches the mill, and the miller's dog barks at every boat.",
    "A small engine reads the numbers, multiplies them and writes what it has learnt.",
    "She doesn't think that they'll come; we've waited since 1987, haven't we?",
    "In the 21st century 12345 readers asked 3 questions: who, why and when?",
    "Unhappily the unhelpful helper helped nobody, helplessly helping himself.",
    "def forward(x):\n    return [y * 2 for y in x if y > 0]\n",
    "Caf\u00e9 cr\u00e8me, na\u00efve \u00fcber-r\u00e9sum\u00e9, sm\u00f8rrebr\u00f8d and pi"
    "\u00f1ata.",
    "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002 \u6211\u4eec\u5728"
    "\u5b66\u4e60\u4e2d\u6587\u3002",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u039a\u03b1\u03bb\u03b7\u03bc"
    "\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5.",
    "Emoji \U0001f600 and \U0001f680 rockets \U0001f600\U0001f600!",
]

TEXTS = [
    "the river bends before the mill",
    "The Miller's dog doesn't bark; WE'VE waited since 1987!",
    "",
    " ",
    "  two  spaces   inside, and at the end  ",
    "tab\tnewline\nreturn\r\nform\u000cfeed and\u00a0no-break\u2003em\u3000wide",
    "Caf\u00e9 and cafe\u0301 are the same word; \u00c5ngstr\u00f6m, \u1e9b\u0323, \ufb01ne",
    "\u0130stanbul, stra\u00dfe, STRASSE, \u039f\u0394\u039f\u03a3, \u01c5, \u212b",
    "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059 and \u4e2d\u6587mixed\u6df7"
    "\u5408text",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab, \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22, "
    "\u0627\u0644\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u0629, \u0939\u093f\u0928"
    "\u094d\u0926\u0940",
    "\U0001f600 \U0001f680\U0001f680 \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f44d"
    "\U0001f3fd \U0001f1e9\U0001f1ea",
    "zero\u200bwidth, soft\u00adhyphen, \ufeffmark, replacement \ufffd, control \u0007 bell\u007f",
    "price: $12.50, 1,234,567 x 3 = ?? (a+b)/c <html> #tag @name e-mail@mail.example C++",
    "unhelpfulness helplessly rehelping zzzqqq",
    "x" * 101 + " " + "y" * 100,
    "def forward(x):\n    if x > 0:\n        return x\n\n\n    return 12345678",
    "don't can't I'll we'RE they'Ve 'tis ' s",
    "\U00020000\U0002f800 \u3400 \uff21\uff42\uff43 \u2460 \u00bd \u2167",
]
PAIRS = [
    ("who reads the numbers?", "the small engine"),
    ("Caf\u00e9 \U0001f600", "\u4e2d\u6587 and na\u00efve"),
    ("", "only the second"),
    ("only the first", ""),
]

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_pieces(normalizer, size):
    """A WordPiece vocabulary: special tokens, every character of the sentences as a first and as a
    later piece, then the longest and commonest pieces up to `size`. (The library's own trainer
    gives another vocabulary each run.) Emoji are left out, so that something is unknown."""
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    counts = collections.Counter()
    for sentence in SENTENCES[:-1]:
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(sentence)):
            for start in range(len(word)):
                for end in range(start + 1, len(word) + 1):
                    counts[("##" if start else "") + word[start:end]] += 1
    letters = sorted(piece for piece in counts if len(piece.removeprefix("##")) == 1)
    rest = [piece for piece in counts if len(piece.removeprefix("##")) > 1 and counts[piece] > 1]
    rest.sort(key=lambda piece: (-counts[piece] * len(piece.removeprefix("##")), piece))
    return (SPECIAL + letters + rest)[:size]


def wordpiece(lowercase=True, vocab_size=260, **settings):
    """As bert-base: BertNormalizer, BertPreTokenizer, WordPiece, [CLS] A [SEP] B [SEP]."""
    normalizer = normalizers.BertNormalizer(lowercase=lowercase, **settings)
    vocab = {piece: i for i, piece in enumerate(word_pieces(normalizer, vocab_size))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return tokenizer


def vocab_lines(tokenizer):
    """vocab.txt of a tokenizer: a token a line, in the order of the ids."""
    vocab = tokenizer.get_vocab()
    return "".join(token + "\n" for token in sorted(vocab, key=vocab.get))


def from_vocab(file, lowercase=True):
    return BertWordPieceTokenizer(str(file), lowercase=lowercase)


def byte_level(
    split=None,
    normalizer=None,
    bos=None,
    ignore_merges=False,
    special=(),
    vocab_size=400,
    trim=True,
):
    """Byte-level BPE; `split` None means GPT-2's own ByteLevel regex."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(split), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    offsets = processors.ByteLevel(trim_offsets=trim)
    if bos:
        template = processors.TemplateProcessing(
            single=f"{bos} $A",
            pair=f"{bos} $A {bos}:1 $B:1",
            special_tokens=[(bos, tokenizer.token_to_id(bos))],
        )
        tokenizer.post_processor = processors.Sequence([offsets, template])
    else:
        tokenizer.post_processor = offsets
    return tokenizer


def gpt2():
    tokenizer = byte_level(special=["<|endoftext|>"], trim=False)
    tokenizer.add_special_tokens(
        [AddedToken("<mask>", lstrip=True, rstrip=False, normalized=False)]
    )
    tokenizer.add_tokens([AddedToken("mill", single_word=True), AddedToken("  ", normalized=False)])
    return tokenizer


def llama3():
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    return byte_level(LLAMA3_SPLIT, bos="<|begin_of_text|>", ignore_merges=True, special=special)


def qwen():
    return byte_level(
        QWEN_SPLIT,
        normalizer=normalizers.NFC(),
        special=["<|endoftext|>", "<|im_start|>"],
        trim=False,
    )


def rows(tokenizer, texts=TEXTS, pairs=PAIRS, decode=True):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    result = []
    for text, pair in [(t, None) for t in texts] + list(pairs):
        encoding = tokenizer.encode(text, pair)
        row = {"text": text} if pair is None else {"text": text, "pair": pair}
        row |= {"ids": encoding.ids, "type_ids": encoding.type_ids, "offsets": encoding.offsets}
        if decode:
            row["decoded"] = tokenizer.decode(encoding.ids, skip_special_tokens=False)
        result.append(row)
    return result


def write_rows(folder, rows_):
    lines = ",\n".join(json.dumps(row) for row in rows_)
    (folder / "text.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")
