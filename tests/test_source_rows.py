# SPDX-License-Identifier: MIT
"""Each row of the operation table as text, and random programs, against the scalar executor."""

import itertools
import operator
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from languages import check_gradients, check_outputs, compiled, each_language, need, outputs

from micrograd_c import Value, _core, clip, where
from micrograd_c.export import cells
from micrograd_c.export.dialects import DIALECTS, Expressions, Text

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

import programs
from programs_function import Function

# -- rows of the operation table -------------------------------------------------------------------

# Each method of the table by its name; operators and what has a number of its own.
ROWS = {
    row["name"]: (
        {"unary": 1, "binary": 2, "ternary": 3}[row["shape"]],
        operator.methodcaller(row["name"])
        if row["shape"] == "unary"
        else lambda *operands, name=row["name"]: getattr(operands[0], name)(*operands[1:]),
    )
    for row in _core.operations()
    if row["is_method"] and not row["is_inner"]
}
ROWS |= {
    "add": (2, operator.add),
    "sub": (2, operator.sub),
    "mul": (2, operator.mul),
    "truediv": (2, operator.truediv),
    "pow": (2, operator.pow),
    "mod": (2, operator.mod),
    "floordiv": (2, operator.floordiv),
    "neg": (1, operator.neg),
    "where": (3, where),
    "detach": (1, Value.detach),
    "leaky_relu": (1, lambda x: x.leaky_relu(0.2)),
    "pow_number": (1, lambda x: x**-1.5),
    "a square": (1, lambda x: x**2),
    "a cube": (1, lambda x: x**3),
    "a number to a power": (1, lambda x: 2.0**x),
    "a comparison": (3, lambda x, y, w: where(x < y, w, 1.5)),
    "at least": (3, lambda x, y, w: where(x >= y, w, y)),
    "both numbers": (1, lambda x: where(x > 0.5, 0.1, 0.7)),
    "maximum with a number": (1, lambda x: x.maximum(0.1)),
    "mod of a number": (1, lambda x: 3.1 % x),
    "between numbers": (1, lambda x: clip(x, -1.1, 0.5)),
}
SPECIAL = [-np.inf, -300.0, -2.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 2.5, 300.0, np.inf, np.nan]
# What C's and NumPy's functions give, and others do not: at the ends of the range, and numbers
# below the smallest normal one, which JAX takes for 0.
FURTHER = [-710.0, 710.0, 1e300, 1e-310]
# Where a language's own function gives the other zero.
OTHER_ZEROS = {"maximum", "minimum", "clip", "cbrt", "relu", "softplus", "maximum with a number"}


def test_every_row_is_among_them():
    rows = [row for row in _core.operations() if not row["is_inner"]]
    missing = {row["name"] for row in rows if row["shape"] != "variadic"} - ROWS.keys()
    assert not missing


def grid(numbers, arity):
    points = np.array(list(itertools.product(numbers, repeat=arity)))
    return [points[:, k].copy() for k in range(arity)]


def function_of(fn, arity):
    return [lambda x: fn(x), lambda x, y: fn(x, y), lambda x, y, w: fn(x, y, w)][arity - 1]


@each_language
@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_the_same_numbers(row, language):
    need(language)
    arity, fn = ROWS[row]
    numbers = SPECIAL + (FURTHER if language in ("c", "numpy") else [])
    arrays = grid(numbers, arity)
    f = compiled(function_of(fn, arity))
    f(*[[0.5]] * arity)
    check_outputs(f, language, arrays, rtol=1e-12, atol=0)
    if language in ("c", "numpy") or row not in OTHER_ZEROS:
        (found,) = outputs(f, language, "function", arrays, [()])
        wanted = f(*arrays)
        zeros = np.asarray(wanted) == 0
        assert (np.signbit(found) == np.signbit(wanted))[zeros].all()


INNER = {
    "same": lambda x: x,
    "less": lambda x, y: float(x < y),
    "less_equal": lambda x, y: float(x <= y),
    "equal": lambda x, y: float(x == y),
    "product": lambda x, y: 0.0 if x == 0 else x * y,
    "whole_quotient": None,  # of floordiv, which is above
}


@pytest.mark.parametrize("language", ["numpy", "jax", "torch"])
@pytest.mark.parametrize("row", INNER)
def test_an_inner_row_has_the_same_numbers(row, language):
    need(language)
    assert {r["name"] for r in _core.operations() if r["is_inner"]} == INNER.keys()
    if INNER[row] is None:
        return
    arity = {"unary": 1, "binary": 2}[cells.ROWS[row]["shape"]]
    expressions = Expressions(DIALECTS[language])
    expressions.first = "x"
    text = expressions.row(row, [Text("x"), Text("y")][:arity]).text
    module = {"numpy": "numpy", "jax": "jax.numpy", "torch": "torch"}[language]
    namespace = {DIALECTS[language].prefix[:-1]: __import__(module, fromlist=["where"])}
    for function in expressions.functions.values():
        exec(function, namespace)
    arrays = grid(SPECIAL, arity)
    array = namespace[DIALECTS[language].prefix[:-1]]
    namespace |= zip("xy", map(array.asarray, arrays), strict=False)
    with np.errstate(invalid="ignore"):
        wanted = [INNER[row](*point) for point in zip(*arrays, strict=True)]
        np.testing.assert_array_equal(np.asarray(eval(text, namespace)), wanted)


@pytest.mark.parametrize("language", ["c", "numpy"])
@pytest.mark.parametrize("row", [row for row in ROWS if row != "detach"])
def test_a_row_has_the_same_derivatives(row, language):
    arity, fn = ROWS[row]
    low, high = cells.ROWS[row]["interval"] if row in cells.ROWS else (-2.0, 2.0)
    chance = random.Random(row)
    parameters = [Value(chance.uniform(low, high)) for _ in range(arity)]
    f = compiled(lambda x: fn(*[x * p for p in parameters]))
    check_gradients(f, language, [np.linspace(0.9, 1.0, 7)])


@pytest.mark.parametrize("language", ["jax", "torch"])
@pytest.mark.parametrize("row", [row for row in ROWS if row not in ("detach", "both numbers")])
def test_other_packages_derive_the_text_rightly(row, language):
    test_a_row_has_the_same_derivatives(row, language)


KINKS = {
    "relu": ([0.0], Value.relu),
    "abs": ([0.0], abs),
    "sigmoid": ([0.0], Value.sigmoid),
    "softplus": ([0.0], Value.softplus),
    "silu": ([0.0], Value.silu),
    "gelu": ([0.0], Value.gelu),
    "leaky_relu": ([0.0], lambda x: x.leaky_relu(0.2)),
    "a tie": ([1.5, 1.5], Value.maximum),
    "another tie": ([1.5, 1.5], Value.minimum),
    "a square": ([0.0], lambda x: x**2),
}


@each_language
@pytest.mark.parametrize("name", KINKS)
def test_derivatives_at_kinks(name, language):
    if (name, language) == ("abs", "jax"):
        return  # JAX's is 1
    points, fn = KINKS[name]
    parameters = [Value(point) for point in points]
    f = compiled(lambda x: fn(*parameters) * x)
    check_gradients(f, language, [np.array([1.0, 2.0])])


# -- random programs -------------------------------------------------------------------------------

STEPS = {
    name: weight
    for name, (weight, _) in programs.OPERATIONS.items()
    if name not in ("custom", "read", "grad_read", "inner_number")
}


@each_language
@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed, language):
    need(language)
    chance = random.Random(seed)
    count = chance.choice([3, 8, 15, 30])
    steps = [
        (name, chance.getrandbits(64))
        for name in chance.choices(list(STEPS), list(STEPS.values()), k=count)
        if language in ("c", "numpy") or "draw" not in name
    ]
    fn = Function(seed, steps, {"choices", "operations"})
    draw = np.random.default_rng(seed)
    arrays = [draw.normal(size=(5, n) if n > 0 else 5) for n in fn.structure]
    if fn.has_index:
        arrays.append(draw.integers(-3, 3, size=5).astype(float))
    f = compiled(fn, reduction=chance.choice(["mean", "sum"]))
    try:
        f(*arrays, seed=1)
    except (ValueError, OverflowError, ZeroDivisionError):
        return  # eager code refuses the first sample's numbers
    check_outputs(f, language, arrays, f._last.shapes, seed=1, rtol=1e-7, atol=1e-9)
    if language in ("c", "numpy") and f._last.shapes == [()] and f._last.parameters:
        check_gradients(f, language, arrays, seed=1, rtol=1e-6, atol=1e-8)
