# SPDX-License-Identifier: MIT
"""Loops in other languages: the same numbers as here, in text that a person would keep."""

import random
import re

import numpy as np
import pytest
from languages import (
    check_gradients,
    check_outputs,
    compiled,
    each_language,
    library,
    need,
    pointer,
)
from test_random_loops import Program
from unrolled import Scans

import micrograd_c as mc
from micrograd_c import Value, dot, grad, hessian, nn, scan, where


def average(steps):
    """The relu of an average over a path, of (spot, zs)."""
    rate, volatility = Value(0.05, label="rate"), Value(0.2, label="volatility")

    def function(spot, zs):
        def step(carry, z):
            price, total = carry
            price = price * (rate * 0.01 + volatility * 0.1 * z).exp()
            return (price, total + price), price

        (_, total), prices = scan(step, (spot, 0.0), zs)
        return (total / steps - prices[0]).relu()

    return function, [np.linspace(0.9, 1.2, 7), np.random.default_rng(1).normal(size=(7, steps))]


def network(n_steps=4):
    """A recurrent network, over two numbers a step."""
    random.seed(4)
    inner, outer, last = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1)

    def function(x):
        def step(h, now):
            h = [(a + b).tanh() for a, b in zip(inner(now), outer(h), strict=True)]
            return h, last(h)

        xs = [x[2 * k : 2 * k + 2] for k in range(n_steps)]
        return mc.sum([y * y for y in scan(step, [0.0] * 3, xs)[1]])

    return function, [np.random.default_rng(2).normal(size=(5, 2 * n_steps))]


@each_language
@pytest.mark.parametrize("steps", [1, 2, 9, 1500])
def test_an_average(steps, language):
    function, arrays = average(steps)
    f = compiled(function)
    check_outputs(f, language, arrays)
    check_gradients(f, language, arrays)


@each_language
def test_a_recurrent_network(language):
    function, arrays = network()
    f = compiled(function)
    check_outputs(f, language, arrays)
    check_gradients(f, language, arrays)


def test_the_text_is_that_of_a_person():
    function, arrays = network()
    f = compiled(function)
    text = f.source("numpy", *arrays)
    forward, gradients = text.split("\n\n\n")[-2:]
    assert forward.partition("carry = ")[2] == (
        "np.zeros((len(x), 3))\n"
        "    steps = []\n"
        "    for step in range(4):\n"
        "        x_now = x[:, 2 * step : 2 * step + 2]\n"
        "        t1 = np.tanh(x_now @ inner_w.T + carry @ outer_w.T + inner_b + outer_b)\n"
        "        steps.append(t1 @ last_w[0] + last_b[0])\n"
        "        carry = t1\n"
        "    t2 = np.stack(steps, -1)\n"
        "    return (t2 * t2).sum(-1)"
    )
    assert "for step_ in reversed(range(4)):" in gradients
    assert "carry2 = t4 @ outer_w\n" in gradients
    assert "total2_a = total2_a + t4.T @ x_now_\n" in gradients
    jax = f.source("jax")
    assert "    def body(carry, x_now):\n" in jax
    assert "carry, steps = jax.lax.scan(body, jnp.zeros((len(x), 3), x.dtype)," in jax
    assert "        x_now = x[:, 2 * step : 2 * step + 2]\n" in f.source("torch")


def test_the_text_does_not_grow_with_the_steps():
    sizes = set()
    for steps in (128, 256):
        function, arrays = average(steps)
        f = compiled(function)
        f(*arrays)
        sizes.add(tuple(f.source(language).count("\n") for language in ("c", "numpy", "jax")))
    assert len(sizes) == 1


class Still(Scans):
    """What would be drawn is a number: see test_source_draws.py."""

    def draw(self, kind):
        return Value(0.3)


@each_language
@pytest.mark.parametrize("seed", range(24))
def test_random_loops(seed, language):
    if language == "jax" and seed % 4:
        pytest.skip("compiles for seconds")
    program = Program(seed)
    function, arrays = program.function(Still()), [np.array(program.arrays)]
    f = compiled(function)
    check_outputs(f, language, arrays, rtol=1e-9)
    if f._last.parameters:
        check_gradients(f, language, arrays, rtol=1e-8, atol=1e-10)
    n = program.n_inputs
    check_outputs(compiled(grad(function)), language, arrays, [(n,)], rtol=1e-8, atol=1e-10)
    if seed % 4 == 0 and language != "jax":
        f = compiled(hessian(function))
        check_outputs(f, language, arrays, [(n, n)], rtol=1e-8, atol=1e-10)


@each_language
def test_what_a_loop_reads(language):
    """Inputs, parameters in rows and columns, numbers, and what is computed."""
    random.seed(5)
    table = [[Value(random.uniform(-1, 1)) for _ in range(3)] for _ in range(4)]
    weights = [Value(random.uniform(-1, 1)) for _ in range(8)]

    def function(x, y):
        xs = [
            (
                x[k],
                x[7 - k],
                table[k],
                [row[k % 3] for row in table[:2]],
                0.5 * k,
                weights[2 * k],
                y * k,
            )
            for k in range(4)
        ]

        def step(carry, each):
            a, b, row, column, number, weight, made = each
            total = dot(row, [a, b, carry[0]]) + dot(column, [number, weight])
            return [carry[1] * 0.5, (carry[0] + total * made).tanh()], [total, a, [number]]

        last, ys = scan(step, [y, 1.0], xs)
        return last, [[y[0], y[1], y[2][0]] for y in ys]

    f = compiled(function)
    generator = np.random.default_rng(6)
    arrays = [generator.normal(size=(5, 8)), generator.normal(size=5)]
    check_outputs(f, language, arrays, [(2,), (4, 3)])
    check_outputs(f, language, [array[:0] for array in arrays], [(2,), (4, 3)])
    loss = compiled(lambda x, y: dot([0.3, 0.2], function(x, y)[0]) + function(x, y)[1][1][0])
    check_outputs(loss, language, arrays)
    check_gradients(loss, language, arrays)


@each_language
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loop_that_no_sample_changes(reduction, language):
    a, b = Value(0.9), Value(0.1)

    def iterated(n):
        return scan(lambda c, _: ((c * a + b).sin(), c), b, length=n)

    f = compiled(lambda x: iterated(5)[0] * iterated(3)[1][2] + x * 0.0, reduction=reduction)
    check_outputs(f, language, [np.zeros(3)])
    check_gradients(f, language, [np.zeros(3)])
    once = compiled(lambda x: iterated(5)[0], reduction=reduction)
    check_outputs(once, language, [np.zeros(3)])
    if language in ("c", "numpy"):
        check_gradients(once, language, [np.zeros(3)])


@each_language
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_matrix_that_gains_the_product_of_an_expression(columns, rows, language):
    """Of which each element is computed once, and has a name."""
    generator = np.random.default_rng(3)
    w, v = ([Value(x) for x in row] for row in generator.normal(size=(2, rows)))
    table = [[Value(x) for x in row] for row in generator.normal(size=(columns, rows))]

    def function(x):
        def step(c, _):
            hidden = [(a * c[0] + b).sin() for a, b in zip(w, v, strict=True)]
            return [dot(row, hidden).tanh() for row in table], None

        return mc.sum(scan(step, [x, *[0.5] * (columns - 1)], length=6)[0])

    f = compiled(function)
    arrays = [generator.normal(size=4)]
    check_outputs(f, language, arrays)
    check_gradients(f, language, arrays)


@each_language
@pytest.mark.parametrize("checkpoint", [1, 3, 20])
def test_loops_in_loops(checkpoint, language):
    w = [Value(0.5), Value(-0.3)]

    def function(x):
        def outer(c, now):
            inner = scan(lambda d, _: ((d * w[0] + now).tanh(), d), c, length=3)
            same = scan(lambda d, _: (d * w[1] + 0.1, None), w[0], length=4)[0]
            return inner[0] + same, inner[1][1]

        last, ys = scan(outer, x[0], x, checkpoint=checkpoint)
        return last * 2.0 + ys[1] * ys[-1]

    arrays = [np.random.default_rng(7).normal(size=(4, 10))]
    f = compiled(function)
    check_outputs(f, language, arrays)
    check_gradients(f, language, arrays)


@each_language
def test_carries_that_change_places(language):
    def function(x):
        def step(carry, now):
            (a, b), c, d = carry
            return ([b, a + now], d, c * 0.5), where(a > b, a, b)

        (pair, c, d), ys = scan(step, (x[:2], 0.25, x[3]), x)
        return pair, c, d, ys

    f = compiled(function)
    arrays = [np.random.default_rng(8).normal(size=(3, 6))]
    check_outputs(f, language, arrays, [(2,), (), (), (6,)])


@each_language
def test_loops_that_carry_nothing(language):
    w = Value(0.5)
    f = compiled(lambda x: mc.sum(scan(lambda c, now: (c, now.exp() * w), (), x)[1]))
    arrays = [np.random.default_rng(9).normal(size=(3, 5))]
    check_outputs(f, language, arrays)
    check_gradients(f, language, arrays)


@each_language
def test_names_that_loops_would_take(language):
    carry, step, steps, body, work = (Value(0.1 * k, label="") for k in range(5))

    def function(x, carry_a, free):
        last, ys = scan(
            lambda c, now: (c * carry + step * now + body, c * steps), free, [carry_a, x, work]
        )
        return last + ys[1]

    f = compiled(function)
    arrays = list(np.random.default_rng(9).normal(size=(3, 5)))
    check_outputs(f, language, arrays)
    check_gradients(f, language, arrays)


def test_no_memory_for_a_sequence_gives_nan():
    need("c")
    function, (spot, zs) = average(1500)
    f = compiled(function)
    f(spot, zs)
    text = f.source("c")
    text, n_allocations = re.subn(r"malloc\(.*\);", "NULL;", text)
    assert n_allocations == text.count("free(work);") == 2
    without = library(text)
    parameters, found = np.zeros(2), np.zeros(7)
    without.function(7, pointer(parameters), pointer(spot), pointer(zs), pointer(found))
    assert np.isnan(found).all()
