# SPDX-License-Identifier: MIT
"""grad, jvp, vjp, jacobian, hessian, hvp: structures, nesting, errors, eager and compiled."""

import collections
import gc
import itertools
import math
import random
import weakref

import numpy as np
import pytest
from common import Parameter, data, nodes_without_garbage

import micrograd_c as mc
from micrograd_c import (
    GradcheckError,
    Value,
    custom,
    grad,
    gradcheck,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    value_and_grad,
    vjp,
    where,
)


def rosenbrock(xs):
    return mc.sum([(1 - a) ** 2 + 100 * (b - a * a) ** 2 for a, b in itertools.pairwise(xs)])


# -- structures ------------------------------------------------------------------------------------


def test_a_gradient_has_its_arguments_structure():
    def f(x, pair, tree):
        return x * pair[0] ** 2 + pair[1] * tree[0][1].exp() + tree[1][0][0]

    args = 2.0, (3.0, Value(5.0)), [[7.0, 0.0], ([Value(1.0)], 4)]
    e = 1.0
    assert data(grad(f)(*args)) == 9.0
    assert data(grad(f, 1)(*args)) == (12.0, e)
    assert data(grad(f, -1)(*args)) == [[0.0, 5.0], ([1.0], 0.0)]
    assert data(grad(f, (2, 0))(*args)) == ([[0.0, 5.0], ([1.0], 0.0)], 9.0)
    assert data(grad(f, (1,))(*args)) == ((12.0, e),)
    assert data(grad(f, np.int64(1))(*args)) == (12.0, e)
    assert data(grad(f, (np.int8(-2),))(*args)) == ((12.0, e),)
    value, slope = value_and_grad(f, 1)(*args)
    assert (value.data, data(slope)) == (18.0 + 5.0 + 1.0, (12.0, e))


def test_named_tuples_and_dicts_are_structures():
    Point = collections.namedtuple("Point", "x y")
    found = grad(lambda p, w: p.x * p.y + w["a"] ** 2, (0, 1))(Point(2.0, 3.0), {"a": 4.0})
    assert data(found) == (Point(3.0, 2.0), {"a": 8.0})
    assert type(found[0]) is Point


def test_of_other_arguments_floats_are_values_and_all_else_comes_as_it_is():
    tree = {"a": [1, None]}

    def power(x, n, how, scale, rest, same):
        assert type(n) is int and how == "up" and same is tree
        return x**n * scale.exp() * rest[1][0].cos() * rest[0]

    assert grad(power)(3.0, 2, "up", 0.0, (1, [0.0]), tree).data == 6.0


@pytest.mark.parametrize("number", [2, 2.0, True, np.float32(2), np.array(2.0)])
def test_any_real_number_is_an_argument(number):
    assert grad(lambda x: x * x * x)(number).data == 3 * float(number) ** 2


def test_the_name_and_the_signature_are_the_functions():
    def area(width, height):
        """Of a rectangle."""
        return width * height

    for made in (grad(area), value_and_grad(area), hessian(area), jacobian(area)):
        assert (made.__name__, made.__doc__) == ("area", "Of a rectangle.")


# -- one argument more than once, closures, nesting ------------------------------------------------


def test_one_value_as_two_arguments_is_two_variables():
    x = Value(3.0)
    assert data(grad(lambda a, b: a * a * b, (0, 1))(x, x)) == (18.0, 9.0)
    assert data(grad(lambda p: p[0] * p[1])([x, x])) == [3.0, 3.0]


def test_what_a_function_closes_over_is_constant_to_it():
    x = Value(3.0)
    assert grad(lambda a: a * x)(x).data == 3.0
    assert grad(lambda a: x * x)(x).data == 0.0
    result, tangent = jvp(lambda a: [a * x, x], [x], [1.0])
    assert (data(result), data(tangent)) == ([9.0, 3.0], [3.0, 0.0])


def test_perturbations_are_not_confused():
    # d/dx [x * d/dy (x + y)] = 1; d/dx [x * d/dy (x * y)] = 2 x
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(5.0).data == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(7.0))(5.0).data == 10.0
    assert jvp(lambda x: x * jvp(lambda y: x + y, [1.0], [1.0])[1], [5.0], [1.0])[1].data == 1.0
    assert grad(lambda x: grad(lambda y: x * y * y)(x))(5.0).data == 20.0
    assert grad(lambda x: jvp(lambda y: x * y * y, [x], [x])[1])(5.0).data == 6 * 25.0


def test_nesting_in_every_order():
    f = lambda x: (x * 1.3).sin() * x.exp()  # noqa: E731
    x = 0.4
    # f = Im exp((1 + 1.3 i) x)
    exact = [(complex(1, 1.3) ** n * np.exp(complex(1, 1.3) * x)).imag for n in range(5)]
    tangent = lambda g: lambda v: jvp(g, [v], [1.0])[1]  # noqa: E731
    pulled = lambda g: lambda v: vjp(g, v)[1](1.0)[0]  # noqa: E731
    curved = lambda g: lambda v: hessian(g)(v)[0][0]  # noqa: E731
    rng = random.Random(1)
    for _ in range(12):
        made, order = f, 0
        for way, orders in rng.sample([(grad, 1), (tangent, 1), (pulled, 1), (curved, 2)], 3):
            if order + orders <= 4:
                made, order = way(made), order + orders
        assert made(x).data == pytest.approx(exact[order], rel=1e-12)
        assert made(Value(x)).data == pytest.approx(exact[order], rel=1e-12)


def test_results_depend_on_the_arguments_as_everything_does():
    x, w = Value(2.0), Value(3.0)
    slope = grad(lambda v: w * v**3)(x)
    slope.backward()
    assert (slope.data, x.grad, w.grad) == (36.0, 36.0, 12.0)
    (by_w,) = gradients(hessian(lambda v: w * v**3)(x)[0][0], [w])
    assert by_w.data == 12.0


def test_labels_and_grads_of_others_stay_as_they_are():
    x, w = Value(2.0, label="x"), Value(3.0, label="w")
    x.grad, w.grad = 5.0, 7.0
    hessian(lambda v: w * v**3)(x)
    hvp(lambda v: w * v**3, [x], [1.0])
    assert (x.grad, w.grad, x.label, w.label) == (5.0, 7.0, "x", "w")


# -- jvp, vjp, hvp ---------------------------------------------------------------------------------


def test_jvp_and_vjp_take_and_give_structures():
    def f(a, b):
        return {"product": a * b[0], "rest": (b[1].exp(), [a])}

    result, tangent = jvp(f, (2.0, [3.0, 0.0]), (1.0, [10.0, 5]))
    assert data(result) == {"product": 6.0, "rest": (1.0, [2.0])}
    assert data(tangent) == {"product": 3.0 + 20.0, "rest": (5.0, [1.0])}
    result, pullback = vjp(f, 2.0, [3.0, 0.0])
    assert data(result) == {"product": 6.0, "rest": (1.0, [2.0])}
    assert data(pullback({"product": 1.0, "rest": (2.0, [10.0])})) == (13.0, [2.0, 2.0])
    assert data(pullback({"product": 0, "rest": (Value(1.0), [0])})) == (0.0, [0.0, 1.0])


def test_a_result_that_is_changed_is_nothing_to_the_pullback():
    result, pullback = vjp(lambda x: [x, x * x], 3.0)
    result.clear()
    assert data(pullback([1.0, 1.0])) == (7.0,)


def test_an_argument_that_is_changed_is_nothing_to_the_pullback():
    pair, table = [2.0, 3.0], {"a": 5.0}
    _, pullback = vjp(lambda p, t: p[0] * p[1] * t["a"], pair, table)
    pair.append(7.0)
    del table["a"]
    assert data(pullback(1.0)) == ([15.0, 10.0], {"a": 6.0})
    pair.clear()

    def emptied(x):
        numbers.clear()
        return x[0] * x[0]

    numbers = [3.0]
    assert data(grad(emptied)(numbers)) == [6.0]


def test_an_argument_that_does_not_move_spoils_nothing():
    # By the exponent, the slope is not a number.
    power = lambda x, n: x**n  # noqa: E731
    assert jvp(power, [-2.0, 2.0], [1.0, 0.0])[1].data == -4.0
    assert jvp(power, [-2.0, 2.0], [0, np.float32(0)])[1].data == 0.0
    assert data(hvp(power, [-2.0, 2.0], [1, 0]))[0] == 2.0
    assert math.isnan(jvp(power, [-2.0, 2.0], [1.0, Value(0.0)])[1].data)


def test_a_tangent_and_a_cotangent_may_be_differentiated_by():
    t = Value(2.0)
    _, tangent = jvp(lambda x: x**3, [1.0], [t * t])
    assert (tangent.data, gradients(tangent, [t])[0].data) == (12.0, 12.0)
    (slope,) = vjp(lambda x: x**3, 1.0)[1](t * t)
    assert (slope.data, gradients(slope, [t])[0].data) == (12.0, 12.0)


def test_hvp_is_the_hessian_times_the_vector():
    xs, vs = [0.5, -1.2, 0.7, 2.0], [1.0, 0.0, -2.0, 0.5]
    rows = np.array(data(hessian(rosenbrock)(xs)))
    (found,) = hvp(rosenbrock, (xs,), (vs,))
    assert data(found) == pytest.approx(rows @ vs, rel=1e-12)
    found = hvp(lambda a, b: rosenbrock([a, *b]), (xs[0], xs[1:]), (vs[0], vs[1:]))
    assert [found[0].data, *data(found[1])] == pytest.approx(rows @ vs, rel=1e-12)


def test_hvp_does_without_the_hessian():
    n = 200
    before = nodes_without_garbage()
    (found,) = hvp(rosenbrock, ([0.1] * n,), ([1.0] * n,))
    assert nodes_without_garbage() - before < 100 * n
    assert len(found) == n


# -- matrices --------------------------------------------------------------------------------------


def spiral(p):
    return [p[0] * p[1].cos(), p[0] * p[1].sin(), p[0]]


@pytest.mark.parametrize("mode", ["forward", "reverse", None])
def test_a_jacobian_has_a_row_for_each_result(mode):
    r, phi = 2.0, 0.3
    expected = [[math.cos(phi), -r * math.sin(phi)], [math.sin(phi), r * math.cos(phi)], [1.0, 0.0]]
    assert np.array(data(jacobian(spiral, mode=mode)([r, phi]))) == pytest.approx(
        np.array(expected)
    )
    assert data(jacobian(lambda x: [x * x, x], mode=mode)(3.0)) == [[6.0], [1.0]]
    assert data(jacobian(lambda a, b: (a * b[0],), (1, 0), mode)(3.0, [5.0, 7.0])) == [
        [3.0, 0.0, 5.0]
    ]
    assert jacobian(lambda x: [], mode=mode)(1.0) == []


def test_a_hessian_is_symmetric_to_the_bit():
    xs = [0.3, -0.8, 1.1, 0.9]
    f = lambda v: (rosenbrock(v) * 0.01).tanh() * v[0].hypot(v[3]) % v[1].exp()  # noqa: E731
    rows = data(hessian(f)(xs))
    assert [len(row) for row in rows] == [4] * 4
    assert rows == [list(column) for column in zip(*rows, strict=True)]
    assert np.array(rows) == pytest.approx(np.array(data(jacobian(grad(f))(xs))), rel=1e-9)


def test_a_hessian_by_several_arguments_is_one_matrix():
    rows = data(hessian(lambda a, b: a * a * b[0] + b[1] ** 3, (0, 1))(2.0, [3.0, 5.0]))
    assert rows == [[6.0, 4.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 30.0]]
    assert data(hessian(lambda a, b: a * a * b, 1)(2.0, 3.0)) == [[0.0]]
    assert data(hessian(lambda x: x * 2)(1.0)) == [[0.0]]


# -- no_grad ---------------------------------------------------------------------------------------


def test_under_no_grad_derivatives_are_there_and_results_are_leaves():
    x = Value(2.0)
    with no_grad():
        found = [
            grad(lambda v: v**3)(x),
            value_and_grad(lambda v: v**3)(x)[0],
            hessian(lambda v: v**3)(x)[0][0],
            jacobian(lambda v: [v**3])(x)[0][0],
            *jvp(lambda v: v**3, [x], [1.0]),
            *hvp(lambda v: v**3, [x], [1.0]),
        ]
        result, pullback = vjp(lambda v: v**3, x)
        found += [result, *pullback(1.0)]
        assert (x * x)._prev == set()
    assert [v.data for v in found] == [12.0, 8.0, 12.0, 12.0, 8.0, 12.0, 12.0, 8.0, 12.0]
    assert all(v._prev == set() for v in found)


def test_no_grad_in_the_function_makes_constants():
    def f(x):
        with no_grad():
            scale = x * x
        return scale * x

    assert grad(f)(3.0).data == 9.0


def constants(x):
    """Its second and third result depend on nothing."""
    return [x * x, 3.0, np.float64(2.0)]


def test_a_number_that_a_function_returns_is_a_constant():
    one = lambda x: 5  # noqa: E731
    value, slope = value_and_grad(one)(2.0)
    assert (value.data, slope.data, grad(one)(2.0).data) == (5.0, 0.0, 0.0)
    assert [[v.data for v in row] for row in hessian(one)([1.0, 2.0])] == [[0.0, 0.0]] * 2
    assert [v.data for v in hvp(one, [[1.0, 2.0]], [[1.0, 1.0]])[0]] == [0.0, 0.0]
    for mode in ("forward", "reverse", None):
        assert [row[0].data for row in jacobian(constants, mode=mode)(2.0)] == [4.0, 0.0, 0.0]
    result, tangent = jvp(constants, [2.0], [1.0])
    assert [v.data for v in [*result, *tangent]] == [4.0, 3.0, 2.0, 4.0, 0.0, 0.0]
    result, pullback = vjp(constants, 2.0)
    assert ([v.data for v in result], pullback([1, 1, 1])[0].data) == ([4.0, 3.0, 2.0], 4.0)
    with no_grad():
        assert [v.data for v in vjp(constants, 2.0)[0]] == [4.0, 3.0, 2.0]


def test_a_constant_is_one_in_compiled_functions_too():
    one = lambda p: 5.0  # noqa: E731
    for fn, rows in [
        (grad(one), [[0.0, 0.0]] * 3),
        (hessian(one), [[[0.0, 0.0]] * 2] * 3),
        (lambda p: value_and_grad(one)(p)[0], [5.0] * 3),
    ]:
        f = mc.compile(fn)
        assert np.asarray(f(BATCH)).tolist() == rows
        assert f.stats().parameters == 0
    with pytest.raises(TypeError, match="there is no Value in 5"):
        mc.compile(one)(BATCH)


# -- lifetimes -------------------------------------------------------------------------------------


def test_nothing_is_left_of_ten_thousand_calls():
    x = Value(0.5)
    f = lambda v: (v * x).tanh() * v  # noqa: E731
    sizes = []
    for k in range(10_000):
        (grad(f), hessian(f), lambda v: jvp(f, [v], [1.0]), lambda v: vjp(f, v)[1](1.0))[k % 4](x)
        if k % 2500 == 2499:
            sizes.append(nodes_without_garbage())
    assert len(set(sizes)) == 1


def test_instances_of_subclasses_live_as_long_as_they_are_needed():
    def slope_of(p):
        return grad(lambda v: v**3 * p)(p), weakref.ref(p)

    slope, alive = slope_of(Parameter("p", 2.0))
    gc.collect()
    slope.backward()
    assert (slope.data, alive().name, alive().grad) == (24.0, "p", 24.0 + 12.0 - 0.0)
    del slope
    gc.collect()
    assert alive() is None


# -- gradcheck of second order ---------------------------------------------------------------------


def test_gradcheck_compares_second_derivatives():
    f = lambda a, b: (a * b).tanh() * a + b.exp()  # noqa: E731
    a = Value(0.3)
    assert gradcheck(f, [a, 0.7], order=2)
    assert a.grad == 0.0

    def flat(x):  # whose second derivative is 4, not what the engine is told
        return custom(2 * x.data**2, [x], [4 * x.data]) if type(x) is Value else 0

    assert gradcheck(flat, [1.5])
    with pytest.raises(TypeError, match="first order only"):
        gradcheck(flat, [1.5], order=2)
    with pytest.raises(ValueError, match="order 1 or 2, got 3"):
        gradcheck(f, [a, 0.7], order=3)


def test_gradcheck_says_which_second_derivative_is_wrong():
    def detached(a, b):  # a * b, with right slopes that are constants
        return a * b.detach() + b * a.detach() - (a * b).detach()

    assert gradcheck(detached, [2.0, 3.0])
    with pytest.raises(GradcheckError, match=r"inputs 1 and 0: input 0 at 2\.0"):
        gradcheck(detached, [2.0, 3.0], order=2)
    assert not gradcheck(detached, [2.0, 3.0], order=2, raise_exception=False)


# -- compiled --------------------------------------------------------------------------------------

BATCH = [[0.3, 0.7], [-0.4, 1.1], [1.9, -0.2]]


def assert_compiled_is_eager(make, batch=BATCH):
    """make: a function of a list that gives a Value or a list of Values."""
    outputs = np.asarray(mc.compile(make)(batch)).tolist()
    assert outputs == [pytest.approx(data(make(row)), rel=1e-12, abs=1e-13) for row in batch]


def curve(p):
    return (p[0] * p[1]).tanh() * p[0].exp() + where(p[0], p[1] ** 3, p[0] * p[1])


@pytest.mark.parametrize(
    "make",
    [
        grad(curve),
        lambda p: hessian(curve)(p)[0],
        lambda p: [v for row in hessian(curve)(p) for v in row],
        lambda p: [v for row in jacobian(grad(curve))(p) for v in row],
        lambda p: jvp(curve, [p], [[1.0, -2.0]])[1],
        lambda p: vjp(curve, p)[1](p[0])[0],
        lambda p: hvp(curve, [p], [[p[1], 1.0]])[0],
        lambda p: grad(lambda q: grad(curve)(q)[0] * q[1])(p),
        lambda p: [value_and_grad(curve)(p)[0], *grad(curve)(p)],
        lambda p: grad(lambda q: mc.take([q[0] ** 3, q[1] ** 2], where(q[0], 1.0, 0.0)))(p),
        lambda p: [v.relu() + abs(v) for v in grad(lambda q: abs(q[0]) * q[1].relu())(p)],
    ],
)
def test_compiled_derivatives_are_the_eager_ones_whatever_the_sample(make):
    assert_compiled_is_eager(make)


def test_a_derivative_in_a_loss_is_trained():
    """A parameter of a function whose slope is to be cos."""
    a, b = Value(0.1), Value(0.2)
    network = lambda x: a * x + b * x**3  # noqa: E731
    loss = lambda x: (grad(network)(x) - x.cos()) ** 2  # noqa: E731
    f = mc.compile(loss)
    xs = [k / 10 for k in range(-10, 11)]
    found = f.value_and_grad(xs)
    by_hand = mc.sum([loss(Value(x)) for x in xs]) * (1 / len(xs))
    grads = a.grad, b.grad
    by_hand.backward()
    assert found == pytest.approx(by_hand.data)
    assert grads == pytest.approx((a.grad, b.grad))
    losses = f.fit(xs, optimizer=mc.optim.Adam([a, b], lr=0.05), steps=300)
    assert losses[-1] < 1e-3 < losses[0]


def test_no_grad_in_a_compiled_function_stops_the_gradient_of_a_derivative():
    w = Value(3.0)

    def stopped(x):
        with no_grad():
            slope = grad(lambda v: w * v**2)(x)
        return slope * w

    f = mc.compile(stopped, reduction="sum")
    assert f([1.0, 2.0]).tolist() == [18.0, 36.0]
    f.value_and_grad([1.0, 2.0])
    assert w.grad == 6.0 + 12.0


@pytest.mark.parametrize(
    ("index", "exception", "message"),
    [
        (2.0, IndexError, "index 2 is out of range for 2 values, for sample 1"),
        (-3.0, IndexError, "index -3 is out of range for 2 values, for sample 1"),
        (0.5, TypeError, r"expected a whole number as index, got 0\.5 for sample 1"),
    ],
)
def test_of_take_an_index_is_refused_where_only_a_derivative_is_left(index, exception, message):
    def chosen(i, x):
        return mc.take([x * x, x**3], i)

    derivatives = [
        lambda i, x: grad(chosen, 1)(i, x),
        lambda i, x: grad(grad(chosen, 1), 1)(i, x),
        lambda i, x: jvp(lambda v: chosen(i, v), [x], [1.0])[1],
        lambda i, x: jvp(grad(lambda v: chosen(i, v)), [x], [1.0])[1],
    ]
    for derivative, expected in zip(derivatives, (12.0, 12.0, 12.0, 12.0), strict=True):
        f = mc.compile(derivative)
        assert list(f([-1.0, 1.0], [2.0, 2.0])) == [expected] * 2
        with pytest.raises(exception, match=message):
            f([0.0, index], [2.0, 2.0])


def test_a_derivative_that_is_a_number_is_no_parameter():
    w = Value(2.0)

    def slopes(p):
        number = grad(lambda q: 3.0 * q[0] + q[1] / 4)(p)
        return [*number, *grad(lambda q: q[0] * w)(p), *hessian(lambda q: q[0] * w)(p)[1]]

    f = mc.compile(slopes)
    assert np.asarray(f(BATCH)).tolist() == [[3.0, 0.25, 2.0, 0.0, 0.0, 0.0]] * 3
    assert f.stats().parameters == 1


def test_a_compiled_hessian_has_the_functions_name():
    f = mc.compile(lambda p: hessian(curve)(p)[1])
    assert np.asarray(f(BATCH)).shape == (3, 2)
    with pytest.raises(TypeError, match="expected fn to return a Value"):
        mc.compile(grad(lambda p: p))(BATCH)
