#!/usr/bin/env python3
"""Makes tests/text/golden/*.json with pip's tokenizers (0.23.3), the reference of src/text.

    python3 make_text_goldens.py [DATA]

encode.json     small tokenizers of every kind, and what they make of texts written for the purpose
sweep.json      checksums over all code points, one for each component and alone and in context
lengths.json    truncation with every option, and padding, of the small tokenizers
regex.json      split patterns and the pieces they cut
train.json      merges of the byte-level BPE trainer
published.json  checksums of ids and offsets for published vocabularies; only with DATA, the folder
                that holds tokenizers/, hub/ and text/ (needs transformers, too)
"""
import json
import pathlib
import sys
import zlib

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "text" / "golden"

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
          r"\s++$|\s*[\r\n]|\s+(?!\S)|\s")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + ENDING + r"|[^\r\n\p{L}\p{N}]?" + UPPER +
         "+" + LOWER + "*" + ENDING + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
            r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]

PROSE = """The lighthouse keeper wrote every evening. He wrote about the weather, the ships that passed, and
the lamp that had to burn until morning. "It's a quiet life," he'd say, "but I've never been bored." In
winter the storms came; in summer the children of the village rowed out to him and asked for stories. They
didn't believe all of them. There were 12 ships in the first story, 365 in the second, and 1,048,576 in the
last one, which he told in 1987. Nobody counted. They're grown now, and their children row out to the rock,
and the lamp has long been electric. What we'll tell them is up to us: the keeper's books are in the museum.
Der Leuchtturmw\u00e4rter schrieb jeden Abend. Le gardien \u00e9crivait chaque soir. \u706f\u53f0\u5b88\u306f\u6bce\u6669\u66f8\u3044\u305f\u3002
def lamp(hours):
    if hours >= 24:
        return "always"
    return "until " + str(hours)
"""

TEXTS = [
    "", " ", "a", "Hello, World!", "The keeper wrote: it's 12:30, isn't it?", "  two  spaces   ",
    "line\none\r\n\r\n  two\t\ttabs\n", "don't DON'T we'Ll they'\u017f I'M he'd've",
    "1 12 123 1234 12345 \u00bd \u0663\u0664 \u2167 x\u00b2", "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m A\u030a",
    "STRASSE Stra\u00dfe \u1e9e \u0130stanbul \u0131", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u03a3\u0399\u03a3\u03a5\u03a6\u039f\u03a3",
    "\u706f\u53f0\u5b88\u306f\u6bce\u6669\u66f8\u3044\u305f\u3002a\u4e2db", "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\uff21\uff22 \uff76\uff9e \ufb01 \u2460",
    "\u0915\u094d\u0937 \u0e01\u0e33 \u05d0\u05b8 \u0627\u064b", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "a\u00a0b\u3000c\u200bd\u2028e\u0085f", "\x00\x07a\ufffdb\u00adc\ufeff", "a\u0323\u0307 \u1e9b\u0323 \u0958 \u0344 \U0001d15e",
    "[CLS] x [SEP] <mask>  <s>y</s>", "  <mask>  z", "nox yes no way", "snow no", "  Lamp  light", "LAMP light",
    "x" * 101 + " " + "y" * 100, "....?!-- \u2014 \u201cq\u201d __init__", "def lamp(hours):\n    return hours",
    "\u1c89 \U00016ea0 \U00011de0 \u16ee \u24d0", "abab ab cab \u2581a zzz", "<0x41>", "\u0301a", "museum museum", "\n\n\na",
]
PAIRS = [("The lamp", "burns until morning"), ("a b c d e f g h", "x"), ("", "x y"),
         ("one two three four", "five six seven eight nine")]


def corpus_bpe(size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<|endoftext|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator([PROSE], trainer)
    return json.loads(tokenizer.to_str())["model"]


def wordpiece_model():
    words = sorted({w.lower() for w in PROSE.replace(",", " ").replace(".", " ").split()
                    if w.isascii() and w.isalpha()})
    characters = sorted({c for c in PROSE.lower() + "xyz0123456789!?'-_\"()[]:#" if c > " "})
    tokens = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + characters +
              ["##" + c for c in characters] + [w for w in words if len(w) > 1] +
              ["##ing", "##er", "##s", "The", "Keeper", "\u706f", "strasse", "##e\u0301"])
    tokens = list(dict.fromkeys(tokens))
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(tokens)}}


def suffix_bpe(**options):
    tokens = (["<unk>"] + list("abcdefghijklmnopqrstuvwxyz") +
              [c + "</w>" for c in "abcdefghijklmnopqrstuvwxyz"] +
              ["th", "the</w>", "he</w>", "la", "lam", "lamp</w>", "li", "ght</w>", "ht</w>"])
    merges = [("t", "h"), ("th", "e</w>"), ("l", "a"), ("la", "m"), ("lam", "p</w>"), ("h", "t</w>"),
              ("g", "ht</w>"), ("l", "i"), ("h", "e</w>")]
    return Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges, unk_token="<unk>",
                                end_of_word_suffix="</w>", **options))


def fallback_bpe(**options):
    tokens = ([f"<0x{b:02X}>" for b in range(256)] if options.get("byte_fallback") else [])
    tokens += ["<unk>", "a", "b", "ab", "\u2581", "\u2581a", "c", "\u00e9", "ca"]
    return Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)},
                                [("a", "b"), ("\u2581", "a"), ("c", "a")], **options))


def tokenizers():
    """name -> Tokenizer"""
    bpe, wordpiece = corpus_bpe(420), wordpiece_model()

    def of(model):
        return Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [],
                                              "model": model}))

    def bert(**options):
        t = of(wordpiece)
        t.normalizer = normalizers.BertNormalizer(**options)
        t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        t.decoder = decoders.WordPiece()
        t.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        return t

    def split(patterns, normalizer=None, model=bpe):
        t = of(model)
        if normalizer:
            t.normalizer = normalizer
        steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
        t.pre_tokenizer = pre_tokenizers.Sequence(
            steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        t.decoder = decoders.ByteLevel()
        t.add_special_tokens(["<|endoftext|>", "<s>"])
        return t

    t = bert()
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    yield "bert_uncased", t
    t = bert(lowercase=False)
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    yield "bert_cased", t
    t = bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    t.add_tokens([AddedToken("lamp light"), AddedToken("no", single_word=True),
                  AddedToken("LAMP", lstrip=True, rstrip=True),
                  AddedToken("yes", single_word=True, rstrip=True)])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<s>", rstrip=True)])
    yield "bert_added", t
    t = bert(strip_accents=False)
    t.add_tokens([AddedToken("Lamp Light"), AddedToken("Museum", normalized=False)])
    yield "bert_added_normalized", t

    t = of(bpe)
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    t.add_special_tokens(["<|endoftext|>"])
    yield "gpt2", t
    t = of(bpe)
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 421), ("<s>", 420))
    yield "roberta", t
    t = split([LLAMA3], model=dict(bpe, ignore_merges=True))
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1",
                                      special_tokens=[("<s>", 420)])])
    yield "llama3", t
    yield "qwen2", split([QWEN2], normalizers.NFC())
    yield "o200k", split([O200K])
    yield "cl100k", split([CL100K], normalizers.NFKC())
    yield "deepseek", split(DEEPSEEK)
    t = of(bpe)
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    t.decoder = decoders.ByteLevel()
    yield "falcon", t

    t = suffix_bpe()
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    yield "gpt1", t
    t = suffix_bpe(fuse_unk=True)
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(),
                                         normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    yield "suffix_fused", t
    t = suffix_bpe()
    t.normalizer = normalizers.NFD()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_next"),
        pre_tokenizers.Split("h", "merged_with_previous"), pre_tokenizers.Split("t", "removed")])
    yield "suffix_split", t
    t = fallback_bpe(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    yield "fallback", t
    yield "no_unknown", fallback_bpe()
    yield from unigram_tokenizers()


def charsmap(pairs):
    """A precompiled character map: u32 size of the trie, a double-array trie, texts."""
    tree, pool = {}, b""
    for source, target in pairs.items():
        node = tree
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[None] = len(pool)
        pool += target.encode() + b"\0"
    units = {0: 0}

    def place(node, at):
        labels = [byte or 0 for byte in node]
        base = next(b for b in range(1, 4096) if not any(b ^ label in units for label in labels))
        units[at] |= (at ^ base) << 10 | (None in node) << 8
        for byte, child in node.items():
            units[base ^ (byte or 0)] = 1 << 31 | child if byte is None else byte
        for byte, child in node.items():
            if byte is not None:
                place(child, base ^ byte)
    place(tree, 0)
    data = b"".join(units.get(i, 0).to_bytes(4, "little") for i in range((max(units) | 255) + 1))
    return normalizers.Precompiled(len(data).to_bytes(4, "little") + data + pool)


def unigram_tokenizers():
    """Unigram, WordLevel, and components that go with them."""
    n, p, d = normalizers, pre_tokenizers, decoders
    words = sorted({w for w in PROSE.split() if len(w) > 2})
    pieces = ([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] +
              [("\u2581" + w, -7.0 - i / 7) for i, w in enumerate(words)] +
              [(w[:3], -6.1234567890123456789 - i / 3) for i, w in enumerate(words)] +
              [(c, -9.5 - i * 1e-3) for i, c in enumerate("\u2581etaoinshrdlucmfgyp.,'TIH\u706f\u00e9")] +
              [("\u2581", -3.0), ("\u2581the", -3.5)])
    seen = {}
    for piece, score in pieces:
        seen.setdefault(piece, score)
    pieces = list(seen.items())
    fallback = [(f"<0x{b:02X}>", 0.0) for b in range(256)]
    letters = charsmap({"\u2460": "1", "\ufb01": "fi", "\uff21": "A", "\t": " ", "\n": " ", "\r": " ",
                        "\u00ad": "", "\u00e9": "e\u0301", "e\u0301": "\u00e9", "e": "e"})

    def of(normalizer, pre_tokenizer, decoder, vocab=pieces, **options):
        t = Tokenizer(models.Unigram(vocab, unk_id=2, **options))
        t.add_special_tokens(["<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
        for name, part in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer),
                           ("decoder", decoder)):
            if part is not None:
                setattr(t, name, part)
        return t

    t = of(letters, p.Sequence([p.WhitespaceSplit(), p.Metaspace()]), d.Metaspace())
    t.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    yield "t5", t
    yield "xlmr", of(n.Sequence([letters, n.Replace(Regex(" {2,}"), " ")]),
                     p.Metaspace(prepend_scheme="first"), d.Metaspace(prepend_scheme="first"))
    yield "nmt", of(n.Sequence([n.Nmt(), n.Prepend("\u2581x"), n.Strip(left=False, right=True)]),
                    p.Metaspace(split=False, prepend_scheme="never"),
                    d.Metaspace(prepend_scheme="never"))
    yield "unigram_fallback", of(
        n.Sequence([n.Prepend("\u2581"), n.Replace(" ", "\u2581")]), None,
        d.Sequence([d.Replace("\u2581", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)]),
        pieces + fallback, byte_fallback=True)
    yield "unigram_bytes", of(n.ByteLevel(), None, d.ByteLevel())
    yield "scripts", of(n.Strip(), p.Sequence([p.UnicodeScripts(), p.FixedLength(length=3)]),
                        d.Strip("e", 1, 0))
    yield "delimiter", of(n.Replace(Regex(r"\s+"), "  "), p.CharDelimiterSplit("e"),
                          d.BPEDecoder("e"))
    yield "ctc", of(n.Replace("", "-"), None, d.CTC("t", "\u2581", True))
    yield "fused", of(None, None, d.Sequence([d.Fuse(), d.Replace(Regex("[st]+"), "<>")]))
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["?", "the", "lamp", ".", ","])},
                                   unk_token="?"))
    t.normalizer, t.pre_tokenizer = n.Lowercase(), p.Whitespace()
    yield "word_level", t


def encoded(encoding):
    return [encoding.ids, [x for pair in encoding.offsets for x in pair], encoding.type_ids,
            encoding.special_tokens_mask]


def write(name, lines):
    """One element a line, so that changes can be read."""
    text = "[\n" + ",\n".join(json.dumps(x, ensure_ascii=True, separators=(",", ":"))
                              for x in lines) + "\n]\n"
    (GOLDEN / name).write_text(text)
    print(name, len(text))


def make_encode():
    lines = [{"bpe": corpus_bpe(420)["vocab"], "merges": corpus_bpe(420)["merges"],
              "wordpiece": wordpiece_model()["vocab"],
              "unigram": json.loads(dict(tokenizers())["t5"].to_str())["model"]["vocab"]}, {"texts": TEXTS, "pairs": PAIRS}]
    shared = {kind: lines[0][kind] for kind in ("bpe", "wordpiece", "unigram")}
    for name, t in tokenizers():
        file = json.loads(t.to_str())
        for kind, vocab in shared.items():
            if file["model"]["vocab"] == vocab:
                file["model"]["vocab"] = kind
                if kind == "bpe":
                    file["model"]["merges"] = kind
        line = {"name": name, "file": file, "texts": [], "pairs": []}
        for text in TEXTS:
            e = t.encode(text)
            decoded = t.decode(e.ids)
            line["texts"].append([e.ids, [x for pair in e.offsets for x in pair],
                                  None if decoded == text else decoded])
        for first, second in PAIRS:
            results = [encoded(t.encode(first, second)),
                       encoded(t.encode(first, second, add_special_tokens=False))]
            t.enable_truncation(6)
            results += [encoded(t.encode(first, second)), encoded(t.encode(first))]
            t.no_truncation()
            line["pairs"].append(results)
        ids = list(range(0, t.get_vocab_size(), 17)) + [0, 1, 2, 3]
        line["ids"] = ids
        line["decoded"] = [t.decode(ids), t.decode(ids, skip_special_tokens=False)]
        lines.append(line)
    write("encode.json", lines)


LENGTHS = ["The lamp had to burn until morning, he wrote", "lamp of 1987!", "a", ""]
LENGTH_TOKENIZERS = ["bert_uncased", "roberta", "llama3", "t5"]


def make_lengths():
    lines = [{"texts": LENGTHS}]
    for name, t in tokenizers():
        if name not in LENGTH_TOKENIZERS:
            continue
        line = {"name": name, "truncated": [], "padded": []}
        for pair in (None, LENGTHS[1]):
            for strategy in ("longest_first", "only_first", "only_second"):
                for direction in ("left", "right"):
                    for max_length, stride in ((8, 0), (13, 2), (24, 1)):
                        t.enable_truncation(max_length, stride=stride, strategy=strategy,
                                            direction=direction)
                        for special in (True, False):
                            try:
                                e = t.encode(LENGTHS[0], pair, add_special_tokens=special)
                            except BaseException:
                                line["truncated"].append(None)
                                continue
                            line["truncated"].append([everything(x) for x in [e] + e.overflowing])
        t.no_truncation()
        for direction in ("left", "right"):
            for length, multiple in ((None, None), (None, 8), (5, None), (30, 7)):
                t.enable_padding(direction=direction, pad_id=3, pad_type_id=2, pad_token="x",
                                 length=length, pad_to_multiple_of=multiple)
                line["padded"].append([everything(e) + [e.attention_mask]
                                       for e in t.encode_batch(LENGTHS)])
        t.no_padding()
        lines.append(line)
    write("lengths.json", lines)


def everything(e):
    return encoded(e) + [[-1 if w is None else w for w in e.word_ids]]


CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CLASSES = [r"\p{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{S}", r"\p{Z}", r"\p{C}", r"\p{Lu}", r"\p{Ll}",
           r"\p{Lt}", r"\p{Lm}", r"\p{Lo}", r"\p{Mn}", r"\p{Nd}", r"\p{Sc}", r"\p{Han}", r"\s", r"\w",
           r"\W", r"\d", r"\h", ".", r"[^\s\p{L}\p{N}]", r"[\p{L}&&[^\p{Han}]]", r"(?i:[skx])"]


def make_sweep():
    lines = []
    bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    for n in [normalizers.BertNormalizer(**dict(bert, **{key: True})) for key in bert] + [
            normalizers.BertNormalizer(), normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(),
            normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(),
            normalizers.Strip(), normalizers.Nmt(), normalizers.ByteLevel(),
            normalizers.Replace(Regex(r"\s+"), "<>"), normalizers.Prepend("ab"),
            charsmap({"e": "x", "\u0301": "y"})]:
        t = Tokenizer(models.BPE())
        t.normalizer = n
        crc = 0
        for code in CODE_POINTS:
            c = chr(code)
            crc = zlib.crc32(n.normalize_str(c + "\n" + "e" + c + "\u0301" + c).encode(), crc)
        lines.append({"normalizer": json.loads(t.to_str())["normalizer"], "crc": crc})
    for p in [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Whitespace(),
              pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(),
              pre_tokenizers.Digits(individual_digits=True),
              pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Metaspace(),
              pre_tokenizers.UnicodeScripts(), pre_tokenizers.FixedLength(length=2),
              pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
              pre_tokenizers.Split(Regex(O200K), "isolated")] + [
                  pre_tokenizers.Split(Regex(c), "isolated") for c in CLASSES]:
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = p
        crc = 0
        for code in CODE_POINTS:
            c = chr(code)
            pieces = p.pre_tokenize_str("a" + c + " b1" + c)
            crc = zlib.crc32("".join("%d,%d;" % at for _, at in pieces).encode(), crc)
        lines.append({"pre_tokenizer": json.loads(t.to_str())["pre_tokenizer"], "crc": crc})
    write("sweep.json", lines)


REGEX = [
    (r"\d{1,3}+", "1234567 12"), (r"\d{3}?", "1234567 12"), (r"\d{1,3}?", "1234 12"),
    (r"\d{,2}", "1234567 12"), (r"\d{2,}", "1234567 12"), (r"^a", "a\nab a"), (r"a$", "a\nba a"),
    (r"^", "a\nb\n"), (r"$", "a\nb\n"), (r"\Aa", "a\na"), (r"a\Z", "a\na\n"), (r"a\z", "a\na"),
    (r"(?i:s)", "sS\u017f\u212a"), (r"(?i:[a-z])", "sS\u017f\u212aK"), (r"(?i:k'S)", "K's\u212a'\u017f"),
    (r"[a-c&&b]", "abc"), (r"[a-z&&[^aeiou]]+", "lighthouse"), (r"[a[bc]]", "abcd"), (r"\h", "aG1"),
    (r"a(?=b)", "abac"), (r"a(?!b)", "abac"), (r"(?<=a)b", "abcb"), (r"(?<!a)b", "abcb"),
    (r"(?<=ab|cd)x", "abx cdx ax"), (r"(?>a+)b", "aaab"), (r"(?>a+)ab", "aaab"), (r"\bfoo\b", "foo food"),
    (r"\Boo", "foo oo"), (r"a*", "baac"), (r"x*", "abc"), (r"(a|b)+?c", "ababc"),
    (r"(?:a|ab)(?:c|bcd)", "abcd"), (r"(?:a|ab)+c", "aababc"), (r"\x{4e00}|\u4e01", "\u4e00\u4e01\u4e02"),
    (r"\p{^L}", "a1"), (r"\P{L}", "a1"), (r"[^\P{L}]", "a1"), (r"[\]a]", "a]b"), (r"[]a]", "a]b"),
    (r"[a-]", "a-b"), (r"[-a]", "a-b"), (r"[a\-z]", "am-"), (r"a{", "a{"), (r"a{x", "a{x"), (r"a{2", "a{2"),
    (r"]", "a]"), (r"[\s\S]", "a\n"), (r".+", "ab\ncd"), (r"\p{Uppercase_Letter}", "aA"),
    (r"\p{L u}", "aA"), (r"(?:a?)*?b", "aab"), (r"(?:a*)*b", "aab"), (r"(?:a*)*", "baab"),
    (r"(?:a*?)*b", "aab"), (r"\d++1", "121 1"), (r"\d*+", "12a"), (r"\d?+", "12a"), (r"a+*", "aaa"),
    (r"a{2}{3}", "aaaaaaa"), (r"(?:ab){2,3}", "ababababab"), (r"(?:ab){2,3}?", "ababababab"),
    (r"(?:ab){0,2}c", "ababc abc c"), (r"(?:(?:a|b)*c)*", "abcbcac ab"), (r"(?:(?=a)\w)+", "aab"),
    (r"((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+", "HelloWORLD \u00c9t\u00e9"), (r"\s+(?!\S)|\s+", "a   b  "),
    (r"[ \t]+\n?|\S+", "a \t\nb c"), (GPT2, "it's 12  o'clock\n\n now"), (CL100K, "It'LL be 12345  \n\n  ok"),
    (O200K, "HelloWorld's FOO bar/\n 12345"), (r"a||b", "ab"), (r"()|b", "ab"), (r"\w+|[^\w\s]+", "a_1 \u24d0\u0301!?"),
]


def make_regex():
    lines = []
    for pattern, text in REGEX:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        lines.append({"pattern": pattern, "text": text,
                      "pieces": [piece for piece, _ in split.pre_tokenize_str(text)]})
    write("regex.json", lines)


def make_train():
    lines = []
    for size, frequency in ((300, 0), (700, 0), (2000, 2)):
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        t.train_from_iterator([PROSE, PROSE[:400], "aaaa aaa aa abababab\n"], trainers.BpeTrainer(
            vocab_size=size, min_frequency=frequency, special_tokens=["<|endoftext|>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        model = json.loads(t.to_str())["model"]
        lines.append({"size": size, "frequency": frequency, "tokens": len(model["vocab"]),
                      "merges": [" ".join(m) for m in model["merges"]]})
    write("train.json", [{"prose": PROSE}] + lines)


def make_published(data):
    from transformers import AutoTokenizer
    gpt2 = Tokenizer(models.BPE.from_file(str(data / "tokenizers/gpt2.encoder.json"),
                                          str(data / "tokenizers/gpt2.vocab.bpe")))
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.add_special_tokens(["<|endoftext|>"])
    llama3 = Tokenizer(models.BPE.from_file(str(data / "tokenizers/llama3.2.encoder.json"),
                                            str(data / "tokenizers/llama3.2.vocab.bpe"),
                                            ignore_merges=True))
    llama3.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    vocabularies = {
        "bge": Tokenizer.from_file(str(data / "hub/bge-large-zh-v1.5/tokenizer.json")),
        "roberta": AutoTokenizer.from_pretrained(data / "hub/roberta-base-squad2").backend_tokenizer,
        "gpt2": gpt2,
        "gpt-neox": Tokenizer.from_file(str(data / "tokenizers/gpt-neox-20b.tokenizer.json")),
        "llama3": llama3,
    }
    lines = []
    for name, t in vocabularies.items():
        for path in sorted((data / "text").glob("*.txt")):
            e = t.encode(path.read_bytes().decode())
            offsets = [x for pair in e.offsets for x in pair]
            lines.append({"vocabulary": name, "text": path.name, "tokens": len(e.ids),
                          "ids": zlib.crc32(b"".join(i.to_bytes(4, "little") for i in e.ids)),
                          "offsets": zlib.crc32(b"".join(i.to_bytes(4, "little")
                                                         for i in offsets))})
    write("published.json", lines)


GOLDEN.mkdir(parents=True, exist_ok=True)
make_encode()
make_lengths()
make_sweep()
make_regex()
make_train()
if len(sys.argv) > 1:
    make_published(pathlib.Path(sys.argv[1]))
