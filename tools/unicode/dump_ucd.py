#!/usr/bin/env python
"""Writes the character data of one Unicode version, one line for each assigned code point:
code point, general category, combining class, decomposition (as in UnicodeData.txt).

The version is that of the interpreter's unicodedata, or of the package unicodedata2 where it is
installed. make_tables.py needs four: 8.0.0 (Python 2.7 with unicodedata2==8.0.0, or Python 3.5),
9.0.0 (Python 3.6), 16.0.0 and 17.0.0 (any Python with unicodedata2==16.0.0, ==17.0.1).

    python dump_ucd.py > ucd-9.0.0.txt
"""
from __future__ import print_function

import sys

try:
    import unicodedata2 as ucd
except ImportError:
    import unicodedata as ucd


def character(code):
    if sys.version_info[0] == 2:
        return ("\\U%08x" % code).decode("unicode-escape")
    return chr(code)


def main():
    print("# Unicode", ucd.unidata_version)
    for code in range(0x110000):
        c = character(code)
        category = ucd.category(c)
        if category != "Cn":
            print("%04X;%s;%d;%s" % (code, category, ucd.combining(c), ucd.decomposition(c)))


main()
