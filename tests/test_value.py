# SPDX-License-Identifier: MIT
"""Value as its users meet it: numbers in, its fields, its graph, the chain rule by hand."""

import gc
import math
from fractions import Fraction

import numpy as np
import pytest
from common import (
    TOO_LARGE,
    Real,
    Size,
    Whole,
    churn,
    each_no_number,
    each_number,
    nodes_without_garbage,
)
from hypothesis import given
from hypothesis import strategies as st

import micrograd_c
from micrograd_c import Value, engine, tape_stats

inf, nan = math.inf, math.nan

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- making one ------------------------------------------------------------------------------------


@each_number
def test_a_value_is_made_of_any_real_number(number, as_float):
    v = Value(number)
    assert (v.data, v.grad, v._op, v._prev, v.label) == (as_float, 0.0, "", set(), "")
    assert type(v.data) is float and type(v.grad) is float


@given(st.floats() | st.integers(-(2**1000), 2**1000) | st.fractions())
def test_the_data_of_a_value_is_the_float_of_the_number(number):
    expected = float(number)
    assert Value(number).data == expected or math.isnan(expected)


@each_no_number
def test_what_is_no_real_number_is_refused_by_its_name(thing, kind):
    before = nodes_without_garbage()
    for make in (lambda: Value(thing), lambda: Value(data=thing, label="x")):
        with pytest.raises(TypeError, match=rf"\b{kind}\b"):
            make()
    assert tape_stats().nodes == before


def test_an_int_too_large_for_a_float_is_pythons_overflow_error():
    before = nodes_without_garbage()
    with pytest.raises(OverflowError):
        Value(TOO_LARGE)
    with pytest.raises(OverflowError):
        Value(Fraction(TOO_LARGE))
    assert tape_stats().nodes == before


def test_the_arguments_have_the_lessons_names_and_order():
    a, b = Value(1.0), Value(2.0)
    for out in (
        Value(3.0, (a, b), "sum", "total"),
        Value(data=3.0, _children=(a, b), _op="sum", label="total"),
        Value(3.0, label="total", _op="sum", _children=[a, b]),
    ):
        assert (out.data, out._prev, out._op, out.label) == (3.0, {a, b}, "sum", "total")
    leaf = Value(4.0, (), "", "leaf")
    assert (leaf._prev, leaf._op, leaf.label) == (set(), "", "leaf")


@pytest.mark.parametrize("container", [list, tuple, set, iter], ids=lambda c: c.__name__)
def test_children_come_in_any_iterable(container):
    a, b = Value(1.0), Value(2.0)
    assert Value(3.0, container([a, b]))._prev == {a, b}


@pytest.mark.parametrize(
    "arguments",
    [(), (1.0, (), "", "", "more"), (1.0, 2.0), (1.0, (2.0,)), (1.0, "ab"), (1.0, (None,))],
    ids=repr,
)
def test_wrong_arguments_are_a_type_error(arguments):
    before = nodes_without_garbage()
    with pytest.raises(TypeError):
        Value(*arguments)
    with pytest.raises(TypeError):
        Value(1.0, children=())
    assert tape_stats().nodes == before


def test_the_names_of_the_class():
    assert Value is engine.Value is micrograd_c.Value
    assert (Value.__name__, Value.__qualname__) == ("Value", "Value")
    assert Value.__module__ == "micrograd_c.engine"


# -- data and grad ---------------------------------------------------------------------------------


@each_number
def test_data_and_grad_are_assignable_on_every_node(number, as_float):
    leaf = Value(3.0)
    inner = leaf * 2.0
    for node in (leaf, inner):
        node.data = number
        node.grad = number
        assert (node.data, node.grad) == (as_float, as_float)
        assert type(node.data) is float and type(node.grad) is float


def test_data_and_grad_add_and_subtract_in_place():
    v = Value(2.0)
    inner = v * 3
    for node in (v, inner):
        node.data = 2.0
        node.data -= 0.5
        node.data += np.float64(1.0)
        node.data *= 2
        node.grad += 1
        node.grad -= 0.25
        assert (node.data, node.grad) == (5.0, 0.75)


@each_no_number
def test_a_bad_assignment_leaves_the_number(thing, kind):
    v = Value(2.0)
    v.grad = 3.0
    with pytest.raises(TypeError, match=rf"\b{kind}\b"):
        v.data = thing
    with pytest.raises(TypeError, match=rf"\b{kind}\b"):
        v.grad = thing
    for name in ("data", "grad"):
        with pytest.raises(OverflowError):
            setattr(v, name, TOO_LARGE)
    assert (v.data, v.grad) == (2.0, 3.0)


@pytest.mark.parametrize("number", [inf, -inf, nan, -0.0, 5e-324])
def test_data_and_grad_keep_every_float(number):
    v = Value(number)
    v.grad = number
    assert repr((v.data, v.grad)) == repr((number, number))


def test_nodes_keep_their_numbers_while_they_move(either_tape):
    nodes = [Value(0.0)]
    for k in range(200):
        garbage = Value(-1.0)
        nodes.append(nodes[-1] + 1.0)
        nodes[-1].grad = k
        del garbage
    churn()
    assert [v.data for v in nodes] == [float(k) for k in range(201)]
    assert [v.grad for v in nodes[1:]] == [float(k) for k in range(200)]


@pytest.mark.parametrize("name", ["data", "grad", "label", "_op", "_prev", "_backward"])
def test_a_field_cannot_be_deleted(name):
    v = Value(1.0) * 2
    with pytest.raises(AttributeError):
        delattr(v, name)
    assert (v.data, v.grad, v.label, v._op, len(v._prev)) == (2.0, 0.0, "", "*", 2)


# -- the graph -------------------------------------------------------------------------------------


def test_operands_are_a_set_of_the_same_objects(either_tape):
    a, b = Value(1.0), Value(2.0)
    y = a * b
    identities = {id(a), id(b)}
    for _ in range(3):
        assert type(y._prev) is set
        assert {id(v) for v in y._prev} == identities
        churn()
    assert any(v is a for v in y._prev) and a in y._prev
    assert (a + a)._prev == {a}


def test_an_operand_found_again_stays_the_same_object():
    y = Value(3.0) * 2.0
    found = {v.data: v for v in y._prev}
    assert {v.data: v for v in y._prev} == found
    assert (found[3.0].data, found[2.0].data) == (3.0, 2.0)


# expression, the operation's name
NAMES = [
    (lambda v: v + 1, "+"),
    (lambda v: 1 + v, "+"),
    (lambda v: v - 1, "-"),
    (lambda v: 1 - v, "-"),
    (lambda v: v * 2, "*"),
    (lambda v: v / 2, "/"),
    (lambda v: 2 / v, "/"),
    (lambda v: -v, "neg"),
    (lambda v: abs(v), "abs"),
    (lambda v: v.tanh(), "tanh"),
    (lambda v: v.relu(), "relu"),
    (lambda v: v.exp(), "exp"),
    (lambda v: v.log(), "log"),
    (lambda v: v.leaky_relu(), "leaky_relu"),
    (lambda v: v.maximum(0), "maximum"),
    (lambda v: v**v, "**"),
    (lambda v: 2**v, "**"),
]


@pytest.mark.parametrize(("expression", "name"), NAMES, ids=[row[1] for row in NAMES])
def test_a_node_names_its_operation(expression, name):
    assert expression(Value(1.5))._op == name


EXPONENTS = [2, 0, 1, -1, -3, 2.0, 0.5, -0.5, 0.0, -0.0, 1e-7, 1e22, inf, True, False]
EXPONENTS += [2**53, 2**53 + 1, 2**60, -(2**60), 10**30, Fraction(1, 2), Fraction(3)]
EXPONENTS += [np.int64(3), np.uint8(2), np.bool_(True), np.float64(2), np.float32(0.1)]
EXPONENTS += [np.float16(0.5), np.array(2.0), np.array(3), Whole(3), Size.TWO, Real(0.25)]


@pytest.mark.parametrize("n", EXPONENTS, ids=lambda n: f"{type(n).__name__} {n}")
def test_a_power_names_its_exponent_as_it_was_written(n):
    assert (Value(1.0) ** n)._op == f"**{n}"


def test_the_name_of_an_operation_can_be_changed():
    v = Value(1.0) + 1
    v._op = "plus"
    assert v._op == "plus"


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x.detach(), lambda x: Value(x.data)])
def test_a_leaf_has_no_operands_and_no_name(make):
    leaf = make(Value(1.0))
    assert (leaf._op, leaf._prev) == ("", set())


# -- the chain rule by hand ------------------------------------------------------------------------


def test_the_lectures_neuron_by_hand():
    x1, x2, w1, w2 = Value(2.0), Value(0.0), Value(-3.0), Value(1.0)
    b = Value(6.8813735870195432)
    x1w1, x2w2 = x1 * w1, x2 * w2
    both = x1w1 + x2w2
    n = both + b
    o = n.tanh()
    o.grad = 1.0
    for node in (o, n, b, both, x2w2, x1w1):
        assert node._backward() is None
    assert [v.grad for v in (n, b, both, x1w1, x2w2)] == pytest.approx([0.5] * 5)
    assert [v.grad for v in (x1, w1, x2, w2)] == pytest.approx([-1.5, 1.0, 0.5, 0.0])


def test_the_chain_rule_by_hand_adds_and_zeroes_nothing():
    a, b = Value(3.0), Value(4.0)
    y = a * b
    a.grad, y.grad = 10.0, 2.0
    y._backward()
    y._backward()
    assert (a.grad, b.grad, y.grad) == (10.0 + 2 * 8.0, 2 * 6.0, 2.0)


def test_a_chain_rule_fetched_early_runs_later(either_tape):
    a = Value(3.0)
    y = a * a
    rule = y._backward
    churn()
    y.grad = 1.0
    rule()
    assert a.grad == 6.0
    del a, y
    gc.collect()
    rule()


def test_a_node_with_a_chain_rule_of_its_own_is_a_full_citizen(either_tape):
    a, b = Value(2.0), Value(3.0)
    out = Value(a.data * b.data, (a, b), "product")

    def _backward():
        a.grad += out.grad * b.data
        b.grad += out.grad * a.data

    out._backward = _backward
    assert out._backward is _backward
    assert (out._op, out._prev) == ("product", {a, b})
    churn()
    (out * out + a).tanh().backward()
    slope = 1 - math.tanh(38.0) ** 2
    assert [a.grad, b.grad] == pytest.approx([slope * 37, slope * 24])
    (out + a).backward()
    assert [a.grad, b.grad] == [4.0, 2.0]
    out.grad = 10.0
    out._backward()
    assert [a.grad, b.grad] == [34.0, 22.0]


def test_a_node_whose_chain_rule_was_never_written_stops_the_sweep():
    a = Value(2.0)
    out = Value(4.0, (a,), "opaque")
    (out * 3).backward()
    assert (out.grad, a.grad) == (3.0, 0.0)


def test_a_leaf_may_have_a_chain_rule():
    a, calls = Value(1.0), []
    a._backward = lambda: calls.append(a.grad)
    (a * 3).backward()
    assert calls == [3.0]


# -- __init__ once more ----------------------------------------------------------------------------


def test_a_leaf_may_be_initialised_again():
    p = Value(2.0)
    y = p * 3
    y.backward()
    p.__init__(5.0)
    assert (p.data, p.grad) == (5.0, 0.0)
    y.backward()
    assert p.grad == 3.0


def test_a_leaf_becomes_a_node_of_its_own_only_before_it_is_used():
    a = Value(2.0)
    p = Value(1.0)
    later = Value(0.0)
    p.__init__(4.0, (a,), "twice")
    assert (p._op, p._prev, p.data) == ("twice", {a}, 4.0)
    q = Value(1.0)
    y = q * later
    with pytest.raises(ValueError, match="operand by now"):
        q.__init__(4.0, (a,), "twice")
    assert (q._op, q._prev, q.data) == ("", set(), 1.0)
    y.backward()
    assert later.grad == 1.0


def test_a_result_cannot_be_initialised_again():
    a, b = Value(2.0), Value(3.0)
    y = a * b
    with pytest.raises(ValueError, match=r"what '\*' has recorded"):
        y.__init__(1.0)
    y.backward()
    assert (y.data, a.grad) == (6.0, 3.0)
