# SPDX-License-Identifier: MIT
"""What every row of the operation table refuses, and that nothing is left of it."""

import itertools
import math

import pytest
from common import BINARY, OPERATOR_ROWS, ROWS, UNARY, any_float, closure_product, same, unary
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_c import Value, tape_stats

inf, nan = math.inf, math.nan


# -- refusals --------------------------------------------------------------------------------------

NASTY = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1.5, -1.5, 5e-324, 1e308, -1e308, 1000.0]
NASTY += [-1000.0, 1e10, inf, -inf, nan]


def outcome(function, *operands):
    """What came of it: (None, result) or (the exception's type, the exception)."""
    try:
        return None, function(*operands)
    except (ValueError, ArithmeticError) as error:
        return type(error), error


def assert_same_outcome(name, ours, theirs, *numbers):
    """The engine refuses exactly what Python refuses, by the same type; or the values agree."""
    before = tape_stats().nodes
    refused, result = outcome(ours)
    expected, value = outcome(theirs, *numbers)
    assert refused == expected, (name, numbers, result, value)
    if refused is None:
        assert same(result.data, value), (name, numbers, result, value)
        return
    message = str(result)
    assert ROWS[name]["symbol"] in message
    for x in numbers:
        assert repr(x) in message
    assert tape_stats().nodes <= before  # fewer, if garbage was collected meanwhile


@pytest.mark.parametrize("name", UNARY)
def test_a_method_refuses_what_pythons_math_refuses(name):
    for x in NASTY:
        v = Value(x)
        assert_same_outcome(name, lambda v=v: unary(name, v), UNARY[name], x)


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=100, deadline=None)
@given(st.floats())
def test_a_method_refuses_what_pythons_math_refuses_anywhere(name, x):
    v = Value(x)
    assert_same_outcome(name, lambda: unary(name, v), UNARY[name], x)


def ways_to_call(name, x, y):
    call = BINARY[name][0]
    v, w = Value(x), Value(y)
    yield lambda: call(v, w)
    yield lambda: call(v, y)
    if name in OPERATOR_ROWS:
        yield lambda: call(x, w)


@pytest.mark.parametrize("name", BINARY)
def test_an_operator_refuses_what_pythons_floats_refuse(name):
    for x, y in itertools.product(NASTY, repeat=2):
        for way in ways_to_call(name, x, y):
            assert_same_outcome(name, way, BINARY[name][1], x, y)


@pytest.mark.parametrize("name", ["truediv", "pow", "mod", "floordiv", "fmod"])
@settings(max_examples=200, deadline=None)
@given(any_float, any_float)
def test_an_operator_refuses_what_pythons_floats_refuse_anywhere(name, x, y):
    for way in ways_to_call(name, x, y):
        assert_same_outcome(name, way, BINARY[name][1], x, y)


# operation, exception, what the message says
REFUSALS = [
    (lambda: Value(0.0) ** -1, ZeroDivisionError, ["**", "0.0", "-1"]),
    (lambda: 0 ** Value(-1), ZeroDivisionError, ["**", "0.0", "-1"]),
    (lambda: Value(0.0) ** Value(-0.5), ZeroDivisionError, ["**", "0.0", "-0.5"]),
    (lambda: Value(1.0) / 0, ZeroDivisionError, ["/", "1.0", "0.0"]),
    (lambda: 1 / Value(0.0), ZeroDivisionError, ["/", "1.0", "0.0"]),
    (lambda: Value(0.0) / Value(-0.0), ZeroDivisionError, ["/", "0.0", "-0.0"]),
    (lambda: Value(nan) / 0, ZeroDivisionError, ["/", "nan", "0.0"]),
    (lambda: Value(1.0) % 0, ZeroDivisionError, ["%", "1.0", "0.0"]),
    (lambda: 7 // Value(0.0), ZeroDivisionError, ["//", "7.0", "0.0"]),
    (lambda: Value(1.0).fmod(0), ValueError, ["fmod", "1.0", "0.0"]),
    (lambda: Value(0.5).acosh(), ValueError, ["acosh", "0.5"]),
    (lambda: Value(1.0).atanh(), ValueError, ["atanh", "1.0"]),
    (lambda: Value(0.0).log2(), ValueError, ["log2", "0.0"]),
    (lambda: Value(2000.0).exp2(), OverflowError, ["exp2", "2000.0"]),
    (lambda: Value(0.0).log(), ValueError, ["log", "0.0"]),
    (lambda: Value(-1.5).log(), ValueError, ["log", "-1.5"]),
    (lambda: Value(-1.0).log1p(), ValueError, ["log1p", "-1.0"]),
    (lambda: Value(-4.0).sqrt(), ValueError, ["sqrt", "-4.0"]),
    (lambda: Value(2.0).asin(), ValueError, ["asin", "2.0"]),
    (lambda: Value(inf).sin(), ValueError, ["sin", "inf"]),
    (lambda: Value(-2.0) ** 0.5, ValueError, ["**", "-2.0", "0.5"]),
    (lambda: (-2) ** Value(0.5), ValueError, ["**", "-2.0", "0.5"]),
    (lambda: Value(-2.0) ** Value(0.5), ValueError, ["**", "-2.0", "0.5"]),
    (lambda: Value(1000.0).exp(), OverflowError, ["exp", "1000.0"]),
    (lambda: Value(1000.0).expm1(), OverflowError, ["expm1", "1000.0"]),
    (lambda: Value(-1000.0).sinh(), OverflowError, ["sinh", "-1000.0"]),
    (lambda: Value(1000.0).cosh(), OverflowError, ["cosh", "1000.0"]),
    (lambda: Value(1e200) ** 2, OverflowError, ["**", "1e+200", "2"]),
    (lambda: 10 ** Value(400), OverflowError, ["**", "10.0", "400.0"]),
]


@pytest.mark.parametrize(("operation", "exception", "words"), REFUSALS)
def test_a_refusal_names_the_operation_and_the_operand(operation, exception, words):
    with pytest.raises(exception) as refusal:
        operation()
    assert type(refusal.value) is exception
    for word in words:
        assert word in str(refusal.value)


def test_nothing_is_recorded_when_an_operation_refuses(clean):
    before = clean()
    for operation, exception, _ in REFUSALS:
        for _ in range(10):
            with pytest.raises(exception):
                operation()
        assert tape_stats().nodes == before


@pytest.mark.parametrize("heavy", [False, True], ids=["plain", "with a closure below"])
def test_a_refusal_leaves_the_operands_as_they_were(heavy, clean):
    a = Value(2.0)
    v = closure_product(a, a) if heavy else a * a
    v.grad = 7.0
    before = clean()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            v / 0
        with pytest.raises(ValueError, match="log"):
            (-v).log()
        with pytest.raises(OverflowError):
            v**1000
        with pytest.raises(TypeError):
            v + "x"
        with pytest.raises(TypeError):
            v.maximum("x")
    assert clean() == before
    assert (v.data, v.grad, v._prev) == (4.0, 7.0, {a})
    v.backward()
    assert a.grad == 4.0
