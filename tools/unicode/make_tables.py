#!/usr/bin/env python3
"""Generates src/text/unicode_tables.cc.

The reference tokenizer mixes Unicode versions, so the tables do too:
  8.0   punctuation, nonspacing marks and controls of the Bert components
  9.0   canonical and compatibility (de)composition, combining classes, marks of StripAccents
  16.0  general categories and word characters, as the regular expressions see them
  17.0  numbers of Digits and Unicode lower case

    python3 make_tables.py DIRECTORY

DIRECTORY holds ucd-8.0.0.txt, ucd-9.0.0.txt, ucd-16.0.0.txt, ucd-17.0.0.txt (see dump_ucd.py).
Lower case is asked of pip's tokenizers (0.23.3), whose standard library is the reference.
"""
import pathlib
import sys

CATEGORIES = ("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So "
              "Zs Zl Zp Cc Cf Cs Co").split()
WHITESPACE = {*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
              0x202F, 0x205F, 0x3000}
# Letters-in-circles and the like: Other_Alphabetic outside L, M and N.
OTHER_ALPHABETIC = {*range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A), *range(0x1F150, 0x1F16A),
                    *range(0x1F170, 0x1F18A)}
# The ranges of BertNormalizer, its 2B920 included.
HAN = {*range(0x4E00, 0xA000), *range(0x3400, 0x4DC0), *range(0x20000, 0x2A6E0),
       *range(0x2A700, 0x2B740), *range(0x2B740, 0x2B820), *range(0x2B920, 0x2CEB0),
       *range(0xF900, 0xFB00), *range(0x2F800, 0x2FA20)}
# Script=Han of Unicode 16.0.
HAN_SCRIPT = [(0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3005, 0x3005),
              (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B), (0x3400, 0x4DBF),
              (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0xFA70, 0xFAD9), (0x16FE2, 0x16FE3),
              (0x16FF0, 0x16FF1), (0x20000, 0x2A6DF), (0x2A700, 0x2B739), (0x2B740, 0x2B81D),
              (0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x2EBF0, 0x2EE5D), (0x2F800, 0x2FA1D),
              (0x30000, 0x3134A), (0x31350, 0x323AF)]
ASCII_PUNCTUATION = {*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)}
HANGUL = range(0xAC00, 0xD7A4)
BLOCK = 128


def read_ucd(path):
    data = {}
    with open(path) as lines:
        for line in lines:
            if not line.startswith("#"):
                code, category, combining, decomposition = line.rstrip("\n").split(";")
                data[int(code, 16)] = (category, int(combining), decomposition)
    return data


def category(ucd, code):
    return ucd[code][0] if code in ucd else "Cn"


def decompositions(ucd, compatible):
    """Full decompositions, by repeated substitution."""
    one = {}
    for code, (_, _, text) in ucd.items():
        if text and (compatible or not text.startswith("<")):
            one[code] = [int(x, 16) for x in text.split() if not x.startswith("<")]

    def full(code):
        return [y for x in one[code] for y in full(x)] if code in one else [code]
    return {code: full(code) for code in one}


def compositions(ucd, full):
    """(first, second) -> composed, without the exclusions."""
    pairs = {}
    for code, (_, combining, text) in ucd.items():
        if not text or text.startswith("<"):
            continue
        parts = [int(x, 16) for x in text.split()]
        if len(parts) != 2 or combining or (ucd[parts[0]][1]):
            continue  # singletons and non-starter decompositions
        if code not in EXCLUDED:
            pairs[tuple(parts)] = code
    return pairs


# CompositionExclusions.txt, "script specifics" and "post composition version precomposed".
EXCLUDED = {*range(0x958, 0x960), 0x9DC, 0x9DD, 0x9DF, 0xA33, 0xA36, *range(0xA59, 0xA5C), 0xA5E,
            0xB5C, 0xB5D, 0xF43, 0xF4D, 0xF52, 0xF57, 0xF5C, 0xF69, 0xF76, 0xF78, 0xF93, 0xF9D,
            0xFA2, 0xFA7, 0xFAC, 0xFB9, 0xFB1D, 0xFB1F, *range(0xFB2A, 0xFB4F), 0x2ADC,
            *range(0x1D15E, 0x1D165), *range(0x1D1BB, 0x1D1C1)}


def two_stage(values):
    """values: one for each code point. Returns (index, blocks)."""
    seen, index, blocks = {}, [], []
    for start in range(0, 0x110000, BLOCK):
        block = tuple(values[start:start + BLOCK])
        if block not in seen:
            seen[block] = len(blocks)
            blocks.append(block)
        index.append(seen[block])
    return index, blocks


def array(kind, name, values):
    lines, line = [], " "
    for v in values:
        item = " %d," % v
        if len(line) + len(item) > 99:
            lines.append(line)
            line = " "
        line += item
    lines.append(line)
    body = "\n".join(lines)
    return f"const {kind} {name}[{len(values)}] = {{\n{body}\n}};\n"


def staged(name, kind, values):
    index, blocks = two_stage(values)
    flat = [v for block in blocks for v in block]
    wide = "uint8_t" if len(blocks) <= 256 else "uint16_t"
    return (array(wide, f"k{name}Block", index) + array(kind, f"k{name}", flat),
            [f"extern const {wide} k{name}Block[{len(index)}];",
             f"extern const {kind} k{name}[{len(flat)}];"])


def main():
    directory = pathlib.Path(sys.argv[1])
    v8, v9, v16, v17 = (read_ucd(directory / f"ucd-{v}.0.0.txt") for v in (8, 9, 16, 17))
    canonical, compatible = decompositions(v9, False), decompositions(v9, True)
    pairs = compositions(v9, canonical)
    seconds = {b for _, b in pairs} | {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}

    def record(code):
        """The bits of struct CharProperties in unicode.h."""
        old, new = category(v8, code), category(v16, code)
        bits = CATEGORIES.index(new)
        bert = 0
        if old[0] == "P" or code in ASCII_PUNCTUATION:
            bert = 1
        elif old == "Mn":
            bert = 2
        elif (old in ("Cc", "Cf", "Co") or code in (0, 0xFFFD)) and code not in (9, 10, 13):
            bert = 3
        bits |= bert << 5
        flags = (code in WHITESPACE,
                 category(v9, code)[0] == "M",
                 category(v17, code)[0] == "N",
                 new[0] in "LM" or new in ("Nd", "Nl", "Pc") or code in OTHER_ALPHABETIC
                 or code in (0x200C, 0x200D),
                 code in HAN,
                 code in canonical or code in HANGUL or v9.get(code, ("", 0))[1] != 0,  # NFD
                 code in canonical or code in seconds or v9.get(code, ("", 0))[1] != 0,  # NFC
                 code in compatible,
                 any(first <= code <= last for first, last in HAN_SCRIPT))
        for i, flag in enumerate(flags):
            bits |= flag << (7 + i)
        return bits

    records = [record(c) for c in range(0x110000)]
    distinct = sorted(set(records))
    assert len(distinct) <= 256
    out, header = [], []

    def emit(text, declarations):
        out.append(text)
        header.extend(declarations)

    emit(array("uint16_t", "kRecords", distinct),
         [f"extern const uint16_t kRecords[{len(distinct)}];"])
    place = {r: i for i, r in enumerate(distinct)}
    emit(*staged("Record", "uint8_t", [place[r] for r in records]))

    from tokenizers import normalizers
    lowercase = normalizers.Lowercase()
    shift = [0] * 0x110000
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            lower = lowercase.normalize_str(chr(code))
            if code != 0x130:  # the only one with two characters: i and U+0307
                shift[code] = ord(lower) - code
    shifts = sorted(set(shift))
    emit(array("int32_t", "kLowerShifts", shifts),
         [f"extern const int32_t kLowerShifts[{len(shifts)}];"])
    place = {s: i for i, s in enumerate(shifts)}
    emit(*staged("Lower", "uint8_t", [place[s] for s in shift]))

    emit(*staged("Combining", "uint8_t",
                 [v9.get(c, ("", 0))[1] for c in range(0x110000)]))

    # A decomposition is a place in the pool: its length, then its characters. Place 0 is none.
    pool = [0]
    for name, table in (("Canonical", canonical),
                        ("Compatible", {c: d for c, d in compatible.items()
                                        if canonical.get(c) != d})):
        where = [0] * 0x110000
        seen = {}
        for code in sorted(table):
            key = tuple(table[code])
            if key not in seen:
                seen[key] = len(pool)
                pool += [len(key), *key]
            where[code] = seen[key]
        emit(*staged(name, "uint16_t", where))
    assert len(pool) < 65536
    emit(array("uint32_t", "kPool", pool), [f"extern const uint32_t kPool[{len(pool)}];"])

    triples = "\n".join("  {0x%X, 0x%X, 0x%X}," % (a, b, c) for (a, b), c in sorted(pairs.items()))
    emit(f"const Composition kCompositions[{len(pairs)}] = {{\n{triples}\n}};\n",
         ["struct Composition {\n  uint32_t first, second, composed;\n};",
          f"extern const Composition kCompositions[{len(pairs)}];  // sorted"])

    note = ("// Generated by tools/unicode/make_tables.py: Unicode character data, see unicode.h.\n"
            "// Code point c is at k<Name>[k<Name>Block[c / 128] * 128 + c % 128].\n")
    target = pathlib.Path(__file__).resolve().parents[2] / "src" / "text"
    (target / "unicode_tables.cc").write_text(
        note + "// clang-format off\n#include \"text/unicode_tables.h\"\n\n"
        "namespace stemma::unicode {\n\n" + "\n".join(out) + "\n}  // namespace stemma::unicode\n")
    (target / "unicode_tables.h").write_text(
        note + "#pragma once\n\n#include <cstdint>\n\nnamespace stemma::unicode {\n\n"
        + "\n".join(header) + "\n\n}  // namespace stemma::unicode\n")


if __name__ == "__main__":
    main()
