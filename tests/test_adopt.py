# SPDX-License-Identifier: MIT
"""Classes of the user's own on this engine: what is kept, and what is refused."""

import ast
import random
import re
import shutil

import pytest
from common import SCRIPTS, assert_one_line, start

DEMO = (SCRIPTS / "micrograd_demo.py").read_text()
MORE = (SCRIPTS / "more_methods.py").read_text()
ENGINE = DEMO[: DEMO.index("def trace")]  # the class alone
LOCAL = (SCRIPTS / "local_grads.py").read_text()
CLOSURES = (SCRIPTS / "closures.py").read_text()
SWEPT = "            v._backward()\n"
FIELD = "self.data = data"
TURKISH = {
    "Value": "Deger",
    "data": "veri",
    "grad": "turev",
    "_backward": "_geri",
    "_prev": "_onceki",
    "label": "etiket",
}
BY_NAME = (
    "class Value:\n    def __init__(self, data, of=(), op=''):\n"
    "        self.data, self.grad, self.of, self.op = data, 0.0, of, op\n"
    "    def __add__(self, o): return Value(self.data + o.data, (self, o), '+')\n"
    "    def __mul__(self, o): return Value(self.data * o.data, (self, o), '*')\n"
    "    def backward(self):\n        order = []\n        def visit(v):\n"
    "            if v not in order:\n                for x in v.of: visit(x)\n"
    "                order.append(v)\n        visit(self)\n        self.grad = 1.0\n"
    "        for v in reversed(order):\n            for x, y in zip(v.of, v.of[::-1]):\n"
    "                x.grad += v.grad * (y.data if v.op == '*' else 1.0)\n"
)
LEFT_RIGHT = (SCRIPTS / "left_right.py").read_text()
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
        DEMO, (SWEPT, SWEPT + "        for v in topo: v.data -= 1e-6 * v.grad\n")
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
    "its own pickling": with_method(
        DEMO,
        "def __getstate__(self): return {'data': self.data, 'label': self.label}\n"
        "def __setstate__(self, state): self.__init__(state['data'], label=state['label'])",
    )
    + "import copy, pickle\nq = pickle.loads(pickle.dumps([a, g]))\n"
    "print(q, q[0].label, q[1].grad, copy.deepcopy(g))\n",
    "a copy of a leaf without a label": DEMO.replace(", label=''", "")
    .replace("        self.label = label\n", "")
    .replace(", label='a'", "")
    .replace(", label='b'", "")
    .replace(", sorted(x.label for x in n)[-3:]", "")
    + "import copy\nq = copy.copy(a)\nq.data = 7.0\nprint(a, q, round(q.grad, 9))\n",
    "arrays of Values": "import numpy as np\n"
    + DEMO
    + "o = np.array([[a, b], [b, a]]) @ np.array([a, 2.0])\nprint(o[0].data, o.sum().data)\n"
    "print((np.array([1.0, 2.0]) * a)[1].data, (np.float64(2.0) * a).data, np.exp(b).data)\n",
    "a class that grows": "class Value:\n    def __init__(self, data): self.data = data\n"
    "    def __repr__(self): return f'first {self.data}'\nprint(Value(2))\n" + DEMO,
    "two sweeps of one graph": DEMO + "for p in (a, b): p.grad = 0.0\ny = (a - b) * a / b\n"
    "y.backward()\nprint(round(a.grad, 9), round(b.grad, 9))\n"
    "z = y * 2\nz.backward()\ny.backward()\nprint(round(a.grad, 9), round(b.grad, 9), y.grad)\n",
    "a subclass that operations keep": DEMO.replace("out = Value(", "out = type(self)(")
    + "class Parameter(Value): pass\np = Parameter(1.0, label='p') * 2\n"
    + "print(type(p).__name__, p._op)\np.backward()\nprint(type(p.tanh()).__name__, p.grad)\n",
    "data in a private attribute": changed(
        DEMO,
        (FIELD, "self.__data = data"),
        (
            "    def __repr__",
            "    @property\n    def data(self): return self.__data\n"
            "    @data.setter\n    def data(self, v): self.__data = v\n    def __repr__",
        ),
    ),
    "functions that follow the class": changed(
        DEMO,
        (
            "        topo = []",
            "        return run_backward(self)\n    def _old(self):\n        topo = []",
        ),
        (
            "def trace",
            "LIMIT = 1e-3\nimport sys\nclass Order(list):\n    name = 'order'\n"
            "def run_backward(root, kind: 'Value' = None):\n    topo, seen = Order(), set()\n"
            "    def b(v):\n        if v not in seen:\n            seen.add(v)\n"
            "            for c in v._prev: b(c)\n            topo.append(v)\n    b(root)\n"
            "    root.grad = 1.0\n    for v in reversed(topo): v._backward()\n\ndef trace",
        ),
    ),
    "operands by another name": LOCAL + "print([c.data > 0 for c in loss._children])\n",
    "another class of that name of attribute": LOCAL
    + "class Tree:\n    def __init__(self): self._children = []\nprint(Tree()._children)\n",
    "operations by name": BY_NAME
    + "a, b = Value(2.0), Value(-0.5)\ny = a * b + a * a\ny.backward()\nprint(a.grad, b.grad)\n",
    "operations by name, node by node": LEFT_RIGHT
    + "a.grad = 0\nValue(a.data * b.data, a, b, '*').backward()\nprint(a.grad)\n",
    "Scalar": DEMO.replace("Value", "Scalar"),
    "all in Turkish": re.sub(
        r"\b(Value|data|grad|_backward|_prev|label)\b", lambda word: TURKISH[word[0]], DEMO
    )
    + "print([hasattr(a, n) for n in ('data', 'label', 'veri')], hasattr(Deger, 'grad'))\n",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT.keys())
def test_the_same_as_in_plain_python(cli, write, tmp_path, text):
    name = write(text)
    kind = re.findall(r"^class (Value|Scalar|Deger)\b", text, re.MULTILINE)[0]
    option = ["--replace-value"] if kind == "Value" else ["--class", kind]
    plain, ours = start(name, cwd=tmp_path), cli("run", *option, name)
    assert plain.returncode == 0, plain.stderr
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, "", 0)
    mark = f"\nprint({kind}.__base__ is object)\n"
    assert cli("run", *option, write(text + mark)).stdout.endswith("False\n")  # it was replaced


def with_engine(tmp_path, folder, place):
    """A folder of scripts, in which the demo's class is a module of a package."""
    shutil.copytree(SCRIPTS / folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / place).write_text(ENGINE)


def test_the_class_in_a_package_beside_the_script(cli, tmp_path):
    with_engine(tmp_path, "package", "lib/core.py")
    plain, ours = start("train.py", cwd=tmp_path), cli("run", "--replace-value", "train.py")
    assert (ours.stderr, ours.returncode) == ("", 0)
    assert plain.stdout.splitlines()[:5] == ours.stdout.splitlines()[:5]
    assert ours.stdout.endswith("lib.core False\n") and plain.stdout.endswith("lib.core True\n")


@pytest.mark.parametrize("options", [[], ["--replace-value"]])
def test_only_the_value_of_a_micrograd_of_the_users_own(cli, tmp_path, options):
    with_engine(tmp_path, "own_micrograd", "micrograd/engine.py")
    plain, ours = start("main.py", cwd=tmp_path), cli("run", *options, "main.py")
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


def test_a_class_that_stays_has_its_switches_as_they_were(cli, write, tmp_path):
    text = changed(ENGINE, ("set(_children)", "set(_children if tracks else ())"))
    text = "tracks = True\n" + text + "def off():\n    global tracks\n    tracks = False\n"
    write(text, "micrograd.py")
    name = write(
        "import micrograd\nfrom micrograd import Value\n"
        "print(micrograd.tracks, len((Value(1.0) * 2.0)._prev))\n"
        "micrograd.off()\nprint(len((Value(1.0) * 2.0)._prev))\n"
    )
    plain, ours = start(name, cwd=tmp_path), cli("run", name)
    assert (ours.stdout, ours.returncode) == (plain.stdout, 0)
    assert "computes otherwise where tracks is not True, and that is assigned" in ours.stderr


REFUSED = {
    "= for +=": (
        changed(DEMO, (ADDS, ADDS.replace("+=", "="))),
        r"line 4: Value.__add__ at x = .* in the script's class, .* here",
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
        r"line \d+: sets .trains, which only the script's own Value computes with",
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
        r"Value.__init__ of .*: what it prints is 'made\\n' in the script's class, '' here",
    ),
    "local derivatives are read": (
        LOCAL + "print(loss._local_grads)\n",
        r"line \d+: reads ._local_grads, which only the script's own Value has",
    ),
    "local derivatives are set": (
        LOCAL + "loss._local_grads = (1,)\n",
        r"line \d+: sets ._local_grads, which only the script's own Value computes with",
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
    "a base class that is asked for": (
        changed(DEMO, ("class Value:", "class Node: pass\nclass Value(Node):"))
        + "print(isinstance(a, Node))\n",
        r"class Value is a Node, this engine's Value is not",
    ),
    "a switch in a list": (
        changed(DEMO, ("set(_children)", "set(_children if tracks[0] else ())")).replace(
            "class Value:", "tracks = [True]\nclass Value:"
        )
        + "tracks[0] = False\nprint(len((a * b)._prev))\n",
        r"class Value computes otherwise where tracks is not True, and that is assigned",
    ),
    "random numbers in the constructor": (
        changed(DEMO, (FIELD, FIELD + "\n        self.key = random.random()")),
        r"Value.__init__ of .*: whether it draws random numbers is True in .*, False here",
    ),
    "a register of parameters": (
        changed(
            DEMO,
            ("class Value:", "register = []\nclass Value:"),
            (FIELD, FIELD + "\n        if _op == 'parameter': register.append(self)"),
        )
        + "p = Value(3.0, (), 'parameter')\n(p * 2).backward()\nprint(register[0].grad)\n",
        r"line \d+: has the constructor of Value keep the object elsewhere",
    ),
    "= in a method of three operands": (
        with_method(
            DEMO,
            "def fma(self, b, c):\n    out = Value(self.data * b.data + c.data, (self, b, c))\n"
            "    def _backward(): self.grad = b.data * out.grad\n"
            "    out._backward = _backward\n    return out",
        ),
        # Its sweep goes through sets, by address: which probe shows it first is chance.
        r"Value.fma at x = .*: (the|a) gradient of .* in the script's class, .* here",
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
    "a chain rule that the constructor makes": (
        changed(
            DEMO,
            ("lambda: None", "self.spread if _op == 'sum' else lambda: None"),
            (
                "    def __neg__",
                "    def spread(self):\n        for v in self._prev: v.grad += self.grad\n"
                "    def __neg__",
            ),
        )
        + "s = Value(a.data + b.data, (a, b), 'sum')\ns.backward()\nprint(a.grad)\n",
        r"line \d+: makes a node whose derivative only the script's own Value knows",
    ),
    "a chain rule by the name of the operation": (
        BY_NAME
        + "a = Value(2.0)\nValue(a.data * 3.0, (a, Value(3.0)), '*').backward()\nprint(a.grad)\n",
        r"line \d+: makes a node whose derivative only the script's own Value knows",
    ),
    "a graph walked in the wrong order": (
        changed(DEMO, ("                topo.append(v)", "                topo.insert(0, v)")),
        r"the gradient of \w+ is .* in the script's class, .* here",
    ),
    "no operators": (
        "class Value:\n    def __init__(self, n): self.n = n\nprint(Value(3).n)\n",
        r"class Value does not compute: nothing to replace",
    ),
    "an array as an operand": (
        "import numpy as np\n" + DEMO + "print(a * np.array([1.0, 2.0]))\n",
        r"line \d+: computes a Value with an array: its number would be an array",
    ),
    "copying a graph": (
        DEMO + "import copy\nprint(copy.deepcopy(a), copy.deepcopy(g))\n",
        r"line \d+: copies or pickles a node of a graph; here only leaves can be",
    ),
    "writing into __dict__": (
        DEMO + "a.__dict__.update(data=7.0)\nprint(a)\n",
        r"line \d+: writes into the __dict__ of a Value, which is only shown here",
    ),
    "catching everything, and leaving": (
        DEMO + "import sys\ntry: Value('x')\nexcept: pass\ntry: Value(a)\nexcept: sys.exit(0)\n",
        r"line \d+: gives Value a ",
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


# -- small changes anywhere in the class ---------------------------------------------------------


def mutants(text):
    """The script with one thing changed in its class, such as a number, an operator, a name."""
    tree = ast.parse(text)
    kind = next(node for node in tree.body if getattr(node, "name", "") == "Value")
    for node in ast.walk(kind):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield from changes(tree, node, "value", [node.value + 1, 0.5 * node.value + 0.001])
        elif isinstance(node, (ast.BinOp, ast.AugAssign)):
            yield from changes(tree, node, "op", [ast.Add(), ast.Sub(), ast.Mult()])
        elif isinstance(node, ast.Compare):
            yield from changes(tree, node, "ops", [[ast.GtE()], [ast.Lt()]])
        elif isinstance(node, ast.Name) and node.id in ("self", "other", "out"):
            yield from changes(tree, node, "id", ["self", "other", "out"])
        elif isinstance(node, ast.Attribute) and node.attr in ("data", "grad"):
            yield from changes(tree, node, "attr", ["data", "grad"])
        elif isinstance(node, (ast.FunctionDef, ast.For)) and len(node.body) > 1:
            without = [node.body[:i] + node.body[i + 1 :] for i in range(len(node.body))]
            yield from changes(tree, node, "body", without)


def changes(tree, node, field, others):
    before = getattr(node, field)
    for other in others:
        setattr(node, field, other)
        yield ast.unparse(tree)
    setattr(node, field, before)


def test_mutants_print_the_same_or_are_refused(cli, write, tmp_path):
    chosen = random.Random(11).sample(list(mutants(DEMO)), 20)
    same = 0
    for text in chosen:
        name = write(text)
        plain = start(name, cwd=tmp_path)
        if plain.returncode:
            continue
        ours = cli("run", "--replace-value", name)
        if ours.returncode == 2:
            assert ours.stderr.count("\n") == 1, (text, ours.stderr)
        else:
            assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, "", 0), text
            same += 1
    assert same > 3
