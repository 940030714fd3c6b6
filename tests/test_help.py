# SPDX-License-Identifier: MIT
"""help() and inspect.signature: every method has both, and the formulas in them are true."""

import inspect
import math
import re

import pytest
from common import ROWS

import micrograd_c
from micrograd_c import Value, losses, nn, optim, viz
from micrograd_c.engine import sum as fused_sum

UNARY = [name for name, row in ROWS.items() if row["shape"] == "unary"]
BINARY = [n for n, row in ROWS.items() if row["shape"] == "binary" and row["is_method"]]
TERNARY = [n for n, row in ROWS.items() if row["shape"] == "ternary" and row["is_method"]]
MATHS = {
    "maximum": max,
    "minimum": min,
    "exp2": lambda x: 2.0**x,  # these two are Python's from 3.11 on
    "cbrt": lambda x: math.copysign(abs(x) ** (1 / 3), x),
    **{name: what for name, what in vars(math).items() if name[0] != "_"},
}


def formulas(name, operands="x is this value"):
    """What the method's help says: its formula and derivatives as functions of x, y and z."""
    text = getattr(Value, name).__doc__
    found = re.match(
        rf"(?P<value>.*), where {operands}; a new node\.\n\n"
        r"Derivative: (?P<derivative>.*?)(, where z is the result)?\.(\n(?P<meanings>.*))?\Z",
        text,
        re.S,
    )
    assert found, text
    names = dict(MATHS)
    for helper, argument, meaning in re.findall(
        r"^(\w+)(\(x\))? is (.*)\.$", found["meanings"] or "", re.M
    ):
        names[helper] = eval(f"lambda x: {meaning}" if argument else meaning, names)
    derivatives = re.split(" by x; | by y(?:; )?| by w", found["derivative"])
    return [
        eval(f"lambda x, y, z, w=None: {formula}", names)
        for formula in (found["value"], *filter(None, derivatives))
    ]


def close(number):
    return pytest.approx(number, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", UNARY)
def test_the_help_of_an_operation_is_its_formula_and_its_derivative(name):
    value, derivative = formulas(name)
    low, high = ROWS[name]["interval"]
    for k in range(9):
        x = Value(low + (high - low) * (k + 0.5) / 9)
        y = getattr(x, name)()
        y.backward()
        assert value(x.data, None, None) == close(y.data)
        assert derivative(x.data, None, y.data) == close(x.grad)


@pytest.mark.parametrize("name", TERNARY)
def test_the_help_of_an_operation_of_three_is_its_formula_and_its_derivatives(name):
    value, *by = formulas(name, "x is this value, y and w are Values or numbers")
    for numbers in ((1.0, 0.0, 2.0), (-1.0, 0.5, 2.0), (3.0, 0.5, 2.0), (1.0, 2.0, -2.0)):
        operands = [Value(number) for number in numbers]
        out = getattr(operands[0], name)(*operands[1:])
        out.backward()
        x, y, w = numbers
        assert value(x, y, out.data, w) == close(out.data)
        assert [f(x, y, out.data, w) for f in by] == [close(v.grad) for v in operands]


@pytest.mark.parametrize("name", BINARY)
def test_the_help_of_an_operation_of_two_has_a_derivative_by_each(name):
    value, by_x, by_y = formulas(name, "x is this value, y is other, a Value or a number")
    low, high = ROWS[name]["interval"]
    for k in range(9):
        x, y = Value(low + (high - low) * (k + 0.5) / 9), Value(low + (high - low) * 0.47)
        z = getattr(x, name)(y)
        z.backward()
        assert value(x.data, y.data, None) == close(z.data)
        assert [by(x.data, y.data, z.data) for by in (by_x, by_y)] == close([x.grad, y.grad])


def test_the_help_of_tanh_reads_well():
    assert Value.tanh.__doc__ == (
        "tanh(x), where x is this value; a new node.\n\n"
        "Derivative: 1 - z**2, where z is the result."
    )


def methods(cls):
    """The class's own methods by name, with those that it inherits from classes of this package."""
    return {
        name: getattr(cls, name)
        for base in cls.__mro__
        if base.__module__.startswith("micrograd_c")
        for name, what in vars(base).items()
        if callable(what)
        and (name[0] != "_" or name.startswith("__"))
        # Not what other tests have added to the class.
        and getattr(what, "__module__", None) in (None, base.__module__, "micrograd_c._core")
    }


FUNCTIONS = [
    what for name in micrograd_c.__all__ if callable(what := getattr(micrograd_c, name))
] + [
    micrograd_c.compile,
    fused_sum,
    *(
        getattr(module, name)
        for module in (nn, optim, optim.lr_scheduler, losses, viz)
        for name in module.__all__
    ),
]


@pytest.mark.parametrize("what", FUNCTIONS, ids=lambda what: what.__name__)
def test_everything_public_has_help_and_a_signature(what):
    assert len(what.__doc__) > 20
    if not isinstance(what, type):
        assert inspect.signature(what)
        return
    for name, method in methods(what).items():
        assert inspect.getdoc(method), f"{what.__name__}.{name}"
        assert inspect.signature(method), f"{what.__name__}.{name}"


def test_a_compiled_function_has_the_help_and_the_signature_of_its_function():
    def loss(point, label):
        """The loss of one point."""
        return point * label

    f = micrograd_c.compile(loss)
    assert f.__doc__ == "The loss of one point."
    assert str(inspect.signature(f)) == "(point, label)"


def test_the_fields_of_a_value_say_what_they_are():
    for name in ("data", "grad", "label", "_op", "_prev", "_backward"):
        text = inspect.getdoc(getattr(Value, name))
        # Sphinx takes what stands before a colon there for the type.
        assert len(text) > 20 and ":" not in text.splitlines()[0], name
