# SPDX-License-Identifier: MIT
"""`run`: a script that people already have, on this engine."""

import argparse
import sys

from .. import compat
from .parser import PROGRAM, Parser, UsageError

USAGE = f"{PROGRAM} run [--replace-value] [--class NAME] [--compare] SCRIPT [ARGUMENTS ...]"


def make_parser():
    parser = Parser(
        prog=f"{PROGRAM} run",
        usage=USAGE,
        description="Run an unmodified script, or the code cells of a notebook, with "
        "`import micrograd` meaning this engine.",
        epilog="Everything after SCRIPT is for the script.",
    )
    parser.add_argument(
        "--replace-value",
        action="store_true",
        help="also put this engine's Value in the place of a class Value that the script "
        "defines itself, or a module beside it: as far as the two give the same numbers; "
        "its other methods are kept",
    )
    parser.add_argument(
        "--class",
        metavar="NAME",
        dest="class_name",
        type=class_name,
        help="what the script calls its class, if not Value; implies --replace-value",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="run the script both in plain Python and on this engine; print how "
        "much faster it is, and the first line of output that differs",
    )
    return parser


def class_name(text):
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"expected the name of a class, got {text!r}")
    return text


def split(arguments):
    """Our options, and the script with its arguments: an option after SCRIPT is the script's."""
    i = 0
    while i < len(arguments):
        argument = arguments[i]
        if argument == "--":
            return arguments[:i], arguments[i + 1 :]
        if not argument.startswith("-") or argument == "-":
            return arguments[:i], arguments[i:]
        i += 2 if argument == "--class" else 1
    return arguments, []


def main(arguments):
    ours, rest = split(arguments)
    options = make_parser().parse_args(ours)
    if not rest:
        raise UsageError("a script is missing (see --help)")
    # Imported late: only now is there a script to look into.
    from .script import Script

    replace_value = options.replace_value or options.class_name is not None
    script = Script(rest[0], options.class_name or "Value")
    if options.compare:
        from .compare import compare

        return compare(script, rest[1:], replace_value)
    if script.left_out:
        where, line = script.left_out[0]
        note(
            f"{len(script.left_out)} of IPython's own lines left out, the first in {where}: {line}"
        )
    if not replace_value and script.defines_class() and not script.imports_micrograd():
        note(
            f"{script.name} uses its own class Value; --replace-value puts this engine in its place"
        )
    return run_on_engine(script, rest[1:], replace_value, note)


def note(text):
    print(f"{PROGRAM} run: note: {text}", file=sys.stderr)


def run_on_engine(script, arguments, replace_value, note):
    """The exit status. note is called with what was not replaced, in words."""
    from ..adopt.refusal import told

    adopter = script.adopter(replace_value)
    if not script.own_micrograd:
        compat.install()
    try:
        return script.run(arguments, adopter)
    finally:
        wanted = replace_value or script.own_micrograd
        if adopter and wanted and not told and not adopter.adopted:
            if script.own_micrograd:
                what = f"{script.own_micrograd[0]} is not micrograd: it is left as it is"
            else:
                what = f"no class {script.class_name} was replaced"
            note("; ".join([what, *adopter.notes]))
