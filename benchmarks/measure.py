# SPDX-License-Identifier: MIT
"""Timing two things in turn, and what keeps that comparison fair."""

import contextlib
import gc
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from . import gpt, reference, workloads

CHILD_SECONDS = 600


class Disagreement(Exception):
    """Two engines computed different numbers: their times must not be compared."""


class ChildFailure(Exception):
    """A measurement in a process of its own did not come back with a result."""


@dataclass
class Settings:
    """How long and how large: `budget` is seconds for one row, `slice` seconds for one turn."""

    sizes: tuple = (1_000, 10_000, 100_000, 1_000_000)
    deep: int = 1_000_000
    samples: int = 100
    budget: float = 2.0
    slice: float = 0.05
    least_rounds: int = 3
    most_rounds: int = 25


QUICK = Settings(
    sizes=(1_000, 10_000),
    deep=20_000,
    samples=10,
    budget=0.15,
    slice=0.005,
    least_rounds=2,
    most_rounds=5,
)


@dataclass
class Row:
    """One line of the table: a ratio with its spread, and the two figures it came from.

    `unit` of `first` and `second` is 's', 'B' or '%'.
    """

    name: str
    ratio: float
    low: float
    high: float
    first: float
    second: float
    unit: str
    rounds: int


class Engine:
    """A Value class and its own copy of every workload."""

    def __init__(self, name, Value):
        self.name = name
        self.Value = Value
        self.workloads = own_copy(workloads)
        self.gpt = own_copy(gpt)
        self.lesson_classes = own_copy(reference).lesson_classes

    def start_chain(self):
        """The chain's x, a and b as Values."""
        return tuple(self.Value(number) for number in workloads.CHAIN_START)


def lesson_engine():
    return Engine("lesson", reference.Value)


def our_engine():
    import micrograd_c

    return Engine("micrograd_c", micrograd_c.Value)


def own_copy(module):
    """Load `module` once more, with code objects of its own.

    From CPython 3.11 on, bytecode specialises itself in place for the types it meets. Engines that
    took turns in one function would undo each other's specialisation, which no user's program does.
    """
    copy = importlib.util.module_from_spec(module.__spec__)
    module.__spec__.loader.exec_module(copy)
    return copy


@contextlib.contextmanager
def collector_paused():
    """No cyclic collection while a graph is built whose building is not timed."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def agree(what, first, second, rel_tol=1e-9):
    """Raise `Disagreement` unless the numbers of both sides are the same up to rounding."""
    for a, b in zip(first, second, strict=True):
        if not math.isclose(a, b, rel_tol=rel_tol, abs_tol=1e-12):
            raise Disagreement(f"{what}: the two sides disagree, {a!r} and {b!r}")


def time_calls(function, calls):
    """Mean seconds of one call."""
    # Neither side pays for the other's garbage; inside the turn the collector does as it likes.
    gc.collect()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def calls_for(function, seconds):
    """How many calls last about `seconds`; warms the function up on the way."""
    calls = 1
    while True:
        took = time_calls(function, calls) * calls
        if took * 2 >= seconds:
            return max(1, round(calls * seconds / took))
        calls *= 2


def compare(name, first, second, settings, per=1, first_calls=None, second_calls=None):
    """Time `first` and `second` in turn, A B A B; return a Row of first over second.

    `per` divides both times (nodes in a call). The calls of one turn are chosen to last the
    settings' slice, after a warm-up, unless given.
    """
    first_calls = first_calls or calls_for(first, settings.slice)
    second_calls = second_calls or calls_for(second, settings.slice)
    return paired_row(
        name,
        lambda: time_calls(first, first_calls) / per,
        lambda: time_calls(second, second_calls) / per,
        settings,
    )


def paired_row(name, measure_first, measure_second, settings, unit="s"):
    """Alternate two measurements until the row's budget is spent; return the Row."""
    pairs = []
    begin = time.perf_counter()
    while len(pairs) < settings.most_rounds:
        spent = time.perf_counter() - begin
        if spent > settings.budget and len(pairs) >= settings.least_rounds:
            break
        # Minutes for one row would not make it truer.
        if spent > 10 * settings.budget and len(pairs) >= 2:
            break
        pairs.append((measure_first(), measure_second()))
    ratios = [a / b for a, b in pairs]
    return Row(
        name=name,
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        first=statistics.median(a for a, _ in pairs),
        second=statistics.median(b for _, b in pairs),
        unit=unit,
        rounds=len(pairs),
    )


def run_child(module, *arguments):
    """Run `module` of this package in a fresh interpreter; return the JSON it prints."""
    # The parent's search path as it stands, so that the child measures the same installation.
    path = [entry or os.getcwd() for entry in sys.path]
    program = (
        f"import sys; sys.path[:] = {path!r}\n"
        f"from {__package__} import {module}\n"
        f"{module}.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        raise ChildFailure(f"took more than {CHILD_SECONDS} s") from None
    if done.returncode < 0:
        raise ChildFailure(f"died of signal {-done.returncode}")
    if done.returncode:
        raise ChildFailure((done.stderr.strip() or f"status {done.returncode}").splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def as_json(rows):
    """Rows as plain data."""
    return [asdict(row) for row in rows]


def surroundings():
    """What the ratios depend on besides the code, as plain data."""
    import micrograd_c

    return {
        "micrograd_c": getattr(micrograd_c, "__version__", "unknown"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "collector_enabled": gc.isenabled(),
        "collector_thresholds": list(gc.get_threshold()),
    }
