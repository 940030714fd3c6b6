# SPDX-License-Identifier: MIT
"""The command line, in processes of its own: what it prints, and the status that it leaves."""

import os
import signal
import subprocess
import sys
import time

import pytest
from common import HAS_MICROGRAD, PROGRAM, SCRIPTS, assert_one_line

import micrograd_c

# -- commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["demo"], ["run"], ["bench"]])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(cli, command, option):
    run = cli(*command, option)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"usage: {' '.join([PROGRAM, *command])}")


def test_version(cli):
    assert cli("--version").stdout == f"micrograd_c {micrograd_c.__version__}\n"


def test_demo_trains_both_networks(cli):
    run = cli("demo")
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0] == "The lesson's network: 41 parameters, 50 steps"
    assert lines[1] == "Step  0: loss = 5.278844"
    predictions = [line for line in lines if line.startswith("  pred=")]
    assert [line.split("target=")[1] for line in predictions] == ["+1.0", "-1.0", "-1.0", "+1.0"]
    accuracy = float(run.stdout.split("accuracy = ")[1].split()[0])
    assert accuracy >= 98
    picture = [line for line in lines if line.strip() and set(line.strip()) <= set("*.Oo")]
    assert len(picture) == 20 and {len(line) for line in picture} == {66}
    assert max(map(len, lines)) <= 80


def test_demo_options(cli):
    first, again, other = (cli("demo", "--steps", 3, "--seed", seed) for seed in (1, 1, 2))
    losses = [
        [line for line in run.stdout.splitlines() if "loss" in line]
        for run in (first, again, other)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert losses[0][0].startswith("Step  0") and losses[0][1].startswith("Step  2")


# -- misuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["--nonsense"],
        ["--version", "demo", "more"],
        ["demo", "more"],
        ["demo", "--steps"],
        ["demo", "--steps", "0"],
        ["demo", "--steps", "-3"],
        ["demo", "--steps", "many"],
        ["demo", "--seed", "1.5"],
        ["demo", "--nonsense"],
        ["demo", "--step", "3"],
        ["bench", "--nonsense"],
        ["run"],
        ["run", "--compare"],
        ["run", "--nonsense", "script.py"],
        ["run", "--class"],
        ["run", "--class", "Scalar"],
        ["run", "--class", "a b", "script.py"],
        ["run", "--class", "Scalar", "script.py"],
        ["run", "--replace", "script.py"],
        ["run", "--compare=yes", "script.py"],
        ["run", "missing.py"],
        ["run", "--", "missing.py"],
        ["run", "-", "x"],
        ["run", "two\nlines.py"],
        ["run", ""],
        ["run", "."],
    ],
)
def test_misuse_is_told_in_one_line(cli, write, arguments):
    write("print('not reached')\n")
    assert_one_line(cli(*arguments))


@pytest.mark.parametrize(
    "text, what",
    [
        ("x = 1\ny = = 2\n", "script.py, line 2: invalid syntax: y = = 2"),
        ("def f():\nreturn 1\n", "script.py, line 2: "),
        ("x = 1\n\nreturn x\n", "script.py, line 3: 'return' outside function"),
        ("print('a\n", "script.py, line 1: "),
        ("# caf\xe9\n".encode("latin-1"), "script.py is not UTF-8 text"),
        ("x = 1\n" * 9 + "# \xfc\n", None),
        (b"x = '\xff\xfe'\n" * 5, "script.py is not UTF-8 text"),
        ("# -*- coding: klingon -*-\n", "script.py cannot be decoded: unknown encoding: klingon"),
        (b"# coding: ascii\n# \xc3\xbc", "script.py is not ASCII text"),
        (b"\x7fELF\0\0\0", "script.py is not a Python script"),
        ("-" * 100_000 + "1", "script.py"),
    ],
)
def test_scripts_that_are_no_python(cli, write, text, what):
    run = cli("run", write(text))
    if what is None:
        assert (run.returncode, run.stderr) == (0, "")
        return
    assert_one_line(run)
    assert what in run.stderr


def test_other_bad_scripts(cli, write):
    for arguments, what in [
        (["run", "--replace-value", write("print(1)\n")], "has no class Value"),
        (
            ["run", "--replace-value", write("def f():\n    class Value: pass\n", "f.py")],
            "inside a function",
        ),
        (["run", "--compare", SCRIPTS / "slots.py"], "add --replace-value"),
    ]:
        run = cli(*arguments)
        assert_one_line(run)
        assert what in run.stderr


@pytest.mark.skipif(HAS_MICROGRAD, reason="micrograd is installed")
def test_compare_needs_micrograd(cli):
    run = cli("run", "--compare", SCRIPTS / "moons_nn.py")
    assert_one_line(run)
    assert "imports micrograd, which is not installed" in run.stderr


# -- leaving early ---------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
@pytest.mark.parametrize("arguments", [["demo", "--steps", "1000000"], ["run", "script.py"]])
def test_ctrl_c(write, tmp_path, arguments):
    write("import time\nprint('ready', flush=True)\nwhile True: time.sleep(1)\n")
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "micrograd_c", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Started in the background, the tests themselves may have been told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert child.stdout.readline()
        time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130
    assert stderr == f"{PROGRAM} {arguments[0]}: interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break the POSIX way")
def test_a_reader_that_leaves(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "micrograd_c", "demo"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    stderr = child.stderr.read()
    child.stderr.close()
    assert (child.wait(timeout=60), stderr) == (1, b"")


# -- output that cannot be written -----------------------------------------------------------------

LINES = [["--version"], ["--help"], ["demo", "--steps", "2"], ["demo", "-h"], ["bench", "--list"]]
LINES += [["bench", "--help"]]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
@pytest.mark.parametrize("unbuffered", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_told_in_one_line(arguments, unbuffered):
    command = [sys.executable, *unbuffered, "-m", "micrograd_c", *arguments]
    with open("/dev/full", "w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
    assert run.returncode == 1
    name = "" if arguments[0].startswith("-") else f" {arguments[0]}"
    assert run.stderr == f"{PROGRAM}{name}: standard output: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed the POSIX way")
@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_a_closed_output_is_told_in_one_line(arguments):
    run = subprocess.run(
        [sys.executable, "-m", "micrograd_c", *arguments],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: os.close(1),
    )
    assert run.returncode == 1
    assert run.stderr.endswith(": standard output: it is closed\n") and run.stderr.count("\n") == 1
