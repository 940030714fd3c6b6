# SPDX-License-Identifier: MIT
"""run --compare: a script in plain Python and on this engine, side by side."""

import sys

import pytest
from common import SCRIPTS, assert_one_line

from micrograd_c.cli import compare

DEMO = (SCRIPTS / "micrograd_demo.py").read_text()


def test_compare_tells_the_first_difference(cli, write):
    text = (SCRIPTS / "lesson_mlp.py").read_text()
    name = write(text + "print('same')\nprint(Value.__base__ is object, 1)\n")
    run = cli("run", "--replace-value", "--compare", name)
    assert run.returncode == 1
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["plain", "micrograd_c"]
    assert lines[3:] == [
        "line 17 of the output differs:",
        "  plain Python | True 1",
        "  micrograd_c  | False 1",
    ]


def test_compare_tells_of_failure(cli, write):
    text = (SCRIPTS / "slots.py").read_text()
    run = cli("run", "--replace-value", "--compare", write(text + "raise SystemExit(4)\n"))
    assert run.returncode == 0 and run.stdout.count("exit status 4") == 2
    run = cli("run", "--replace-value", "--compare", write(text + "a.missing\n"))
    assert run.returncode == 0 and run.stdout.count("exit status 1 (AttributeError: ") == 2
    text += "raise SystemExit(Value.__base__ is not object)\n"
    run = cli("run", "--replace-value", "--compare", write(text))
    assert run.returncode == 1 and run.stdout.count("exit status 1") == 1
    assert "the outputs agree" in run.stdout


@pytest.mark.parametrize(
    "plain, ours, expected",
    [
        ("loss 0.5", "loss 0.5", compare.SAME),
        ("loss 0.30000000000000004", "loss 0.3", compare.LAST_DIGITS),
        ("Value(data=2, grad=0)", "Value(data=2.0, grad=0.0)", compare.LAST_DIGITS),
        ("-0.000", "0.000", compare.LAST_DIGITS),
        ("loss 0.5", "loss 0.5001", compare.DIFFERENT),
        ("loss 0.5", "cost 0.5", compare.DIFFERENT),
        ("1 2", "1", compare.DIFFERENT),
        ("nan", "inf", compare.DIFFERENT),
        ("1e-3", "0.001", compare.LAST_DIGITS),
    ],
)
def test_likeness(plain, ours, expected):
    assert compare.likeness(plain, ours) == expected


# -- comparing what changes files, and the time ----------------------------------------------------

WRITES = (
    DEMO
    + """
import os, pathlib, shutil, time
print(os.path.exists('new.txt'), sorted(os.listdir('kept')), pathlib.Path('count.txt').read_text())
os.makedirs('made/below')
pathlib.Path('made/below/x.txt').write_text('x')
pathlib.Path('count.txt').write_text('6')
with open('new.txt', 'a') as file: file.write('line')
os.rename('kept/a.txt', 'moved.txt')
os.remove('kept/b.txt')
shutil.rmtree('tree')
"""
)


def test_compare_leaves_files_as_they_were(cli, write, tmp_path):
    for folder in "kept", "tree/inner":
        (tmp_path / folder).mkdir(parents=True)
    for file, text in {
        "count.txt": "5",
        "kept/a.txt": "a",
        "kept/b.txt": "b",
        "tree/inner/c": "c",
    }.items():
        write(text, file)
    name = write(WRITES)
    before = {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}
    run = cli("run", "--replace-value", "--compare", name)
    assert (run.returncode, run.stderr) == (0, "") and "the outputs agree (" in run.stdout
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before


@pytest.mark.skipif(sys.platform == "win32", reason="asks a shell")
def test_compare_refuses_where_other_programs_change_files(cli, write):
    run = cli(
        "run",
        "--replace-value",
        "--compare",
        write(DEMO + "import os\nos.system('echo x >> log')\n"),
    )
    assert_one_line(run)
    assert "log by other means than Python's" in run.stderr


def test_compare_takes_times_as_equal(cli, write):
    text = (
        DEMO
        + """
import time
start = time.perf_counter()
for line in ('took {:.9f} s', 'Elapsed time: {}', '{} seconds', 'loss 0.5 ({}ms/step)', 'time={}'):
    print(line.format(time.perf_counter() - start))
print(time.strftime('%H:%M:%S'), random.random())
"""
    )
    run = cli("run", "--replace-value", "--compare", write(text.replace("ms/step", "ms")))
    assert run.returncode == 0 and "the outputs agree (" in run.stdout


@pytest.mark.parametrize(
    "plain, ours, expected",
    [
        ("0.5 loss in 1.25 s", "0.5 loss in 7 s", compare.SAME),
        ("0.5 loss in 1.25 s", "0.6 loss in 7 s", compare.DIFFERENT),
        ("3 steps/s", "3000.5 steps/s", compare.SAME),
        ("time: 0.25, loss 2", "time: 1e-05, loss 2", compare.SAME),
        ("size 0.25", "size 0.26", compare.DIFFERENT),
        ("12:30:01", "12:31:00.5", compare.SAME),
        ("5 samples", "6 samples", compare.DIFFERENT),
    ],
)
def test_durations(plain, ours, expected):
    assert compare.likeness(plain, ours) == expected


def test_compare_of_a_script_that_ends_itself(cli, write):
    run = cli("run", "--replace-value", "--compare", write(DEMO + "import os\nos._exit(3)\n"))
    assert run.returncode == 0 and "nan" not in run.stdout
    lines = run.stdout.splitlines()
    assert lines[0].split() == ["plain", "Python", "?", "s", "exit", "status", "3"]
    assert lines[2].split() == ["speed-up", "?", "times"]


def test_compare_says_that_nothing_was_replaced(cli, write):
    text = "if False:\n    class Value:\n        def __add__(self, o): pass\nprint(1)\n"
    run = cli("run", "--replace-value", "--compare", write(text))
    assert run.returncode == 0
    assert (
        "nothing was replaced (no class Value was replaced): both runs are plain Python"
        in run.stdout
    )
    assert cli("run", "--replace-value", "script.py").stderr.endswith(
        "no class Value was replaced\n"
    )
