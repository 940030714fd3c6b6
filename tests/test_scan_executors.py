# SPDX-License-Identifier: MIT
"""Loops by every executor, at every level of vector units, on any number of threads."""

import itertools
import math
import random

import pytest
from unrolled import EXECUTORS, gradient, numbers, same, unrolled

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


def as_scalar(fn, parameters, *arrays):
    """In float32, by every executor: what float64 gives, within the rounding."""
    exact = compile(fn)
    want, values = gradient(exact, parameters, *arrays), numbers(compile(fn)(*arrays))
    for executor in EXECUTORS:
        f = compile(fn, dtype="float32", executor=executor)
        same(gradient(f, parameters, *arrays), want, 2e-5)
        same(numbers(compile(fn, dtype="float32", executor=executor)(*arrays)), values, 2e-5)
        if executor is None and exact.stats().executor == "native":
            assert f.stats().executor == "native"


def test_samples_in_float32():
    w = Value(0.4)

    def run(x):
        last, ys = scan(lambda c, _: ((c * w).tanh() + x, c), x, length=20)
        return last + ys[7]

    as_scalar(run, [w], [0.3, -0.2])


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("samples", [1, 8, 9, 16, 37])
def test_float32_loops_over_what_is_computed_once(samples, level):
    """Numbers, weights, what is computed of them, a loop that no sample changes, and inputs."""
    rng = random.Random(3)
    w = [Value(rng.uniform(-0.5, 0.5)) for _ in range(4)]
    table = [Value(rng.uniform(-1, 1)) for _ in range(37)]
    layer = nn.Linear(3, 2)

    def fn(xs, letter):
        seen = [w[0], w[1] * w[2], 0.25, xs[0], mc.take(table, letter), w[3].exp()]
        other, made = scan(lambda c, x: (c * w[1] + x, c), w[2], [w[0], 0.5, w[3]])
        known = [w[0], w[1] * 2.0, 0.125, other, made[1], w[3]]
        a, b = layer(xs)

        def body(carry, taken):
            h, total = carry
            x, k = taken
            deep, _ = scan(lambda d, _: ((d + x).sin() * w[3], None), h, length=2)
            return (deep + k * a, total + mc.take(table, letter) * x * w[1]), h * b

        (h, total), hs = scan(body, (0.1, 0.0), list(zip(seen, known, strict=True)))
        return h + total + hs[2] * other

    xs = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(samples)]
    letters = [float(rng.randrange(-37, 37)) for _ in range(samples)]
    _core.set_level(level)
    try:
        as_scalar(fn, [*w, *table, *layer.parameters()], xs, letters)
        with pytest.raises(IndexError, match="take"):
            compile(fn, dtype="float32").value_and_grad(xs, [37.0] * samples)
    finally:
        _core.set_level(_core.levels()[-1])


def test_float32_loops_that_share_a_sequence_with_one_that_no_sample_changes():
    w = Value(0.7)

    def fn(x):
        _, made = scan(lambda c, _: (c * w, c + 1.0), w, length=5)
        return scan(lambda c, m: (c * m + x, None), x, made)[0]

    as_scalar(fn, [w], [0.3, 0.1, -0.4])


def test_float32_weights_gain_in_float64_on_any_number_of_threads():
    """Over 4,000 samples: sums of floats would show."""
    rng = random.Random(2)
    w = [[Value(rng.uniform(-0.4, 0.4)) for _ in range(6)] for _ in range(6)]
    parameters = [v for row in w for v in row]

    def fn(x):
        h, _ = scan(
            lambda h, _: ([mc.dot(row, h, x).tanh() for row in w], None), [0.1] * 6, length=9
        )
        return mc.sum(h) + 10.0

    xs = [rng.uniform(-1, 1) for _ in range(4000)]
    want = gradient(compile(fn), parameters, xs)
    ours = gradient(compile(fn, dtype="float32", threads=1), parameters, xs)
    same(ours, want, 1e-6)
    for threads in (2, 3):
        f = compile(fn, dtype="float32", threads=threads)
        assert gradient(f, parameters, xs) == ours


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("samples", [3, 8, 13])
def test_what_weights_gain_over_the_steps(samples, executor):
    """Products, choices and elements; their sums go to the batch's, or to rows for samples."""
    rng = random.Random(9)
    count, elements = 9, 7
    w = [[Value(rng.uniform(-0.4, 0.4)) for _ in range(count)] for _ in range(count)]
    table = [[Value(rng.uniform(-1, 1)) for _ in range(elements)] for _ in range(count)]
    gates = [Value(rng.uniform(-1, 1)) for _ in range(2 * count)]
    parameters = [*(v for row in w for v in row), *(v for row in table for v in row), *gates]

    def run(loop):
        def fn(letters):
            scaled = [[v * (letters[0] + 1.0) for v in row] for row in w[: count // 2]] + w[
                count // 2 :
            ]
            twice = gates[0] * letters[1]

            def body(h, letter):
                seen = [mc.take(row, letter) for row in table]
                high = [where(letter > 3.0, g, 0.0) * h[k] for k, g in enumerate(gates[:count])]
                some = [where((letter > 4.0) & (letter < 6.0), g, twice) for g in gates[count:]]
                rows = [
                    mc.dot(row, h, s + a + b)
                    for row, s, a, b in zip(scaled, seen, high, some, strict=True)
                ]
                return [v.tanh() for v in rows], None

            h, _ = loop(body, [0.1] * count, letters)
            return mc.sum(h) + twice

        return fn

    letters = [[float(rng.randrange(-1, elements)) for _ in range(6)] for _ in range(samples)]
    ours = gradient(compile(run(scan), executor=executor), parameters, letters)
    same(ours, gradient(compile(run(unrolled)), parameters, letters))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_element_that_is_not_chosen_gains_nothing_of_what_is_infinite(executor):
    table = [[Value(1.0), Value(0.0), Value(4.0)] for _ in range(8)]

    def fn(letters):
        def body(total, letter):
            return total + mc.sum([mc.take(row, letter).sqrt() for row in table]), None

        return scan(body, Value(0.0), letters)[0]

    f = compile(fn, reduction="sum", executor=executor)
    f.value_and_grad([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert [v.grad for v in table[3]] == [2.5, float("inf"), 0.0]


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("count", [1, 5, 8, 9, 16, 17, 33, 40])
def test_a_take_of_parameters_and_numbers(count, level):
    """Also where they stand in the registers' tables, of 8 or 16 numbers each, from the end too."""
    rng = random.Random(count)
    table = [Value(rng.uniform(-1, 1)) for _ in range(count)]
    numbers = [*table[: count // 2], *(rng.uniform(-1, 1) for _ in table[count // 2 :])]

    def run(loop):
        def body(total, letter):
            return [mc.take(table, letter) * total[0] + mc.take(numbers, letter)], None

        return lambda letters: loop(body, [0.5], letters)[0][0]

    _core.set_level(level)
    try:
        f = compile(run(scan))
        for samples in (3, 9):
            letters = [
                [float(rng.randrange(-count, count)) for _ in range(7)] for _ in range(samples)
            ]
            ours = gradient(f, table, letters)
            same(ours, gradient(compile(run(unrolled), executor="scalar"), table, letters))
        for bad in (float(count), -count - 1.0, 0.5, float("nan")):
            with pytest.raises((IndexError, TypeError), match="take"):
                f.value_and_grad([[0.0, 0.0, bad, 0.0, 0.0, 0.0, 0.0]])
    finally:
        _core.set_level(_core.levels()[-1])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_functions_in_a_loop(dtype, executor):
    """In line, called, and computed in float64 for float32."""
    names = "tanh exp expm1 log log1p sqrt sin cos tan asin acos atan sinh cosh asinh acosh atanh"
    names += " exp2 log2 log10 cbrt erf erfc normal_cdf sigmoid softplus relu sign floor ceil abs"
    functions = [getattr(Value, name) for name in names.split() if hasattr(Value, name)]
    assert len(functions) > 25
    w = Value(0.3)

    def fn(x):
        def body(total, y):
            for k, function in enumerate(functions):
                at = y * 0.1 + w if function not in (Value.acosh,) else y * 0.1 + 2.0
                total = total + function(at) * (0.1 * k)
            both = (y + 3.0) ** w + y.atan2(w) + (y + 2.0).hypot(w) + (y * 7.0).fmod(w + 2.0)
            return total + both + y.clip(-w, w), None

        return scan(body, x, [x, 0.5 * x, w * 0.5])[0]

    xs = [-0.9, -0.4, 0.2, 0.7, 0.95, 0.3, 0.1, -0.2, 0.6]
    want = gradient(compile(fn, executor="scalar"), [w], xs)
    f = compile(fn, executor=executor, dtype=dtype)
    same(gradient(f, [w], xs), want, 1e-10 if dtype == "float64" else 1e-5 * abs(want[0]))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_more_steps_than_there_is_memory_for_their_carries(executor):
    """Rows that no number of 32 bits counts are no rows; what is left is memory, or none."""
    w = Value(0.5)
    f = compile(
        lambda x: mc.scan(lambda c, _: (c * w, None), x, length=2**32 - 2)[0], executor=executor
    )
    try:
        loss = f.value_and_grad([])
    except MemoryError:
        return
    assert math.isnan(loss)
