# SPDX-License-Identifier: MIT
"""What looks at a graph or at the tape: topological_sort, gradcheck, tape_stats."""

import gc
import math
import random as python_random
from fractions import Fraction

import numpy as np
import pytest
from common import closure_node, leaves, nodes_without_garbage, stats_at_rest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_c import (
    GradcheckError,
    Value,
    _core,
    accumulate_grads,
    custom,
    dot,
    gradcheck,
    no_grad,
    random,
    tape_stats,
    topological_sort,
)
from micrograd_c import sum as fused_sum

inf, nan = math.inf, math.nan

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- topological_sort ------------------------------------------------------------------------------


def test_the_lessons_graph_in_the_lessons_order():
    a, b, c = Value(2.0), Value(-3.0), Value(10.0)
    d = a + b
    y = d * c
    assert topological_sort(y) == [a, b, d, c, y]
    assert topological_sort(d) == [a, b, d]
    assert topological_sort(a) == [a]


def test_operands_come_in_written_order():
    a, b, c = leaves(1.0, 2.0, 3.0)
    bc = b * c
    y = bc - a
    assert topological_sort(y) == [b, c, bc, a, y]
    y = a - bc
    assert topological_sort(y) == [a, b, c, bc, y]
    total = fused_sum([c, a, b])
    assert topological_sort(total) == [c, a, b, total]
    out = closure_node(c, b, a)
    assert topological_sort(out) == [c, b, a, out]


def test_a_shared_node_stands_once_where_it_is_met_first():
    a = Value(3.0)
    squared = a * a
    y = squared + a
    z = y * squared
    assert topological_sort(z) == [a, squared, y, z]


def test_numbers_of_an_expression_are_in_the_order():
    a = Value(3.0)
    y = 2.0 * a + 1.0
    assert [v.data for v in topological_sort(y)] == [2.0, 3.0, 6.0, 1.0, 7.0]
    assert [v._op for v in topological_sort(y)] == ["", "", "*", "", "+"]


def test_the_number_of_a_power_and_the_partials_of_a_custom_node_are_no_nodes():
    a = Value(3.0)
    squared = a**2
    assert topological_sort(squared) == [a, squared]
    node = custom(1.0, [a], [5.0])
    assert topological_sort(node) == [a, node]


def lessons_order(root):
    """The lesson's recursive depth-first order, operands in the order that operands gives."""
    order, visited = [], set()

    def build(node, operands):
        if node not in visited:
            visited.add(node)
            for operand in operands.get(node, ()):
                build(operand, operands)
            order.append(node)

    build(*root)
    return order


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), max_size=20))
def test_the_order_is_the_lessons_on_any_graph(shape):
    nodes, operands = leaves(1.0, 2.0), {}
    for picks in shape:
        chosen = [nodes[k % len(nodes)] for k in picks]
        nodes.append(fused_sum(chosen))
        operands[nodes[-1]] = chosen
    assert topological_sort(nodes[-1]) == lessons_order((nodes[-1], operands))


@pytest.mark.parametrize("root", [3, 2.0, None, "y", [Value(1.0)], Value], ids=repr)
def test_only_a_value_has_an_order(root):
    with pytest.raises(TypeError, match=rf"topological_sort.*\b{type(root).__name__}\b"):
        topological_sort(root)


# -- gradcheck -------------------------------------------------------------------------------------


def wrong(x):
    """x ** 2 with the derivative x."""
    return custom(x.data**2, [x], [x.data])


@pytest.mark.parametrize(
    ("fn", "inputs"),
    [
        (lambda x: x * x, [3.0]),
        (lambda x, y: (x * y + x).tanh() / y, [0.5, -2]),
        (lambda x, y, z: dot([x, y], [y, z], x).exp(), [0.1, Fraction(1, 4), np.float32(0.5)]),
        (lambda *x: fused_sum(v**3 for v in x), [0.5, 1.5, -2.5]),
        (lambda x: closure_node(x, x) * 2, [1.0]),
        (lambda x: Value(3.0), [1.0]),
        (lambda x: x, [1.0]),
        (lambda: Value(1.0), []),
        (lambda x: x.sin(), (Value(2.0),)),
    ],
)
def test_gradcheck_passes_right_derivatives(fn, inputs):
    assert gradcheck(fn, inputs) is True
    assert gradcheck(fn, inputs, raise_exception=False) is True


@pytest.mark.parametrize(
    ("fn", "inputs", "which", "analytical", "numerical"),
    [
        (wrong, [3.0], 0, "3.0", 6.0),
        (lambda x, y: x * wrong(y), [2.0, 5.0], 1, "10.0", 20.0),
        (lambda x: custom(x.data, [x], [nan]), [2.0], 0, "nan", 1.0),
        (lambda x: custom(x.data, [x], [inf]), [2.0], 0, "inf", 1.0),
        (lambda x: x.detach() * 2, [2.0], 0, "0.0", 2.0),
    ],
)
def test_gradcheck_says_which_derivative_is_wrong(fn, inputs, which, analytical, numerical):
    with pytest.raises(GradcheckError) as error:
        gradcheck(fn, inputs)
    message = " ".join(str(error.value).split())
    assert f"input {which}" in message
    assert f"analytical: {analytical}" in message
    assert float(message.split("numerical:")[1]) == pytest.approx(numerical)
    assert gradcheck(fn, inputs, raise_exception=False) is False


def test_a_failed_gradcheck_is_a_runtime_error_as_in_pytorch():
    assert issubclass(GradcheckError, RuntimeError)


def test_gradcheck_measures_with_the_tolerances_given():
    def nearly(x):
        return custom(x.data**2, [x], [2 * x.data + 0.5])

    assert not gradcheck(nearly, [3.0], raise_exception=False)
    assert gradcheck(nearly, [3.0], atol=0.6, rtol=0.0)
    assert gradcheck(nearly, [3.0], atol=0.0, rtol=0.1)
    assert not gradcheck(nearly, [3.0], atol=0.4, rtol=0.0, raise_exception=False)
    assert gradcheck(lambda x: abs(x), [1.0], eps=1e-3)
    assert not gradcheck(lambda x: abs(x), [1.0], eps=3.0, raise_exception=False)


def test_the_options_of_gradcheck_are_given_by_name():
    with pytest.raises(TypeError):
        gradcheck(wrong, [3.0], 1e-6)


def test_gradcheck_draws_the_same_numbers_in_each_call():
    def noisy(x):
        return (x + random.normal()).tanh() * random.uniform(1.0, 2.0)

    python_random.seed(3)
    assert gradcheck(noisy, [0.3], order=2)
    after = python_random.random()
    python_random.seed(3)
    noisy(Value(0.3))
    assert python_random.random() == after  # as after one call


def test_gradcheck_leaves_its_inputs_as_they_were():
    x, y = Value(2.0, label="x"), Value(3.0) * 1.0
    x.grad, y.grad = 5.0, 7.0
    inputs = [x, y]
    assert gradcheck(lambda a, b: a * b, inputs)
    assert not gradcheck(lambda a, b: wrong(a) * b, inputs, raise_exception=False)
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda a, b: a / 0, inputs)
    assert (x.data, x.grad, y.data, y.grad, x.label) == (2.0, 5.0, 3.0, 7.0, "x")
    assert inputs == [x, y]
    assert (x * 2)._op == "*"


def test_gradcheck_leaves_nothing_on_the_tape(clean):
    before = clean()
    gradcheck(lambda x, y: (x * y).tanh(), [0.5, 2.0])
    with pytest.raises(GradcheckError):
        gradcheck(wrong, [2.0])
    assert clean() == before


def test_gradcheck_does_not_depend_on_the_default_of_backward():
    accumulate_grads(True)
    weight = Value(2.0)
    assert gradcheck(lambda x: x * weight, [3.0])
    accumulate_grads(False)
    assert gradcheck(lambda x: x * weight, [3.0])


@pytest.mark.parametrize("order", [1, 2])
def test_gradcheck_does_not_depend_on_no_grad(order):
    with no_grad():
        assert gradcheck(lambda x: x**3, [2.0], order=order)
        assert not gradcheck(wrong, [2.0], raise_exception=False)
        assert (Value(1.0) * 2)._op == ""


@pytest.mark.parametrize("eps", [0, -1e-6, nan])
def test_gradcheck_wants_a_step(eps):
    with pytest.raises(ValueError, match="gradcheck: expected eps above 0, got"):
        gradcheck(lambda x: x * x, [1.0], eps=eps)


@pytest.mark.parametrize("result", [1.0, None, [Value(1.0)], "x"], ids=repr)
def test_gradcheck_wants_a_value_as_result(result):
    for options in ({}, {"raise_exception": False}):
        with pytest.raises(TypeError, match=rf"gradcheck.*\b{type(result).__name__}\b"):
            gradcheck(lambda x: result, [1.0], **options)


@pytest.mark.parametrize("inputs", [["x"], [None], [[1.0]], [1j], 3.0, None], ids=repr)
def test_gradcheck_wants_numbers_as_inputs(inputs):
    with pytest.raises(TypeError):
        gradcheck(lambda x: x, inputs)


def test_gradcheck_lets_through_what_the_function_raises():
    with pytest.raises(ValueError, match="log"):
        gradcheck(lambda x: x.log(), [-1.0])
    with pytest.raises(TypeError):
        gradcheck(lambda x, y: x * y, [1.0])
    assert (Value(1.0) * 2)._op == "*"


# -- tape_stats ------------------------------------------------------------------------------------


def test_tape_stats_is_a_named_tuple():
    stats = tape_stats()
    assert isinstance(stats, tuple)
    assert stats._fields == ("nodes", "live", "capacity", "bytes", "compactions")
    assert all(type(number) is int for number in stats)
    assert 0 <= stats.live <= stats.nodes <= stats.capacity
    assert stats.bytes >= 8 * stats.capacity


def test_tape_stats_counts_nodes_and_the_living_among_them():
    before = nodes_without_garbage()
    live = tape_stats().live
    assert live == before
    x = Value(1.0)
    y = x * 2.0
    kept = y + 1.0
    assert (tape_stats().nodes, tape_stats().live) == (before + 5, live + 5)
    garbage = x * 5.0
    newest = Value(0.0)
    del garbage
    assert (tape_stats().nodes, tape_stats().live) == (before + 8, live + 6)
    compactions = tape_stats().compactions
    _core.compact()
    assert tape_stats().nodes == tape_stats().live == before + 6
    assert tape_stats().compactions == compactions + 1
    del kept, y, x, newest
    assert tape_stats().live == live


def test_a_collection_by_python_compacts_the_tape():
    garbage = [Value(float(k)) for k in range(100)]
    newest = Value(0.0)
    del garbage
    assert tape_stats().nodes > tape_stats().live
    gc.collect()
    assert tape_stats().nodes == tape_stats().live
    assert newest.data == 0.0


def test_asking_for_the_stats_changes_nothing():
    x = Value(2.0)
    (x * x).backward()
    assert tape_stats() == tape_stats()
    assert x.grad == 4.0


@pytest.mark.parametrize("cycles", range(3))
def test_capacity_and_bytes_grow_with_the_tape_and_fall_after_it(cycles):
    """Memory that was given back and taken again is kept for longer, but not for ever."""
    for _ in range(cycles + 1):
        before = stats_at_rest()
        kept = [Value(float(k)) for k in range(before.capacity + 400_000)]
        peak = tape_stats()
        assert peak.capacity > before.capacity and peak.bytes > before.bytes
        kept.clear()
        after = stats_at_rest()
        assert after.capacity < peak.capacity // 2 and after.bytes < peak.bytes // 2
