# SPDX-License-Identifier: MIT
"""gradients(): every row of the operation table, four times; kinks, refusals, lifetimes."""

import gc
import itertools
import math
import random
import weakref

import mpmath
import pytest
from common import (
    BINARY,
    FLAT,
    ROWS,
    SCALED,
    TERNARY,
    UNARY,
    Parameter,
    churn,
    closure_product,
    inf,
    leaves,
    nan,
    nodes_without_garbage,
    run_python,
    unary,
)

import micrograd_c as mc
from micrograd_c import Value, clip, custom, dot, gradients, no_grad, take, tape_stats, where

# -- every row, four times, against mpmath ---------------------------------------------------------

mp = mpmath.mp.clone()
mp.dps = 60


# The same functions in 60 digits. Where they are flat or have kinks, between these.
EXACT_UNARY = {
    "neg": lambda x: -x,
    "abs": lambda x: x if x > 0 else -x,
    "sign": lambda x: mp.sign(x),
    "floor": mp.floor,
    "ceil": mp.ceil,
    "exp2": lambda x: mp.power(2, x),
    "cbrt": lambda x: mp.power(x, mp.mpf(1) / 3),
    "log2": lambda x: mp.log(x) / mp.log(2),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "normal_cdf": mp.ncdf,
    "relu": lambda x: x if x > 0 else mp.mpf(0),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "gelu": lambda x: x * mp.ncdf(x),
    "silu": lambda x: x / (1 + mp.exp(-x)),
}
EXACT_BINARY = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "truediv": lambda x, y: x / y,
    "pow": mp.power,
    "mod": lambda x, y: x - y * mp.floor(x / y),
    "fmod": lambda x, y: x - y * mp.floor(x / y),  # of positive numbers, the same
    "floordiv": lambda x, y: mp.floor(x / y),
    "maximum": max,
    "minimum": min,
    "pow_number": mp.power,
    "leaky_relu": lambda x, y: x if x > 0 else x * y,
}


def points(name, count):
    """Points of the row's interval, none of them near a kink or a jump."""
    low, high = ROWS[name]["interval"]
    return [low + (high - low) * (k + 0.437) / count for k in range(count)]


def assert_digits(ours, exact, scale):
    assert abs(ours - exact) <= 1e-9 * max(abs(exact), scale), (ours, exact)


def exact_derivatives(function, x, orders):
    return [mp.diff(function, mp.mpf(x), n) for n in range(1, orders + 1)]


@pytest.mark.parametrize("name", UNARY)
def test_a_row_of_one_operand_differentiated_four_times(name):
    exact = EXACT_UNARY.get(name) or getattr(mp, name)
    for x in points(name, 7):
        v = Value(x)
        derivative, found = unary(name, v), []
        for _ in range(4):
            (derivative,) = gradients(derivative, [v])
            found.append(derivative.data)
        for ours, theirs in zip(found, exact_derivatives(exact, x, 4), strict=True):
            assert_digits(ours, theirs, 1e-3)


def mixed(function, x, y, n, m):
    return mp.diff(function, (mp.mpf(x), mp.mpf(y)), (n, m))


@pytest.mark.parametrize("name", BINARY)
def test_a_row_of_two_operands_differentiated_four_times_by_either(name):
    exact = EXACT_BINARY.get(name) or getattr(mp, name)
    for x, y in itertools.product(points(name, 3), [0.61, 1.73]):
        for n, m in itertools.product(range(5), repeat=2):
            if not 0 < n + m <= 4:
                continue
            v, w = Value(x), Value(y)
            derivative = BINARY[name][0](v, w)
            for by in [v] * n + [w] * m:
                (derivative,) = gradients(derivative, [by])
            assert_digits(derivative.data, mixed(exact, x, y, n, m), 1e-3)


@pytest.mark.parametrize("y", [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
def test_a_whole_exponent_has_every_derivative(y):
    for n, m in itertools.product(range(5), repeat=2):
        if not 0 < n + m <= 4:
            continue
        for order in {tuple("x" * n + "y" * m), tuple("y" * m + "x" * n)}:
            v, w = Value(1.7), Value(y)
            derivative = v**w
            for by in order:
                (derivative,) = gradients(derivative, [v if by == "x" else w])
            assert_digits(derivative.data, mixed(mp.power, 1.7, y, n, m), 1e-3)


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("number", [0.3, 2.0, 2.5, -1.5])
def test_a_row_with_a_number_differentiated_four_times(name, number):
    for x in points(name, 4):
        v = Value(x)
        derivative = SCALED[name][0](v, number)
        exact = [
            mp.diff(lambda t: EXACT_BINARY[name](t, mp.mpf(number)), mp.mpf(x), n)
            for n in range(1, 5)
        ]
        for theirs in exact:
            (derivative,) = gradients(derivative, [v])
            assert_digits(derivative.data, theirs, 1e-3)


@pytest.mark.parametrize("name", TERNARY)
def test_a_row_of_three_operands_passes_derivatives_of_any_order_through(name):
    for numbers in itertools.permutations([0.6, 1.1, 2.3]):
        v = Value(0.7)
        operands = [x + (v - 0.7) ** 3 + v.sin() for x in numbers]
        result = TERNARY[name][0](*operands)
        for _ in range(3):
            (result,) = gradients(result, [v])
        assert result.data == pytest.approx(6 - math.cos(0.7), rel=1e-12)


def test_every_row_is_differentiated_here():
    exact = {*EXACT_UNARY, *EXACT_BINARY}
    for name in [*UNARY, *BINARY, *SCALED]:
        assert name in exact or hasattr(mp, name), name


def test_fused_sums_and_choices_by_index_have_second_derivatives():
    v = Value(0.8)
    for function in (
        lambda: mc.sum([v * v, v.exp(), v]),
        lambda: dot([v, v.exp()], [v, 1.0], v),
        lambda: take([v, v * v + v.exp() + v], Value(1.0)),
        lambda: take([v, v * v + v.exp() + v], Value(-1.0)),
    ):
        (slope,) = gradients(function(), [v])
        (curvature,) = gradients(slope, [v])
        assert slope.data == pytest.approx(1.6 + math.exp(0.8) + 1)
        assert curvature.data == pytest.approx(2 + math.exp(0.8))


# -- the first order is backward()'s ---------------------------------------------------------------

# what, operands
KINKS = [
    (lambda x: x.relu(), [0.0]),
    (lambda x: abs(x), [-0.0]),
    (lambda x: x.sign(), [0.0]),
    (lambda x: x.floor(), [2.0]),
    (lambda x: x.leaky_relu(0.25), [0.0]),
    (lambda x, y: x.maximum(y), [2.0, 2.0]),
    (lambda x, y: x.minimum(y), [2.0, 2.0]),
    (lambda x: x.maximum(x), [2.0]),
    (lambda x: clip(x, 0.0, 1.0), [0.0]),
    (clip, [1.0, 0.0, 0.0]),
    (lambda x: x**0, [0.0]),
    (lambda x, y: x**y, [0.0, 0.0]),
    (lambda x, y: x**y, [0.0, 2.0]),
    (lambda x: x**1, [0.0]),
    (lambda x: x**2, [0.0]),
    (lambda x: x**0.5, [0.0]),
    (lambda x: x.sqrt(), [0.0]),
    (lambda x: x.cbrt(), [0.0]),
    (lambda x, y: x.hypot(y), [3.0, 0.0]),
    (lambda x, y: x.atan2(y), [0.0, -1.0]),
    (lambda x, y: x % y, [6.0, 3.0]),
    (lambda x, y: x % y, [1.0, 0.1]),
    (lambda x, y: x // y, [6.0, 3.0]),
    (lambda x, y: where(x, y, x), [0.0, 1.0]),
    (lambda x: x.relu() * 0.0, [inf]),
    (lambda x: x * x, [nan]),
]


@pytest.mark.parametrize(("function", "numbers"), KINKS)
def test_at_a_kink_the_first_order_is_backwards_to_the_bit(function, numbers):
    operands = leaves(*numbers)
    result = function(*operands)
    found = gradients(result, operands)
    result.backward()
    # But for the sign of 0: a sum that starts with 0.0 is never -0.0.
    assert [repr(v.data + 0.0) for v in found] == [repr(v.grad + 0.0) for v in operands]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.relu(),
        abs,
        lambda x: x.sign(),
        lambda x: x.leaky_relu(0.25),
        lambda x: x.maximum(0.0),
        lambda x: clip(x, 0.0, 1.0),
        lambda x: where(x > 0, x, 0.0),
    ],
)
def test_at_a_kink_the_second_order_is_0(function):
    x = Value(0.0)
    (slope,) = gradients(function(x), [x])
    (curvature,) = gradients(slope, [x])
    assert curvature.data == 0.0


def test_a_branch_that_is_not_taken_spoils_nothing():
    x = Value(0.0)
    safe = where(x > 0, x.maximum(1e-300).sqrt() * 1e200 * 1e200, x * 3.0)
    for _ in range(2):
        (safe,) = gradients(safe, [x])
    assert safe.data == 0.0


def test_a_slope_without_a_finite_value_is_ieees():
    x = Value(0.0)
    (slope,) = gradients(x.sqrt(), [x])
    (curvature,) = gradients(slope, [x])
    assert (slope.data, curvature.data) == (inf, -inf)


# -- what comes back -------------------------------------------------------------------------------


def test_leaves_and_inner_nodes_and_what_has_no_part_in_it():
    a, b, stranger = leaves(2.0, 3.0, 4.0)
    inner = a * b
    y = inner * inner + b
    found = gradients(y, [a, b, inner, y, stranger, a])
    assert [v.data for v in found] == [36.0, 25.0, 12.0, 1.0, 0.0, 36.0]
    assert len(set(map(id, found))) == 6
    assert (found[4]._op, found[4]._prev) == ("", set())
    assert gradients(y, []) == []


def test_a_derivative_is_a_node_like_all_others():
    a = Value(2.0)
    (slope,) = gradients(a**3, [a])
    slope.label = "slope"
    slope.backward()
    assert (slope.data, a.grad, slope.grad) == (12.0, 12.0, 1.0)
    (slope * slope).backward()
    assert a.grad == 2 * 12.0 * 12.0


def test_nobodys_grad_or_label_changes():
    a, b = leaves(2.0, 3.0)
    a.grad, b.label = 7.0, "b"
    y = a * b
    y.grad = 5.0
    gradients(gradients(y.tanh(), [a])[0], [b])
    assert (a.grad, b.grad, y.grad, b.label, a.label) == (7.0, 0.0, 5.0, "b", "")


def test_a_new_number_in_a_leaf_is_no_part_of_what_was_recorded():
    a = Value(2.0)
    (slope,) = gradients(a * a, [a])
    a.data = 10.0
    assert slope.data == 4.0


def test_arguments_that_are_no_values():
    a = Value(1.0)
    with pytest.raises(TypeError, match="gradients: expected Values, got float"):
        gradients(1.0, [a])
    with pytest.raises(TypeError, match="gradients: expected Values, got int"):
        gradients(a * a, [a, 3])
    with pytest.raises(TypeError):
        gradients(a * a, a)


def test_under_no_grad_derivatives_are_leaves():
    a = Value(2.0)
    y = a**3
    with no_grad():
        (slope,) = gradients(y, [a])
    assert (slope.data, slope._prev) == (12.0, set())


# -- chain rules that are no cells -----------------------------------------------------------------


def test_a_chain_rule_in_python_is_refused_with_the_operations_name():
    a, b = leaves(2.0, 3.0)
    own = Value(6.0, (a, b), "mine")
    own._backward = lambda: None
    before = nodes_without_garbage()
    with pytest.raises(TypeError, match=r"'mine' is written in Python.*custom\(\)"):
        gradients(own * a, [a])
    assert nodes_without_garbage() == before
    assert gradients(own * a, [own])[0].data == 2.0  # above it, there is nothing to refuse
    replaced = a * b
    replaced._backward = lambda: None
    with pytest.raises(TypeError, match=r"'\*'"):
        gradients(replaced, [a])


def test_custom_has_the_first_order_and_refuses_the_second():
    a = Value(2.0)
    cube = custom(8.0, [a], [12.0], op="cube")
    (slope,) = gradients(cube * a, [a])
    assert slope.data == 12.0 * 2.0 + 8.0
    assert gradients(cube, [a])[0].data == 12.0
    with pytest.raises(
        TypeError, match=r"'cube': custom\(\) gives derivatives of first order only"
    ):
        gradients(slope, [a])
    with pytest.raises(TypeError, match="first order only"):
        slope.backward()


# -- lifetimes -------------------------------------------------------------------------------------


def test_garbage_comes_and_nodes_move():
    a, b = leaves(0.3, 0.7)
    derivative = (a * b).tanh() * a
    for by in (a, b, a):
        (derivative,) = gradients(derivative, [by])
        churn()
    number = derivative.data
    derivative.backward()
    fresh_a, fresh_b = leaves(0.3, 0.7)
    again = (fresh_a * fresh_b).tanh() * fresh_a
    for by in (fresh_a, fresh_b, fresh_a):
        (again,) = gradients(again, [by])
    again.backward()
    assert (number, a.grad, b.grad) == (again.data, fresh_a.grad, fresh_b.grad)


def test_instances_of_subclasses_and_their_attributes_stay_as_long_as_a_derivative_needs_them():
    p = Parameter("p", 2.0)
    name = weakref.ref(p)
    (slope,) = gradients(p**3, [p])
    del p
    gc.collect()
    assert name() is not None and name().name == "p"
    slope.backward()
    assert name().grad == 12.0
    del slope
    gc.collect()
    assert name() is None


def test_heavy_operands_are_held_by_derivatives():
    a = Value(2.0)
    a.history = [a]
    kept = weakref.ref(a)
    (slope,) = gradients(a * a * a, [a])
    del a
    gc.collect()
    assert kept().history == [kept()]
    slope.backward()
    assert kept().grad == 12.0
    del slope
    gc.collect()
    assert kept() is None


def test_above_a_custom_rule_derivatives_live_and_die():
    a = Value(2.0)
    product = closure_product(a, a)
    kept = weakref.ref(product)
    (slope,) = gradients(product * product, [product])
    del product
    gc.collect()
    slope.backward()
    assert (slope.data, kept().grad) == (8.0, 2.0)
    del slope
    gc.collect()
    assert kept() is None


def test_the_tape_does_not_grow_with_the_number_of_calls():
    a, b = leaves(0.3, 0.7)
    sizes = []
    for k in range(3000):
        (slope,) = gradients((a * b).tanh() + a, [a])
        gradients(slope, [b])
        if k % 1000 == 999:
            sizes.append(nodes_without_garbage())
    assert len(set(sizes)) == 1
    assert tape_stats().nodes < 10_000


def test_a_deep_graph_needs_no_stack():
    printed = run_python(
        """
        from micrograd_c import Value, gradients

        a = Value(1.0)
        y = a
        for k in range(1_000_000):
            y = y * 0.5 if k % 2 else y + a
        (slope,) = gradients(y, [a])
        y.backward()
        print(slope.data == a.grad, gradients(slope, [a])[0].data)
        """
    )
    assert printed == "True 0.0\n"


# -- random functions ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_derivatives_of_derivatives_are_those_that_backward_finds(seed):
    rng = random.Random(seed)
    smooth = [name for name in UNARY if name not in FLAT | {"abs", "relu"}]
    a, b = leaves(rng.uniform(-1, 1), rng.uniform(-1, 1))
    pool = [a, b]
    for _ in range(25):
        x, y = rng.choice(pool), rng.choice(pool)
        name = rng.choice([*smooth, "*", "+", "/", "hypot"])
        if name in ROWS and ROWS[name]["shape"] == "unary":
            low, high = ROWS[name]["interval"]
            pool.append(unary(name, x.tanh() * (0.4 * (high - low)) + (high + low) / 2) * 0.3)
        else:
            pool.append(
                {
                    "*": lambda x, y: x * y,
                    "+": lambda x, y: x + y * 0.5,
                    "/": lambda x, y: x / (y * y + 1.0),
                    "hypot": lambda x, y: x.hypot(y + 3.0),
                }[name](x, y)
            )
    y = mc.sum(pool[-5:])
    slopes = gradients(y, [a, b])
    y.backward()
    assert [v.data for v in slopes] == pytest.approx([a.grad, b.grad], rel=1e-12, abs=1e-14)
    for slope in slopes:
        curvatures = gradients(slope, [a, b])
        a.grad = b.grad = 0.0  # backward() sets those of its own graph
        slope.backward()
        assert [v.data for v in curvatures] == pytest.approx([a.grad, b.grad], rel=1e-10, abs=1e-12)
