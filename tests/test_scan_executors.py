# SPDX-License-Identifier: MIT
"""Loops by every executor, at every level of vector units, on any number of threads."""

import itertools
import random

import pytest
from unrolled import EXECUTORS, gradient, same, unrolled

import micrograd_c as mc
from micrograd_c import Value, _core, compile, nn, scan, where


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("samples", [1, 4, 5, 16, 37])
def test_a_recurrent_network(samples, executor):
    rng = random.Random(5)
    table = [[Value(rng.uniform(-1, 1)) for _ in range(6)] for _ in range(4)]
    cell, out = nn.Linear(6, 6), nn.Linear(6, 4)
    parameters = [*(w for row in table for w in row), *cell.parameters(), *out.parameters()]

    def run(loop):
        def body(h, pair):
            letter, following = pair
            seen = [mc.take([row[k] for row in table], letter) for k in range(6)]
            h = [(a + b).tanh() for a, b in zip(cell(h), seen, strict=True)]
            return h, mc.losses.cross_entropy(out(h), following)

        def fn(letters):
            _, ys = loop(body, [0.0] * 6, list(itertools.pairwise(letters)))
            return mc.sum(list(ys))

        return fn

    letters = [[rng.randrange(4) for _ in range(8)] for _ in range(samples)]
    f = compile(run(scan), executor=executor)
    ours = gradient(f, parameters, letters)
    same(ours, gradient(compile(run(unrolled)), parameters, letters))
    assert executor == "scalar" or "sums over the steps of a loop" in str(f)
    for threads in (2, 3):
        f = compile(run(scan), executor=executor, threads=threads)
        assert gradient(f, parameters, letters) == ours


@pytest.mark.parametrize("level", _core.levels())
def test_every_level_of_vector_units(level):
    w = Value(0.4)

    def run(loop):
        def body(c, x):
            last, _ = loop(lambda d, _: ((d * w).sin() + x, None), c[0], length=2)
            return [last, c[0] + mc.take([w, c[1]], where(x > 0.0, 1.0, 0.0))], c[1].exp()

        def fn(xs):
            last, ys = loop(body, [xs[0], Value(0.1)], xs)
            return last[0] * last[1] + ys[1]

        return fn

    xs = [[0.1, -0.4, 0.3], [0.5, 0.2, -0.9], [-0.1, 0.1, 0.2], [0.3, 0.3, 0.3], [1.0, -1.0, 0.5]]
    theirs = gradient(compile(run(unrolled)), [w], xs)
    _core.set_level(level)
    for executor in EXECUTORS:
        f = compile(run(scan), executor=executor)
        same(gradient(f, [w], xs), theirs)
        assert f.stats().executor == (executor or f.stats().executor)


def test_samples_in_float32():
    w = Value(0.4)

    def run(x):
        last, ys = scan(lambda c, _: ((c * w).tanh() + x, c), x, length=20)
        return last + ys[7]

    f = compile(run, dtype="float32")
    same(gradient(f, [w], [0.3, -0.2]), gradient(compile(run), [w], [0.3, -0.2]), 1e-5)
    assert f.stats().executor == "scalar"
    with pytest.raises(ValueError, match="loops are computed in float64"):
        compile(run, dtype="float32", executor="vector")([0.1])
