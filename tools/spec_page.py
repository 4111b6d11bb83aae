#!/usr/bin/env python3
"""Writes docs/spec.md, the vocabulary of model specs, from the headers that define it.

usage: tools/spec_page.py [--check]     --check writes nothing and fails where the page is out of date
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEADERS = ["src/model/spec.h", "src/nn/spec.h", "src/ops/rope.h", "src/ops/routing.h", "src/ops/activation.h"]
PAGE = ROOT / "docs" / "spec.md"
HEAD = """# The vocabulary of specs

What a model can be, as data: a `ModelSpec` is made of these. `stemma inspect MODEL` shows one,
`stemma tree --diff A B` compares two. Made from the headers by `tools/spec_page.py`; edit those.
"""

STRUCT = re.compile(r"^struct (\w+) \{$")
ENUM = re.compile(r"^enum class (\w+)[^{]*\{(.*)", re.S)
USING = re.compile(r"^using (\w+) = (std::variant<.*>);$", re.S)
FIELD = re.compile(r"^  ([\w:<>, ]+?) (\w+(?:(?: = [^,;]+)?, \w+)*)((?: = |\{).*?)?;(?:\s*// (.*))?$")


def plain(text):
    return text.replace("std::", "").replace("|", "\\|")


def cell(text):
    return " ".join(text.split())


def fields_of(body):
    """(type, names, default, comment) of each member, up to visit_fields."""
    rows, comment = [], []
    for line in body:
        if line.strip().startswith(("template", "static", "bool operator", "size_t", "const ")):
            break
        if line.startswith("  //"):
            comment.append(line.strip()[3:])
            continue
        match = FIELD.match(line.rstrip())
        if match:
            kind, names, default, after = match.groups()
            default = (default or "").strip().lstrip("=").strip()
            rows.append((kind, names, default, cell(" ".join(comment + [after or ""]))))
        elif rows and line.strip().startswith("//"):
            kind, names, default, before = rows[-1]
            rows[-1] = (kind, names, default, cell(before + " " + line.strip()[3:]))
        comment = []
    return rows


def page():
    out = [HEAD]
    for header in HEADERS:
        lines = (ROOT / header).read_text().splitlines()
        sections = []
        at = 0
        while at < len(lines):
            line = lines[at]
            if (match := STRUCT.match(line)) and "  static void visit_fields(Self& s, V&& v) {" in (
                body := lines[at + 1 : lines.index("};", at)]
            ) or (match and any("visit_fields" in b for b in body)):
                sections.append((match[1], comment_above(lines, at), fields_of(body)))
                at += len(body)
            elif line.startswith("enum class"):
                text = line
                while "}" not in text:
                    at += 1
                    text += " " + lines[at].strip()
                match = ENUM.match(text)
                values = cell(re.sub(r"//[^,}]*", "", match[2].split("}")[0]))
                sections.append((match[1], comment_above(lines, at), f"One of {values.rstrip(',')}."))
            elif line.startswith("using "):
                text = line
                while ";" not in text:
                    at += 1
                    text += " " + lines[at].strip()
                if match := USING.match(text):
                    sections.append((match[1], comment_above(lines, at), f"`{match[2]}`".replace("std::", "")))
            at += 1
        if not sections:
            continue
        out.append(f"\n## {header}\n")
        for name, about, what in sections:
            out.append(f"\n### {name}\n")
            if about:
                out.append(about)
            if isinstance(what, str):
                out.append(("\n" if about else "") + what)
            elif what:
                out.append("\n| field | type | default | |\n|---|---|---|---|")
                for kind, names, default, comment in what:
                    for i, member in enumerate(names.split(", ")):
                        name, _, own = member.partition(" = ")
                        if i == names.count(", "):
                            own = default
                        out.append(
                            f"| `{name}` | `{plain(kind)}` | {f'`{plain(own)}`' if own else ''} "
                            f"| {plain(comment) if i == 0 else ''} |"
                        )
    return "\n".join(out).replace("\n\n\n", "\n\n") + "\n"


def comment_above(lines, at):
    above = []
    while at > 0 and lines[at - 1].startswith("//"):
        at -= 1
        above.append(lines[at][3:])
    return cell(" ".join(reversed(above)))


def main():
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/spec.md is not what the headers say: run tools/spec_page.py")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
