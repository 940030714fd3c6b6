# SPDX-License-Identifier: MIT
"""The command run, in processes of its own: which scripts it runs, compares and refuses."""

import pytest
from common import HAS_MICROGRAD, SCRIPTS, assert_one_line, start

from micrograd_c.cli import compare

# -- run -------------------------------------------------------------------------------------------

# Scripts that bring their own class Value, each in another style.
OWN_VALUE = [
    "accumulates",
    "closures",
    "comparisons",
    "dataclass_value",
    "lesson_mlp",
    "local_grads",
    "other_names",
    "safe_log",
    "slots",
    "stepwise",
    "subclass",
]
# What micrograd itself prints.
MOONS_OUTPUT = """\
number of parameters 105
step 9 loss 0.320758, accuracy 85.0%
step 19 loss 0.280989, accuracy 90.0%
step 29 loss 0.222826, accuracy 90.0%
step 39 loss 0.109926, accuracy 97.5%
step 49 loss 0.053251, accuracy 100.0%
True Layer of [LinearNeuron(8)]
"""


@pytest.mark.parametrize("name", OWN_VALUE)
def test_scripts_with_their_own_value_print_the_same(cli, tmp_path, name):
    plain = start(SCRIPTS / f"{name}.py", cwd=tmp_path)
    ours = cli("run", "--replace-value", SCRIPTS / f"{name}.py")
    assert plain.returncode == 0 and plain.stdout
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, "", 0)


@pytest.mark.parametrize("name", OWN_VALUE)
def test_compare_agrees(cli, name):
    run = cli("run", "--replace-value", "--compare", SCRIPTS / f"{name}.py")
    assert (run.returncode, run.stderr) == (0, "")
    assert "the outputs agree (" in run.stdout


@pytest.mark.parametrize(
    "name, expected",
    [
        ("moons_nn", MOONS_OUTPUT),
        ("helper_module", "4.0 __main__ MLP of [Layer of [LinearNeuron(1)]]\n"),
    ],
)
def test_scripts_written_for_micrograd(cli, name, expected):
    run = cli("run", SCRIPTS / f"{name}.py")
    assert (run.stdout, run.stderr, run.returncode) == (expected, "", 0)


def test_star_import(cli):
    run = cli("run", SCRIPTS / "star_import.py")
    assert (run.stderr, run.returncode) == ("", 0)
    lines = run.stdout.splitlines()
    assert lines[0].startswith("MLP of [Layer of [ReLUNeuron(3), ReLUNeuron(3), ")
    assert lines[1] == (
        "41 ReLUNeuron(2) LinearNeuron(16) Layer of [LinearNeuron(2), LinearNeuron(2)]"
    )
    assert lines[-1] == "True True"


@pytest.mark.skipif(not HAS_MICROGRAD, reason="micrograd is not installed")
@pytest.mark.parametrize("name", ["moons_nn", "star_import", "helper_module"])
def test_compare_with_micrograd(cli, name):
    run = cli("run", "--compare", SCRIPTS / f"{name}.py")
    assert run.returncode == 0 and "the outputs agree" in run.stdout


def test_arguments_main_guard_and_data_file(cli, write):
    write((SCRIPTS / "points.csv").read_bytes(), "points.csv")
    run = cli("run", SCRIPTS / "main_guard.py", "points.csv", "--epochs", 40, "--compare")
    assert (run.stderr, run.returncode) == ("", 0)
    assert run.stdout.splitlines() == [
        "4 points, loss 0.00250016: y = 1.99978 x + 1.05035",
        "True main_guard.py main_guard.py ['points.csv', '--epochs', '40', '--compare']",
    ]


def test_the_script_sees_what_python_shows_it(cli, write, tmp_path):
    text = """
import os, sys
print(__name__, __file__, sys.argv, sys.path[0], os.getcwd(), __package__, __spec__, __doc__)
import __main__
print(__main__.__dict__ is globals(), sorted(name for name in globals() if name[0] != '_'))
"""
    name = write('"""Words."""' + text)
    for command in ([name, "-x", "--help"], [tmp_path / name]):
        plain, ours = start(*command, cwd=tmp_path), cli("run", *command)
        assert (ours.stdout, ours.stderr) == (plain.stdout, plain.stderr)


def test_a_link_to_a_script_finds_its_modules(cli, tmp_path):
    try:
        (tmp_path / "link.py").symlink_to(SCRIPTS / "helper_module.py")
    except OSError:
        pytest.skip("no links here")
    assert cli("run", "link.py").stdout.startswith("4.0 __main__")


@pytest.mark.parametrize(
    "arguments, status, stderr", [(["3"], 3, ""), (["0"], 0, ""), ([], 1, "no number given\n")]
)
def test_exit_status_of_the_script(cli, arguments, status, stderr):
    run = cli("run", SCRIPTS / "exit_code.py", *arguments)
    assert (run.stdout, run.stderr, run.returncode) == ("6.0\nat exit\n", stderr, status)


def test_the_scripts_own_traceback(cli):
    run = cli("run", SCRIPTS / "raises.py")
    assert (run.returncode, run.stdout) == (1, "")
    files = [line for line in run.stderr.splitlines() if line.startswith("  File ")]
    assert files and all("raises.py" in line for line in files)
    assert "line 16, in <module>" in files[-2] and "line 13, in outer" in files[-1]
    assert "The above exception was the direct cause" in run.stderr
    assert run.stderr.endswith("RuntimeError: the script failed\n")


def test_traceback_of_a_script_whose_value_is_replaced(cli, write):
    text = (SCRIPTS / "closures.py").read_text() + "\n\na.square().hypotenuse(None)\n"
    name = write(text)
    run = cli("run", "--replace-value", name)
    assert run.returncode == 1
    files = [line for line in run.stderr.splitlines() if line.startswith("  File ")]
    where = text.splitlines().index("a.square().hypotenuse(None)") + 1
    assert f"line {where}, in <module>" in files[0] and "hypotenuse" in files[1] and len(files) == 2
    assert "    a.square().hypotenuse(None)\n" in run.stderr


def test_an_excepthook_of_the_scripts_own(cli, write):
    name = write("import sys\nsys.excepthook = lambda *e: print('caught', e[0])\n1 / 0\n")
    run = cli("run", name)
    assert (run.stdout, run.returncode) == ("caught <class 'ZeroDivisionError'>\n", 1)


def test_a_note_where_replace_value_would_help(cli):
    run = cli("run", SCRIPTS / "slots.py")
    assert run.returncode == 0
    assert run.stderr.count("\n") == 1 and "--replace-value" in run.stderr


def test_compare_tells_the_first_difference(cli, write):
    text = (SCRIPTS / "lesson_mlp.py").read_text()
    name = write(text + "print('same')\nprint(Value.__module__ == '__main__', 1)\n")
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
    text += "raise SystemExit(Value.__module__ != '__main__')\n"
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


# -- what cannot be kept is refused ----------------------------------------------------------------

LOCAL = (SCRIPTS / "local_grads.py").read_text()
CLOSURES = (SCRIPTS / "closures.py").read_text()
NAMES = (SCRIPTS / "other_names.py").read_text()


@pytest.mark.parametrize(
    "text, what",
    [
        (LOCAL + "print(loss._local_grads)\n", "reads ._local_grads"),
        (LOCAL + "print([c.data for c in loss._children])\n", "reads ._children"),
        (LOCAL + "print(getattr(loss, '_children'))\n", "reads ._children"),
        (LOCAL + "loss._local_grads = (1,)\n", "sets ._local_grads"),
        (
            LOCAL.replace(
                "    def __neg__",
                "    def depth(self): return 1 + max((c.depth() for c in self._children), "
                "default=0)\n    def __neg__",
            )
            + "loss.depth()\n",
            "reads ._children",
        ),
        (LOCAL + "class P(Value):\n    def f(self): return self._children\n", "reads ._children"),
        (
            CLOSURES.replace("def backward(self)", "def backward(self, seed=1.0)")
            + "a.backward(2.0)\n",
            "backward() an argument",
        ),
        (CLOSURES + "x = Value(1, (a,))\nx._backward = lambda g: None\n", "takes an argument"),
        (CLOSURES + "print(result._prev[0])\n", "indexes ._prev"),
        (CLOSURES.replace("self.grad = 0.0", "self.grad = Value(0.0)", 1), ".grad is made by"),
        (
            CLOSURES.replace("self.data = data", "self.data = np.array(data)", 1),
            ".data is made by array()",
        ),
        (
            CLOSURES.replace("self._op = _op", "self._op = _op\n        Value.made += 1")
            + "print(Value.made)\n",
            "reads .made",
        ),
        (
            CLOSURES.replace("self._op = _op", "self._op = _op\n        tape.append(self)").replace(
                "class Value", "tape = []\nclass Value"
            )
            + "tape.clear()\nprint(len(tape))\n",
            "reads tape",
        ),
        (
            CLOSURES.replace("self._op = _op", "self._op = _op\n        print('made')"),
            "prints in __init__",
        ),
        (
            NAMES.replace("self.trainable = trainable", "self.rule = trainable or len").replace(
                "operation='+', parents=(self, other))",
                "operation='+', parents=(self, other), trainable=self.rule)",
            ),
            "trainable",
        ),
        (
            "class Value:\n    def __init__(self, amount, unit):\n"
            "        self.amount, self.unit = amount, unit\n\nprint(Value(3, 'm').amount)\n",
            "class Value does not compute",
        ),
        (
            CLOSURES + "import multiprocessing as mp\nmp.get_context('spawn').Pool(2)\n",
            "starts processes",
        ),
    ],
)
def test_refusals(cli, write, text, what):
    run = cli("run", "--replace-value", write(text))
    assert_one_line(run)
    assert "script.py, line " in run.stderr and what in run.stderr


@pytest.mark.parametrize(
    "addition",
    [
        "class Tree:\n    def __init__(self): self._children = []\nprint(Tree()._children)\n",
        "def get_context(name): return name\nprint(get_context('spawn'))\n",
        "import types as t\nprint(t.SimpleNamespace(a=1).a)\n",
        "def unused(v): return v.grad\nprint(unused(loss) == 1.0)\n",
    ],
)
def test_no_refusal_without_need(cli, write, tmp_path, addition):
    name = write(LOCAL + addition)
    ours = cli("run", "--replace-value", name)
    assert (ours.stderr, ours.returncode) == ("", 0)
    assert ours.stdout == start(name, cwd=tmp_path).stdout
