# SPDX-License-Identifier: MIT
"""The comparison table that `python -m micrograd_c bench` prints."""

import argparse
import json
import os
import re
import sys

from ..cli.parser import PROGRAM, Parser
from . import cases, measure

WIDTH = 79
SCALES = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s"))

EPILOG = """\
Ratios are the result: both sides of each are timed in turn within one run, and
the median of the paired ratios is given with the smallest and the largest. The
absolute figures beside them hold for this run on this machine only.
"""


def parser():
    """The command line."""
    result = Parser(
        prog=f"{PROGRAM} bench",
        description="Compare micrograd_c with the lesson's pure-Python engine, and with plain\n"
        "Python floats, a C loop and other engines where they are to be had.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--json", metavar="FILE", help="also write every figure to FILE")
    result.add_argument(
        "--quick", action="store_true", help="small sizes and few rounds: a smoke test"
    )
    result.add_argument(
        "--only", metavar="PATTERN", help="only lines whose name has a match of this regex"
    )
    result.add_argument("--list", action="store_true", help="print the names of the lines, and end")
    return result


def scaled(number, unit):
    """A figure of this run in three digits and its unit."""
    if unit == "B":
        return f"{number:,.0f} B"
    if unit == "%":
        return f"{number:.1f} %"
    for limit, factor, name in SCALES:
        if number < limit:
            return f"{three_digits(number * factor)} {name}"


def three_digits(number):
    if number >= 100:
        return f"{number:,.0f}"
    if number >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if number >= 0.1 else f"{number:.2g}"


def format_row(row):
    """One line of the table."""
    spread = f"({three_digits(row.low)} - {three_digits(row.high)})"
    both = f"{scaled(row.first, row.unit)} / {scaled(row.second, row.unit)}"
    return f"  {row.name:<33.33} {three_digits(row.ratio):>6} x {spread:>15}  {both:>17}"


def header(about):
    """What the figures were taken on, and how to read them."""
    state = "on" if about["collector_enabled"] else "OFF"
    thresholds = ", ".join(map(str, about["collector_thresholds"]))
    return "\n".join(
        (
            f"micrograd_c {about['micrograd_c']}, {about['python']}, {about['system']}, "
            f"{about['processors']} processors",
            f"Python's cyclic collector: {state}, as Python starts, thresholds {thresholds}",
            "Both sides in turn, A B A B; median of the paired ratios (smallest - largest)",
            "",
            f"  {'':<33} {'ratio':>8} {'spread':>15}  {'in this run':>17}",
        )
    )


class Progress:
    """One line on stderr that says what is being measured, when someone looks."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.shown = sys.stderr.isatty()

    def begin(self, name):
        self.done += 1
        if self.shown:
            line = f"[{self.done}/{self.total}] {name}"[:WIDTH]
            print(f"\r{line:<{WIDTH}}", end="", file=sys.stderr, flush=True)

    def clear(self):
        if self.shown:
            print(f"\r{'':<{WIDTH}}\r", end="", file=sys.stderr, flush=True)


def run(chosen, settings):
    """Measure and print the chosen cases; return the sections as plain data."""
    progress = Progress(len(chosen))
    sections = []
    for case in chosen:
        progress.begin(case.path)
        missing, rows = "", []
        try:
            rows = case.run(settings)
        except (cases.Unavailable, measure.ChildFailure) as reason:
            missing = str(reason)
        except measure.Disagreement as problem:
            raise measure.Disagreement(f"{case.group}/{problem}") from None
        finally:
            progress.clear()
        if not sections or sections[-1]["group"] != case.group:
            sections.append(
                {"group": case.group, "title": cases.TITLES[case.group], "rows": [], "missing": {}}
            )
            print(f"\n{cases.TITLES[case.group]}")
        sections[-1]["rows"] += measure.as_json(rows)
        if missing:
            sections[-1]["missing"][case.name] = missing
            print(f"  {case.name}: not measured, {missing}"[:WIDTH])
        for row in rows:
            print(format_row(row))
        sys.stdout.flush()
    return sections


def choose(options, settings, error):
    """The cases that --only leaves; misuse goes to `error`."""
    chosen = cases.all_cases(settings)
    if options.only is not None:
        try:
            pattern = re.compile(options.only, re.IGNORECASE)
        except re.error as reason:
            error(f"--only {options.only!r} is not a regular expression: {reason}")
        chosen = [case for case in chosen if pattern.search(case.path)]
        if not chosen:
            error(f"--only {options.only!r} matches no line; --list names them")
    return chosen


def writable(path):
    """Whether `path` can be written, without touching it."""
    folder = os.path.dirname(os.path.abspath(path))
    target = path if os.path.exists(path) else folder
    return os.path.isdir(folder) and not os.path.isdir(path) and os.access(target, os.W_OK)


def main(argv=None):
    """Run the command line; return the exit status."""
    command = parser()
    options = command.parse_args(argv)
    settings = measure.QUICK if options.quick else measure.Settings()
    chosen = choose(options, settings, command.error)
    if options.list:
        print("\n".join(case.path for case in chosen))
        return 0
    # Asked before the minutes of measuring, not after.
    if options.json and not writable(options.json):
        command.error(f"cannot write {options.json}")
    about = measure.surroundings()
    print(header(about))
    try:
        sections = run(chosen, settings)
    except measure.Disagreement as problem:
        print(f"{command.prog}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command.prog}: interrupted", file=sys.stderr)
        return 130
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"surroundings": about, "sections": sections}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
