# SPDX-License-Identifier: MIT
"""What a choice has not chosen has no part in a derivative, whatever its own numbers are there.

A branch may be infinite or NaN where it is not chosen: that is what where() is for. An adjoint of 0
that is handed on to it comes back as NaN, for 0 * inf is none.
"""

import math
import random
import re

import numpy as np
import pytest
from common import EXECUTORS

import micrograd_c as mc
from micrograd_c import Value, grad, gradients, hessian, jvp, nn, take, vjp, where


def root_or_double(x):
    return where(x > 0.0, x.sqrt(), x * 2.0)


def shared(x):
    """One node for the branches of two choices, by different conditions."""
    root = x.sqrt()
    return where(x > 0.0, root, x * 2.0) + where(x > 1.0, root * 3.0, x)


def nested(x):
    inner = where(x > 4.0, (x - 4.0).sqrt(), x * x)
    return where(x > 0.0, inner * x.log(), x * 3.0)


def of_what_is_chosen(x):
    """The condition reads what the choice chooses."""
    root = x.sqrt()
    return where(root > 1.0, 1.0 / (root - 1.0), x)


def listed(x):
    return take([x * 2.0, x.log(), 1.0 / x], where(x > 0.0, 1.0, 0.0)) * x


def neighbours(x):
    """One node for two elements of three, and one for all of them."""
    double, root = x * 2.0, x.sqrt()
    elements = [double * 3.0, root + double, double + root * 2.0]
    return take(elements, where(x > 1.0, -1.0, where(x > 0.0, 1.0, 0.0)))


# A function, numbers, the derivatives there: at the edge and to either side.
CASES = [
    (root_or_double, [0.0, -1.0, 4.0], [2.0, 2.0, 0.25]),
    (shared, [0.0, -1.0, 0.25, 4.0], [3.0, 3.0, 2.0, 1.0]),
    (nested, [0.0, -1.0, 1.0, 4.0], [3.0, 3.0, 1.0, 8.0 * math.log(4.0) + 4.0]),
    (of_what_is_chosen, [0.0, 1.0, 4.0], [1.0, 1.0, -0.25]),
    (listed, [0.0, -1.0, 1.0], [0.0, -4.0, 1.0]),
    (neighbours, [0.0, -1.0, 0.25, 4.0], [6.0, 6.0, 3.0, 2.5]),
]
NAMES = [case[0].__name__ for case in CASES]
cases = pytest.mark.parametrize(("fn", "xs", "slopes"), CASES, ids=NAMES)
executors = pytest.mark.parametrize("executor", EXECUTORS)


@cases
@executors
def test_derivatives_by_inputs(fn, xs, slopes, executor):
    np.testing.assert_allclose(mc.compile(grad(fn), executor=executor)(xs), slopes, rtol=1e-14)


@cases
@executors
def test_both_modes_agree(fn, xs, slopes, executor):
    forward = mc.compile(lambda x: jvp(fn, [x], [1.0])[1], executor=executor)
    backward = mc.compile(lambda x: vjp(fn, x)[1](1.0)[0], executor=executor)
    assert np.isfinite(backward(xs)).all()
    np.testing.assert_allclose(forward(xs), backward(xs), rtol=1e-14)


@cases
@executors
def test_second_derivatives_by_either_way(fn, xs, slopes, executor):
    twice, both = (
        mc.compile(grad(grad(fn)), executor=executor),
        mc.compile(hessian(fn), executor=executor),
    )
    assert np.isfinite(twice(xs)).all()
    np.testing.assert_allclose(np.asarray(both(xs)).reshape(-1), twice(xs), rtol=1e-13)


@cases
@executors
def test_derivatives_by_a_parameter(fn, xs, slopes, executor):
    shift = Value(0.0)
    loss = mc.compile(lambda x: fn(x + shift), executor=executor, reduction="sum")
    loss.value_and_grad(xs)
    assert shift.grad == pytest.approx(sum(slopes), rel=1e-13)


@executors
def test_a_parameter_within_a_branch(executor):
    w = Value(2.0)
    loss = mc.compile(
        lambda x: where(x > 0.0, w * x.log(), w * x), executor=executor, reduction="sum"
    )
    loss.value_and_grad([math.e, 0.0, -1.0])
    assert w.grad == pytest.approx(0.0, abs=1e-15)


@executors
def test_a_choice_by_a_parameter(executor):
    w, v = Value(0.0), Value(3.0)
    loss = mc.compile(
        lambda x: where(w, w.sqrt() * x, v * v * x), executor=executor, reduction="sum"
    )
    loss.value_and_grad([1.0, 2.0])
    assert (w.grad, v.grad) == (0.0, 18.0)


@executors
def test_a_network_within_a_branch(executor):
    weights = [Value(0.5 * k - 1.0) for k in range(6)]

    def fn(x, y):
        rows = [mc.dot(weights[k : k + 2], [x, y], weights[4 + k // 2]) for k in (0, 2)]
        return where(x > 0.0, mc.sum(rows).sqrt(), mc.sum(weights))

    chosen = mc.compile(
        lambda x, y: mc.sum(weights) + x * y * 0.0, executor=executor, reduction="sum"
    )
    loss = mc.compile(fn, executor=executor, reduction="sum")
    chosen.value_and_grad([-1.0], [-3.0])
    expected = [w.grad for w in weights]
    loss.value_and_grad([-1.0], [-3.0])
    assert [w.grad for w in weights] == expected


@executors
def test_layers_whose_inputs_are_infinite_where_they_are_not_chosen(executor):
    """As where a number is missing: NaN stands for it, and where() keeps the network out."""
    random.seed(4)
    network, layer = nn.MLP(2, [3, 3, 1]), nn.Layer(2, 3)
    weights = [*network.parameters(), *layer.parameters()]

    def loss(point, which):
        shared = layer([point[0] * 2.0, point[1]])
        inner = network(point) + where(which > 1.5, shared[0], 1.0) + shared[1]
        return where(which > 0.5, inner, 2.0)

    points = [[1.0, 2.0], [math.inf, math.nan], [3.0, -1.0], [math.nan, 1.0], [0.5, 0.25]]
    whiches = [1.0, 0.0, 2.0, 0.0, 2.0]
    sums = [0.0] * len(weights)
    for point, which in zip(points, whiches, strict=True):
        for w in weights:
            w.grad = 0.0
        loss([Value(x) for x in point], Value(which)).backward()
        sums = [total + w.grad for total, w in zip(sums, weights, strict=True)]
    mc.compile(loss, reduction="sum", executor=executor).value_and_grad(points, whiches)
    np.testing.assert_allclose([w.grad for w in weights], sums, rtol=1e-12, atol=1e-14)


def test_backward_with_conditions_that_are_values():
    """A Value as condition is a node; a comparison is a bool, and chooses at once."""
    x = Value(0.0)
    y = where(x, x.sqrt(), x * 2.0) + take([x, x.sqrt()], Value(0.0))
    y.backward()
    assert x.grad == 3.0
    assert gradients(y, [x])[0].data == 3.0


def test_backward_beside_a_rule_written_in_python():
    x = Value(0.0)
    y = where(x, x.sqrt(), x * 2.0)
    out = Value(y.data, (y,), "twice")

    def rule():
        y.grad += 2.0 * out.grad

    out._backward = rule
    out.backward()
    assert x.grad == 4.0


def test_a_branch_that_is_not_chosen_is_of_the_graph():
    """Its grads start anew with each backward, as all do."""
    x, z = Value(1.0), Value(5.0)
    y = where(x, x * 2.0, z * 3.0)
    z.grad = 7.0
    y.backward()
    assert (x.grad, z.grad) == (2.0, 0.0)


@executors
def test_an_inner_node_of_a_branch_has_derivative_0_where_it_is_not_chosen(executor):
    def slope(x):
        root = x.sqrt()
        square = root * root
        return gradients(where(x > 0.0, 1.0 / square, x), [square])[0]

    np.testing.assert_allclose(
        mc.compile(slope, executor=executor)([0.0, -1.0, 1.0]), [0.0, 0.0, -1.0]
    )


@executors
@pytest.mark.parametrize("y", [0.0, 1.0, 2.0, 3.0])
def test_powers_of_0_by_an_input_to_any_order(y, executor):
    order, expected = int(y) + 2, 0.0
    derivative = lambda x, y: x**y  # noqa: E731
    for _ in range(order):
        derivative = grad(derivative)
    assert list(mc.compile(derivative, executor=executor)([0.0], [y])) == [expected]
    assert derivative(0.0, y).data == expected


def has_gated_parameters(fn):
    """A parameter's gate stands in the program as a choice between the parameter and itself."""
    loss = mc.compile(fn, executor="vector")
    loss.value_and_grad([1.0])
    return re.search(r"where\(r\d+, (p\d+), \1\)", str(loss)) is not None


def test_what_all_elements_use_has_no_gate():
    """The total of a softmax gains by every element, and so does what stands before it."""
    weights = [Value(0.1 * k) for k in range(20)]

    def chance(x):
        powers = [(w * x).exp() for w in weights]
        total = mc.sum(powers)
        return take([power / total for power in powers], x)

    def power(x):
        return take([(w * x).exp() for w in weights], x)

    assert not has_gated_parameters(chance)
    assert has_gated_parameters(power)


@executors
def test_sums_by_numbers_of_what_is_infinite_where_a_layer_of_it_is_not_chosen(executor):
    """They are rows of its matrix, of every sample; so is the one that a parameter is added to."""
    weights = [Value(0.1 * k) for k in range(1, 7)]

    def loss(x, which):
        inner = [mc.dot(weights[k : k + 3], x) for k in (0, 3)]
        outer = [mc.dot([k, 0.25, 0.125], x, weights[0]) for k in (0.5, 1.5)]
        chosen = where(which > 0.0, inner[0].tanh() * inner[1], 2.0)
        return chosen + outer[0].tanh() + outer[1].tanh()

    f = mc.compile(loss, reduction="sum", executor=executor)
    f.value_and_grad([[1.0, 2.0, 3.0]], [1.0])
    alone = [w.grad for w in weights]
    f.value_and_grad([[1.0, 2.0, 3.0], [math.inf, 1.0, 1.0]], [1.0, 0.0])
    np.testing.assert_allclose([w.grad for w in weights], alone, rtol=1e-12)


def test_a_take_of_a_layers_outputs_makes_no_layer_of_each():
    """The value of one action of many: its program grows with the layer, not with its square."""
    layer = nn.Layer(16, 300, activation="linear")
    chosen = mc.compile(lambda x, k: take(layer(x), k))
    whole = mc.compile(lambda x, k: mc.sum(layer(x)) + k)
    for f in (chosen, whole):
        f.value_and_grad([[0.1] * 16], [7.0])
    assert chosen.stats().bytes < 4 * whole.stats().bytes
