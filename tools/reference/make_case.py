#!/usr/bin/env python3
"""Makes reference cases with pip's transformers, for `stemma verify`.

run families [FAMILY | FAMILY/CASE]... [--out DIR]   the cases of the tables in families/
run case --model DIR --out DIR --text TEXT...        a case from a model of your own
run check DIR...                                     are these folders well-formed cases?
run list                                             the tables
"""

import argparse
import importlib
import pathlib
import sys
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from transformers.utils import logging  # noqa: E402


def all_cases():
    modules = sorted(p.stem for p in (HERE / "families").glob("*.py") if p.stem != "__init__")
    return [
        case for module in modules for case in importlib.import_module(f"families.{module}").CASES
    ]


def make_families(args):
    cases = all_cases()
    wanted = [c for c in cases if not args.only or c.folder in args.only or c.family in args.only]
    unknown = set(args.only) - {c.folder for c in cases} - {c.family for c in cases}
    if unknown:
        raise SystemExit(
            f"no such family or case: {', '.join(sorted(unknown))}; `run list` shows them"
        )
    for case in wanted:
        folder = case.write(args.out)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(f"{case.folder:40} {size:8} bytes")


def make_own(args):
    import user_case

    user_case.write(args)


def check(args):
    import check

    raise SystemExit(0 if check.check_all(args.folders) else 1)


def list_cases(_):
    for case in all_cases():
        print(f"{case.folder:40} {case.about}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    families = verbs.add_parser("families", help="make the cases of families/")
    families.add_argument("only", nargs="*", help="a family or FAMILY/CASE; default: all")
    families.add_argument("--out", type=pathlib.Path, default=HERE.parents[1] / "tests" / "cases")
    families.set_defaults(call=make_families)

    own = verbs.add_parser("case", help="make a case from a model directory of your own")
    own.add_argument(
        "--model",
        type=pathlib.Path,
        required=True,
        help="Hugging Face or sentence-transformers directory",
    )
    own.add_argument(
        "--out", type=pathlib.Path, required=True, help="the case's folder; must not exist"
    )
    own.add_argument(
        "--text", nargs="+", required=True, help="one or more texts; @FILE means a text a line"
    )
    own.add_argument(
        "--generate", type=int, default=0, metavar="N", help="N greedy tokens after each text too"
    )
    own.add_argument(
        "--grads", action="store_true", help="gradients of a language model's loss on the texts"
    )
    own.add_argument(
        "--copy", action="store_true", help="copy the model into the case instead of linking to it"
    )
    own.set_defaults(call=make_own)

    checker = verbs.add_parser("check", help="check the form of case folders")
    checker.add_argument("folders", nargs="+", type=pathlib.Path)
    checker.set_defaults(call=check)

    verbs.add_parser("list", help="the tables").set_defaults(call=list_cases)
    return parser.parse_args()


def main():
    args = parse_arguments()
    warnings.filterwarnings("ignore")
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    args.call(args)


if __name__ == "__main__":
    main()
