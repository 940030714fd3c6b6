# SPDX-License-Identifier: MIT
"""What type checkers see of the installed package: what is right is right, what is wrong wrong."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "typed_script.py"
WRONG = """\
from micrograd_c import Value, compile, losses, nn, optim
Value("1.0")
Value(1.0) + "x"
Value(1.0).tanh(2)
Value(1.0).data + "x"
nn.MLP(3, 4)
nn.MLP(3, [4]).layers[0].neurons[0].b + "x"
optim.Adam(nn.MLP(3, [4]))
optim.SGD([], momentum="much")
losses.softmax([Value(1.0)]).data
compile(3)
compile(lambda x: x, reduction="most")
compile(lambda x: x).fit([1.0], optimizer=1, steps=2)
compile(lambda x: x).value_and_grad([1.0]).data
"""


def mypy(script, folder):
    """Runs where no source tree stands beside the script: what is seen is what is installed."""
    pytest.importorskip("mypy")
    copy = shutil.copy(script, folder / "script.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", copy]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_users_script_has_no_error_under_mypy_strict(tmp_path):
    run = mypy(SCRIPT, tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_script_runs(tmp_path):
    run = subprocess.run([sys.executable, SCRIPT], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr


def test_each_mistake_is_an_error(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    run = mypy(wrong, tmp_path)
    lines = {int(line) for line in re.findall(r"^script\.py:(\d+): error", run.stdout, re.M)}
    assert lines == set(range(2, 2 + WRONG.count("\n") - 1)), run.stdout
