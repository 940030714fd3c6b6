# SPDX-License-Identifier: MIT
"""Draws: the generator, what is made of its bits, distributions, and the same bits everywhere.

They depend on the seed alone, so that what is tested of distributions cannot fail by chance.
"""

import itertools
import math
import statistics

import mpmath
import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import Value, _core, compile, random

EXECUTORS = _core.executor_names()
LEVELS = _core.levels()
MANY = 200_000
normals = compile(lambda: random.normal())
uniforms = compile(lambda: random.uniform())


# -- the generator ---------------------------------------------------------------------------------

# philox4x32 10 of the known-answer vectors of Random123: counter, key -> numbers.
KNOWN_ANSWERS = [
    (
        "00000000 00000000 00000000 00000000 00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("given", "expected"), KNOWN_ANSWERS)
def test_the_generator_gives_the_published_numbers(given, expected):
    *counter, low, high = (int(word, 16) for word in given.split())
    found = _core.philox(counter, low | high << 32)
    assert found == tuple(int(word, 16) for word in expected.split())


def words(seed, sample, draw, call=0):
    numbers = _core.philox([sample, call, draw // 2, 0], seed)
    return numbers[draw % 2 * 2 :][:2]


def test_a_uniform_is_the_high_bits_of_its_draw():
    for sample, draw in itertools.product(range(50), range(4)):
        low, high = words(9, sample, draw, 3)
        assert _core.drawn("uniform", 9, sample, draw, 3) == ((high << 32 | low) >> 11) * 2.0**-53
        narrow = _core.drawn("uniform", 9, sample, draw, 3, True)
        assert narrow == ((high << 32 | low) >> 40) * 2.0**-24


def exact_normal(low, high):
    """Of a draw's two words: the sign, and the probability of what lies beyond."""
    beyond = (mpmath.mpf((high << 32 | low) & 2**63 - 1) + 0.5) / 2**64
    number = -mpmath.sqrt(2) * mpmath.erfinv(2 * beyond - 1)
    return -number if high >> 31 else number


def test_a_normal_is_the_inverse_of_the_distribution_function():
    with mpmath.workdps(40):
        for sample in range(400):
            exact = exact_normal(*words(2, sample, 0))
            found = _core.drawn("normal", 2, sample, 0)
            assert abs(found - exact) <= 4e-16 * abs(exact) + 1e-16
            assert _core.drawn("normal", 2, sample, 0, 0, True) == np.float32(found)


def counter_of(numbers, key=0):
    """The counter that gives these four: the generator's rounds, backwards."""
    c = list(numbers)
    keys = [
        ((key + k * 0x9E3779B9) % 2**32, ((key >> 32) + k * 0xBB67AE85) % 2**32) for k in range(10)
    ]
    for key0, key1 in reversed(keys):
        low = [c[3] * pow(0xD2511F53, -1, 2**32) % 2**32, c[1] * pow(0xCD9E8D57, -1, 2**32) % 2**32]
        high = [low[0] * 0xD2511F53 >> 32, low[1] * 0xCD9E8D57 >> 32]
        c = [low[0], c[0] ^ high[1] ^ key0, low[1], c[2] ^ high[0] ^ key1]
    return c


# Magnitudes from the edges of the parts of the formula to the end of the tail, of 63 bits.
EDGES = [int(2.0**64 * p) for p in (0.499999999, 0.075, 1.388794386496402e-11)]
EDGES = [m + by for m in EDGES for by in (-2048, -1, 0, 1, 2048)]
TAIL = [int(2.0**64 * statistics.NormalDist().cdf(-sigma)) for sigma in np.arange(3, 9, 0.1)]
TAIL += [0, 1, 2, 5, 7, 2**63 - 1]


@pytest.mark.parametrize("level", LEVELS)
def test_normals_have_all_digits_down_to_the_end_of_the_tail(level):
    _core.set_level(level)
    for magnitude, sign in itertools.product(EDGES + TAIL, (0, 1)):
        low, high = magnitude & 0xFFFFFFFF, magnitude >> 32 | sign << 31
        counters = (counter_of((low, high, third, 2)) for third in itertools.count())
        sample, call, pair, step = next(c for c in counters if c[2] < 2**31)
        assert _core.philox([sample, call, pair, step], 0)[:2] == (low, high)
        draw = 2 * pair
        with mpmath.workdps(60):
            exact = tail_normal(magnitude, sign)
            found = _core.drawn("normal", 0, sample, draw, call, False, step)
            assert abs(found - exact) <= 8e-16 * abs(exact) + 1e-16, magnitude
        row = _core.drawn_row("normal", 0, sample, draw, call, step, 9).tolist()
        assert row[0] == found
        others = [(sample + k) % 2**32 for k in range(1, 9)]
        assert row[1:] == [_core.drawn("normal", 0, k, draw, call, False, step) for k in others]


def tail_normal(magnitude, sign):
    """By Newton's method on the complementary error function: erfinv loses a tail's digits."""
    beyond = (mpmath.mpf(magnitude) + 0.5) / 2**64
    x = mpmath.mpf(statistics.NormalDist().inv_cdf(float(beyond)))
    for _ in range(8):
        density = mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
        x += (beyond - mpmath.erfc(-x / mpmath.sqrt(2)) / 2) / density
    return x if sign else -x


# -- distributions ---------------------------------------------------------------------------------


def test_uniforms_are_uniform():
    u = np.asarray(uniforms(samples=MANY, seed=1))
    assert u.min() >= 0 and u.max() < 1
    assert kolmogorov(np.sort(u)) < 1.628  # 1 %
    for power in range(1, 7):
        spread = math.sqrt(1 / (2 * power + 1) - 1 / (power + 1) ** 2)
        assert abs((u**power).mean() - 1 / (power + 1)) < 3 * spread / math.sqrt(MANY)


def test_normals_are_normal():
    z = np.asarray(normals(samples=MANY, seed=1))
    below, above = (
        np.array([math.erfc(s * x / math.sqrt(2)) / 2 for x in np.sort(z)]) for s in (-1, 1)
    )
    assert kolmogorov(below) < 1.628
    assert anderson_darling(below, above) < 2.492  # 5 %, of a distribution that is known
    moments = [0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395]
    for power in range(1, 7):
        spread = math.sqrt(moments[2 * power - 1] - moments[power - 1] ** 2)
        assert abs((z**power).mean() - moments[power - 1]) < 3 * spread / math.sqrt(MANY)


def kolmogorov(below):
    """How far apart the distributions are, times the root of n; below: ascending probabilities."""
    n = len(below)
    ranks = np.arange(n) / n
    return math.sqrt(n) * max((below - ranks).max(), (ranks + 1 / n - below).max())


def anderson_darling(below, above):
    n = len(below)
    odd = 2 * np.arange(1, n + 1) - 1
    return -n - (odd * (np.log(below) + np.log(above[::-1]))).sum() / n


def test_draws_of_a_function_of_a_seed_and_of_its_steps_do_not_depend_on_each_other():
    pair = compile(lambda: [random.normal(), random.normal(), random.uniform(), random.uniform()])
    columns = np.asarray(pair(samples=MANY, seed=1)).T
    columns = [*columns, np.asarray(normals(samples=MANY, seed=2)), np.roll(columns[0], 1)]
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert abs(correlations).max() < 4 / math.sqrt(MANY)


def test_bernoulli_is_1_with_its_probability():
    p = Value(0.3)
    f = compile(lambda q: [random.bernoulli(0.25), random.bernoulli(p), random.bernoulli(q)])
    found = np.asarray(f(np.full(MANY, 0.9), seed=5))
    assert set(np.unique(found)) == {0.0, 1.0}
    for column, chance in zip(found.T, (0.25, 0.3, 0.9), strict=True):
        assert abs(column.mean() - chance) < 3 * math.sqrt(chance * (1 - chance) / MANY)
    p.data = 0.0
    assert np.asarray(f(np.ones(1000), seed=5))[:, 1:].tolist() == [[0.0, 1.0]] * 1000


def test_of_floats_a_uniform_stays_below_1_and_bernoulli_of_1_is_1():
    f = compile(lambda: [random.uniform(), random.bernoulli(1.0), random.bernoulli(0.0)])
    narrow = compile(f.__wrapped__, dtype="float32")
    found = np.asarray(narrow(samples=2_000_000, seed=1))
    assert found[:, 0].max() < 1 and found[:, 1].min() == 1 and found[:, 2].max() == 0
    assert abs(found[:, 0] - np.asarray(f(samples=2_000_000, seed=1))[:, 0]).max() <= 2**-24


# -- the same numbers everywhere -------------------------------------------------------------------


def several():
    """Of both kinds, side by side and apart, and one that nobody asks for."""
    first, second = random.normal(), random.uniform()
    random.normal()
    return [first, second, random.normal(), random.uniform(), random.uniform(), random.normal()]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_executors_levels_and_threads_give_the_same_bits(dtype):
    draws = [0, 1, 3, 4, 5, 6]
    kinds = ["normal", "uniform", "normal", "uniform", "uniform", "normal"]
    narrow = dtype == "float32"
    expected = [
        [_core.drawn(kind, 7, k, d, 0, narrow) for d, kind in zip(draws, kinds, strict=True)]
        for k in range(3000)
    ]
    for executor, level in itertools.product(EXECUTORS, LEVELS):
        _core.set_level(level)
        for threads in (1, 2, 3, 4):
            f = compile(several, executor=executor, threads=threads, dtype=dtype)
            for size in (1, 2, 3, 4, 5, 31, 257, 3000):
                assert f(samples=size, seed=7).tolist() == expected[:size], (executor, level)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_step_of_training_has_draws_of_its_own_by_sample_and_step(executor):
    """With an optimiser that stands still, the losses are those of the draws."""
    w = Value(0.0)
    n = 50
    f = compile(lambda x: random.normal() + x + w, executor=executor)
    x = np.arange(n) * 1e-3

    def loss(samples, step):
        return statistics.fmean(_core.drawn("normal", 11, k, 0, step) + x[k] for k in samples)

    still = mc.optim.SGD([w], lr=0.0)
    losses = f.fit(x, optimizer=still, steps=3, seed=11)
    assert losses == pytest.approx([loss(range(n), step) for step in range(3)], rel=1e-12)
    losses = f.fit(x, optimizer=still, steps=4, seed=11, batch_size=20)
    parts = [range(20), range(20, 40), range(40, 50), range(20)]
    assert losses == pytest.approx([loss(p, s) for s, p in enumerate(parts)], rel=1e-12)
    pieces = []
    f.fit(x, optimizer=still, steps=3, seed=11, callback=lambda step, loss: pieces.append(loss))
    assert pieces == f.fit(x, optimizer=still, steps=3, seed=11)


def test_the_rows_of_a_batch_of_few_are_drawn_anew_in_every_step():
    w = Value(0.0)
    f = compile(lambda: random.normal() + w)
    losses = f.fit(optimizer=mc.optim.SGD([w], lr=0.0), steps=50, samples=2, seed=3)
    assert len(set(losses)) == 50


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("skip", [(), *(name for name, _ in _core.optimiser_passes())])
def test_no_pass_merges_draws_or_changes_their_numbers(executor, skip):
    def fn():
        a, b, c = random.normal(), random.normal(), random.normal()
        return [a, b, a - b, a * 1.0 + 0.0 * c, a * a, b * b, a.detach() * b, c]

    f = compile(fn, executor=executor, skip=skip)
    a, b, c = ([_core.drawn("normal", 3, k, d) for k in range(9)] for d in range(3))
    for row, x, y, z in zip(f(samples=9, seed=3).tolist(), a, b, c, strict=True):
        assert row == [x, y, x - y, x, x * x, y * y, x * y, z]
