# SPDX-License-Identifier: MIT
"""The command run, in processes of its own: which scripts it runs, compares and refuses."""

import json

import pytest
from common import HAS_MICROGRAD, SCRIPTS, assert_one_line, start

# -- run -------------------------------------------------------------------------------------------

# Scripts that bring their own class Value, each in another style.
OWN_VALUE = [
    "accumulates",
    "closures",
    "comparisons",
    "counts",
    "dataclass_value",
    "gpt_names",
    "left_right",
    "lesson_mlp",
    "local_grads",
    "micrograd_demo",
    "more_methods",
    "other_names",
    "pairs",
    "per_operation",
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


DEMO = (SCRIPTS / "micrograd_demo.py").read_text()

# -- notebooks -------------------------------------------------------------------------------------


def notebook(*cells, **metadata):
    cells = [{"cell_type": "code", "source": cell.splitlines(True)} for cell in cells]
    cells.insert(1, {"cell_type": "markdown", "source": ["not code: ="]})
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4})


def test_a_notebook_runs_its_code_cells_in_order(cli, write, tmp_path):
    at = DEMO.index("def trace")
    name = write(notebook(DEMO[:at], DEMO[at:], "a * b"), "lesson.ipynb")
    plain = start(SCRIPTS / "micrograd_demo.py", cwd=tmp_path)
    for option in [], ["--replace-value"]:
        ours = cli("run", *option, name)
        assert (ours.stdout, ours.returncode) == (plain.stdout, 0)
    run = cli("run", "--compare", "--replace-value", name)
    assert run.returncode == 0 and "the outputs agree (" in run.stdout


def test_lines_for_ipython_are_left_out_and_told(cli, write):
    cells = ["%matplotlib inline\n!pip install x\nx = (7\n% 4)", "%%bash\nls", "%%time\nprint(x)"]
    run = cli(
        "run", write(notebook(*cells, "for i in range(2):\n    %time print(i)\nx?"), "n.ipynb")
    )
    assert (run.stdout, run.returncode) == ("3\n0\n1\n", 0)
    assert run.stderr.count("\n") == 1
    assert (
        "5 of IPython's own lines left out, the first in n.ipynb, cell 1: %matplotlib" in run.stderr
    )


@pytest.mark.parametrize(
    "text, what",
    [
        (
            notebook("print(1)", "x = 1\nfiles = !ls"),
            "n.ipynb, cell 2, line 2: only IPython can do this",
        ),
        (notebook("print(1)", "x = = 1"), "n.ipynb, cell 2, line 1: invalid syntax"),
        (notebook("1", kernelspec={"language": "julia"}), "n.ipynb is a notebook in julia"),
        ("{}", "n.ipynb is a notebook that cannot be read"),
        ("[1", "n.ipynb is a notebook that cannot be read"),
    ],
)
def test_notebooks_that_cannot_run(cli, write, text, what):
    run = cli("run", write(text, "n.ipynb"))
    assert_one_line(run)
    assert what in run.stderr


def test_a_traceback_names_the_cell(cli, write):
    run = cli("run", write(notebook("def f():\n    return 1 / 0", "x = 1\nf()"), "n.ipynb"))
    assert run.returncode == 1
    assert 'File "n.ipynb, cell 2", line 2' in run.stderr
    assert 'File "n.ipynb, cell 1", line 2, in f' in run.stderr
