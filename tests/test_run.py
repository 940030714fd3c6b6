# SPDX-License-Identifier: MIT
"""The command run, in processes of its own: which scripts it runs, compares and refuses."""

import json
import re
import sys

import pytest
from common import HAS_MICROGRAD, SCRIPTS, assert_one_line, start

from micrograd_c.cli import compare

# -- run -------------------------------------------------------------------------------------------

# Scripts that bring their own class Value, each in another style.
OWN_VALUE = [
    "accumulates",
    "closures",
    "comparisons",
    "counts",
    "dataclass_value",
    "gpt_names",
    "late_helpers",
    "left_right",
    "lesson_mlp",
    "local_grads",
    "micrograd_demo",
    "more_methods",
    "other_names",
    "pairs",
    "per_operation",
    "private_fields",
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
    text = (SCRIPTS / "closures.py").read_text() + "\n\na.square().hypot(None)\n"
    name = write(text)
    run = cli("run", "--replace-value", name)
    assert run.returncode == 1
    files = [line for line in run.stderr.splitlines() if line.startswith("  File ")]
    where = text.splitlines().index("a.square().hypot(None)") + 1
    assert f"line {where}, in <module>" in files[0] and "hypot" in files[1] and len(files) == 2
    assert "    a.square().hypot(None)\n" in run.stderr


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


# -- what the class does is kept, or refused -------------------------------------------------------

DEMO = (SCRIPTS / "micrograd_demo.py").read_text()
LOCAL = (SCRIPTS / "local_grads.py").read_text()
CLOSURES = (SCRIPTS / "closures.py").read_text()
SWEPT = "            v._backward()\n"
FIELD = "self.data = data"
ADDS = "            self.grad += out.grad\n            other.grad += out.grad\n"


def changed(text, *pairs):
    """The script with each text replaced, once, by the one after it; what has no place is added."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def with_method(text, method):
    """The demo with a method more, given without its indentation."""
    lines = "".join(f"    {line}\n" for line in method.strip().splitlines())
    return changed(text, ("    def __neg__", lines + "    def __neg__"))


KEPT = {
    "clipping in backward": changed(
        DEMO, (SWEPT, SWEPT + "        for v in topo: v.grad = max(-1.0, min(1.0, v.grad))\n")
    ),
    "weight decay in backward": changed(
        DEMO, (SWEPT, SWEPT + "        for v in topo: v.grad += 0.01 * v.data\n")
    ),
    "a step in backward": changed(
        DEMO, (SWEPT, SWEPT + "        for v in topo: v.data -= 0.01 * v.grad\n")
    ),
    "backward zeroes all": changed(
        DEMO,
        ("        self.grad = 1.0", "        for v in topo: v.grad = 0.0\n        self.grad = 1.0"),
    ),
    "backward zeroes inner nodes": changed(
        DEMO,
        (
            "        self.grad = 1.0",
            "        for v in topo: v.grad *= not v._prev\n        self.grad = 1.0",
        ),
    ),
    "the seed adds up": changed(DEMO, ("self.grad = 1.0", "self.grad += 1.0")),
    "a seed": changed(
        DEMO,
        ("def backward(self)", "def backward(self, g=1.0)"),
        ("self.grad = 1.0", "self.grad = g"),
    )
    + "a.grad = 0.0\n(a * b).backward(g=2.0)\nprint(a.grad)\n(a * b).backward(-0.3)\n"
    "print(a.grad)\n",
    "backward returns the order": changed(DEMO, (SWEPT, SWEPT + "        return topo\n"))
    + "order = g.backward()\nprint(len(order), order[-1] is g, a in order)\n",
    "floor division": with_method(
        DEMO,
        "def __floordiv__(self, other): return Value(self.data // other.data, (self, other), '//')",
    )
    + "q = Value(7.5) // Value(2.0)\nprint(q.data, q._op, len(q._prev))\n",
    "a comparison gives a Value": with_method(
        DEMO,
        "def __lt__(self, other): return Value(float(self.data < other.data), (self, other), '<')",
    )
    + "print((a < b).data, (b < a).data, (a < b)._op)\n",
    "another sign": changed(DEMO, ("(self, other), '*')", "(self, other), '\u00d7')")),
    "its own display": changed(
        DEMO,
        (
            'f"Value(data={self.data})"',
            "f'<{getattr(self, chr(110), 0)} {self.data:.3f} {type(self).__name__}>'",
        ),
    )
    + "a.n, g.n = 'a', 'g'\nprint(a, [a, g], Value, Value.__doc__)\n",
    "parents=[None]": changed(
        DEMO.replace("_prev", "parents"),
        ("_children=()", "parents=[None]"),
        ("set(_children)", "parents"),
        ("for child in v.parents:", "for child in filter(None, v.parents):"),
        ("for c in v.parents:", "for c in filter(None, v.parents):"),
    )
    + "print(a.parents, [p._op for p in g.parents])\n",
    "a list of operands": changed(DEMO, ("set(_children)", "list(_children)"))
    + "for y in 2.0 * a, a * 2.0, a + a: print([x.data for x in y._prev])\n",
    "a kink on the other side": changed(DEMO, ("(out.data > 0)", "(out.data >= 0)"))
    + "z = Value(0.0)\nz.relu().backward()\nprint(z.grad)\n",
    "a wrong derivative": changed(DEMO, ("(1 - t**2)", "(1 - x**2)")),
    "a sum that is no sum": changed(
        DEMO, ("self.data + other.data,", "self.data + other.data + 1e-3,")
    ),
    "exponents are Values": changed(
        DEMO,
        (
            "        assert isinstance(other, (int, float))",
            "        other = other if isinstance(other, "
            "Value) else Value(other)\n        assert True",
        ),
        ("self.data**other, (self,), f'**{other}'", "self.data**other.data, (self, other), '^'"),
        ("(other * self.data**(other-1))", "(other.data * self.data**(other.data-1))"),
    ),
    "what raises": DEMO + "try: a ** b\nexcept AssertionError as error: print(error)\n"
    "try: a < b\nexcept TypeError as error: print('no order')\n"
    "try: Value(0.0) ** -1\nexcept ZeroDivisionError: print('zero')\n"
    "print(hasattr(a, 'sigmoid'), hasattr(Value, 'log'), hasattr(a, 'tanh'))\n",
    "data that is no number": changed(
        DEMO, (FIELD, "self.data = float(getattr(data, 'data', data))")
    )
    + "print(Value('2.5'), Value(a), Value(True))\n"
    "try: Value('x')\nexcept ValueError as error: print(error)\n",
    "vars": DEMO + "print(sorted(vars(a)), a.__dict__['data'], vars(g)['_op'])\n",
    "a flag that nothing reads": changed(
        DEMO,
        (
            "label=''):",
            "label='', requires_grad=True):\n        self.requires_grad = requires_grad",
        ),
    )
    + "q = Value(3.0, requires_grad=False)\nprint(q.requires_grad, (q * 2).requires_grad)\n",
    "two sweeps of one graph": DEMO
    + "for p in (a, b): p.grad = 0.0\ny = (a - b) * a / b\ny.backward()\nprint(a.grad, b.grad)\n"
    "z = y * 2\nz.backward()\ny.backward()\nprint(a.grad, b.grad, y.grad)\n",
    "operands by another name": LOCAL + "print([c.data > 0 for c in loss._children])\n",
    "another class of that name of attribute": LOCAL
    + "class Tree:\n    def __init__(self): self._children = []\nprint(Tree()._children)\n",
    "Scalar": DEMO.replace("Value", "Scalar"),
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT.keys())
def test_the_same_as_in_plain_python(cli, write, tmp_path, text):
    name = write(text)
    option = ["--class", "Scalar"] if "Scalar" in text else ["--replace-value"]
    plain, ours = start(name, cwd=tmp_path), cli("run", *option, name)
    assert plain.returncode == 0, plain.stderr
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, "", 0)
    mark = "\nprint(Value.__base__ is object)\n".replace(
        "Value", "Scalar" if "Scalar" in text else "Value"
    )
    assert cli("run", *option, write(text + mark)).stdout.endswith("False\n")  # it was replaced


def test_the_class_in_a_package_beside_the_script(cli, tmp_path):
    plain = start(SCRIPTS / "package" / "train.py", cwd=tmp_path)
    ours = cli("run", "--replace-value", SCRIPTS / "package" / "train.py")
    assert (ours.stderr, ours.returncode) == ("", 0)
    assert plain.stdout.splitlines()[:5] == ours.stdout.splitlines()[:5]
    assert ours.stdout.endswith("lib.core False\n") and plain.stdout.endswith("lib.core True\n")


@pytest.mark.parametrize("options", [[], ["--replace-value"]])
def test_only_the_value_of_a_micrograd_of_the_users_own(cli, tmp_path, options):
    plain = start(SCRIPTS / "own_micrograd" / "main.py", cwd=tmp_path)
    ours = cli("run", *options, SCRIPTS / "own_micrograd" / "main.py")
    assert (ours.stderr, ours.returncode) == ("", 0)
    assert ours.stdout == plain.stdout.replace("engine True", "engine False")


def test_a_micrograd_of_the_users_own_that_computes_otherwise_stays(cli, write, tmp_path):
    write(changed(DEMO, (FIELD, "self.data = round(data, 3)")), "micrograd.py")
    name = write("from micrograd import Value\nprint(Value(1.23456) * 2)\n")
    plain, ours = start(name, cwd=tmp_path), cli("run", name)
    assert (ours.stdout, ours.returncode) == (plain.stdout, 0)
    assert ours.stderr.count("\n") == 1 and "is not micrograd: it is left as it is" in ours.stderr
    assert "1.325 in the script's class, 1.324717957244746 here" in ours.stderr
    assert "1.325 in the script's class" in cli("run", "--replace-value", name).stderr


REFUSED = {
    "= for +=": (
        changed(DEMO, (ADDS, ADDS.replace("+=", "="))),
        r"line 4: Value.__add__ at x = .*: the gradient of x is .* in the script's class, .* here",
    ),
    "rounded data": (
        changed(DEMO, (FIELD, "self.data = round(data, 6)")),
        r"Value.__init__ of 1.324717957244746: the object is 1.324718 in .*, 1.3247179\d+ here",
    ),
    "clipped data": (
        changed(DEMO, (FIELD, "self.data = max(-100.0, min(100.0, data))")),
        r"Value.__init__ of 1234.5678901234567: the object is 100.0 in .*, 1234.5678901234567 here",
    ),
    "float32": (
        changed(
            DEMO,
            (FIELD, "self.data = np.float32(data)"),
            ("import math", "import numpy as np, math"),
        ),
        r"a float32, np.float32\(1.324718\), here the float 1.324717957244746",
    ),
    "arrays": (
        changed(
            DEMO, (FIELD, "self.data = np.array(data)"), ("import math", "import numpy as np, math")
        ),
        r"holds its number in no attribute",
    ),
    "a rule on the wrong node": (
        changed(DEMO, ("        out._backward = _backward", "        self._backward = _backward")),
        r"Value.\w+.* the gradient of \w+ is .* in the script's class, .* here",
    ),
    "equal numbers are one operand": (
        with_method(
            DEMO,
            "def __eq__(self, o): return isinstance(o, Value) and self.data == o.data\n"
            "def __hash__(self): return hash(self.data)",
        ),
        r"Value.__\w+__ at x = 1.32\d+, y = 1.32\d+: the number of operands .* is 1 in .*, 2 here",
    ),
    "a graph that backward frees": (
        changed(DEMO, (SWEPT, SWEPT + "        for v in topo: v._prev = set()\n")),
        r"the number of operands of the result is 0 in the script's class, 2 here",
    ),
    "a flag that counts": (
        changed(
            DEMO,
            ("label=''):", "label='', trains=True):\n        self.trains = trains"),
            (
                "            self.grad += other.data",
                "            if self.trains: self.grad += other.data",
            ),
        )
        + "q = Value(3.0, trains=False)\n",
        r"line \d+: sets .trains to False: only the script's own Value",
    ),
    "a counter": (
        changed(
            DEMO,
            ("class Value:", "class Value:\n    made = 0"),
            (FIELD, FIELD + "\n        Value.made += 1"),
        )
        + "print(Value.made)\n",
        r"line \d+: reads .made, which only the script's own Value has",
    ),
    "a list of all nodes": (
        changed(
            DEMO,
            ("class Value:", "nodes = []\nclass Value:"),
            (FIELD, FIELD + "\n        nodes.append(self)"),
        )
        + "print(len(nodes))\n",
        r"class Value changes nodes, which this engine's Value would not",
    ),
    "printing": (
        changed(DEMO, (FIELD, FIELD + "\n        print('made')")),
        r"Value.__init__ of .*: prints 'made' in the script's class, nothing here",
    ),
    "local derivatives are read": (
        LOCAL + "print(loss._local_grads)\n",
        r"line \d+: reads ._local_grads, which only the script's own Value has",
    ),
    "local derivatives are set": (
        LOCAL + "loss._local_grads = (1,)\n",
        r"line \d+: sets ._local_grads, which only the script's own Value has",
    ),
    "the script catches everything": (
        LOCAL + "try: loss._local_grads\nexcept: pass\n",
        r"line \d+: reads ._local_grads",
    ),
    "old numbers in the rules": (
        LOCAL + "y = scale * scale\nscale.data = 3.0\ny.backward()\n",
        r"line \d+: backward on a graph whose numbers have been changed since",
    ),
    "a Value as data": (DEMO + "print(Value(a))\n", r"line \d+: gives Value a Value as its number"),
    "a gradient that starts at None": (
        re.sub(r"(\w+)\.grad \+=", r"\1.grad = (\1.grad or 0.0) +", DEMO).replace(
            "self.grad = 0.0", "self.grad = None"
        ),
        r"Value.grad starts at None there, 0.0 here",
    ),
    "a switch in the class": (
        changed(
            DEMO,
            ("class Value:", "class Value:\n    tracks = True"),
            ("set(_children)", "set(_children if Value.tracks else ())"),
        )
        + "Value.tracks = False\nprint(len((a * b)._prev))\n",
        r"class Value computes otherwise where tracks is not True, and that is assigned",
    ),
    "a switch beside it": (
        changed(DEMO, ("set(_children)", "set(_children if tracks else ())")).replace(
            "class Value:", "tracks = True\nclass Value:"
        )
        + "def off():\n    global tracks\n    tracks = False\noff()\nprint(len((a * b)._prev))\n",
        r"class Value computes otherwise where tracks is not True, and that is assigned",
    ),
    "a subclass that operations keep": (
        DEMO.replace("out = Value(", "out = type(self)(")
        + "class Parameter(Value): pass\nprint(type(Parameter(1.0) * 2))\n",
        r"Value.__\w+__ at .*: of a subclass gives the subclass, here Value",
    ),
    "a base class that is asked for": (
        changed(DEMO, ("class Value:", "class Node: pass\nclass Value(Node):"))
        + "print(isinstance(a, Node))\n",
        r"class Value is a Node, this engine's Value is not",
    ),
    "a count of operations": (
        changed(
            DEMO,
            ("class Value:", "from collections import Counter\nseen = Counter()\nclass Value:"),
            (FIELD, FIELD + "\n        seen[_op] += 1"),
        )
        + "print(seen['+'])\n",
        r"class Value changes seen, which this engine's Value would not",
    ),
    "a graph walked in the wrong order": (
        changed(DEMO, ("                topo.append(v)", "                topo.insert(0, v)")),
        r"the gradient of \w+ is .* in the script's class, .* here",
    ),
    "no operators": (
        "class Value:\n    def __init__(self, n): self.n = n\nprint(Value(3).n)\n",
        r"class Value does not compute: nothing to replace",
    ),
    "processes": (
        CLOSURES + "import multiprocessing as mp\nmp.get_context('spawn').Pool(2)\n",
        r"line \d+: starts processes that read the script anew, with the script's own Value",
    ),
}


@pytest.mark.parametrize("text, what", REFUSED.values(), ids=REFUSED.keys())
def test_refusals(cli, write, text, what):
    run = cli("run", "--replace-value", write(text))
    assert run.returncode == 2 and run.stderr.count("\n") == 1, run
    assert re.search(f"run: script.py, .*{what}", run.stderr), run.stderr


def test_the_class_by_another_name_is_pointed_out(cli, write):
    run = cli("run", "--replace-value", write(DEMO.replace("Value", "Scalar")))
    assert_one_line(run)
    assert "has no class Value to replace (is it --class Scalar?)" in run.stderr


def test_turkish(cli, tmp_path):
    plain = start(SCRIPTS / "deger.py", cwd=tmp_path)
    ours = cli("run", "--class", "Deger", SCRIPTS / "deger.py")
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, "", 0)


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
