# SPDX-License-Identifier: MIT
"""Command lines, and what to say when one makes no sense."""

import argparse
import sys

PROGRAM = "python -m micrograd_c"


class UsageError(Exception):
    """Something in the command line, or in a file that it names, that cannot be done: one line."""


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line: no usage above it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def print_help(self, file=None):
        # argparse's own says nothing where it cannot write.
        print(self.format_help(), end="", file=file or sys.stdout, flush=True)

    def error(self, message):
        self.exit(2, f"{self.prog}: {one_line(message)}\n")


def one_line(message):
    return " ".join(str(message).splitlines())


def positive_integer(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return number


def whole_number(text):
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
