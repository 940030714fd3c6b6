# SPDX-License-Identifier: MIT
"""The functions beside Value: what each computes and records."""

import gc
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from common import closure_node, grads, leaves, nodes_without_garbage

import micrograd_c
from micrograd_c import Value, clip, custom, dot, take, tape_stats, where
from micrograd_c import sum as fused_sum

inf, nan = math.inf, math.nan

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- the module ------------------------------------------------------------------------------------

FUNCTIONS = ["topological_sort", "sum", "dot", "custom", "where", "clip", "take"]
FUNCTIONS += ["accumulate_grads", "no_grad", "gradcheck", "tape_stats"]


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
    [(True, True), (False, False), (np.bool_(True), True), (np.array(False), False)]
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


def test_an_operation_of_three_is_a_method_too():
    v, low = Value(3.0), Value(4.0)
    out = v.clip(low, 5)
    out.backward()
    assert (out.data, out._op, v.grad, low.grad) == (4.0, "clip", 0.0, 1.0)
    nodes = tape_stats().nodes
    with pytest.raises(TypeError, match="clip: expected 2 operands beside this value, got 1"):
        v.clip(1.0)
    with pytest.raises(TypeError, match="clip: expected a Value or a real number, got str"):
        v.clip(1.0, "2")
    assert tape_stats().nodes == nodes
    assert not hasattr(Value, "where")  # elsewhere, x.where(condition, y)


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


def test_an_index_that_is_assigned_later_is_followed_and_out_of_range_nothing_gains():
    a, b, index = leaves(2.0, 3.0, 1.0)
    y = take([a, b], index)
    index.data = 0.0
    y.backward()
    assert grads(a, b, index) == [1.0, 0.0, 0.0]
    for outside in (2.0, -3.0, inf, nan):
        index.data = outside
        y.backward()
        assert grads(a, b, index) == [0.0, 0.0, 0.0]


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
