# SPDX-License-Identifier: MIT
"""Random numbers drawn in the bodies of loops: which ones, the same by whatever computes them."""

import itertools
import math
import statistics

import numpy as np
import pytest
from unrolled import EXECUTORS, Scans, Unrolled, gradient, numbers, same
from unrolled import drawn_in_step as z

import micrograd_c as mc
from micrograd_c import Value, _core, compile, grad, hessian, random, scan, where

LEVELS = _core.levels()


# -- which numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_same_numbers_at_every_level_on_any_number_of_threads_with_any_checkpoint(
    executor, level
):
    _core.set_level(level)
    size = 100

    def body(c, _):
        a, b, u = random.normal(), random.normal(), random.uniform()
        return [c[0] + a, c[1] - b, c[2] + u], [a, u]

    for n in (1, 2, 31, 32, 33, 70):
        expected = []
        for k in range(size):
            c, middle = [0.0, 0.0, 0.0], n // 2
            for t in range(n):
                c[0] += z(k, t)
                c[1] -= z(k, t, 1)
                c[2] += z(k, t, 2, kind="uniform")
            expected.append([*c, z(k, middle), z(k, middle, 2, kind="uniform")])
        for checkpoint, threads in [(1, 1), (1, 2), (1, 3), (7, 1), (32, 2), (35, 1)]:

            def fn(n=n, checkpoint=checkpoint):
                c, ys = scan(body, [0.0] * 3, length=n, checkpoint=checkpoint)
                return [*c, *ys[n // 2]]

            f = compile(fn, executor=executor, threads=threads)
            for samples in (1, 3, 9, size):
                assert f(samples=samples, seed=1).tolist() == expected[:samples]


def test_draws_outside_of_loops_are_what_they_were():
    """And those of bodies have numbers of their own: neither moves the others."""

    def fn():
        before = random.normal()
        last, _ = scan(lambda c, _: (c + random.normal(), None), 0.0, length=2)
        between = random.normal()
        other, _ = scan(lambda c, _: (c + random.uniform(), None), 0.0, length=1)
        return [before, between, random.normal(), last, other]

    for k, row in enumerate(compile(fn)(samples=5, seed=1).tolist()):
        assert row[:3] == [_core.drawn("normal", 1, k, d) for d in range(3)]
        assert row[3:] == [z(k, 0) + z(k, 1), z(k, 0, 1, kind="uniform")]


def test_loops_in_loops_are_numbered_through():
    def inner(c, _):
        return c + 100.0 * random.normal(), None

    def outer(c, _):
        a = random.normal()
        c, _ = scan(inner, c, length=3)
        return c + a * 10.0 + random.normal(), None

    for executor, checkpoint in itertools.product(EXECUTORS, (1, 2, 3, 4)):
        f = compile(
            lambda k=checkpoint: scan(outer, 0.0, length=5, checkpoint=k)[0], executor=executor
        )
        for k, found in enumerate(f(samples=3, seed=1).tolist()):
            parts = [z(k, t) * 10.0 + z(k, t, 2) for t in range(5)]
            parts += [100.0 * z(k, t, 1) for t in range(15)]
            assert found == pytest.approx(math.fsum(parts), rel=1e-12)


def test_parts_of_a_loop_within_a_loop_are_numbered_as_one():
    """With what is left over behind whole blocks, in every step of the outer loop."""

    def fn(checkpoint):
        def outer(c, _):
            last, ys = scan(
                lambda c, _: (c + random.normal(), random.uniform()),
                c,
                length=7,
                checkpoint=checkpoint,
            )
            return last, mc.sum(list(ys)) + random.normal()

        last, ys = scan(outer, 0.0, length=4, checkpoint=3)
        return [last, *ys]

    for executor in EXECUTORS:
        rows = [
            compile(lambda k=k: fn(k), executor=executor)(samples=9, seed=3).tolist()
            for k in (1, 2, 3, 6, 7)
        ]
        for others in rows[1:]:
            same(numbers(others), numbers(rows[0]))


def test_no_two_draws_of_a_program_are_the_same_number():
    def fn():
        def inner(c, _):
            return c, [random.normal(), random.normal()]

        def outer(c, _):
            a = random.normal()
            _, first = scan(inner, c, length=5, checkpoint=2)
            b = random.normal()
            _, second = scan(inner, c, length=3)
            return c, [a, b, *(v for pair in [*first, *second] for v in pair)]

        _, ys = scan(outer, 0.0, length=7, checkpoint=3)
        _, others = scan(inner, 0.0, length=40)
        return [random.normal(), *(v for y in [*ys, *others] for v in y), random.normal()]

    rows = compile(fn)(samples=11, seed=5).tolist()
    found = [number for row in rows for number in row]
    assert len(rows[0]) == 2 + 7 * (2 + 16) + 80 and len(set(found)) == len(found)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("skip", [(), *(name for name, _ in _core.optimiser_passes())])
def test_no_pass_merges_hoists_or_renumbers_draws(executor, skip):
    w = Value(2.0)

    def body(c, _):
        a, b, unused, d = (random.normal() for _ in range(4))
        return c + (a - b) + 0.0 * unused, [a * 1.0, b * w, a.detach() - a, d * d]

    f = compile(lambda: list(scan(body, 0.0, length=3)[1][2]), executor=executor, skip=skip)
    for k, row in enumerate(f(samples=9, seed=1).tolist()):
        a, b, d = (z(k, 2, which) for which in (0, 1, 3))
        assert row == [a, b * 2.0, 0.0, d * d]


def test_statistics():
    """Moments, and no correlation between steps, samples, draws of a step or loops."""
    n, size = 50, 4000

    def body(c, _):
        return c, [random.normal(), random.normal()]

    def fn():
        _, first = scan(body, 0.0, length=n)
        _, second = scan(body, 0.0, length=n, checkpoint=9)
        return [v for y in [*first, *second] for v in y]

    draws = np.asarray(compile(fn)(samples=size, seed=8))
    count = draws.size
    for power, moment, spread in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((draws**power).mean() - moment) < 4 * math.sqrt(spread / count)
    correlations = np.corrcoef(draws.T)[np.triu_indices(4 * n, 1)]
    assert abs(correlations.mean()) < 4 / math.sqrt(size * correlations.size)
    assert np.abs(correlations).max() < 5.5 / math.sqrt(size)
    assert abs(correlations.std() * math.sqrt(size) - 1.0) < 0.05
    across = (draws[1:] * draws[:-1]).mean()
    assert abs(across) < 4 / math.sqrt(count)
    ordered = np.sort(draws.ravel())
    normal = np.array([0.5 + math.erf(x / math.sqrt(2)) / 2 for x in ordered[::100]])
    assert np.abs(normal - np.arange(0, count, 100) / count).max() < 1.7 / math.sqrt(count)


@pytest.mark.parametrize("level", LEVELS)
def test_rows_of_several_steps(level):
    _core.set_level(level)
    for kind, n, n_steps, stride in itertools.product(
        ["normal", "uniform"], [1, 3, 8, 100, 255, 256, 257, 600], [1, 2, 33], [1, 5, 2**31 + 1]
    ):
        found = _core.drawn_row(kind, 9, 4, 3, 2, 7, n, n_steps, stride).tolist()
        steps = [(7 + k * stride) % 2**32 for k in range(n_steps)]
        places = [(step, 4 + k) for step in steps for k in range(n)]
        for (step, sample), number in [*zip(places, found, strict=True)][:: max(1, n // 7)]:
            assert number == _core.drawn(kind, 9, sample, 3, 2, step=step)


# -- derivatives -----------------------------------------------------------------------------------


def against_unrolled(function, parameters, x, executor, **options):
    """Values and derivatives of function(loop)(x), beside those of what is given its draws."""
    dry = Unrolled()
    function(dry)(Value(x[0]))
    given = dry.numbers(range(len(x)), 4)

    def theirs(x, given):
        return function(Unrolled(given))(x)

    f = compile(function(Scans()), executor=executor, **options)
    same(gradient(f, parameters, x, seed=4), gradient(compile(theirs), parameters, x, given), 1e-9)
    for way in (grad, lambda f: grad(grad(f)), hessian):
        ours = numbers(compile(way(function(Scans())), executor=executor)(x, seed=4))
        same(ours, numbers(compile(way(theirs))(x, given)), 1e-9)
    return f


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("length", [3, 32, 45])
def test_a_walk_whose_derivative_needs_draws_and_nothing_else(executor, length):
    """No carry is kept, and what is drawn is drawn once more."""
    w, x = Value(0.3), [0.1 * k for k in range(19)]

    def function(loop):
        def fn(x):
            return loop(lambda c, _: (c + w * loop.draw("normal") * x, None), x, length=length)[0]

        return fn

    f = against_unrolled(function, [w], x, executor)
    assert f.stats().draws == length


@pytest.mark.parametrize("executor", EXECUTORS)
def test_sums_over_steps_of_draws(executor):
    """What many weights gain, each a product of a draw and of something else, or of two draws."""
    weights, x = [Value(0.01 * k) for k in range(24)], [0.1 * k for k in range(11)]

    def function(loop):
        def body(c, _):
            drawn = [loop.draw("normal") for _ in weights]
            u = loop.draw("uniform")
            return c + u * mc.dot(weights, drawn), None

        return lambda x: loop(body, x, length=40)[0] + x * x

    f = against_unrolled(function, weights, x, executor)
    assert executor == "scalar" or "sums over the steps of a loop" in str(f)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_loops_that_take_what_others_have_made(executor):
    """Frames that several walks share, with draws of several loops."""
    w, x = Value(0.4), [0.2 * k - 0.7 for k in range(9)]

    def function(loop):
        def first(c, _):
            a = loop.draw("normal")
            return (c * w + a).tanh(), [c * a, a]

        def second(c, y):
            b, u = loop.draw("normal"), loop.draw("uniform")
            return (c + y[0] * b).sin() * u, c - y[1] * b

        def fn(x):
            last, ys = loop(first, x, length=35)
            other, more = loop(second, last, ys)
            return last + other * ys[3][1] + more[20]

        return fn

    against_unrolled(function, [w], x, executor)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_draws_as_carries_as_elements_and_in_bodies_of_bodies(executor):
    w, x = Value(0.4), [0.2 * k - 0.7 for k in range(9)]

    def function(loop):
        def outer(c, _):
            a, b = loop.draw("normal"), loop.draw("uniform")

            def inner(d, y):
                return d * w + a * y, loop.draw("normal")

            last, ys = loop(inner, b, [a, b, c[0], loop.draw("normal")])
            return [last * 0.3, b, loop.draw("normal")], ys[1]

        def fn(x):
            (last, b, third), ys = loop(outer, [x, 0.0 * x, x], length=4)
            return last * b + third + ys[2] * x

        return fn

    against_unrolled(function, [w], x, executor)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("checkpoint", [1, 3, 10])
def test_choices_and_indices_by_draws(executor, checkpoint):
    table, x = [Value(0.1), Value(0.2), Value(0.4)], [0.1 * k for k in range(17)]

    def function(loop):
        def body(c, _):
            u = loop.draw("uniform")
            rate = mc.take(table, (u * 3.0).floor())
            return where(loop.draw("uniform") < 0.5, c * (1.0 - rate), c + rate * x_of[0]), None

        x_of = []

        def fn(x):
            x_of[:] = [x]
            return loop(body, x, length=10, checkpoint=checkpoint)[0]

        return fn

    against_unrolled(function, table, x, executor)


def test_a_hessian_by_directions_has_the_draws_of_its_sample():
    """Lanes are directions there, all of one sample; a loop may depend on none of them."""

    def fn(x):
        noise, _ = scan(lambda c, _: (c + random.normal(), None), 0.0, length=5)
        last, _ = scan(lambda c, _: (c * random.uniform() + x[0] * x[1], None), x[0], length=4)
        return last * noise + random.normal() * x[1] * x[1] + x[0] ** 3

    x = np.linspace(0.5, 1.5, 12).reshape(6, 2)
    for executor in EXECUTORS:
        found = np.asarray(compile(hessian(fn), executor=executor)(x, seed=9))
        step = 1e-4
        for i, j in itertools.product(range(2), range(2)):
            e, g = np.eye(2)[i] * step, compile(grad(fn))
            up, down = (np.asarray(g(x + s * e, seed=9))[:, j] for s in (1, -1))
            assert found[:, i, j] == pytest.approx((up - down) / (2 * step), abs=1e-6)


def test_objectives_keep_their_draws():
    w = [Value(0.5), Value(-0.2)]

    def fn():
        last, _ = scan(lambda c, _: (c * w[0] + w[1] * random.normal(), None), 1.0, length=6)
        return last * last

    objective = compile(fn).objective(samples=300)
    theta, steps = objective.x0, 1e-5 * np.eye(2)
    assert objective.fun(theta) == objective.fun(theta)
    fun = [(objective.fun(theta + s) - objective.fun(theta - s)) / 2e-5 for s in steps]
    assert objective.jac(theta) == pytest.approx(fun, rel=1e-6)
    jac = [(objective.jac(theta + s) - objective.jac(theta - s)) / 2e-5 for s in steps]
    assert objective.hess(theta) == pytest.approx(np.array(jac), rel=1e-6)


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_step_of_training_has_draws_of_its_own(executor):
    w, n = Value(0.0), 50

    def fn(x):
        return scan(lambda c, _: (c + random.normal(), None), x + w, length=3)[0]

    x = np.arange(n) * 1e-3

    def loss(samples, call):
        return statistics.fmean(
            x[k] + sum(z(k, t, call=call, seed=11) for t in range(3)) for k in samples
        )

    f, still = compile(fn, executor=executor), mc.optim.SGD([w], lr=0.0)
    losses = f.fit(x, optimizer=still, steps=3, seed=11)
    assert losses == pytest.approx([loss(range(n), step) for step in range(3)], rel=1e-12)
    losses = f.fit(x, optimizer=still, steps=4, seed=11, batch_size=20)
    parts = [range(20), range(20, 40), range(40, 50), range(20)]
    assert losses == pytest.approx([loss(p, s) for s, p in enumerate(parts)], rel=1e-12)
    shuffled = f.fit(x, optimizer=still, steps=4, seed=11, batch_size=20, shuffle=True)
    again = compile(fn).fit(x, optimizer=still, steps=4, seed=11, batch_size=20, shuffle=True)
    assert shuffled == pytest.approx(again, rel=1e-12)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_float32(executor, level):
    """Its uniform numbers are others, in loops in loops, too. Here nothing else is rounded."""
    _core.set_level(level)

    def inner(c, _):
        return c, random.uniform()

    def body(c, _):
        u, (_, inner_ys) = random.uniform(), scan(inner, c, length=3)
        return random.normal(), [u, random.normal(), *inner_ys]

    def drawn(kind, sample, which, step):
        return _core.drawn(kind, 2, sample, which, 0, True, 1 + step)

    for n, checkpoint, threads in [(1, 1, 1), (33, 1, 2), (70, 1, 1), (70, 9, 3)]:

        def fn(n=n, checkpoint=checkpoint):
            last, ys = scan(body, 0.0, length=n, checkpoint=checkpoint)
            return [last, *ys[0], *ys[n // 2], random.uniform()]

        f = compile(fn, executor=executor, dtype="float32", threads=threads)
        for samples in (1, 7, 8, 40):
            for k, row in enumerate(f(samples=samples, seed=2).tolist()):
                expected = [drawn("normal", k, 2, n - 1)]
                for t in (0, n // 2):
                    expected += [drawn("uniform", k, 0, t), drawn("normal", k, 3, t)]
                    expected += [drawn("uniform", k, 1, 3 * t + j) for j in range(3)]
                assert row == [*expected, _core.drawn("uniform", 2, k, 0, 0, True)]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_derivatives_in_float32(executor):
    w, x = Value(0.4), [0.2 * k - 0.7 for k in range(19)]

    def function(loop):
        def body(c, _):
            a, u = loop.draw("normal"), loop.draw("uniform")
            return (c * w + a * u).tanh(), c * a

        def fn(x):
            last, ys = loop(body, x, length=40)
            return last * x + ys[3]

        return fn

    dry = Unrolled()
    function(dry)(Value(0.0))
    given = dry.numbers(range(len(x)), 4, is_float32=True)
    theirs = compile(lambda x, given: function(Unrolled(given))(x))
    f = compile(function(Scans()), executor=executor, dtype="float32")
    same(gradient(f, [w], x, seed=4), gradient(theirs, [w], x, given), 1e-4)
