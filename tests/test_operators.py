# SPDX-License-Identifier: MIT
"""Operators and methods on numbers of every kind; comparisons, text, identity."""

import math
import operator
from fractions import Fraction

import numpy as np
import pytest
from common import (
    NO_NUMBERS,
    OPERATORS,
    TOO_LARGE,
    UNARY,
    each_number,
    each_operator,
    nodes_without_garbage,
    slopes,
)
from hypothesis import given
from hypothesis import strategies as st

from micrograd_c import Value, tape_stats

inf, nan = math.inf, math.nan

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- operators -------------------------------------------------------------------------------------


@each_operator
@each_number
def test_a_number_of_any_kind_on_the_right(op, number, as_float):
    v = Value(1.0)
    result = op(v, number)
    assert type(result) is Value
    assert result.data == pytest.approx(op(1.0, as_float), rel=1e-15)
    result.backward()
    assert v.grad == pytest.approx(slopes(op, 1.0, as_float)[0])


@each_operator
@each_number
def test_a_number_of_any_kind_on_the_left(op, number, as_float):
    v = Value(3.0)
    result = op(number, v)
    assert type(result) is Value
    assert result.data == pytest.approx(op(as_float, 3.0), rel=1e-15)
    result.backward()
    assert v.grad == pytest.approx(slopes(op, as_float, 3.0)[1])


@each_operator
def test_two_values(op):
    v, w = Value(3.0), Value(0.5)
    result = op(v, w)
    assert (type(result), result.data) == (Value, op(3.0, 0.5))
    result.backward()
    assert (v.grad, w.grad) == pytest.approx(slopes(op, 3.0, 0.5))


def test_signs():
    v = Value(-3.0)
    assert ((-v).data, abs(v).data) == (3.0, 3.0)
    assert +v is v
    (-v).backward()
    assert v.grad == -1.0
    abs(v).backward()
    assert v.grad == -1.0


IN_PLACE = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "**=": operator.ipow,
    "%=": operator.imod,
    "//=": operator.ifloordiv,
}


@pytest.mark.parametrize("symbol", IN_PLACE)
def test_in_place_forms_make_new_nodes(symbol):
    v, w = Value(3.0), Value(2.0)
    expected = OPERATORS[symbol[:-1]](3.0, 2.0)
    with_value, with_number = IN_PLACE[symbol](v, w), IN_PLACE[symbol](v, 2)
    number = IN_PLACE[symbol](3.0, w)
    for result in (with_value, with_number, number):
        assert type(result) is Value and result is not v and result is not w
        assert result.data == expected
    assert v in with_value._prev and v in with_number._prev
    assert (v.data, w.data) == (3.0, 2.0)


def test_a_running_total_is_a_chain_of_nodes():
    a = Value(2.0)
    total = 0
    for _ in range(3):
        total += a * 2
    total.backward()
    assert (total.data, a.grad) == (12.0, 6.0)


def test_pythons_own_sum_works():
    values = [Value(float(k)) for k in range(4)]
    for total in (sum(values), sum(values, Value(0.0)), sum(values, 0.0)):
        total.backward()
        assert (total.data, [v.grad for v in values]) == (6.0, [1.0] * 4)


UNSUPPORTED = {
    name: pair[0]
    for name, pair in NO_NUMBERS.items()
    if not isinstance(pair[0], Value | np.generic)
}
UNSUPPORTED = {n: thing for n, thing in UNSUPPORTED.items() if not isinstance(thing, np.ndarray)}


def error_of(operation, *operands):
    with pytest.raises(TypeError) as error:
        operation(*operands)
    return str(error.value)


@pytest.mark.parametrize("thing", UNSUPPORTED.values(), ids=UNSUPPORTED)
@pytest.mark.parametrize(
    "op",
    [*OPERATORS.values(), operator.lt, operator.le, operator.gt, operator.ge],
    ids=lambda op: op.__name__,
)
def test_an_unsupported_operand_gives_pythons_own_type_error(op, thing):
    v = Value(1.0)
    stranger = type("Value", (), {})()  # a class of that name that supports nothing
    before = nodes_without_garbage()
    for _ in range(3):
        assert error_of(op, v, thing) == error_of(op, stranger, thing)
        assert error_of(op, thing, v) == error_of(op, thing, stranger)
    assert tape_stats().nodes == before


@pytest.mark.parametrize(
    "op",
    [operator.matmul, operator.lshift, operator.and_, divmod],
    ids=lambda op: op.__name__,
)
def test_an_operator_that_is_not_there_gives_pythons_own_type_error(op):
    v, stranger = Value(1.0), type("Value", (), {})()
    assert error_of(op, v, 2) == error_of(op, stranger, 2)
    assert error_of(op, 2, v) == error_of(op, 2, stranger)
    assert error_of(op, v, v) == error_of(op, stranger, stranger)


@pytest.mark.parametrize("protocol", [len, iter, next, hex, list, lambda v: v[0], lambda v: v()])
def test_a_value_is_a_scalar_and_nothing_else(protocol):
    assert error_of(protocol, Value(1.0))


def test_a_power_modulo_is_a_type_error():
    with pytest.raises(TypeError):
        pow(Value(2.0), 2, 3)


@each_operator
def test_an_operand_of_another_class_gets_its_turn(op):
    class Other:
        def answer(self, value):
            return "other", value

        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = answer
        __rmod__ = __rfloordiv__ = answer

    v = Value(1.0)
    kind, value = op(v, Other())
    assert kind == "other" and value is v


@each_operator
def test_an_int_too_large_for_a_float_overflows_as_it_does_with_floats(op):
    v = Value(2.0)
    before = nodes_without_garbage()
    for _ in range(3):
        with pytest.raises(OverflowError):
            op(v, TOO_LARGE)
        with pytest.raises(OverflowError):
            op(TOO_LARGE, v)
    assert tape_stats().nodes == before


METHODS = [name for name in UNARY if name not in ("neg", "normal_cdf")] + ["leaky_relu"]


def test_the_contracts_methods_of_one_operand_are_there():
    contract = (
        "exp exp2 expm1 log log2 log10 log1p sqrt cbrt sin cos tan asin acos atan sinh cosh tanh "
        "asinh acosh atanh sigmoid relu leaky_relu softplus gelu silu erf erfc abs sign floor ceil"
    )
    assert sorted(METHODS) == sorted(contract.split())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_contract_returns_a_new_node(name):
    v = Value(1.5 if name == "acosh" else 0.5)
    result = getattr(v, name)()
    assert type(result) is Value and result is not v
    assert (result._op, result._prev) == (name, {v})
    with pytest.raises(TypeError):
        getattr(v, name)(1, 2)


@pytest.mark.parametrize("slope", [0.01, 0.2, 0, -1, Fraction(1, 2), np.float32(0.25)])
def test_leaky_relu_takes_its_slope_in_any_way(slope):
    v = Value(-2.0)
    for result in (v.leaky_relu(slope), v.leaky_relu(slope=slope)):
        assert result.data == -2.0 * float(slope)
    assert v.leaky_relu().data == -0.02


@each_number
def test_methods_of_two_take_any_number(number, as_float):
    v = Value(1.25)
    assert v.atan2(number).data == math.atan2(1.25, as_float)
    assert v.hypot(number).data == math.hypot(1.25, as_float)
    assert v.maximum(number).data == max(1.25, as_float)
    assert v.minimum(number).data == min(1.25, as_float)


@pytest.mark.parametrize("thing", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_bad_argument_is_a_type_error_that_names_the_method(thing):
    v = Value(1.0)
    before = nodes_without_garbage()
    for name in ("maximum", "minimum", "atan2", "hypot", "leaky_relu"):
        with pytest.raises(TypeError, match=rf"{name}.*\b{type(thing).__name__}\b"):
            getattr(v, name)(thing)
        assert tape_stats().nodes == before
    with pytest.raises(TypeError, match="leaky_relu"):
        v.leaky_relu(v)


# -- comparisons, text, identity -------------------------------------------------------------------

COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
each_comparison = pytest.mark.parametrize("compare", COMPARISONS.values(), ids=COMPARISONS)


@each_comparison
@given(st.floats(), st.floats() | st.integers() | st.fractions() | st.booleans())
def test_comparisons_are_those_of_the_data(compare, x, number):
    v = Value(x)
    assert compare(v, number) is compare(x, number)
    assert compare(number, v) is compare(number, x)
    y = float(number)
    assert compare(v, Value(y)) is compare(x, y)


@each_comparison
@each_number
def test_comparisons_with_a_number_of_any_kind(compare, number, as_float):
    for x in (as_float / 2, as_float * 2):
        assert bool(compare(Value(x), number)) is bool(compare(x, number))
        assert bool(compare(number, Value(x))) is bool(compare(number, x))


@each_comparison
@pytest.mark.parametrize(
    "number",
    [TOO_LARGE, -TOO_LARGE, Fraction(TOO_LARGE), 2**53 + 1, Fraction(1, 3)],
    ids=["10**400", "-10**400", "Fraction(10**400)", "2**53 + 1", "1/3"],
)
def test_comparisons_are_exact_as_pythons(compare, number):
    for x in (0.0, inf, -inf, nan, 2.0**53, 1 / 3):
        assert compare(Value(x), number) is compare(x, number)
        assert compare(number, Value(x)) is compare(number, x)


def test_values_sort_by_their_data():
    a, b, c = Value(3.0), Value(1.0), Value(2.0)
    assert [v.data for v in sorted([a, b, c])] == [1.0, 2.0, 3.0]
    assert max(a, b, c) is a and min([a, b, c], key=lambda v: v) is b
    assert 0 < c < 3


def test_comparing_records_nothing():
    v, w = Value(1.0), Value(2.0)
    before = nodes_without_garbage()
    results = [v < w, v <= 1, v > 0.0, v >= Fraction(1, 2), v == w, v != w]
    assert results == [True, True, True, True, False, True]
    assert tape_stats().nodes == before


def test_equality_and_hash_are_identity():
    a, b = Value(2.0), Value(2.0)
    for x, y in [(a, b), (a, 2.0), (2.0, a), (a, None), (a, "a")]:
        assert operator.ne(x, y) is True and operator.eq(x, y) is False
    assert operator.eq(a, a) is True and operator.ne(a, a) is False
    before = hash(a)
    a.data = 3.0
    assert hash(a) == before
    assert len({a, b, a}) == 2 and {a: 1, b: 2}[b] == 2
    assert b not in [a] and [a, b].index(b) == 1


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, nan])
def test_the_truth_value_stays_true(number):
    assert bool(Value(number)) is True


@pytest.mark.parametrize(
    "spec", [".4f", "+.3e", "10.2f", ">10", "<12.1f", "g", "%", "08.3f", ",.2f"]
)
@pytest.mark.parametrize("number", [2.0, -1234.5678, inf, nan, 1e-9])
def test_a_format_is_that_of_the_data(number, spec):
    assert format(Value(number), spec) == format(number, spec)
    assert f"{Value(number):.4f}" == f"{number:.4f}"


def test_a_bad_format_is_pythons_value_error():
    for bad in ("d", "s", "zz"):
        with pytest.raises(ValueError):
            format(Value(1.0), bad)


@pytest.mark.parametrize(
    ("data", "grad", "text"),
    [
        (2.0, 0.0, "Value(data=2.0, grad=0.0)"),
        (-10, 1, "Value(data=-10.0, grad=1.0)"),
        (0.1, 1e-300, "Value(data=0.1, grad=1e-300)"),
        (nan, inf, "Value(data=nan, grad=inf)"),
        (-0.0, -inf, "Value(data=-0.0, grad=-inf)"),
    ],
)
def test_the_text_of_a_value(data, grad, text):
    v = Value(data, label="not shown")
    v.grad = grad
    assert repr(v) == str(v) == f"{v}" == f"{v!r}" == "%s" % v == text  # noqa: UP031
    assert repr([v]) == f"[{text}]"


NO_FLOAT = {
    "float": float,
    "int": int,
    "complex": complex,
    "math.exp": math.exp,
    "math.floor": math.floor,
    "round": round,
    "index": operator.index,
    "list index": lambda v: [1][v],
    "range": range,
    "np.float64": np.float64,
    "float array": lambda v: np.array([v], dtype=float),
    "array element": lambda v: np.zeros(1).__setitem__(0, v),
}


@pytest.mark.parametrize("convert", NO_FLOAT.values(), ids=NO_FLOAT)
def test_no_gradient_is_lost_in_a_silent_conversion(convert):
    with pytest.raises(TypeError):
        convert(Value(1.0))
    assert not hasattr(Value, "__float__") and not hasattr(Value, "__index__")
