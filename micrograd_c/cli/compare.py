# SPDX-License-Identifier: MIT
"""`run --compare`: a script in plain Python and on this engine, each in a process of its own."""

import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile

from .parser import UsageError
from .run import run_on_engine
from .script import Script
from .trail import Trail, state

PLAIN, ENGINE = "plain Python", "micrograd_c"
DIGITS = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NUMBER = re.compile(f"({DIGITS})")
# What a run says of its own time: a number with a unit, after a word for it, or a time of day.
DURATION = re.compile(
    rf"(?<![\w.]){DIGITS}(?=\s?(?:[num\u00b5\u03bc]?s|secs?|seconds?|mins?|minutes?|hours?|"
    r"(?:it|its|steps|epochs|samples|iterations)/s(?:ec)?)(?![\w/]))|"
    rf"(?i:(?<=time)|(?<=took)|(?<=elapsed)|(?<=duration)|(?<=runtime))[\s:=]{{1,4}}{DIGITS}|"
    r"(?<!\d)\d+:\d\d(?::\d\d)?(?:\.\d+)?(?!\d)"
)
SAME, LAST_DIGITS, DIFFERENT = range(3)


def compare(script, arguments, replace_value):
    """Prints the speed-up and the first difference; returns 0 if there is none, else 1."""
    check(script, replace_value)
    folders = {os.getcwd(), os.path.dirname(script.path)}
    runs, before = {}, state(folders)
    for way in PLAIN, ENGINE:
        runs[way] = run_child(way, script, arguments, replace_value)
        changed = way == PLAIN and before.items() ^ state(folders).items()
        if changed:
            raise UsageError(
                f"the script changed {min(changed)[0]} by other means than Python's: "
                "a second run would not start from the same files"
            )
    for way, run in runs.items():
        trouble = f"   exit status {run.status}{run.complaint}" if run.status else ""
        unknown = "   (it ended without a word)"
        known = not math.isnan(run.seconds)
        print(
            f"{way:12}  {run.seconds:9.4f} s{trouble}"
            if known
            else f"{way:12}  {'?':>9} s{trouble or unknown}"
        )
    plain, engine = runs.values()
    times = plain.seconds / max(engine.seconds, 1e-9)
    print(
        f"{'speed-up':12}  " + ("        ? times" if math.isnan(times) else f"{times:9.1f} times")
    )
    if not engine.replaced:
        print(f"nothing was replaced{engine.why}: both runs are plain Python")
    verdict = print_difference(plain.output.splitlines(), engine.output.splitlines())
    return 0 if verdict and plain.status == engine.status else 1


class Run:
    """What is known of a finished run."""

    seconds, refusal, replaced, notes = math.nan, None, True, ()

    def __init__(self, child, report):
        self.status = child.returncode
        self.output = child.stdout.decode("utf-8", "replace")
        complaint = child.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        self.complaint = f" ({complaint[0]})" if complaint else ""
        try:
            with open(report, encoding="utf-8") as file:
                self.seconds, self.refusal, self.replaced, self.notes = json.load(file)
        except OSError:
            pass  # it did not live to report
        self.why = f" ({self.notes[0]})" if self.notes else ""


def check(script, replace_value):
    """Raises UsageError where there is nothing to compare."""
    if replace_value:
        script.adopter(replace_value)
    elif script.defines_class() and not script.imports_micrograd():
        raise UsageError(f"{script.name} uses its own class Value: add --replace-value")
    if script.imports_micrograd() and not script.micrograd_spec():
        raise UsageError(
            f"{script.name} imports micrograd, which is not installed: "
            "there is nothing to compare with"
        )


def run_child(way, script, arguments, replace_value):
    """A Run, after which the files that it has changed are what they were."""
    with tempfile.TemporaryDirectory() as folder:
        job = json.dumps([way, folder, script.name, script.class_name, arguments, replace_value])
        try:
            # No input: what the first of the two runs reads, the second one would miss.
            child = subprocess.run(
                [sys.executable, "-m", __name__, job],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        finally:
            Trail(folder).put_back()
        run = Run(child, os.path.join(folder, "report"))
    if run.refusal:
        raise UsageError(run.refusal)
    return run


def run_job(job):
    """What the child does: runs the script and reports how long the script itself took."""
    way, folder, name, class_name, arguments, replace_value = json.loads(job)
    script = Script(name, class_name)
    refusal, notes = None, []
    random.seed(0)  # scripts that seed nothing can be compared, too
    trail = Trail(folder)
    trail.begin()
    try:
        if way == ENGINE:
            return run_on_engine(script, arguments, replace_value, notes.append)
        return script.run(arguments)
    except UsageError as error:
        refusal = str(error)
        return 2
    finally:
        trail.busy = True
        replaced = not notes and (script.imports_micrograd() or replace_value)
        with open(os.path.join(folder, "report"), "w", encoding="utf-8") as file:
            json.dump([script.seconds, refusal, replaced, notes], file)
        trail.busy = False


def likeness(plain, ours):
    """Whether two lines are the same, but for the last digits of their numbers, or different."""
    if plain == ours:
        return SAME
    plain, ours = DURATION.sub("<time>", plain), DURATION.sub("<time>", ours)
    if plain == ours:
        return SAME
    plain, ours = NUMBER.split(plain), NUMBER.split(ours)
    if len(plain) != len(ours) or plain[::2] != ours[::2]:
        return DIFFERENT
    close = all(
        math.isclose(float(a), float(b), rel_tol=1e-9, abs_tol=1e-12)
        for a, b in zip(plain[1::2], ours[1::2], strict=True)
    )
    return LAST_DIGITS if close else DIFFERENT


def count(lines):
    return f"{len(lines)} line{'' if len(lines) == 1 else 's'}"


def print_difference(plain, ours):
    """Prints where the outputs part; returns whether they agree, the last digits aside."""
    first_digits = None
    for i in range(max(len(plain), len(ours))):
        here = likeness(plain[i], ours[i]) if i < min(len(plain), len(ours)) else DIFFERENT
        if here == DIFFERENT:
            print(f"line {i + 1} of the output differs:")
            for way, lines in (PLAIN, plain), (ENGINE, ours):
                print(f"  {way:12} | {lines[i] if i < len(lines) else '(no such line)'}")
            return False
        if here == LAST_DIGITS and first_digits is None:
            first_digits = i
    if first_digits is None:
        print(f"the outputs agree ({count(ours)})")
        return True
    print(
        f"the outputs agree to 9 digits ({count(ours)}); line {first_digits + 1} "
        "is the first whose last digits differ:"
    )
    print(f"  {PLAIN:12} | {plain[first_digits]}\n  {ENGINE:12} | {ours[first_digits]}")
    return True


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1]))
