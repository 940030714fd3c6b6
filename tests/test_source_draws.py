# SPDX-License-Identifier: MIT
"""Random numbers in other languages: in C the same, elsewhere of the same distribution."""

import ctypes
import math

import numpy as np
import pytest
from languages import (
    LANGUAGES,
    check_gradients,
    check_outputs,
    compiled,
    each_language,
    gradients,
    library,
    need,
    outputs,
    pointer,
)
from test_random_loops import Program
from unrolled import Scans

import micrograd_c as mc
from micrograd_c import Value, compile, grad, hessian, scan
from micrograd_c.export import prepare

OTHERS = [language for language in LANGUAGES if language != "c"]


def each_kind():
    """Draws that are used in no order, and one that is not."""
    normal, uniform = mc.random.normal, mc.random.uniform
    return [normal(), uniform(), normal(2.0, 0.5), [uniform(-1.0, 1.0), normal()][0], normal()]


def option():
    share, volatility = Value(100.0), Value(0.2)

    def payoff():
        spread = mc.random.normal(-(volatility**2) / 2, volatility)
        return (share * spread.exp() - 100.0).relu()

    return payoff, [share, volatility]


@pytest.mark.parametrize("seed", [0, 1, 12345678901234567890, 2**64 - 1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_numbers_of_c_are_ours_to_the_bit(dtype, seed):
    need("c")
    f = compiled(each_kind, dtype=dtype)
    wanted = f(samples=100_000, seed=seed)
    (found,) = outputs(f, "c", "function", [], [(5,)], samples=100_000, seed=seed)
    if dtype == "float32":  # only the draws, since C computes in double
        wanted, found = (np.asarray(each)[:, [0, 1, 4]] for each in (wanted, found))
    np.testing.assert_array_equal(found, wanted)


def test_tails_in_c():
    """Words that no test of some thousand draws meets."""
    need("c")
    f = compiled(lambda: mc.random.normal())
    f(samples=1, seed=1)
    text = f.source("c")
    words = "    philox(seed, sample, draw, step, w);\n"
    assert text.count(words) == 1
    given = text.replace(
        words, f"{words}    w[0] = (uint32_t)seed, w[1] = (uint32_t)(seed >> 32);\n"
    )
    for high, low in [(0, 0), (0, 2**32 - 1), (2**31, 5), (1, 0), (40, 9), (2**31 - 1, 2**32 - 1)]:
        found = np.zeros(1)
        seed = ctypes.c_uint64(high << 32 | low)
        library(given).function(ctypes.c_size_t(1), seed, None, pointer(found))
        p = (high % 2**31) / 2**32 + (low + 0.5) / 2**64
        assert math.isclose(math.erfc(abs(found[0]) / math.sqrt(2.0)) / 2.0, p, rel_tol=1e-12)


@each_language
def test_a_price_and_its_greeks(language):
    need(language)
    payoff, _ = option()
    f = compiled(payoff)
    f(samples=1, seed=1)
    price, greeks = gradients(f, language, "function", [], samples=200_000, seed=5)
    np.testing.assert_allclose([price, *greeks], [7.966, 0.540, 39.7], rtol=0.02)
    (found,) = outputs(f, language, "function", [], [()], samples=200_000, seed=5)
    assert found.shape == (200_000,) and math.isclose(found.mean(), price, rel_tol=1e-9)


def test_derivatives_in_c_are_ours():
    need("c")
    payoff, parameters = option()
    f = compiled(payoff, reduction="sum")
    loss = f.value_and_grad(samples=1000, seed=3)
    found_loss, found = gradients(f, "c", "function", [], samples=1000, seed=3)
    np.testing.assert_allclose(found_loss, loss, rtol=1e-12)
    np.testing.assert_allclose(found, [p.grad for p in parameters], rtol=1e-12)


@pytest.mark.parametrize("language", OTHERS)
def test_distributions(language):
    need(language)
    f = compiled(each_kind)
    f(samples=1, seed=1)
    n = 100_000
    (found,) = outputs(f, language, "function", [], [(5,)], samples=n, seed=7)
    assert found.shape == (n, 5)
    bound = 5.0 / math.sqrt(n)
    means, deviations = [0.0, 0.5, 2.0, 0.0, 0.0], [1.0, 12**-0.5, 0.5, 3**-0.5, 1.0]
    standard = (found - means) / deviations
    assert np.all(np.abs(standard.mean(0)) < bound)
    assert np.all(np.abs(np.cov(standard.T) - np.eye(5)) < 2.0 * bound)
    fourth = (standard**4).mean(0)
    np.testing.assert_allclose(fourth, [3.0, 1.8, 3.0, 1.8, 3.0], atol=0.15)
    assert np.all((found[:, 1] >= 0.0) & (found[:, 1] < 1.0))


@each_language
def test_one_seed_gives_the_same_numbers_again(language):
    need(language)
    f = compiled(lambda x: mc.random.bernoulli(0.3) * x + mc.random.normal())
    x = np.linspace(1.0, 2.0, 50)
    f(x, seed=1)
    first, again, other = (
        outputs(f, language, "function", [x], [()], seed=seed)[0] for seed in (4, 4, 5)
    )
    assert (first == again).all() and not (first == other).all()


# -- in loops --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["c", "numpy"])
@pytest.mark.parametrize("seed", range(30))
def test_random_loops_that_draw(seed, language):
    program = Program(seed)
    fn, arrays = program.function(Scans()), [np.array(program.arrays)]
    n = program.n_inputs
    close = {"rtol": 1e-8, "atol": 1e-10}
    f = compiled(fn)
    check_outputs(f, language, arrays, seed=5, **close)
    if prepare(f, "source", ()).arrays:
        check_gradients(f, language, arrays, seed=5, **close)
    check_outputs(compiled(grad(fn)), language, arrays, [(n,)], seed=5, **close)
    if seed % 3 == 0:
        check_outputs(compiled(hessian(fn)), language, arrays, [(n, n)], seed=5, **close)


def walks():
    """A path that draws twice in a step, and in a loop within it."""
    volatility = Value(0.2)

    def path(x):
        def step(carry, _):
            z, u = mc.random.normal(), mc.random.uniform()
            inner, _ = scan(
                lambda c, _: (c * 0.9 + mc.random.normal() * volatility, None), carry, length=3
            )
            return inner.tanh() + z * 0.1 * x, [u * x, z]

        last, ys = scan(step, x, length=4)
        return last * ys[1][0] + ys[3][1] * volatility

    return path, volatility


@pytest.mark.parametrize("language", ["jax", "torch"])
def test_a_derivative_finds_what_was_drawn(language):
    """The derivative in the text is the language's own derivative of the text."""
    need(language)
    path, _ = walks()
    f, slope = compiled(path), compiled(grad(path))
    x = np.linspace(-1.0, 1.0, 40)
    f(x, seed=1)
    slope(x, seed=1)
    (found,) = outputs(slope, language, "function", [x], [()], seed=8)
    if language == "jax":
        import jax

        function, parameters = f.to_jax()
        total = jax.grad(lambda a: function(parameters, a, jax.random.key(8)).sum())
        wanted = total(jax.numpy.asarray(x))
    else:
        import torch

        leaf = torch.tensor(x, requires_grad=True)
        f.to_torch()(leaf, torch.Generator().manual_seed(8)).sum().backward()
        wanted = leaf.grad
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@each_language
def test_a_path_that_draws(language):
    need(language)
    path, volatility = walks()
    f = compiled(path)
    x = np.full(40_000, 0.5)
    wanted = np.asarray(f(x, seed=1))
    (found,) = outputs(f, language, "function", [x], [()], seed=2)
    assert abs(found.mean() - wanted.mean()) < 5 * wanted.std() / math.sqrt(20_000)
    assert abs(found.std() / wanted.std() - 1.0) < 0.05
    f.value_and_grad(x, seed=1)
    _, (slope,) = gradients(f, language, "function", [x], seed=2)
    assert abs(slope - volatility.grad) < 0.05


@each_language
def test_draws_as_a_sequence(language):
    need(language)
    w = Value(0.1)

    def walk(x):
        zs = [mc.random.normal() for _ in range(20)]
        return scan(lambda c, z: (c + w * z, None), x, zs)[0]

    f = compiled(walk)
    x = np.zeros(20_000)
    wanted = np.asarray(f(x, seed=2))
    (found,) = outputs(f, language, "function", [x], [()], seed=2)
    if language == "c":
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert abs(found.std() - 0.1 * math.sqrt(20)) < 0.01


@each_language
def test_functions_without_arguments(language):
    need(language)
    w = Value(2.0)
    f = compiled(lambda: [w * w, 0.5])
    wanted = f(samples=3)
    (found,) = outputs(f, language, "function", [], [(2,)], samples=3)
    np.testing.assert_array_equal(found, wanted)
    without = compiled(lambda: (0.25, scan(lambda c, _: (c * 0.5, c), 1.0, length=3)[1]))
    parts = without(samples=2)
    found = outputs(without, language, "function", [], [(), (3,)], samples=2)
    for one, other in zip(found, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_names_that_draws_would_take():
    w = Value(2.0)
    f = compile(lambda rng, key, seed, z, u: rng * key * seed * w + mc.random.normal() * z * u)
    f(*[[1.0]] * 5)
    assert "def function(parameters, rng_, key, seed, z, u, rng):" in f.source("numpy")
    assert "def function(parameters, rng, key_, seed, z, u, key):" in f.source("jax")
    assert "z_ = rng.standard_normal(len(rng_))" in f.source("numpy")
    need("c")
    x = np.linspace(0.5, 1.0, 3)
    wanted = f(*[x] * 5, seed=9)
    (found,) = outputs(f, "c", "function", [x] * 5, [()], seed=9)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


@each_language
def test_functions_and_arguments_with_the_names_of_draws(language):
    def normal(uniform, key_z, philox, sample):
        u = mc.random.uniform()
        return (uniform + mc.random.normal() * 0.0) * key_z * philox * sample + u * 0.0

    need(language)
    f = compile(normal, executor="scalar")
    x = np.linspace(0.5, 1.0, 3)
    f(*[x] * 4, seed=9)
    name = prepare(f, "source", ()).name
    assert name == "normal_"
    (found,) = outputs(f, language, name, [x] * 4, [()], seed=9)
    np.testing.assert_allclose(found, x**4, rtol=1e-12)
