# SPDX-License-Identifier: MIT
"""The reverse sweep: what it sets, in which order, and what a chain rule in Python may do."""

import gc
import math

import pytest

from micrograd_c import Value, _core, accumulate_grads, topological_sort


def square(x):
    """An operation as students add it: a node on its operands, and a closure."""
    out = Value(x.data**2, (x,), "square")

    def _backward():
        x.grad += out.grad * 2 * x.data

    out._backward = _backward
    return out


def test_the_lessons_first_graph():
    a, b, c = Value(2.0), Value(-3.0), Value(10.0)
    d = a + b
    y = d * c
    y.backward()
    assert [v.grad for v in (a, b, c, d, y)] == [10.0, 10.0, -1.0, 10.0, 1.0]


def test_a_node_used_twice_gets_both_contributions():
    a = Value(3.0)
    y = a * a + a
    y.backward()
    assert a.grad == 7.0


def test_every_backward_starts_from_zero():
    a = Value(3.0)
    inner = a * a
    (inner + a).backward()
    (inner * 2).backward()
    assert (a.grad, inner.grad) == (12.0, 2.0)


def test_nodes_outside_the_graph_keep_their_grad():
    a, b = Value(1.0), Value(2.0)
    b.grad = 5.0
    (a * 3).backward()
    assert (a.grad, b.grad) == (3.0, 5.0)


def test_a_leaf_can_be_the_root():
    a = Value(1.0)
    a.grad = 3.0
    a.backward()
    assert a.grad == 1.0
    a.backward(accumulate=True)
    assert a.grad == 2.0


def test_accumulation_as_pytorch_does_it():
    a = Value(3.0)
    inner = a * a
    loss = inner * 2
    for expected in (12.0, 24.0, 36.0):
        loss.backward(accumulate=True)
        assert (a.grad, inner.grad, loss.grad) == (expected, 2.0, 1.0)
    accumulate_grads()
    loss.backward()
    assert a.grad == 48.0
    loss.backward(accumulate=False)
    assert a.grad == 12.0


def test_assigned_data_is_what_the_chain_rule_sees():
    a, b = Value(2.0), Value(3.0)
    y = a * b
    a.data = 7.0
    y.backward()
    assert b.grad == 7.0


def test_backward_never_raises_for_a_value():
    x = Value(0.0)
    (x**0.5).backward()
    assert x.grad == math.inf
    x = Value(0.0)
    x.sqrt().backward()
    assert x.grad == math.inf
    x = Value(math.nan)
    (x * 2).tanh().backward()
    assert math.isnan(x.grad)


def test_by_hand_node_by_node():
    a, b = Value(2.0), Value(-3.0)
    e = a * b
    o = e.tanh()
    o.grad = 1.0
    o._backward()
    e._backward()
    a._backward()
    slope = 1 - math.tanh(-6.0) ** 2
    assert e.grad == pytest.approx(slope)
    assert (a.grad, b.grad) == pytest.approx((-3 * slope, 2 * slope))
    e._backward()
    assert a.grad == pytest.approx(-6 * slope)


# -- chain rules written in Python ---------------------------------------------------------------


def test_a_closure_takes_part_in_every_graph():
    a = Value(3.0)
    y = square(square(a) * 2) + a
    y.backward()
    assert a.grad == pytest.approx(4 * 4 * 27 + 1)
    y.backward()
    assert a.grad == pytest.approx(4 * 4 * 27 + 1)


def test_a_closure_accumulates_with_the_rest():
    a = Value(3.0)
    y = square(a)
    y.backward(accumulate=True)
    y.backward(accumulate=True)
    assert (a.grad, y.grad) == (12.0, 1.0)


def test_a_builtin_operations_rule_can_be_replaced():
    a = Value(3.0)
    y = a * 2
    calls = []
    y._backward = lambda: calls.append(y.grad)
    (y * 5).backward()
    assert (calls, a.grad) == ([5.0], 0.0)


def test_a_rule_can_be_replaced_below_a_recorded_graph():
    a = Value(3.0)
    y = a * 2
    root = y * 5
    calls = []
    y._backward = lambda: calls.append("called")
    del y
    root.backward()
    assert (calls, a.grad) == (["called"], 0.0)


def test_what_a_closure_raises_comes_through():
    a = Value(1.0)
    out = Value(2.0, (a,), "bad")

    def fail():
        raise ZeroDivisionError("in the rule")

    out._backward = fail
    root = out * 3
    with pytest.raises(ZeroDivisionError, match="in the rule"):
        root.backward()
    (a * 4).backward()
    assert a.grad == 4.0


def test_a_closure_may_record_and_sweep_other_graphs(restless):
    a, b = Value(2.0), Value(5.0)
    out = Value(4.0, (a,), "nested")

    def rule():
        inner = b * b
        for _ in range(1000):
            inner = inner + 1.0
        inner.backward()
        a.grad += out.grad * b.grad

    out._backward = rule
    (out * 3).backward()
    assert (a.grad, b.grad) == (30.0, 10.0)


def test_only_a_callable_can_be_a_rule():
    a = Value(1.0)
    with pytest.raises(TypeError, match="callable"):
        a._backward = 3
    (a * 2).backward()
    assert a.grad == 2.0


# -- shape of the graph --------------------------------------------------------------------------


def test_a_deep_chain_records_sorts_sweeps_and_dies(clean):
    nodes = clean()
    x = a = Value(1.0)
    for _ in range(300_000):
        x = x * 1.0 + 0.0
    assert len(topological_sort(x)) == 1_200_001
    x.backward()
    assert a.grad == 1.0
    del x, a
    assert clean() == nodes


def test_a_deep_chain_of_closures_records_sweeps_and_dies():
    def copy(x):
        out = Value(x.data, (x,), "copy")

        def _backward():
            x.grad += out.grad

        out._backward = _backward
        return out

    x = a = Value(1.0)
    for _ in range(50_000):
        x = copy(x)
    x.backward()
    assert a.grad == 1.0
    del x, a
    gc.collect()


def test_a_wide_sum():
    leaves = [Value(float(k)) for k in range(10_000)]
    total = sum(leaves)
    total.backward()
    assert all(leaf.grad == 1.0 for leaf in leaves)


def test_a_graph_scattered_over_a_large_tape():
    """Parameters at the bottom, unrelated nodes for three levels of the sweep's set in between."""
    a = Value(2.0)
    middle = [Value(0.0)]
    for _ in range(5):
        unrelated = Value(0.0)
        for _ in range(100_000):
            unrelated = unrelated + 1.0
        middle.append(unrelated)
        a = a * 1.5
    a.backward()
    assert all(node.grad == 0.0 for node in middle)
    leaf = topological_sort(a)[0]
    assert leaf.grad == pytest.approx(1.5**5)
    _core.compact()
    a.backward()
    assert leaf.grad == pytest.approx(1.5**5)
