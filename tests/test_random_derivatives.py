# SPDX-License-Identifier: MIT
"""Random functions of all operations: one Jacobian in either mode, one Hessian in every way."""

import random

import numpy as np
import pytest
from common import BINARY, ROWS, SCALED, UNARY, WAYS, data, run_on, unary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import micrograd_c as mc
from micrograd_c import grad, hessian, hvp, jacobian, jvp, vjp, where

KINKED = {"abs", "sign", "relu", "floor", "ceil", "floordiv", "mod", "fmod", "maximum", "minimum"}
SMOOTH_UNARY = [name for name in UNARY if name not in KINKED]
SMOOTH_BINARY = [name for name in BINARY if name not in KINKED]


class Program:
    """A random function of a list of numbers, with all operations."""

    def __init__(self, seed, n_inputs, size):
        rng = random.Random(seed)
        kinds = ["unary"] * 4 + ["binary"] * 4 + ["kinked", "scaled", "sum", "dot", "where", "clip"]
        self.steps = [(rng.choice(kinds), [rng.random() for _ in range(6)]) for _ in range(size)]
        self.point = [rng.uniform(-1.5, 1.5) for _ in range(n_inputs)]
        self.direction = [rng.uniform(-1, 1) for _ in range(n_inputs)]

    def results(self, xs):
        pool = list(xs)
        for kind, u in self.steps:
            x, y, z = (pool[int(v * len(pool))] for v in u[:3])
            pool.append(self.operation(kind, u[3:], x, y, z).tanh() + x * 0.1)
        return pool[-3:]

    def operation(self, kind, u, x, y, z):
        if kind == "unary":
            name = SMOOTH_UNARY[int(u[0] * len(SMOOTH_UNARY))]
            low, high = ROWS[name]["interval"]
            return unary(name, x.tanh() * (0.4 * (high - low)) + (high + low) / 2)
        if kind == "binary":
            name = SMOOTH_BINARY[int(u[0] * len(SMOOTH_BINARY))]
            return BINARY[name][0](x.sin() + 1.5, y.tanh() + 1.4)
        if kind == "kinked":
            kinked = [x.relu(), abs(x), x.maximum(y), x.minimum(0.1), x % (y.sin() + 2.5)]
            kinked += [x.sign() * y, x.floor() * y, x // (y.sin() + 2.5) * z]
            return kinked[int(u[0] * len(kinked))]
        return {
            "scaled": lambda: SCALED["pow_number"][0](x * x + 0.5, [3, 2, -1, 0.5][int(u[0] * 4)]),
            "sum": lambda: mc.sum([x, y, z, x]),
            "dot": lambda: mc.dot([x, y], [y, z], x),
            "where": lambda: where(x, y * z, y.leaky_relu(0.2)),
            "clip": lambda: mc.clip(x, -0.6, y * y + 0.2),
        }[kind]()

    def __call__(self, xs):
        return mc.sum(self.results(xs))


programs = st.builds(Program, st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 30))


def close(numbers):
    return pytest.approx(np.array(numbers), rel=1e-9, abs=1e-10)


@settings(max_examples=100, deadline=None)
@given(programs)
def test_random_functions_have_one_jacobian_in_either_mode(program):
    forward = data(jacobian(program.results, mode="forward")(program.point))
    assert np.array(data(jacobian(program.results, mode="reverse")(program.point))) == close(
        forward
    )
    _, tangent = jvp(program.results, [program.point], [program.direction])
    assert np.array(data(tangent)) == close(np.array(forward) @ program.direction)
    results, pullback = vjp(program.results, program.point)
    (slopes,) = pullback([1.0, -2.0, 0.5][: len(results)])
    weights = np.array([1.0, -2.0, 0.5][: len(results)])
    assert np.array(data(slopes)) == close(weights @ np.array(forward))


@settings(max_examples=60, deadline=None)
@given(programs)
def test_random_functions_have_one_hessian_in_every_way(program):
    expected = data(hessian(program)(program.point))
    assert expected == [list(column) for column in zip(*expected, strict=True)]
    (times,) = hvp(program, [program.point], [program.direction])
    assert np.array(data(times)) == close(np.array(expected) @ program.direction)
    over = data(jacobian(grad(program), mode="reverse")(program.point))
    assert np.array(over) == close(expected)


# -- compiled --------------------------------------------------------------------------------------


@pytest.fixture(params=WAYS)
def way(request):
    run_on(request.param)
    yield request.param
    run_on(None)


each_way = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_compiled_as_eager(derivative, program):
    """At three points at once, one after the other."""
    points = [program.point, program.point[::-1], [-x for x in program.point]]
    compiled = mc.compile(lambda xs: [v for row in derivative(xs) for v in row])(points)
    assert np.asarray(compiled) == close([np.ravel(data(derivative(xs))) for xs in points])


@each_way
@given(programs, st.sampled_from(["forward", "reverse"]))
def test_jacobians_of_compiled_functions_are_the_eager_ones(way, program, mode):
    assert_compiled_as_eager(jacobian(program.results, mode=mode), program)


@each_way
@given(programs)
def test_hessians_of_compiled_functions_are_the_eager_ones(way, program):
    assert_compiled_as_eager(hessian(program), program)


@each_way
@given(programs)
def test_gradients_of_compiled_functions_are_the_eager_ones(way, program):
    """Of a product with a parameter, by value_and_grad: the samples' mean."""
    points = [program.point, program.point[::-1], [-x for x in program.point]]
    w = mc.Value(0.75)
    loss = mc.compile(lambda xs: program([x * w for x in xs])).value_and_grad(points)
    found, w.grad = w.grad, 0.0
    mean = mc.sum(program([mc.Value(x) * w for x in xs]) for xs in points) / 3.0
    mean.backward()
    assert np.array([loss, found]) == close([mean.data, w.grad])
