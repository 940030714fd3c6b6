# SPDX-License-Identifier: MIT
"""Every row of the operation table: its value, its derivative, what its nodes show."""

import itertools
import math

import pytest
from common import (
    BINARY,
    FLAT,
    INNER,
    LOOPS,
    OPERATOR_ROWS,
    ROWS,
    SCALED,
    STEPS,
    STOPPED,
    TERNARY,
    UNARY,
    VARIADIC,
    any_float,
    gradients,
    inf,
    leaves,
    same,
    unary,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from micrograd_c import Value, _core

KINKS_AT_ZERO = {"abs", "sign", "relu", "leaky_relu"}

# Those whose value a function of the math module gives: the engine calls the same libm.
LIBM = [name for name in UNARY if hasattr(math, name)]


def interval(name):
    return st.floats(*ROWS[name]["interval"])


def is_smooth(name, *numbers):
    """Whether there is no kink and no jump nearby."""
    if name in KINKS_AT_ZERO:
        return abs(numbers[0]) > 1e-4
    if name in ("maximum", "minimum"):
        return abs(numbers[0] - numbers[1]) > 1e-4
    if name in STEPS:
        quotient = numbers[0] / (numbers[1] if len(numbers) > 1 else 1.0)
        return abs(quotient - round(quotient)) > 1e-3
    return True


# -- the table -------------------------------------------------------------------------------------


def test_every_row_of_the_table_is_tested_here_and_nothing_else():
    tested = {
        **dict.fromkeys(UNARY, "unary"),
        **dict.fromkeys(BINARY, "binary"),
        **dict.fromkeys(SCALED, "scaled"),
        **dict.fromkeys(TERNARY, "ternary"),
        **dict.fromkeys(VARIADIC, "variadic"),
    }
    assert {name: row["shape"] for name, row in ROWS.items()} == tested


def test_a_row_that_only_compiled_functions_record_is_nobodys_method():
    assert {row["name"]: row["shape"] for row in STOPPED} == {"detach": "stopped"}
    x = Value(2.0)
    assert (x.detach()._op, x.detach()._prev) == ("", set())
    assert "detach" not in _core.activations


def test_names_in_the_table_are_unique():
    assert len(ROWS) + len(STOPPED) + len(INNER) + len(LOOPS) == len(_core.operations())


def test_inner_rows_are_nobodys_method():
    for row in INNER:
        assert not row["is_method"] and not hasattr(Value, row["name"])
        assert row["name"] not in _core.activations


@pytest.mark.parametrize("name", [*UNARY, *BINARY, *SCALED])
def test_every_interval_lies_inside_the_domain(name):
    low, high = ROWS[name]["interval"]
    assert low < high
    for x, y in itertools.product((low, high), repeat=2):
        if name in UNARY:
            UNARY[name](x)
        else:
            {**BINARY, **SCALED}[name][1](x, y)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_a_method_is_pythons(name, data):
    x = data.draw(interval(name))
    assert same(unary(name, Value(x)).data, UNARY[name](x))


@pytest.mark.parametrize("name", LIBM)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_a_math_function_has_libms_quality(name, data):
    x = data.draw(interval(name))
    theirs = UNARY[name](x)
    assert abs(unary(name, Value(x)).data - theirs) <= 2 * math.ulp(theirs)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_an_operator_is_pythons(name, data):
    call, value = BINARY[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    expected = pytest.approx(value(x, y), rel=1e-15, abs=0)
    assert call(Value(x), Value(y)).data == expected
    assert call(Value(x), y).data == expected
    if name in OPERATOR_ROWS:
        assert call(x, Value(y)).data == expected


@pytest.mark.parametrize("name", SCALED)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_an_operation_with_a_number(name, data):
    call, value = SCALED[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    assert call(Value(x), y).data == pytest.approx(value(x, y), rel=1e-15, abs=0)


@pytest.mark.parametrize("name", ["mod", "floordiv"])
@given(any_float, any_float)
@example(-7.0, 3.0)
@example(7.0, -3.0)
@example(-0.0, 3.0)
@example(1.0, 0.1)
@example(-1.0, inf)
@example(6.0, -3.0)
@example(5e-324, -1e308)
def test_remainder_and_whole_quotient_are_pythons_to_the_bit(name, x, y):
    call, value = BINARY[name]
    try:
        expected = value(x, y)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            call(Value(x), y)
        return
    assert repr(call(Value(x), Value(y)).data) == repr(expected)
    assert repr(call(x, Value(y)).data) == repr(expected)


@pytest.mark.parametrize("name", TERNARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_an_operation_of_three(name, data):
    call, value = TERNARY[name]
    numbers = data.draw(st.tuples(*[interval(name)] * 3))
    assert call(*leaves(*numbers)).data == value(*numbers)


@pytest.mark.parametrize("name", VARIADIC)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_a_function_of_many(name, data):
    call, value, count = VARIADIC[name]
    numbers = data.draw(st.tuples(*[st.floats(-3, 3)] * count))
    assert call(*leaves(*numbers)).data == pytest.approx(value(*numbers), rel=1e-12, abs=1e-12)


# -- derivatives -----------------------------------------------------------------------------------


def central_difference(function, numbers, k, h=1e-5):
    def at(step):
        return function(*numbers[:k], numbers[k] + step, *numbers[k + 1 :])

    return (at(h) - at(-h)) / (2 * h)


def slope_of(function, *numbers):
    return [
        pytest.approx(central_difference(function, numbers, k), rel=1e-6, abs=1e-7)
        for k in range(len(numbers))
    ]


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_a_method(name, data):
    x = data.draw(interval(name))
    assume(is_smooth(name, x))
    assert gradients(lambda v: unary(name, v), x) == slope_of(UNARY[name], x)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_an_operator_by_either_side(name, data):
    call, value = BINARY[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    assume(is_smooth(name, x, y))
    both = slope_of(value, x, y)
    assert gradients(call, x, y) == both
    assert gradients(lambda v: call(v, y), x) == both[:1]
    if name in OPERATOR_ROWS:
        assert gradients(lambda v: call(x, v), y) == both[1:]


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_where_both_sides_are_one_value(name, data):
    call, value = BINARY[name]
    x = data.draw(interval(name))
    assert gradients(lambda v: call(v, v), x) == slope_of(lambda x: value(x, x), x)


@pytest.mark.parametrize("name", SCALED)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_an_operation_with_a_number(name, data):
    call, value = SCALED[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    assume(is_smooth(name, x))
    assert gradients(lambda v: call(v, y), x) == slope_of(lambda x: value(x, y), x)


@pytest.mark.parametrize("name", TERNARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_an_operation_of_three(name, data):
    call, value = TERNARY[name]
    apart = st.lists(interval(name), min_size=3, max_size=3, unique_by=lambda x: round(x, 3))
    numbers = data.draw(apart)
    assume(all(abs(x - y) > 1e-4 for x, y in itertools.combinations([0.0, *numbers], 2)))
    assert gradients(call, *numbers) == slope_of(value, *numbers)


@pytest.mark.parametrize("name", VARIADIC)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_a_function_of_many(name, data):
    call, value, count = VARIADIC[name]
    numbers = data.draw(st.tuples(*[st.floats(-3, 3)] * count))
    assert gradients(call, *numbers) == slope_of(value, *numbers)


def one_call_of(name):
    """The operation on fresh operands inside its interval: (operands, result)."""
    low, high = ROWS[name]["interval"]
    x, y = low + 0.7 * (high - low), low + 0.4 * (high - low)
    if name in UNARY:
        operands = leaves(x)
        return operands, unary(name, *operands)
    if name in BINARY:
        operands = leaves(x, y)
        return operands, BINARY[name][0](*operands)
    if name in SCALED:
        operands = leaves(x)
        return operands, SCALED[name][0](*operands, 2.5)
    if name in TERNARY:
        operands = leaves(0.5, 1.5, 2.5)
        return operands, TERNARY[name][0](*operands)
    call, _, count = VARIADIC[name]
    operands = leaves(*[0.5 + k for k in range(count)])
    return operands, call(*operands)


@pytest.mark.parametrize("name", ROWS)
def test_the_chain_rule_multiplies_and_adds(name):
    operands, result = one_call_of(name)
    result.grad = 1.0
    result._backward()
    slopes = [operand.grad for operand in operands]
    assert any(slopes) is (name not in FLAT)
    result.grad = -3.0
    result._backward()
    assert [operand.grad for operand in operands] == pytest.approx([-2 * s for s in slopes])
    (result * 5.0).backward()
    assert [operand.grad for operand in operands] == pytest.approx([5 * s for s in slopes])


# -- what the graph shows --------------------------------------------------------------------------

SHOWN = {"pow_number": "**2.5", "opaque": ""}


@pytest.mark.parametrize("name", ROWS)
def test_a_node_shows_its_operation_and_its_operands(name):
    operands, result = one_call_of(name)
    assert result._op == SHOWN.get(name, ROWS[name]["symbol"])
    assert {id(v) for v in operands} <= {id(v) for v in result._prev}
    if name != "take":  # which has its index as an operand, too
        assert result._prev == set(operands)
    assert (result.grad, [v.grad for v in operands]) == (0.0, [0.0] * len(operands))


def test_symbols_are_the_contracts():
    contract = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}
    contract |= {"mod": "%", "floordiv": "//"}
    for name in [*UNARY, *BINARY, "leaky_relu"]:
        assert ROWS[name]["symbol"] == contract.get(name, name)


@pytest.mark.parametrize("name", OPERATOR_ROWS)
@pytest.mark.parametrize("swapped", [False, True], ids=["number right", "number left"])
def test_a_number_becomes_a_leaf(name, swapped):
    v = Value(3.0)
    result = BINARY[name][0](2.0, v) if swapped else BINARY[name][0](v, 2.0)
    if name == "pow" and not swapped:  # whose exponent stands in _op
        assert (result._op, result._prev) == ("**2.0", {v})
        return
    (number,) = result._prev - {v}
    assert (number.data, number._op, number._prev) == (2.0, "", set())
    assert v in result._prev
