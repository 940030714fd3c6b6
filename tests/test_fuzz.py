# SPDX-License-Identifier: MIT
"""The fuzzers of tests/fuzz: a short run of each, their oracle, their machinery."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from micrograd_c.benchmarks import reference

FOLDER = Path(__file__).parent / "fuzz"
sys.path.insert(0, str(FOLDER))

import mirror  # noqa: E402


def fuzz(script, *options):
    command = [sys.executable, str(script), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize(
    ("script", "options"),
    [("engine.py", ["--operations", 200_000]), ("programs.py", ["--programs", 150])],
)
def test_a_short_run_finds_nothing(script, options):
    run = fuzz(FOLDER / script, *options)
    assert run.returncode == 0, run.stdout + run.stderr


# -- the oracle's own oracle -----------------------------------------------------------------------


class Mirrored:
    """The mirror's nodes behind the lesson's operators."""

    def __init__(self, node):
        self.node = node

    def __add__(self, other):
        a, b = self.node, other.node
        return Mirrored(mirror.Node(a.data + b.data, (a, b), mirror.add_rule, "+"))

    def __mul__(self, other):
        a, b = self.node, other.node
        return Mirrored(mirror.Node(a.data * b.data, (a, b), mirror.mul_rule, "*"))

    def __pow__(self, number):
        a = self.node
        value = mirror.power(a.data, number)
        return Mirrored(mirror.Node(value, (a,), mirror.pow_number_rule, "**", number))

    def unary(name):
        def method(self):
            a = self.node
            rule = mirror.UNARY_RULE[name]
            return Mirrored(mirror.Node(mirror.UNARY[name][0](a.data), (a,), rule, name))

        return method

    tanh, exp, log, relu = map(unary, ("tanh", "exp", "log", "relu"))


def graph(leaves, chance):
    made = list(leaves)
    for _ in range(40):
        x, y = chance.choice(made), chance.choice(made)
        operation = chance.choice(
            [
                lambda x, y: (x + y).tanh(),
                lambda x, y: x * y.tanh(),
                lambda x, y: (x.tanh() + y.tanh()) ** 2,
                lambda x, y: x.tanh().exp() + y,
                lambda x, y: (x * x + y.tanh().exp()).log(),
                lambda x, y: (x + y).relu().tanh(),
            ]
        )
        made.append(operation(x, y))
    return made


@pytest.mark.parametrize("seed", range(30))
def test_the_mirror_is_the_lesson(seed):
    chance = random.Random(seed)
    numbers = [chance.uniform(-1, 1) for _ in range(4)]
    theirs = graph([reference.Value(x) for x in numbers], random.Random(seed))
    ours = graph([Mirrored(mirror.Node(x)) for x in numbers], random.Random(seed))
    theirs[-1].backward()
    mirror.backward(ours[-1].node, False)
    assert [v.node.data for v in ours] == pytest.approx([v.data for v in theirs])
    assert [v.node.grad for v in ours] == pytest.approx([v.grad for v in theirs])


def test_the_mirror_orders_as_the_lesson_does():
    a = mirror.Node(1.0)
    b = mirror.Node(2.0, (a,))
    c = mirror.Node(3.0, (b, a))
    d = mirror.Node(4.0, (a, c, b))
    assert mirror.topological_order(d) == [a, b, c, d]


# -- the machinery ---------------------------------------------------------------------------------

DEFECTS = {
    "number": "raise harness.Finding('a wrong number')",
    "exception": "[][0]",
    "crash": "os.kill(os.getpid(), signal.SIGSEGV)",
    "hang": "time.sleep(60)",
}

FUZZER = """
import os, signal, sys, time
sys.path.insert(0, {folder!r})
import harness

class Fuzzer:
    unit = "operations"
    features = {{"defect": "what goes wrong"}}

    def generate(self, seed, features):
        return [(seed, k) for k in range(20)]

    def run(self, seed, steps, features, counts, verbose):
        counts["steps"] += len(steps)
        if "defect" in features and (7, 3) in steps and (7, 11) in steps:
            {defect}
        return len(steps)

sys.exit(harness.main(Fuzzer()))
"""


@pytest.fixture
def fuzzer(tmp_path):
    def write(defect):
        script = tmp_path / "fuzzer.py"
        script.write_text(FUZZER.format(folder=str(FOLDER), defect=DEFECTS[defect]))
        return script

    return write


@pytest.mark.parametrize("defect", ["number", "exception", "crash"])
def test_what_goes_wrong_is_found_with_its_seed_and_made_smaller(fuzzer, defect):
    script = fuzzer(defect)
    run = fuzz(script, "--operations", 1000)
    assert run.returncode == 1, run
    assert "FINDING in case 7:" in run.stdout
    assert "--start 7 --steps 3,11 " in run.stdout
    again = fuzz(script, "--start", 7, "--steps", "3,11")
    assert again.returncode != 0
    assert fuzz(script, "--start", 7, "--steps", "3,4-10").returncode == 0


def test_a_hang_is_found(fuzzer):
    run = fuzz(fuzzer("hang"), "--cases", 10, "--timeout", 1, "--no-minimise")
    assert run.returncode == 1
    assert "FINDING in case 7:" in run.stdout and "Timeout" in run.stdout


def test_a_run_goes_on_after_a_finding_until_there_are_enough(fuzzer):
    run = fuzz(fuzzer("number"), "--operations", 400, "--findings", 5, "--no-minimise")
    assert run.returncode == 1
    assert "1 finding(s)" in run.stdout and "FINDING in case 7:" in run.stdout


@pytest.mark.parametrize("options", [["--without", "defect"], ["--start", 8]])
def test_a_run_without_findings(fuzzer, options):
    run = fuzz(fuzzer("number"), "--cases", 20, *options)
    assert run.returncode == 0
    assert "0 finding(s)" in run.stdout and "cases 20, steps 400\n" in run.stdout


def test_several_workers_share_the_cases(fuzzer):
    run = fuzz(fuzzer("number"), "--cases", 20, "--jobs", 2, "--findings", 9, "--no-minimise")
    assert run.stdout.count("FINDING") == 1
    assert "cases 39" in run.stdout


def test_an_unknown_feature_is_refused(fuzzer):
    run = fuzz(fuzzer("number"), "--without", "nothing")
    assert run.returncode == 2 and "no feature 'nothing'" in run.stderr
