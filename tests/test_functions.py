# SPDX-License-Identifier: MIT
"""The functions beside Value: what each computes, records and refuses."""

import gc
import math
import random
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_c
from micrograd_c import (
    GradcheckError,
    Value,
    _core,
    accumulate_grads,
    clip,
    custom,
    dot,
    gradcheck,
    no_grad,
    take,
    tape_stats,
    topological_sort,
    where,
)
from micrograd_c import sum as fused_sum

inf, nan = math.inf, math.nan

FUNCTIONS = ["topological_sort", "sum", "dot", "custom", "where", "clip", "take"]
FUNCTIONS += ["accumulate_grads", "no_grad", "gradcheck", "tape_stats"]


@pytest.fixture(autouse=True)
def no_collection_meanwhile():
    """Counts of nodes must not depend on when Python's collector happens to run."""
    gc.disable()
    yield
    gc.enable()


def leaves(*numbers):
    return [Value(x) for x in numbers]


def grads(*nodes):
    return [v.grad for v in nodes]


def nodes_without_garbage():
    """How many nodes there are now, such that only recording changes the number."""
    _core.compact()
    return tape_stats().nodes


def closure_node(*operands):
    out = Value(sum(v.data for v in operands), operands, "closure")

    def _backward():
        for v in operands:
            v.grad += out.grad

    out._backward = _backward
    return out


# -- the module ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_module_has_the_contracts_functions(name):
    assert callable(getattr(micrograd_c, name))
    assert (name in micrograd_c.__all__) is (name not in ("sum", "compile"))


def test_a_star_import_hides_nothing_of_pythons_own():
    names = {}
    exec("from micrograd_c import *", names)
    assert names["Value"] is Value
    assert "sum" not in names and "compile" not in names
    assert all(name in names for name in micrograd_c.__all__)


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


# -- sum -------------------------------------------------------------------------------------------

NUMBERS = [2, True, 0.5, Fraction(3, 4), np.float32(0.25), np.int64(3), np.bool_(True)]


def test_a_sum_is_one_node_on_all_its_terms():
    values = leaves(1.0, 2.0, 3.0)
    total = fused_sum(values)
    assert (type(total), total.data, total._op, total._prev) == (Value, 6.0, "sum", set(values))
    total.backward()
    assert grads(*values) == [1.0] * 3


@pytest.mark.parametrize("container", [list, tuple, iter, np.array], ids=lambda c: c.__name__)
def test_a_sum_takes_any_iterable(container):
    values = leaves(1.0, 2.0, 3.0)
    total = fused_sum(container(values))
    total.backward()
    assert (total.data, grads(*values)) == (6.0, [1.0] * 3)


def test_a_sum_takes_generators_like_the_lessons():
    w, x = leaves(1.0, 2.0), [3.0, 4.0]
    total = fused_sum((wi * xi for wi, xi in zip(w, x, strict=True)), Value(0.5))
    total.backward()
    assert (total.data, grads(*w)) == (11.5, [3.0, 4.0])


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: type(n).__name__)
def test_a_sum_takes_numbers_of_any_kind(number):
    v = Value(1.0)
    for total in (
        fused_sum([v, number]),
        fused_sum([number, v]),
        fused_sum([v], number),
        fused_sum([v], start=number),
    ):
        assert total.data == 1.0 + float(number)
        total.backward()
        assert v.grad == 1.0


def test_a_sum_adds_a_term_as_often_as_it_stands_there():
    a = Value(2.0)
    total = fused_sum([a, a, a], start=a)
    total.backward()
    assert (total.data, a.grad) == (8.0, 4.0)


def test_a_sum_of_nothing_is_a_leaf_of_zero_or_the_start():
    for empty in (fused_sum([]), fused_sum(iter(()))):
        assert (type(empty), empty.data, empty._prev) == (Value, 0.0, set())
    start = Value(3.0)
    total = fused_sum([], start)
    total.backward()
    assert (total.data, start.grad) == (3.0, 1.0)


def test_a_sum_adds_from_left_to_right():
    numbers = [1e16, 1.0, -1e16, 1.0]
    expected = ((1e16 + 1.0) - 1e16) + 1.0
    assert fused_sum(leaves(*numbers)).data == expected
    assert fused_sum(leaves(*numbers[1:]), numbers[0]).data == expected


def test_a_sum_does_not_change_its_arguments():
    values = [Value(1.0), 2.0, 3]
    given_values = list(values)
    fused_sum(values, 1.0)
    assert all(x is y for x, y in zip(values, given_values, strict=True))


def test_a_sum_follows_assigned_data_in_its_sweep():
    a, b = leaves(1.0, 2.0)
    product = dot([a], [b])
    b.data = 5.0
    product.backward()
    assert grads(a, b) == [5.0, 1.0]


# -- dot -------------------------------------------------------------------------------------------


def test_a_dot_product_is_one_node_on_all_its_factors():
    w, x, b = leaves(1.0, 2.0), leaves(3.0, 4.0), Value(0.5)
    out = dot(w, x, b)
    assert (type(out), out.data, out._op) == (Value, 11.5, "dot")
    assert out._prev == {*w, *x, b}
    out.backward()
    assert (grads(*w), grads(*x), b.grad) == ([3.0, 4.0], [1.0, 2.0], 1.0)
    out = dot(w, x)
    out.backward()
    assert (out.data, grads(*w)) == (11.0, [3.0, 4.0])


def test_a_dot_product_takes_numbers_and_any_iterables():
    w = leaves(1.0, 2.0)
    for out in (
        dot(w, [3, Fraction(4)], True),
        dot([np.float32(3), 4.0], tuple(w), bias=1),
        dot(iter(w), (float(k) for k in (3, 4)), np.int8(1)),
        dot(np.array(w), np.array([3.0, 4.0]), 1.0),
    ):
        out.backward()
        assert (out.data, grads(*w)) == (12.0, [3.0, 4.0])


def test_a_dot_product_with_itself():
    w = leaves(1.0, 2.0)
    out = dot(w, w, w[0])
    out.backward()
    assert (out.data, grads(*w)) == (6.0, [3.0, 4.0])


def test_a_dot_product_of_nothing():
    assert (dot([], []).data, dot([], [])._prev) == (0.0, set())
    bias = Value(2.0)
    out = dot([], [], bias)
    out.backward()
    assert (out.data, bias.grad) == (2.0, 1.0)


def test_a_dot_product_begins_with_the_bias_as_the_lessons_neuron_does():
    w, x, b = [1e16, 1.0], [1.0, 1.0], -1e16
    expected = sum((wi * xi for wi, xi in zip(w, x, strict=True)), b)
    assert dot(leaves(*w), x, Value(b)).data == expected == 1.0


# -- custom ----------------------------------------------------------------------------------------


def test_a_custom_node_has_the_derivatives_that_it_was_given():
    a, b = leaves(2.0, 3.0)
    node = custom(7.0, [a, b], [10.0, -1.0])
    assert (type(node), node.data, node._op, node._prev) == (Value, 7.0, "custom", {a, b})
    (node * node).backward()
    assert (node.grad, grads(a, b)) == (14.0, [140.0, -14.0])
    node.grad = 1.0
    node._backward()
    assert grads(a, b) == [150.0, -15.0]


def test_a_custom_node_shows_the_name_that_it_was_given():
    a = Value(1.0)
    assert custom(1.0, [a], [2.0], "mine")._op == "mine"
    assert custom(1.0, [a], [2.0], op="mine")._op == "mine"
    assert custom(data=1.0, operands=[a], partials=[2.0])._op == "custom"


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: type(n).__name__)
def test_a_custom_node_takes_numbers_of_any_kind(number):
    a = Value(1.0)
    node = custom(number, (a, number), iter([number, number]))
    node.backward()
    assert (node.data, a.grad) == (float(number), float(number))
    assert sorted(v.data for v in node._prev) == sorted([1.0, float(number)])


def test_a_custom_node_may_have_one_operand_twice_or_none():
    a = Value(1.0)
    node = custom(5.0, [a, a], [2.0, 3.0])
    node.backward()
    assert (a.grad, node._prev) == (5.0, {a})
    node = custom(5.0, [], [])
    node.backward()
    assert (node.data, node.grad, node._prev) == (5.0, 1.0, set())


@pytest.mark.parametrize("partial", [inf, -inf, nan])
def test_a_custom_derivative_need_not_be_finite(partial):
    a = Value(1.0)
    custom(1.0, [a], [partial]).backward()
    assert a.grad == pytest.approx(partial, nan_ok=True)


def test_custom_nodes_are_as_collectable_as_built_in_operations(clean):
    before = clean()
    a = Value(1.0)
    for _ in range(1000):
        node = custom(a.data, [a], [2.0]) * 1.0
    assert not gc.is_tracked(node)
    del node
    assert tape_stats().nodes == before + 1


def test_a_custom_node_on_a_closure_node():
    a = Value(2.0)
    node = custom(6.0, [closure_node(a)], [3.0]) + 1
    node.backward()
    assert a.grad == 3.0


# -- where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "first"),
    [(True, True), (False, False), (np.bool_(True), True), (np.bool_(False), False)]
    + [(Value(x), x > 0) for x in (1.0, 5e-324, inf, 0.0, -0.0, -1.0, -inf, nan)],
    ids=repr,
)
def test_where_chooses_by_a_bool_or_a_positive_value(condition, first):
    a, b = leaves(2.0, 3.0)
    out = where(condition, a, b)
    assert (type(out), out.data, out._op) == (Value, 2.0 if first else 3.0, "where")
    assert {a, b} <= out._prev
    (out * 5).backward()
    assert grads(a, b) == ([5.0, 0.0] if first else [0.0, 5.0])


def test_a_condition_has_no_derivative():
    condition, a = leaves(0.5, 2.0)
    where(condition, a, 0.0).backward()
    assert grads(condition, a) == [0.0, 1.0]
    where(a, a, 0.0).backward()
    assert a.grad == 1.0


def test_the_choices_of_where_may_be_numbers():
    a = Value(2.0)
    assert (where(True, 1, a).data, where(False, a, Fraction(1, 2)).data) == (1.0, 0.5)
    assert (where(a, np.float32(1), True).data, where(-a, 1, False).data) == (1.0, 0.0)


# -- clip ------------------------------------------------------------------------------------------

# v, low, high, value, the derivatives by each
CLIPS = [
    (0.5, 0.0, 1.0, 0.5, [1.0, 0.0, 0.0]),
    (-2.0, 0.0, 1.0, 0.0, [0.0, 1.0, 0.0]),
    (3.0, 0.0, 1.0, 1.0, [0.0, 0.0, 1.0]),
    (0.0, 0.0, 1.0, 0.0, [1.0, 0.0, 0.0]),
    (1.0, 0.0, 1.0, 1.0, [1.0, 0.0, 0.0]),
    (inf, 0.0, 1.0, 1.0, [0.0, 0.0, 1.0]),
    (-inf, 0.0, 1.0, 0.0, [0.0, 1.0, 0.0]),
    (-5.0, -inf, 1.0, -5.0, [1.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(("v", "low", "high", "value", "slopes"), CLIPS)
def test_clip_keeps_a_value_between_two_bounds(v, low, high, value, slopes):
    operands = leaves(v, low, high)
    out = clip(*operands)
    out.backward()
    assert (out.data, out._op, grads(*operands)) == (value, "clip", slopes)
    with_numbers = clip(operands[0], low, high)
    with_numbers.backward()
    assert (with_numbers.data, operands[0].grad) == (value, slopes[0])


def test_a_bound_of_clip_may_be_missing():
    v = Value(5.0)
    assert [clip(v, low=6).data, clip(v, high=4).data, clip(v, 0.0, None).data] == [6.0, 4.0, 5.0]
    for out in (clip(v, low=0), clip(v, None, 9), clip(v)):
        out.backward()
        assert (out.data, v.grad) == (5.0, 1.0)


def test_clip_passes_nan_on():
    assert math.isnan(clip(Value(nan), 0.0, 1.0).data)


# -- take ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("kind", [int, np.int64, Value], ids=lambda k: k.__name__)
def test_take_is_an_element_by_its_index(index, kind):
    values = leaves(10.0, 20.0, 30.0)
    for container in (values, tuple(values)):
        out = take(container, kind(index))
        assert out.data == values[index].data
        (out * 2).backward()
        assert values[index].grad == 2.0
        assert sum(grads(*values)) == 2.0


def test_take_with_a_plain_index_is_the_element_itself():
    values = leaves(1.0, 2.0)
    before = nodes_without_garbage()
    assert take(values, 1) is values[1]
    assert take(values, True) is values[1]
    assert take(np.array(values), 0) is values[0]
    assert tape_stats().nodes == before


def test_take_with_a_value_as_index_is_a_node_on_all_of_them():
    values, index = leaves(1.0, 2.0, 3.0), Value(1)
    out = take(values, index)
    assert (type(out), out._op, out._prev) == (Value, "take", {index, *values})
    index.grad = 7.0
    out.backward()
    assert (grads(*values), index.grad) == ([0.0, 1.0, 0.0], 0.0)


def test_take_of_one_value_twice_and_of_numbers():
    a = Value(3.0)
    out = take([a, a, 2.0], Value(0)) + take([1, a], Value(-1))
    out.backward()
    assert (out.data, a.grad) == (6.0, 2.0)
    assert take([1, Fraction(1, 2)], Value(1)).data == 0.5


@pytest.mark.parametrize("index", [3, -4, 1000, -1000, 1e300])
def test_an_index_out_of_range_is_an_index_error(index):
    values = leaves(1.0, 2.0, 3.0)
    before = nodes_without_garbage()
    for _ in range(3):
        with pytest.raises(IndexError, match=r"take.*\b3\b"):
            take(values, Value(index))
        with pytest.raises(IndexError):
            take(values, int(index) if index < 1e9 else 10**9)
        with pytest.raises(IndexError):
            take([], Value(0))
        assert tape_stats().nodes == before


@pytest.mark.parametrize("index", [0.5, -1.5, 1e-300, nan, inf, -inf])
def test_an_index_must_be_a_whole_number(index):
    values = leaves(1.0, 2.0, 3.0)
    before = nodes_without_garbage()
    for _ in range(3):
        with pytest.raises((TypeError, ValueError, IndexError), match=f"take.*{index!r}"):
            take(values, Value(index))
        assert tape_stats().nodes == before


# -- what the functions refuse ---------------------------------------------------------------------

# call with two Values, exception, what the message says
BAD_CALLS = [
    (lambda a, b: fused_sum([a, "x"]), TypeError, "sum.*str"),
    (lambda a, b: fused_sum([a, None, b]), TypeError, "sum.*NoneType"),
    (lambda a, b: fused_sum([a, [b]]), TypeError, "sum.*list"),
    (lambda a, b: fused_sum([a, 1j]), TypeError, "sum.*complex"),
    (lambda a, b: fused_sum([a], start="x"), TypeError, "sum.*str"),
    (lambda a, b: fused_sum(3), TypeError, "int"),
    (lambda a, b: fused_sum(a), TypeError, "Value"),
    (lambda a, b: fused_sum(), TypeError, None),
    (lambda a, b: fused_sum([a, 10**400]), OverflowError, None),
    (lambda a, b: fused_sum(1 / 0 for _ in [a]), ZeroDivisionError, None),
    (lambda a, b: dot([a, b], [1.0]), ValueError, r"dot.*\b2\b.*\b1\b"),
    (lambda a, b: dot([], [a]), ValueError, r"dot.*\b0\b.*\b1\b"),
    (lambda a, b: dot([a], [1.0, 2.0], b), ValueError, r"dot.*\b1\b.*\b2\b"),
    (lambda a, b: dot([a], ["x"]), TypeError, "dot.*str"),
    (lambda a, b: dot([None], [a]), TypeError, "dot.*NoneType"),
    (lambda a, b: dot([a], [b], "x"), TypeError, "dot.*str"),
    (lambda a, b: dot(3, [a]), TypeError, "int"),
    (lambda a, b: dot([a], b), TypeError, "Value"),
    (lambda a, b: dot([a]), TypeError, None),
    (lambda a, b: custom("x", [a], [1.0]), TypeError, "custom.*str"),
    (lambda a, b: custom(a, [a], [1.0]), TypeError, "custom.*Value"),
    (lambda a, b: custom(1.0, ["x"], [1.0]), TypeError, "custom.*str"),
    (lambda a, b: custom(1.0, [a], ["x"]), TypeError, "custom.*str"),
    (lambda a, b: custom(1.0, [a], [b]), TypeError, "custom.*Value"),
    (lambda a, b: custom(1.0, [a], []), ValueError, r"custom.*\b1\b.*\b0\b"),
    (lambda a, b: custom(1.0, [a, b], [1.0]), ValueError, r"custom.*\b2\b.*\b1\b"),
    (lambda a, b: custom(1.0, [a], [1.0, 2.0]), ValueError, r"custom.*\b1\b.*\b2\b"),
    (lambda a, b: custom(1.0, a, [1.0]), TypeError, "Value"),
    (lambda a, b: custom(1.0, [a], 1.0), TypeError, "float"),
    (lambda a, b: where(True, "x", a), TypeError, "where.*str"),
    (lambda a, b: where(False, a, None), TypeError, "where.*NoneType"),
    (lambda a, b: where(a, b), TypeError, None),
    (lambda a, b: clip("x", 0, 1), TypeError, "clip.*str"),
    (lambda a, b: clip(a, "x", 1), TypeError, "clip.*str"),
    (lambda a, b: clip(a, 0, [1]), TypeError, "clip.*list"),
    (lambda a, b: clip(None), TypeError, "clip.*NoneType"),
    (lambda a, b: take([a, "x"], Value(0)), TypeError, "take.*str"),
    (lambda a, b: take(3, Value(0)), TypeError, "int"),
    (lambda a, b: take([a, b], 0.5), TypeError, None),
    (lambda a, b: take([a, b], "x"), TypeError, None),
    (lambda a, b: take([a, b], None), TypeError, None),
    (lambda a, b: topological_sort([a]), TypeError, "topological_sort.*list"),
    (lambda a, b: topological_sort(), TypeError, None),
]


@pytest.mark.parametrize("kind", ["light", "heavy"])
@pytest.mark.parametrize(("call", "exception", "message"), BAD_CALLS)
def test_a_bad_call_says_why_and_records_nothing(call, exception, message, kind):
    a, b = leaves(1.0, 2.0)
    if kind == "heavy":  # nodes on a closure node are recorded another way
        a = closure_node(a)
    before = nodes_without_garbage()
    for _ in range(5):
        with pytest.raises(exception, match=message):
            call(a, b)
        assert tape_stats().nodes == before
    assert (a.data, b.data) == (1.0, 2.0)


# -- backward and accumulation ---------------------------------------------------------------------


def test_backward_starts_afresh_by_default():
    x = Value(3.0)
    y = x * x
    for _ in range(2):
        y.backward()
        assert grads(x, y) == [6.0, 1.0]


@pytest.mark.parametrize("graph", ["built in", "closure"])
def test_accumulation_adds_to_leaves_and_to_nothing_else(graph):
    x = Value(3.0)
    y = x * x if graph == "built in" else closure_node(x, x, x, x, x, x)
    z = y * 2
    x.grad = 100.0
    for expected in (112.0, 124.0):
        z.backward(accumulate=True)
        assert grads(x, y, z) == [expected, 2.0, 1.0]
    z.backward(accumulate=False)
    assert grads(x, y, z) == [12.0, 2.0, 1.0]


def test_two_losses_accumulate_as_in_pytorch():
    x = Value(2.0)
    (x * 3).backward(accumulate=True)
    (x * x).backward(accumulate=True)
    assert x.grad == 7.0


def test_a_leaf_as_root_accumulates_its_seed():
    x = Value(2.0)
    x.backward(accumulate=True)
    x.backward(accumulate=True)
    assert x.grad == 2.0


def test_the_default_of_backward_is_what_was_last_set():
    x = Value(2.0)
    y = x * 3
    accumulate_grads()
    y.backward()
    y.backward(accumulate=None)
    assert x.grad == 6.0
    y.backward(accumulate=False)
    assert x.grad == 3.0
    accumulate_grads(False)
    y.backward()
    assert x.grad == 3.0
    accumulate_grads(on=True)
    y.backward()
    assert x.grad == 6.0


def test_the_lessons_exercise_of_forgotten_zeroing():
    x = Value(1.0)
    by_step = []
    for _ in range(3):
        (x * 2).backward(accumulate=True)
        by_step.append(x.grad)
    assert by_step == [2.0, 4.0, 6.0]


# -- no_grad ---------------------------------------------------------------------------------------

# Everything that records, on two Values.
RECORDERS = {
    "+": lambda x, y: x + y,
    "+ number": lambda x, y: x + 1.0,
    "number -": lambda x, y: 2 - x,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "** 2": lambda x, y: x**2,
    "** Fraction": lambda x, y: x ** Fraction(1, 2),
    "** NumPy": lambda x, y: x ** np.int64(2),
    "neg": lambda x, y: -x,
    "abs": lambda x, y: abs(x),
    "tanh": lambda x, y: x.tanh(),
    "leaky_relu": lambda x, y: x.leaky_relu(),
    "maximum": lambda x, y: x.maximum(y),
    "sum": lambda x, y: fused_sum([x, y, 1.0]),
    "dot": lambda x, y: dot([x], [y], 1.0),
    "where": lambda x, y: where(x, y, 1.0),
    "clip": lambda x, y: clip(x, 0.0, y),
    "take": lambda x, y: take([x, y], Value(1)),
    "custom": lambda x, y: custom(1.0, [x, y], [2.0, 3.0]),
    "named custom": lambda x, y: custom(1.0, [x, y], [2.0, 3.0], op="mine"),
    "closure": lambda x, y: closure_node(x, y),
    "array": lambda x, y: np.array([x, y]) @ np.array([1.0, 2.0]),
}
each_recorder = pytest.mark.parametrize("record", RECORDERS.values(), ids=RECORDERS)


@each_recorder
@pytest.mark.parametrize("heavy", [False, True], ids=["light", "heavy"])
def test_results_inside_no_grad_are_leaves(record, heavy):
    x, y = leaves(0.5, 2.0)
    if heavy:
        x = closure_node(x)
    outside = record(x, y)
    with no_grad():
        inside = record(x, y)
    assert (type(inside), inside.data) == (Value, outside.data)
    assert (inside._prev, topological_sort(inside)) == (set(), [inside])
    x.grad = 7.0
    inside.backward()
    assert (inside.grad, x.grad) == (1.0, 7.0)
    assert record(x, y)._prev != set()


@pytest.mark.parametrize("name", [name for name in RECORDERS if name != "closure"])
def test_a_leaf_of_no_grad_has_no_operation(name):
    with no_grad():
        assert RECORDERS[name](*leaves(0.5, 2.0))._op == ""


@each_recorder
def test_nothing_stays_on_the_tape_inside_no_grad(record):
    x, y = leaves(0.5, 2.0)
    before = nodes_without_garbage()
    with no_grad():
        results = [record(x, y) for _ in range(10)]
        _core.compact()
        assert tape_stats().nodes == before + 10
    assert len(results) == 10


def test_no_grad_ends_with_its_block():
    x = Value(1.0)
    with no_grad() as manager:
        assert isinstance(manager, no_grad)
        assert (x * 2)._prev == set()
    assert (x * 2)._op == "*"


def test_no_grad_nests():
    x = Value(1.0)
    outer = no_grad()
    with outer:
        with no_grad():
            assert (x * 2)._op == ""
        assert (x * 2)._op == ""
        with outer:
            assert (x * 2)._op == ""
        assert (x * 2)._op == ""
    assert (x * 2)._op == "*"


def test_no_grad_ends_with_an_exception_and_lets_it_through():
    x = Value(1.0)
    with pytest.raises(ZeroDivisionError), no_grad(), no_grad():
        x / 0
    assert (x * 2)._op == "*"


def test_no_grad_is_a_decorator():
    x = Value(3.0)

    @no_grad()
    def evaluate(scale, *, shift=0.0):
        """What it does."""
        return x * scale + shift

    @no_grad()
    def countdown(n):
        return x * n if n == 0 else countdown(n - 1)

    for _ in range(2):
        result = evaluate(2, shift=1.0)
        assert (result.data, result._prev) == (7.0, set())
        assert (x * 2)._op == "*"
    assert countdown(3)._op == ""
    assert (x * 2)._op == "*"
    assert (evaluate.__name__, evaluate.__doc__) == ("evaluate", "What it does.")


def test_no_grad_is_a_decorator_that_ends_with_an_exception():
    x = Value(3.0)

    @no_grad()
    def fail():
        return (-x).log()

    with pytest.raises(ValueError, match="log"):
        fail()
    assert (x * 2)._op == "*"


def test_no_grad_refuses_what_recording_refuses():
    with no_grad():
        for x in (Value(0.0), closure_node(Value(0.0))):
            before = nodes_without_garbage()
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    1 / x
                with pytest.raises(ValueError, match="log"):
                    x.log()
                with pytest.raises(ZeroDivisionError):
                    x**-1
                with pytest.raises(TypeError):
                    x + "x"
                with pytest.raises(TypeError):
                    fused_sum([x, "x"])
            assert tape_stats().nodes == before


def test_gradients_can_be_read_and_graphs_swept_inside_no_grad():
    x = Value(3.0)
    y = x * x
    with no_grad():
        y.backward()
        x.data -= 0.1 * x.grad
    assert (x.data, x.grad) == (2.4, 6.0)


def test_no_grad_is_for_its_own_thread_only():
    x = Value(1.0)
    operations = {}
    inside, checked = threading.Event(), threading.Event()

    def evaluate():
        with no_grad():
            inside.set()
            checked.wait(10)
            operations["other"] = (x * 2)._op
        operations["other, after"] = (x * 2)._op

    thread = threading.Thread(target=evaluate)
    thread.start()
    assert inside.wait(10)
    operations["this"] = [(x * 2)._op, (x**2)._op, x.tanh()._op, fused_sum([x, x])._op]
    checked.set()
    thread.join()
    operations["this, after"] = (x * 2)._op
    assert operations == {
        "this": ["*", "**2", "tanh", "sum"],
        "other": "",
        "other, after": "*",
        "this, after": "*",
    }


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


def test_capacity_and_bytes_grow_with_the_tape_and_fall_after_it():
    nodes_without_garbage()
    before = tape_stats()
    kept = [Value(float(k)) for k in range(before.capacity + 1)]
    assert tape_stats().capacity > before.capacity and tape_stats().bytes > before.bytes
    kept.clear()
    nodes_without_garbage()
    assert tape_stats().bytes <= 2 * before.bytes


# -- all together ----------------------------------------------------------------------------------


def test_fused_calls_train_the_lessons_neuron_as_plain_ones_do():
    rng = random.Random(3)
    weights = [rng.uniform(-1, 1) for _ in range(3)]
    samples = [([rng.uniform(-1, 1) for _ in range(3)], rng.choice([-1.0, 1.0])) for _ in range(4)]

    def train(neuron, total):
        w, b = leaves(*weights), Value(0.0)
        for _ in range(20):
            loss = total([(neuron(w, x, b).tanh() - y) ** 2 for x, y in samples])
            loss.backward()
            for p in [*w, b]:
                p.data -= 0.1 * p.grad
        return [p.data for p in [*w, b]]

    def plain(w, x, b):
        return sum((wi * xi for wi, xi in zip(w, x, strict=True)), b)

    assert train(dot, fused_sum) == pytest.approx(train(plain, sum), rel=1e-12)
