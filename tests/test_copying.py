# SPDX-License-Identifier: MIT
"""Copies of Values, pickled ones too, and the ways out of a graph."""

import copy
import math
import pickle

import pytest
from common import Bare, Parameter, Slotted, nodes_without_garbage

import micrograd_c
from micrograd_c import Value, no_grad, tape_stats

inf, nan = math.inf, math.nan

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- copies ----------------------------------------------------------------------------------------

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy}
COPIES |= {f"pickle {p}": lambda v, p=p: pickle.loads(pickle.dumps(v, p)) for p in PROTOCOLS}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@each_copy
def test_a_copy_of_a_leaf_keeps_what_it_has(copied):
    v = Value(0.1, label="weight")
    v.grad = -3.5
    v.momentum, v.history = 0.5, [1, 2]
    w = copied(v)
    assert type(w) is Value and w is not v
    assert (w.data, w.grad, w.label, w._op, w._prev) == (0.1, -3.5, "weight", "", set())
    assert vars(w) == {"momentum": 0.5, "history": [1, 2]}
    w.data, w.label, w.momentum = 9.0, "other", 1.0
    assert (v.data, v.label, v.momentum) == (0.1, "weight", 0.5)
    (w * w).backward()
    assert (w.grad, v.grad) == (18.0, -3.5)


@each_copy
@pytest.mark.parametrize("make", [Value, Parameter])
def test_a_copy_of_a_leaf_keeps_what_it_calls_itself(copied, make):
    v = make("w", 2.0) if make is Parameter else Value(2.0, (), "w")
    v._op = "weight"
    assert (copied(v)._op, copied(v).data, copied(v)._prev) == ("weight", 2.0, set())
    assert copied(copied(v))._op == "weight"


@each_copy
@pytest.mark.parametrize("number", [inf, -inf, nan, -0.0, 5e-324, 0.1])
def test_a_copy_keeps_every_float(copied, number):
    v = Value(number)
    v.grad = number
    assert repr(copied(v)) == repr(v)


@each_copy
def test_a_copy_of_a_leaf_in_a_graph_is_outside_of_it(copied):
    a = Value(2.0)
    y = a * 3
    b = copied(a)
    y.backward()
    assert (a.grad, b.grad) == (3.0, 0.0)
    assert b not in y._prev


@each_copy
def test_a_copy_of_a_subclass_instance(copied):
    p = Parameter("w", 2.0, decay=0.25)
    p.grad = 1.5
    q = copied(p)
    assert type(q) is Parameter and q is not p
    assert (q.data, q.grad, q.label, q.name, q.decay) == (2.0, 1.5, "w", "w", 0.25)
    assert q.shrunk().data == 1.5


@each_copy
@pytest.mark.parametrize("cls", [Slotted, Bare])
def test_a_copy_of_an_instance_with_slots(copied, cls):
    p = cls(2.0, label="p")
    p.name, p.more = "weight", 1
    q = copied(p)
    assert type(q) is cls
    assert (q.data, q.label, q.name, q.more) == (2.0, "p", "weight", 1)


def test_a_shallow_copy_shares_attributes_and_a_deep_one_does_not():
    for v in (Value(1.0), Parameter("p", 1.0)):
        v.history = [1]
        assert copy.copy(v).history is v.history
        assert copy.deepcopy(v).history is not v.history
        copy.copy(v).only = 1
        assert not hasattr(v, "only")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_what_is_one_object_stays_one_object(copied):
    v = Value(1.0)
    v.me, v.others = v, [v]
    a, b, container = copied([v, v, {"v": v}])
    assert a is b is container["v"] is a.me is a.others[0]
    assert a is not v


def test_a_list_of_parameters_survives_pickling():
    parameters = [Value(k / 7, label=f"p{k}") for k in range(20)]
    loaded = pickle.loads(pickle.dumps(parameters))
    assert [(p.data, p.label) for p in loaded] == [(p.data, p.label) for p in parameters]


NON_LEAVES = {
    "+": lambda a: a + 1,
    "**2": lambda a: a**2,
    "tanh": lambda a: a.tanh(),
    "mine": lambda a: Value(1.0, (a,), "mine"),
    "sum": lambda a: micrograd_c.sum([a, a]),
    "custom": lambda a: micrograd_c.custom(1.0, [a], [2.0]),
}


@each_copy
@pytest.mark.parametrize("make", NON_LEAVES.values(), ids=NON_LEAVES)
def test_a_copy_of_an_inner_node_is_a_type_error_that_names_detach(copied, make):
    node = make(Value(1.0))
    before = nodes_without_garbage()
    for thing in (node, [node]):
        if copied is copy.copy and thing is not node:
            continue  # a shallow copy of a list holds the same nodes
        with pytest.raises(TypeError, match=r"detach\(\)"):
            copied(thing)
    assert tape_stats().nodes == before
    assert copied(node.detach()).data == node.data


@each_copy
def test_results_inside_no_grad_can_be_copied(copied):
    with no_grad():
        y = Value(3.0) * 2
    assert copied(y).data == 6.0


# -- detach and item -------------------------------------------------------------------------------


def test_detach_is_a_new_leaf_with_the_same_data():
    a = Value(3.0, label="a")
    y = a * 2
    y.backward()
    for node in (a, y, Parameter("p", 6.0)):
        leaf = node.detach()
        assert type(leaf) is Value and leaf is not node
        assert (leaf.data, leaf.grad, leaf._op, leaf._prev) == (node.data, 0.0, "", set())
    leaf = y.detach()
    (leaf * a).backward()
    assert (a.grad, leaf.grad) == (6.0, 3.0)
    leaf.data = 0.0
    assert y.data == 6.0


@pytest.mark.parametrize("node", [Value(3), Value(1.5) * 2, Parameter("p", 3.0)])
def test_item_is_the_float(node):
    assert (node.item(), type(node.item())) == (3.0, float)
