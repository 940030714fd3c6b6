# SPDX-License-Identifier: MIT
"""Where no adjoint arrives, no chain rule is applied: conditions, indices, what is rounded."""

import math

import pytest
from common import grads, leaves

from micrograd_c import Value, gradients, take, where

inf = math.inf


def root_of_zero():
    x = Value(0.0)
    return x, x.sqrt()


# What makes a node on a, by a node in which no number of it moves the result.
NO_GAINS = {
    "where": (lambda root, w: where(root, w * 3, w * 2), 2.0),
    "take": (lambda root, w: take([w * 2, w], root), 2.0),
    "sign": (lambda root, w: root.sign() + w, 1.0),
    "floor": (lambda root, w: root.floor() + w, 1.0),
    "ceil": (lambda root, w: w * 5 + root.ceil(), 5.0),
    "//": (lambda root, w: root // w + w, 1.0),
    "all": (lambda root, w: where(take([root, w], root).floor(), w, w * 2), 2.0),
}


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("closure", [False, True], ids=["", "closure"])
@pytest.mark.parametrize("name", NO_GAINS)
def test_where_no_adjoint_arrives_no_rule_is_applied(name, closure, accumulate):
    """The derivative of sqrt(0) is infinite: 0 times it would be NaN."""
    make, slope = NO_GAINS[name]
    (x, root), w = root_of_zero(), Value(1.0)
    below = root * 2 / 2
    y = make(below, w)
    if closure:
        y, inner = Value(y.data, (y,), "same"), y
        y._backward = lambda: setattr(inner, "grad", inner.grad + y.grad)
    for v in (x, root, below):
        v.grad = 7.0
    w.grad = 0.25
    y.backward(accumulate=accumulate)
    assert (root.grad, below.grad) == (0.0, 0.0)  # they are of the graph
    assert (x.grad, w.grad) == ((7.0, slope + 0.25) if accumulate else (0.0, slope))
    assert [g.data for g in gradients(y, [w])] == [slope] if not closure else True


@pytest.mark.parametrize("closure", [False, True], ids=["", "closure"])
def test_what_chooses_and_counts_as_well_gets_its_adjoint(closure):
    (x, root), w = root_of_zero(), Value(1.0)
    y = root * 0.5 + where(root + 1, w, w * 2)
    if closure:
        y, inner = Value(y.data, (y,), "same"), y
        y._backward = lambda: setattr(inner, "grad", inner.grad + y.grad)
    y.backward()
    assert (x.grad, root.grad, w.grad) == (inf, 0.5, 1.0)


def test_the_operands_of_a_chain_rule_in_python_count_as_reached():
    (x, root), w = root_of_zero(), Value(1.0)
    out = Value(1.0, (root,), "own")
    out._backward = lambda: None
    where(out, w, w * 2).backward()
    assert (x.grad, root.grad) == (0.0, 0.0)  # it only chooses: its rule is not run
    (out + w).backward()
    assert math.isnan(x.grad) and root.grad == 0.0  # 0, from a rule that may have added to it


def test_what_lies_far_apart_on_the_tape_starts_at_0_as_well():
    low = Value(4.0)
    apart = [Value(0.0) for _ in range(5000)]
    root = low.sqrt()
    more = [Value(0.0) for _ in range(5000)]
    y = where(root, apart[0], more[0]) + where(root * 2, 1.0, more[9])
    for v in (low, root, apart[0], more[9]):
        v.grad = 7.0
    y.backward()
    assert grads(low, root, apart[0], more[0], more[9]) == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_by_hand_an_operand_that_gains_nothing_keeps_its_grad():
    a, b, c = leaves(1.0, 2.0, 3.0)
    y = where(a, b, c)
    a.grad, y.grad = -0.0, 1.0
    y._backward()
    assert (math.copysign(1.0, a.grad), b.grad, c.grad) == (-1.0, 1.0, 0.0)
