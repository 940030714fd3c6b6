# SPDX-License-Identifier: MIT
"""Random numbers as Values: in plain calls, and drawn for each sample of compiled functions."""

import copy
import math
import pickle
import random as python_random
import statistics

import numpy as np
import pytest
from common import collecting_after

import micrograd_c as mc
from micrograd_c import TraceError, Value, _core, compile, grad, hessian, random, take, where

EXECUTORS = _core.executor_names()
normals = compile(lambda: random.normal())


# -- derivatives -----------------------------------------------------------------------------------


def test_gradients_flow_through_mean_std_low_and_high():
    mean, std, low, high, p = params = [Value(v) for v in (0.5, 1.5, -1.0, 2.0, 0.6)]

    def fn(x):
        z, u = random.normal(mean, std), random.uniform(low, high)
        return (z * u + x).tanh() * random.bernoulli(p) + z.sin() * u + p * p

    x = np.linspace(-1, 1, 500)
    for executor in EXECUTORS:
        f = compile(fn, executor=executor)
        f.value_and_grad(x, seed=4)
        found = [v.grad for v in params]
        for param, slope in zip(params, found, strict=True):
            before, eps = param.data, 1e-6
            if param is p:  # a step of it changes nobody's number here, but in p * p
                assert slope == pytest.approx(2 * before)
                continue
            values = []
            for by in (eps, -eps):
                param.data = before + by
                values.append(f.value_and_grad(x, seed=4))
            param.data = before
            assert slope == pytest.approx((values[0] - values[1]) / (2 * eps), rel=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_draws_in_branches(executor):
    """A branch that needs no sample, chosen by a draw: its gate waits for the draw."""
    a, b = Value(0.5), Value(2.0)
    f = compile(
        lambda: where(random.uniform() < 0.25, a.exp() * 2.0, b * random.normal(b, 1.0)),
        executor=executor,
    )
    value = f.value_and_grad(samples=400, seed=8)
    u = [_core.drawn("uniform", 8, k, 0) for k in range(400)]
    z = [_core.drawn("normal", 8, k, 1) for k in range(400)]
    chosen = [x < 0.25 for x in u]
    expected = [2 * math.exp(0.5) if c else 2 * (2 + n) for c, n in zip(chosen, z, strict=True)]
    assert value == pytest.approx(statistics.fmean(expected))
    assert a.grad == pytest.approx(2 * math.exp(0.5) * sum(chosen) / 400)
    slopes = [0 if c else 4 + n for c, n in zip(chosen, z, strict=True)]
    assert b.grad == pytest.approx(statistics.fmean(slopes))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_draw_as_an_index(executor):
    table = [Value(1.0), Value(10.0), Value(100.0)]
    f = compile(lambda: take(table, (random.uniform() * 3).floor()), executor=executor)
    which = [int(_core.drawn("uniform", 2, k, 0) * 3) for k in range(300)]
    assert f(samples=300, seed=2).tolist() == [10.0**k for k in which]
    f.value_and_grad(samples=300, seed=2)
    assert [v.grad for v in table] == pytest.approx([which.count(k) / 300 for k in range(3)])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_chain_of_draws(executor):
    """One step of many nodes, whose operands are the rows of pairs."""
    w = Value(2.0)

    def most():
        highest = w * random.normal()
        for _ in range(8):
            highest = highest.maximum(random.normal())
        return highest

    f = compile(most, executor=executor)
    z = [[_core.drawn("normal", 6, k, d) for d in range(9)] for k in range(300)]
    rows = [[2 * first, *others] for first, *others in z]
    assert f(samples=300, seed=6).tolist() == [max(row) for row in rows]
    f.value_and_grad(samples=300, seed=6)
    slopes = [first / 2 if max(row) == first else 0.0 for row in rows for first in row[:1]]
    assert w.grad == pytest.approx(statistics.fmean(slopes))


def test_value_and_derivative_have_the_same_draw():
    def fn(x):
        return (x * random.normal()).exp() + random.uniform(0.0, x)

    def all_of_it(x):
        z, u = random.normal(), random.uniform()
        return [(x * z).exp() + u * x, z * (x * z).exp() + u, z * z * (x * z).exp()]

    x = np.linspace(-1, 1, 64)
    value, slope, bend = np.asarray(compile(all_of_it)(x, seed=6)).T
    assert np.asarray(compile(fn)(x, seed=6)) == pytest.approx(value, rel=1e-12)
    assert np.asarray(compile(grad(fn))(x, seed=6)) == pytest.approx(slope, rel=1e-12)
    assert np.asarray(compile(grad(grad(fn)))(x, seed=6)) == pytest.approx(bend, rel=1e-12)


@pytest.mark.parametrize("n", [2, 40])
def test_hessians_have_the_draws_of_their_sample(n):
    """By directions as lanes, where draws are the point's, and entry by entry."""

    def fn(x):
        z = [random.normal() for _ in x]
        return mc.sum(v * v * v * w for v, w in zip(x, z, strict=True)) + x[0] * x[1] * z[0]

    x = np.linspace(0.5, 1.5, 3 * n).reshape(3, n)
    found = np.asarray(compile(hessian(fn))(x, seed=9))
    for k in range(3):
        z = [_core.drawn("normal", 9, k, d) for d in range(n)]
        expected = np.diag([6 * v * w for v, w in zip(x[k], z, strict=True)])
        expected[0, 1] = expected[1, 0] = z[0]
        assert found[k] == pytest.approx(expected)


@pytest.mark.parametrize(("n", "size"), [(2, 500), (30, 1), (30, 7)])
def test_an_objective_is_one_function(n, size):
    w = [Value(0.1 * k) for k in range(n)]

    def fn():
        return (mc.dot(w, [random.normal() for _ in w]) - random.uniform()).exp() * 0.5

    objective = compile(fn).objective(samples=size)
    theta, eps = objective.x0, 1e-5
    steps = eps * np.eye(n)
    assert objective.fun(theta) == objective.fun(theta)
    fun = [(objective.fun(theta + s) - objective.fun(theta - s)) / (2 * eps) for s in steps]
    assert objective.jac(theta) == pytest.approx(fun, rel=1e-5, abs=1e-8)
    jac = [(objective.jac(theta + s) - objective.jac(theta - s)) / (2 * eps) for s in steps]
    assert objective.hess(theta) == pytest.approx(np.array(jac), rel=1e-5, abs=1e-7)
    assert objective.hessp(theta, steps[0] / eps) == pytest.approx(jac[0], rel=1e-5, abs=1e-7)


def test_an_objective_keeps_its_seed_and_takes_one():
    w = Value(1.0)
    f = compile(lambda x: (x * w - random.normal()) ** 2)
    x = np.ones(5)
    one, other = f.objective(x, seed=1), f.objective(x)
    assert one.fun([2.0]) == f.objective(x, seed=1).fun([2.0]) != other.fun([2.0])
    residuals = compile(lambda x: [x * w - random.normal(), w]).residuals(x, seed=1)
    assert residuals.fun([2.0]).tolist() == residuals.fun([2.0]).tolist()
    z = [_core.drawn("normal", 1, k, 0) for k in range(5)]
    assert residuals.fun([2.0])[::2] == pytest.approx([2.0 - v for v in z])
    assert residuals.jac([2.0]).ravel().tolist() == [1.0] * 10


# -- seeds and samples -----------------------------------------------------------------------------


def test_without_a_seed_it_comes_from_pythons_generator():
    python_random.seed(42)
    first, second = normals(samples=3).tolist(), normals(samples=3).tolist()
    python_random.seed(42)
    assert first != second and normals(samples=3).tolist() == first
    python_random.seed(42)
    assert normals(samples=3, seed=python_random.getrandbits(64)).tolist() == first


def test_a_function_that_draws_nothing_leaves_pythons_generator_alone():
    w = Value(1.0)
    f = compile(lambda x: x * w)
    state = python_random.getstate()
    f([1.0]), f.value_and_grad([1.0]), f([1.0], seed=3)
    f.fit([1.0], optimizer=mc.optim.SGD([w], lr=0.1), steps=2)
    compile(lambda: random.normal())(samples=2, seed=1)
    assert python_random.getstate() == state


def test_a_call_and_its_gradient_have_the_same_draws():
    w = Value(2.0)
    f = compile(lambda: random.normal() * w)
    mean = statistics.fmean(f(samples=100, seed=5).tolist())
    assert f.value_and_grad(samples=100, seed=5) == pytest.approx(mean)
    assert w.grad == pytest.approx(mean / 2)
    assert f.value_and_grad(samples=100) != f.value_and_grad(samples=100)


@pytest.mark.parametrize("seed", [0, -1, 2**64 - 1, 2**64 + 5, np.int64(3), True])
def test_any_whole_number_is_a_seed(seed):
    expected = [_core.drawn("normal", int(seed) % 2**64, k, 0) for k in range(4)]
    assert normals(samples=4, seed=seed).tolist() == expected


def test_samples_may_stand_beside_arrays_that_agree():
    f = compile(lambda x: x + random.uniform())
    assert f([1.0, 2.0], samples=2, seed=1).tolist() == f([1.0, 2.0], seed=1).tolist()
    assert f([], samples=0).tolist() == [] and normals(samples=0).tolist() == []
    assert compile(lambda: Value(2.0) * 3)(samples=3).tolist() == [6.0] * 3


w = Value(1.0)
with_input = compile(lambda x: x * random.normal() * w)
BAD_CALLS = {
    "neither": (lambda: normals(), TypeError, "a compiled function needs an array for each"),
    "no samples for a gradient": (normals.value_and_grad, TypeError, "samples="),
    "disagreement": (
        lambda: with_input([1.0, 2.0], samples=3),
        ValueError,
        "samples: 3 disagrees with argument 'x', which has 2 samples",
    ),
    "no array": (lambda: with_input(samples=3), TypeError, "missing 1 required positional"),
    "fewer than none": (lambda: normals(samples=-1), ValueError, "samples: .* got -1"),
    "too many": (lambda: normals(samples=2**32), ValueError, "samples: .* got 4294967296"),
    "far too many": (lambda: normals(samples=2**80), ValueError, "samples: "),
    "a half": (lambda: normals(samples=2.5), TypeError, "samples: .* got float"),
    "a word as seed": (lambda: normals(samples=2, seed="a"), TypeError, "seed: .* got str"),
    "a float as seed": (
        lambda: with_input.fit([1.0], optimizer=mc.optim.SGD([w], lr=0.1), steps=1, seed=1.5),
        TypeError,
        "seed",
    ),
    "Values and a seed": (lambda: with_input(w, seed=1), TypeError, "no samples=, no seed="),
    "a word as mean": (lambda: random.normal("a"), TypeError, "normal: mean: .* got str"),
    "a list as std": (lambda: random.normal(0, [1]), TypeError, "normal: std: .* got list"),
    "a negative std": (lambda: random.normal(0, -1), ValueError, "normal: .* got -1.0"),
    "None as low": (lambda: random.uniform(None), TypeError, "uniform: low: "),
    "p above 1": (lambda: random.bernoulli(1.5), ValueError, "bernoulli: .* got 1.5"),
    "NaN as p": (lambda: random.bernoulli(math.nan), ValueError, "bernoulli: .* got nan"),
    "p below 0": (lambda: random.bernoulli(Value(-0.5)), ValueError, "bernoulli: .* got -0.5"),
    "p above 1, compiled": (
        lambda: compile(lambda: random.bernoulli(2))(samples=1),
        ValueError,
        "bernoulli: .* got 2.0",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_calls(call, error, message):
    state = python_random.getstate()
    with pytest.raises(error, match=message):
        call()
    assert python_random.getstate() == state


# -- plain calls -----------------------------------------------------------------------------------


def test_plain_draws_come_from_pythons_generator():
    python_random.seed(1)
    expected = [python_random.gauss(0.0, 1.0), python_random.random(), python_random.random()]
    expected[2] = float(expected[2] < 0.5)
    python_random.seed(1)
    found = [random.normal(), random.uniform(), random.bernoulli(0.5)]
    assert [v.data for v in found] == expected
    assert all(v._op == "" for v in found)


def test_plain_draws_are_reparametrised():
    mean, std, low, high = (Value(v) for v in (1.0, 2.0, -1.0, 3.0))
    z, u = random.normal(mean, std), random.uniform(low, high)
    (z + u).backward()
    assert mean.grad == 1 and std.grad == pytest.approx((z.data - 1.0) / 2.0)
    assert high.grad == pytest.approx((u.data + 1.0) / 4.0) and low.grad + high.grad == 1
    p = Value(0.5)
    random.bernoulli(p).backward()
    assert p.grad == 0.0


def test_where_nothing_is_recorded_a_draw_is_a_plain_one():
    with mc.no_grad():
        assert random.normal(Value(0.0), 2.0)._prev == set()
    assert isinstance(random.uniform(2, 3).data, float)


# -- recording -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        lambda v: v * v.data,
        lambda v: v if v > 0.5 else -v,
        lambda v: v * float(f"{v:.3f}"),
        lambda v: v if v else -v,
        lambda v: setattr(v, "data", 1.0) or v,
        lambda v: mc.custom(3.0, [v], [1.0]),
    ],
)
@pytest.mark.parametrize("kind", [random.normal, random.uniform])
def test_a_draw_has_no_number_while_it_is_recorded(kind, read):
    with pytest.raises(TraceError):
        compile(lambda: read(kind()))(samples=2)
    with pytest.raises(TraceError):
        compile(lambda: read(kind() * 2.0 + 1.0))(samples=2)


def test_a_draw_that_is_kept_has_leaked():
    kept = []
    compile(lambda: kept.append(random.normal()) or random.normal())(samples=1)
    with pytest.raises(TraceError, match="an input or a draw of a compiled function"):
        kept[0] + 1.0


def test_draws_under_no_grad_are_draws():
    def fn():
        with mc.no_grad():
            z = random.normal() * w
        return z * w

    f = compile(fn)
    value = f.value_and_grad(samples=10, seed=1)
    assert w.grad == pytest.approx(value / w.data)


def test_a_function_that_another_one_calls_with_values_draws_for_it():
    inner = compile(lambda x: x + random.normal())
    outer = compile(lambda x: inner(x) - inner(x))
    expected = [_core.drawn("normal", 4, k, 0) - _core.drawn("normal", 4, k, 1) for k in range(5)]
    assert outer(np.zeros(5), seed=4).tolist() == pytest.approx(expected)


def test_a_function_that_is_called_with_numbers_while_another_one_records():
    def fn():
        before = random.normal()
        assert normals(samples=2, seed=3).tolist() == expected
        return [before, random.normal()]

    expected = [_core.drawn("normal", 3, k, 0) for k in range(2)]
    found = compile(fn)(samples=1, seed=9).tolist()
    assert found == [[_core.drawn("normal", 9, 0, d) for d in range(2)]]


def test_many_draws_and_a_restless_tape(restless):
    f = compile(lambda: mc.sum([random.normal() * k for k in range(300)]))
    expected = sum(_core.drawn("normal", 1, 0, k) * k for k in range(300))
    assert f(samples=1, seed=1).tolist() == pytest.approx([expected])


class Drawing:
    """Garbage that draws when it is collected."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        random.normal()


def test_draws_while_a_draw_is_recorded():
    def fn():
        found = []
        for _ in range(100):
            Drawing()
            found.append(random.normal())
        return found

    with collecting_after(1, 1, 1):
        f = compile(fn)
        (found,) = f(samples=1, seed=1).tolist()
    places = {_core.drawn("normal", 1, 0, k): k for k in range(250)}
    places = [places[number] for number in found]
    assert places == sorted(set(places)) and len(places) == 100 and places[-1] > 150


# -- copies, listings, statistics ------------------------------------------------------------------


def fn_of_module():
    return random.normal() + random.uniform()


def test_copies_draw_the_same():
    f = compile(fn_of_module)
    expected = f(samples=5, seed=1).tolist()
    for other in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert other(samples=5, seed=1).tolist() == expected


def several():
    """Of both kinds, side by side and apart, and one that nobody asks for."""
    first, second = random.normal(), random.uniform()
    random.normal()
    return [first, second, random.normal(), random.uniform(), random.uniform(), random.normal()]


def test_the_listing_shows_draws_and_stats_count_them():
    for executor in EXECUTORS:
        f = compile(several, executor=executor)
        f(samples=3)
        assert f.stats().draws == 6
        text = str(f)
        assert "no arguments" in text
        assert "draw 0, normal" in text and "5, uniform" in text and "draw 2" not in text
    assert "r0..1 = draw 0, normal, and 1, uniform" in str(compile_vector())
    assert compile(lambda x: x)([1.0]).tolist() == [1.0]


def test_draws_are_nowhere_but_in_the_rows_of_a_block():
    """252 of 20,000 samples are 40 MB; a worker holds those of some hundred samples."""
    w = Value(1.0)
    f = compile(lambda: (w * mc.sum([random.normal() for _ in range(252)])).tanh(), threads=1)
    f.value_and_grad(samples=20_000)
    assert f.stats().bytes < 2_000_000


def compile_vector():
    f = compile(lambda: random.normal() * random.uniform(), executor="vector")
    f(samples=3)
    return f


def test_types_of_results():
    assert isinstance(normals(samples=3), mc.compiled.Outputs)
    f = compile(lambda x: x + random.normal())
    assert isinstance(f(np.ones(3)), np.ndarray)
