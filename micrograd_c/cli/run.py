# SPDX-License-Identifier: MIT
"""`run`: a script that people already have, on this engine."""

import sys

from .. import compat
from .parser import PROGRAM, Parser, UsageError

USAGE = f"{PROGRAM} run [--replace-value] [--compare] SCRIPT [ARGUMENTS ...]"


def make_parser():
    parser = Parser(
        prog=f"{PROGRAM} run",
        usage=USAGE,
        description="Run an unmodified script with `import micrograd` meaning this engine.",
        epilog="Everything after SCRIPT is for the script.",
    )
    parser.add_argument(
        "--replace-value",
        action="store_true",
        help="also put this engine's Value in the place of a class Value that the "
        "script defines itself; its other methods are kept",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="run the script both in plain Python and on this engine; print how "
        "much faster it is, and the first line of output that differs",
    )
    return parser


def split(arguments):
    """Our options, and the script with its arguments: an option after SCRIPT is the script's."""
    for i, argument in enumerate(arguments):
        if argument == "--":
            return arguments[:i], arguments[i + 1 :]
        if not argument.startswith("-") or argument == "-":
            return arguments[:i], arguments[i:]
    return arguments, []


def main(arguments):
    ours, rest = split(arguments)
    options = make_parser().parse_args(ours)
    if not rest:
        raise UsageError("a script is missing (see --help)")
    # Imported late: only now is there a script to look into.
    from .script import Script

    script = Script(rest[0])
    if options.compare:
        from .compare import compare

        return compare(script, rest[1:], options.replace_value)
    if not options.replace_value and script.defines_value() and not script.imports_micrograd():
        print(
            f"{PROGRAM} run: note: {script.name} uses its own class Value; "
            f"--replace-value puts this engine in its place",
            file=sys.stderr,
        )
    return run_on_engine(script, rest[1:], options.replace_value)


def run_on_engine(script, arguments, replace_value):
    replacement = script.replacement() if replace_value else None
    compat.install()
    return script.run(arguments, replacement)
