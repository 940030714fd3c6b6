# SPDX-License-Identifier: MIT
"""The command line: `python -m micrograd_c demo | bench | run`."""

import errno
import os
import sys

from .parser import PROGRAM, Parser, UsageError, one_line

COMMANDS = {
    "demo": "train the lesson's network and a two-moons classifier",
    "bench": "measure this engine beside the pure-Python one",
    "run": "run a script written for micrograd, or for its own Value, on this engine",
}
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


def make_parser():
    parser = Parser(
        prog=PROGRAM,
        description="micrograd's scalar autograd at machine speed.",
        epilog=f"{PROGRAM} COMMAND --help says more about a command.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        # Each command parses its own arguments, its --help among them.
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def run_command(name, arguments):
    # Imported here, so that a command does not wait for another one's modules.
    if name == "demo":
        from .demo import main
    elif name == "run":
        from .run import main
    else:
        try:
            from micrograd_c.benchmarks.table import main
        except ImportError as error:
            raise UsageError(f"the benchmarks cannot be loaded: {error}") from None
    return main(arguments)


def main(arguments=None):
    """Runs one command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    program = PROGRAM
    try:
        # What a script does about its output is its own affair.
        ours = arguments[:1] != ["run"]
        is_command = bool(arguments) and arguments[0] in COMMANDS
        program = f"{PROGRAM} {arguments[0]}" if is_command else PROGRAM
        if ours and sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        if is_command:
            status = run_command(arguments[0], arguments[1:]) or 0
        else:
            status = answer_without_command(make_parser(), arguments)
        if ours:
            sys.stdout.flush()  # here, where a closed pipe or a full disk is still noticed
        return status
    except UsageError as error:
        print(f"{program}: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return without_output()  # whoever read it has gone: `| head`
    except OSError as error:
        if not ours:
            raise
        place = "standard output" if error.filename is None else error.filename
        print(f"{program}: {one_line(place)}: {error.strerror}", file=sys.stderr)
        return without_output()


def without_output():
    """A status of failure; Python's own flush at exit, of what cannot be written, says no more."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def answer_without_command(parser, arguments):
    if parser.parse_args(arguments).version:
        from .. import __version__

        print(f"micrograd_c {__version__}")
        return 0
    raise UsageError(f"a command is missing: {', '.join(COMMANDS)} (see --help)")
