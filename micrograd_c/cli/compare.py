# SPDX-License-Identifier: MIT
"""`run --compare`: a script in plain Python and on this engine, each in a process of its own."""

import importlib.machinery
import json
import math
import os
import re
import subprocess
import sys
import tempfile

from .parser import UsageError
from .run import run_on_engine
from .script import Script

PLAIN, ENGINE = "plain Python", "micrograd_c"
NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
SAME, LAST_DIGITS, DIFFERENT = range(3)


def compare(script, arguments, replace_value):
    """Prints the speed-up and the first difference; returns 0 if there is none, else 1."""
    check(script, replace_value)
    runs = {}
    for way in PLAIN, ENGINE:
        runs[way] = run_child(way, script, arguments, replace_value)
    for way, (seconds, _, status, complaint) in runs.items():
        trouble = f"   exit status {status}{complaint}" if status else ""
        print(f"{way:12}  {seconds:9.4f} s{trouble}")
    (plain_seconds, plain_output, plain_status, _), (seconds, output, status, _) = runs.values()
    print(f"{'speed-up':12}  {plain_seconds / max(seconds, 1e-9):9.1f} times")
    verdict = print_difference(plain_output.splitlines(), output.splitlines())
    return 0 if verdict and status == plain_status else 1


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
    """Seconds, standard output, exit status and, in words, the last line of standard error."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report")
        job = json.dumps([way, report, script.name, arguments, replace_value])
        # No input: what the first of the two runs reads, the second one would miss.
        child = subprocess.run(
            [sys.executable, "-m", __name__, job],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        try:
            with open(report, encoding="utf-8") as file:
                seconds, refusal = json.load(file)
        except OSError:
            seconds, refusal = math.nan, None  # it did not live to report
    if refusal:
        raise UsageError(refusal)
    complaint = child.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return (
        seconds,
        child.stdout.decode("utf-8", "replace"),
        child.returncode,
        f" ({complaint[0]})" if complaint else "",
    )


def run_job(job):
    """What the child does: runs the script and reports how long the script itself took."""
    way, report, name, arguments, replace_value = json.loads(job)
    script = Script(name)
    refusal = None
    try:
        if way == ENGINE:
            return run_on_engine(script, arguments, replace_value)
        return script.run(arguments)
    except UsageError as error:
        refusal = str(error)
        return 2
    finally:
        with open(report, "w", encoding="utf-8") as file:
            json.dump([script.seconds, refusal], file)


def likeness(plain, ours):
    """Whether two lines are the same, but for the last digits of their numbers, or different."""
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
