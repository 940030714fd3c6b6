# SPDX-License-Identifier: MIT
"""Comparisons as conditions: one text of a function, eagerly and compiled."""

import copy
import math
import operator
import pickle
import threading
from fractions import Fraction

import numpy as np
import pytest
from common import EXECUTORS

import micrograd_c as mc
from micrograd_c import (
    Condition,
    TraceError,
    Value,
    compile,
    logical_and,
    logical_not,
    logical_or,
    where,
)

inf, nan = math.inf, math.nan
POINTS = [-inf, -3.0, -1.0, -0.0, 0.0, 5e-324, 0.1, 0.5, 1.0, 2.0, 1e300, inf, nan]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge]


@pytest.fixture
def w():
    value = Value(2.0)
    value.grad = 5.0
    return value


def outcomes(condition, points=POINTS):
    """Of a function of x that gives a condition: its outcomes, compiled and eagerly."""

    def chosen(x):
        return where(condition(x), 1.0, 0.0)

    compiled = compile(chosen)(points).tolist()
    return compiled, [chosen(Value(x)).data for x in points]


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("bound", [0.0, -0.0, 0.5, 1, True, inf, -inf, nan, np.float64(0.1)])
def test_a_comparison_with_a_number_on_either_side(compare, bound):
    for condition in (lambda x: compare(x, bound), lambda x: compare(bound, x)):
        compiled, eager = outcomes(condition)
        assert compiled == eager
    assert outcomes(lambda x: compare(x, bound))[0] == [float(compare(x, bound)) for x in POINTS]


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("bound", [0.1, 1, True, np.float32(0.1)], ids=repr)
def test_a_comparison_with_an_array_of_one_number(compare, bound):
    """On its right: NumPy's own operators ask for truth values."""
    expected = [float(compare(x, float(bound))) for x in POINTS]
    assert outcomes(lambda x: compare(x, np.array(bound))) == (expected, expected)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_a_comparison_of_values(compare, w):
    pairs = [(a, b) for a in POINTS for b in POINTS]
    f = compile(lambda a, b: where(compare(a, b), 1.0, 0.0) + where(compare(a, w), 2.0, 0.0))
    expected = [float(compare(a, b)) + 2.0 * compare(a, 2.0) for a, b in pairs]
    assert f([a for a, _ in pairs], [b for _, b in pairs]).tolist() == expected


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize(
    ("bound", "near"),
    [
        (Fraction(1, 3), 1 / 3),
        (Fraction(1, 10), 0.1),
        (2**53 + 1, 2.0**53),
        (10**400, inf),
        (-(10**400), -inf),
        (np.float32(0.1), 0.1),
    ],
    ids=["1/3", "1/10", "2**53 + 1", "10**400", "-10**400", "float32"],
)
def test_a_number_between_two_doubles_is_compared_exactly(compare, bound, near):
    points = [math.nextafter(near, -inf), near, math.nextafter(near, inf), -1.7e308, 1.7e308]
    number = bound.item() if isinstance(bound, np.floating) else bound
    expected = [float(compare(x, number)) for x in points]
    assert outcomes(lambda x: compare(x, bound), points) == (expected, expected)


COMBINATIONS = {
    "and": lambda x: (x > 0.0) & (x < 1.0),
    "or": lambda x: (x <= 0.0) | (x >= 1.0),
    "with a bool": lambda x: (x > 0.0) & True | False,
    "a bool first": lambda x: True & (x > 0.0) | False,
    "False": lambda x: (x > 0.0) & False,
    "NumPy's functions": lambda x: np.logical_or(
        np.logical_and(x > 0.0, x < 2.0), np.logical_not(np.logical_or(x <= 0.0, np.True_))
    ),
    "NumPy's bools": lambda x: np.bool_(True) & (x > 0.0) & np.True_,
    "logical_and": lambda x: logical_and(x > 0.0, x < 1.0),
    "logical_or": lambda x: logical_or(x <= 0.0, x >= 1.0),
    "logical_not": lambda x: logical_not(x > 0.0),
    "of bools": lambda x: logical_and(x > 0.0, logical_or(False, logical_not(np.bool_(False)))),
    "nested": lambda x: logical_or(
        logical_and(logical_not(x > 0.1), x > -2.0), logical_and(x > 0.7, logical_not(x > 3.0))
    ),
    "of what depends on nothing": lambda x: (x > 0.0) & (Value(2.0) > 1.0),
}


@pytest.mark.parametrize("condition", COMBINATIONS.values(), ids=COMBINATIONS)
def test_combinations_are_those_of_the_plain_call(condition):
    compiled, eager = outcomes(condition)
    assert compiled == eager


def test_other_functions_of_numpy_are_refused():
    for use in (lambda c: np.multiply(c, 2.0), np.isfinite, lambda c: np.float64(2.0) * c):
        with pytest.raises(TraceError, match=r"NumPy's (multiply|isfinite) of a condition"):
            compile(lambda x, use=use: use(x > 0.0))([1.0])
    with pytest.raises(TypeError, match="logical_and: expected bools and conditions, got ndarray"):
        compile(lambda x: np.logical_and(np.array([True, False]), x > 0.0))([1.0])
    with pytest.raises(TraceError, match="NumPy's logical_and of"):
        compile(lambda x: np.logical_and(x > 0.0, True, where=False))([1.0])


def test_not_of_a_condition():
    f = compile(lambda x: where(~(x > 0.0) & ~~(x > -2.0), 1.0, 0.0))
    assert f(POINTS).tolist() == [float(not x > 0.0 and x > -2.0) for x in POINTS]


def test_the_gradient_goes_through_what_is_chosen_alone(w):
    def fn(x, y):
        return where((x > 1.0) & ~(y > x), w * x, w * w * y)

    xs, ys = [2.0, 2.0, 0.5], [1.0, 3.0, 0.25]
    loss = compile(fn, reduction="sum").value_and_grad(xs, ys)
    assert loss == 4.0 + 12.0 + 1.0 and w.grad == 2.0 + 4 * 3.0 + 4 * 0.25
    assert mc.gradients(where(w > 1.0, w**3, w), [w])[0].data == 12.0


def test_a_condition_has_no_adjoint_steps():
    w = Value(2.0)
    f = compile(lambda x: where((x * w > 1.0) & (w > x), w, x), executor="vector")
    f.value_and_grad([3.0])
    backward = str(f).split("backward")[1]
    assert not any(row in backward for row in ("less", "mul", "maximum"))


def test_an_option_that_knocks_out_is_the_same_code_eagerly_and_compiled():
    def payoff(path, strike):
        alive = True
        for s in path:
            alive = logical_and(alive, s < 1.3)
        return where(alive, (path[-1] - strike).relu(), 0.0)

    paths = [[1.0, 1.2, 1.25], [1.1, 1.31, 1.2], [0.9, 1.0, 1.29]]
    eager = [payoff([Value(s) for s in path], 1.0).data for path in paths]
    assert compile(lambda path: payoff(path, 1.0))(paths).tolist() == eager
    assert eager[1] == 0.0 < eager[0]


def test_eagerly_comparisons_give_bools(w):
    assert (w > 1.0) is True and (w < 1) is False and (w >= Value(2.0)) is True
    assert logical_and(True, False) is False and logical_or(False, np.bool_(True)) is True
    assert logical_not(False) is True and logical_not(np.bool_(True)) is False


def test_while_recording_what_depends_on_no_input_gives_bools_and_is_watched(w):
    kinds = []

    def fn(x):
        kinds.extend((type(w > 1.0), type(x > w), type(w * 2 > Value(1.0))))
        return x * 3.0 if w > 1.0 else x

    f = compile(fn)
    assert f([1.0]).tolist() == [3.0] and kinds == [bool, Condition, bool]
    w.data = 0.0
    assert f([1.0]).tolist() == [1.0]


def test_in_no_grad_and_behind_detach():
    def fn(x):
        with mc.no_grad():
            inside = x > 1.0
        return where(inside & (x.detach() < 3.0), x, 0.0)

    assert compile(fn)([0.5, 2.0, 4.0]).tolist() == [0.0, 2.0, 0.0]


def test_in_a_thread_of_the_functions_own():
    def fn(x):
        found = []
        thread = threading.Thread(target=lambda: found.append(x > 1.0))
        thread.start()
        thread.join()
        return where(found[0], x, -x)

    assert compile(fn)([0.5, 2.0]).tolist() == [-0.5, 2.0]


def test_in_a_compiled_function_that_another_calls():
    inner = compile(lambda x, y: where(x > y, x, y))
    outer = compile(lambda x: inner(x, x * x) + where(x > 0.5, 1.0, 0.0))
    assert outer([0.25, 2.0]).tolist() == [0.25, 5.0]


# -- refusals --------------------------------------------------------------------------------------

WRITE = r"where\(condition, a, b\).*&, \|, ~ or logical_and"
REFUSED = {
    "if": lambda c, x: x if c else -x,
    "not": lambda c, x: not c,
    "and": lambda c, x: c and x > 1,
    "a chain": lambda c, x: where(0.0 < x < 1.0, x, 0.0),
    "max": lambda c, x: max(x, x * x),
    "sorted": lambda c, x: sorted([x, x * x])[0],
    "bool": lambda c, x: bool(c),
    "equal to a bool": lambda c, x: c == True,  # noqa: E712
    "unequal": lambda c, x: c != (x > 3),
    "less": lambda c, x: c < 1,
    "in a list": lambda c, x: c in [True, False],
    "plus": lambda c, x: c + 1,
    "times a Value": lambda c, x: x * c,
    "minus, from a number": lambda c, x: 1 - c,
    "over": lambda c, x: c / 2.0,
    "whole quotient": lambda c, x: c // 2,
    "remainder": lambda c, x: c % 2,
    "power": lambda c, x: c**2,
    "negative": lambda c, x: -c,
    "positive": lambda c, x: +c,
    "abs": lambda c, x: abs(c),
    "exclusive or": lambda c, x: c ^ (x > 3),
    "float": lambda c, x: float(c),
    "int": lambda c, x: int(c),
    "an index": lambda c, x: [x, -x][c],
    "take": lambda c, x: mc.take([x, -x], c),
    "a choice": lambda c, x: where(True, c, 0.0),
    "sum": lambda c, x: mc.sum([x, c]),
    "a Value of it": lambda c, x: Value(c),
    "maximum": lambda c, x: x.maximum(c),
    "a comparison with it": lambda c, x: where(x > c, x, 0.0),
    "copy": lambda c, x: copy.copy(c),
    "pickle": lambda c, x: pickle.dumps(c),
}


@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED)
def test_another_use_of_a_condition_is_refused_and_says_what_to_write(use, w):
    with pytest.raises(TraceError, match=WRITE):
        compile(lambda x: use(x * w > 1.0, x))([1.0, 2.0])
    assert (w.data, w.grad) == (2.0, 5.0) and (w > 1.0) is True


def test_a_refused_truth_value_of_a_value_names_conditions():
    for fn in (lambda x: x if x else -x, lambda x: x if x == 0.0 else -x):
        with pytest.raises(TraceError, match=r"where\(x > 0, a, b\).*&, \| and ~"):
            compile(fn)([1.0])


@pytest.mark.parametrize("wrong", [1, 0, ~True, 2.0, None, "x", [True], np.int64(1)], ids=repr)
def test_where_refuses_what_is_no_condition(wrong):
    words = r"write logical_not\(\)" if type(wrong) is int else type(wrong).__name__
    with pytest.raises(TypeError, match=rf"where: expected a bool.*{words}"):
        where(wrong, 1.0, Value(2.0))


@pytest.mark.parametrize("wrong", [1, -2, 1.0, None, "x", np.int64(1)], ids=repr)
def test_only_conditions_and_bools_are_combined(wrong):
    for combine in (
        lambda x: (x > 0.0) & wrong,
        lambda x: wrong | (x > 0.0),
        lambda x: logical_and(x > 0.0, wrong),
        lambda x: logical_or(wrong, False),
        lambda x: logical_not(wrong),
    ):
        with pytest.raises(TypeError, match="expected bools and conditions, got"):
            compile(lambda x, combine=combine: where(combine(x), x, 0.0))([1.0])
    with pytest.raises(TypeError, match="write v > 0"):
        compile(lambda x: where((x > 0.0) & x, x, 0.0))([1.0])


def test_what_cannot_be_compared_is_pythons_own_error():
    for wrong in ("x", None, 1j):
        with pytest.raises(TypeError, match="not supported between instances"):
            compile(lambda x, wrong=wrong: x > wrong)([1.0])


@pytest.mark.parametrize(
    "use",
    [
        lambda c, x: where(c, x, 0.0),
        lambda c, x: where(c & True, x, 0.0),
        lambda c, x: where(~c, x, 0.0),
        lambda c, x: where((x > 0.0) | c, x, 0.0),
        lambda c, x: where(logical_not(c), x, 0.0),
    ],
)
def test_a_condition_that_has_outlived_its_function_is_refused(use):
    kept = []
    compile(lambda x: kept.append(x > 1.0) or x)([1.0])
    for call in (lambda: use(kept[0], Value(1.0)), lambda: compile(lambda x: use(kept[0], x))([1])):
        with pytest.raises(TraceError, match="after the function that it comes from"):
            call()


def test_a_condition_combined_in_an_inner_recording_ends_with_it():
    kept = []

    def outer(x):
        compile(lambda y: kept.append((x > 1.0) & (y > 1.0)) or y)([1.0])
        return where(kept[0], x, 0.0)

    with pytest.raises(TraceError, match="after the function that it comes from"):
        compile(outer)([1.0])


def test_nobody_makes_a_condition():
    with pytest.raises(TypeError, match="compare Values"):
        Condition()


def test_a_condition_has_an_identity_and_shows_no_number():
    def fn(x):
        c = x > 1.0
        assert isinstance(c, Condition) and c in {c} and hash(c) == hash(c)
        assert repr(c) == "Condition(<of a sample>)"
        return x

    compile(fn)([1.0])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_index_out_of_range_is_refused_where_something_is_made_of_it(executor):
    """Also where another side is chosen; but what no result is made of is not computed."""
    outside = lambda x: mc.take([x, 2.0], x)  # noqa: E731
    for fn in (outside, lambda x: where(x < 2.0, outside(x), x), lambda x: 0.0 * outside(x)):
        with pytest.raises(IndexError, match="index 7 is out of range for 2 values, for sample 1"):
            compile(fn, executor=executor)([0.0, 7.0])
    for fn in (lambda x: (outside(x), x)[1], lambda x: where(False, outside(x), x)):
        assert list(compile(fn, executor=executor)([0.0, 7.0])) == [0.0, 7.0]
