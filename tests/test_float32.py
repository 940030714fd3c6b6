# SPDX-License-Identifier: MIT
"""compile(dtype="float32"): samples in float32, and all that is summed over them in float64."""

import copy
import math
import pickle
import random

import numpy as np
import pytest
from common import EXECUTORS, WAYS, run_on
from test_replay import Graph, draw_batch

import micrograd_c as mc
from micrograd_c import Value, _core, nn, optim

LEVELS = [way for way in WAYS if way != "scalar"]
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = 2.0**-149


@pytest.fixture(params=WAYS)
def way(request):
    run_on(request.param)


def square(x):
    return x * x


def rounded(number):
    return float(np.float32(number))


# -- the option ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["float16", "f4", "", None, np.float32, 32, b"float32"])
def test_another_dtype_is_refused_at_once(wrong):
    with pytest.raises(ValueError, match=r"compile: expected dtype 'float64' or 'float32', got"):
        mc.compile(square, dtype=wrong)


@pytest.mark.parametrize("executor", [None, *EXECUTORS])
def test_stats_say_what_runs_it(executor):
    f = mc.compile(square, dtype="float32", executor=executor)
    f([1.0])
    assert f.stats().executor == (executor or EXECUTORS[0])
    assert f.stats().dtype == "float32"
    g = mc.compile(square)
    g([1.0])
    assert g.stats().dtype == "float64"
    assert "float32" not in str(g)


def test_the_decorator_takes_it():
    @mc.compile(dtype="float32", reduction="sum")
    def f(x):
        return x * 0.1

    assert f([1.0]).tolist() == [rounded(0.1)]


def test_copies_and_pickles_keep_it():
    f = mc.compile(square, dtype="float32")
    for twin in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert twin([0.1]).tolist() == [rounded(np.float32(0.1) * np.float32(0.1))]
        assert twin.stats().dtype == "float32"


# -- arithmetic ------------------------------------------------------------------------------------


def test_arithmetic_is_that_of_float32_to_the_bit(way):
    x, y = np.random.default_rng(0).normal(size=(2, 1001))
    f = mc.compile(lambda a, b: [a + b, a * b, a / b, (a - b).relu()], dtype="float32")
    a, b = x.astype(np.float32), y.astype(np.float32)
    expected = np.stack([a + b, a * b, a / b, np.maximum(a - b, 0)], axis=1)
    found = f(x, y)
    assert found.dtype == np.float64
    assert found.tolist() == expected.astype(float).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 3, 4, 7, 17])
def test_float32_arguments_are_read_as_they_are(way, dtype, columns):
    numbers = np.random.default_rng(3).normal(size=(301, columns)).astype(np.float32)
    f = mc.compile(lambda xs: [x * 1.0 for x in xs], dtype="float32")
    assert f(numbers.astype(dtype)).tolist() == numbers.astype(float).tolist()


@pytest.mark.parametrize("shape", ["reversed", "every third", "Fortran", "byte offset"])
def test_float32_arguments_of_any_layout(way, shape):
    numbers = np.arange(90 * 8, dtype=np.float32).reshape(90, 8)
    unaligned = np.frombuffer(b"\0" + numbers.tobytes(), dtype=np.uint8)[1:]
    given = {
        "reversed": numbers[::-1, ::-1],
        "every third": numbers[::3],
        "Fortran": np.asfortranarray(numbers),
        "byte offset": unaligned.view(np.float32).reshape(90, 8),
    }[shape]
    f = mc.compile(lambda xs: [x + 1.0 for x in xs], dtype="float32")
    assert f(given).tolist() == (given + 1).tolist()


def test_numbers_without_a_float32_become_the_nearest(way):
    f = mc.compile(lambda x: [x, x + 0.0], dtype="float32")
    found = f([0.1, 1e39, -1e39, 1e-50, -1e-50, LARGEST * (1 + 1e-9)])
    expected = [rounded(0.1), math.inf, -math.inf, 0.0, -0.0, LARGEST]
    assert str(np.asarray(found)[:, 0].tolist()) == str(expected)


def test_special_numbers(way):
    numbers = [math.inf, -math.inf, math.nan, SMALLEST, -SMALLEST, 0.0, -0.0, LARGEST]
    f = mc.compile(lambda x: [x * 1.5, x * 0.5, x.relu(), x.abs(), -x], dtype="float32")
    x = np.array(numbers, dtype=np.float32)
    half, more = np.float32(0.5), np.float32(1.5)
    with np.errstate(over="ignore"):
        columns = [x * more, x * half, np.where(x <= 0, np.float32(0), x), np.abs(x), -x]
    assert str(np.asarray(f(numbers)).tolist()) == str(np.stack(columns, axis=1).tolist())


def test_what_does_not_fit_is_infinite(way):
    w = Value(1e30)
    f = mc.compile(lambda x: x * w, reduction="sum", dtype="float32")
    assert f([1e30, 1.0]).tolist() == [math.inf, rounded(1e30)]
    assert f.value_and_grad([1e30, 1.0]) == math.inf
    assert w.grad == rounded(1e30) + 1.0
    w.data = 1e300  # a parameter that is a float64, and no finite float32
    assert f([1.0]).tolist() == [math.inf]
    assert mc.compile(lambda x: x * w)([1.0]).tolist() == [1e300]


@pytest.mark.parametrize("skip", [(), [name for name, _ in _core.optimiser_passes()]])
def test_what_is_not_chosen_may_overflow_in_float32_alone(way, skip):
    layer, w = nn.Layer(3, 4, "linear"), Value(0.5)
    branches = {
        "layer": lambda x: mc.sum(layer([x.exp(), x * x.exp(), x])),
        "dot": lambda x: mc.dot([w, w, w], [x.exp(), x * x.exp(), x]),
        "product": lambda x: w * x.exp() + w,
    }
    for branch in branches.values():
        gradients = []
        for numbers in ([100.0, 0.5, 100.0], [0.5]):  # exp(100) is a float64, and no float32
            f = mc.compile(
                lambda x, branch=branch: mc.where(x < 50.0, branch(x), 0.25),
                reduction="sum",
                dtype="float32",
                skip=skip,
            )
            f.value_and_grad(numbers)
            gradients.append([p.grad for p in (w, *layer.parameters())])
        assert gradients[0] == gradients[1]


@pytest.mark.parametrize("wrong", [1000.0, -1001.0, 2.0**24 + 1, -(2.0**32), 1e30, 1e300])
@pytest.mark.parametrize("place", [0, 300])
def test_indices_beyond_the_last_element_are_refused(way, wrong, place):
    table = [Value(float(k)) for k in range(1000)]
    f = mc.compile(lambda i: mc.take(table, i), reduction="sum", dtype="float32")
    indices = np.arange(-150.0, 151.0)
    assert f(indices).tolist() == (indices % 1000).tolist()
    f.value_and_grad(indices)
    indices[place] = wrong
    for call in (f, f.value_and_grad):
        with pytest.raises(IndexError, match=f"out of range for 1000 values, for sample {place}"):
            call(indices)


# -- random programs -------------------------------------------------------------------------------


def results_of(graph, rows, indices, dtype, way):
    run_on(way)
    f = mc.compile(graph, dtype=dtype)
    loss = f.value_and_grad(rows, indices)
    return [*f(rows, indices), loss, *(p.grad for p in graph.parameters)]


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_are_those_of_float64_within_rounding(seed):
    rng = random.Random(seed)
    graph = Graph(rng, n_inputs=3, size=25)
    rows, indices = draw_batch(rng, graph, rng.choice([1, 2, 3, 8, 9, 17, 37, 300]))
    rows = rows.astype(np.float32)
    exact = results_of(graph, rows, indices, "float64", "scalar")
    for way in WAYS:
        found = results_of(graph, rows, indices, "float32", way)
        np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(60, 90))
def test_executors_agree_more_closely_than_with_float64(seed):
    """On what has no kinks to fall on either side of."""
    rng = random.Random(seed)
    weights = [Value(rng.uniform(-1, 1)) for _ in range(6)]

    def fn(xs):
        pool = [*xs, *weights]
        local = random.Random(seed)
        for _ in range(12):
            a, b, c = local.choices(pool, k=3)
            pool.append((a * b + c).tanh() if local.random() < 0.5 else (a - b * 0.25) * 0.5)
        return mc.sum(pool[-4:])

    rows = np.random.default_rng(seed).normal(size=(67, 3))
    found = []
    for way in WAYS:
        run_on(way)
        f = mc.compile(fn, dtype="float32")
        loss = f.value_and_grad(rows)
        found.append([*f(rows), loss, *(w.grad for w in weights)])
    for other in found[:-1]:
        np.testing.assert_allclose(other, found[-1], rtol=1e-5, atol=4e-6)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 255, 257, 1000])
def test_every_batch_size(way, size):
    rng = random.Random(5)
    model = nn.MLP(3, [5, 4, 1])
    for p in model.parameters():
        p.data = rng.uniform(-1, 1)
    rows, targets = np.random.default_rng(size).normal(size=(2, size, 3))
    results = []
    for dtype in ("float64", "float32"):
        f = mc.compile(lambda xs, y: (model(xs) - y) ** 2, reduction="sum", dtype=dtype)
        loss = f.value_and_grad(rows, targets[:, 0])
        results.append([loss, *(p.grad for p in model.parameters()), *f(rows, targets[:, 0])])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_of_no_samples_gradients_are_zero(way, reduction):
    w = Value(0.5)
    f = mc.compile(lambda x: x * w, reduction=reduction, dtype="float32")
    loss = f.value_and_grad([])
    assert math.isnan(loss) if reduction == "mean" else loss == 0.0
    assert w.grad == 0.0


def test_results_do_not_depend_on_threads(way):
    model = nn.MLP(4, [9, 1])
    rows = np.random.default_rng(0).normal(size=(5000, 4))
    gradients = []
    for threads in (1, 2, 5):
        f = mc.compile(lambda xs: model(xs) ** 2, threads=threads, dtype="float32")
        f.value_and_grad(rows)
        gradients.append([p.grad for p in model.parameters()])
    assert gradients[0] == gradients[1] == gradients[2]


def test_an_index_that_is_none_is_refused(way):
    table = [Value(float(k)) for k in range(3)]
    f = mc.compile(lambda k: mc.take(table, k), dtype="float32")
    assert f([0.0, 2.0, -1.0]).tolist() == [0.0, 2.0, 2.0]
    with pytest.raises(IndexError, match="sample 1"):
        f([0.0, 3.0])


# -- what is float64 -------------------------------------------------------------------------------

MANY = 1_000_000


def rows_of(layer, xs):
    """The layer's outputs as a list, also where it is a single one."""
    outputs = layer(xs)
    return outputs if isinstance(outputs, list) else [outputs]


@pytest.mark.parametrize("way", LEVELS)
def test_a_sum_over_many_equal_samples_is_exact(way):
    """A float32 sum of a million tenths is a hundred off."""
    run_on(way)
    w, tenth = Value(0.0), rounded(0.1)
    f = mc.compile(lambda x: x * w + x, reduction="sum", dtype="float32")
    assert f.value_and_grad(np.full(MANY, 0.1, dtype=np.float32)) == MANY * tenth
    assert w.grad == MANY * tenth
    f = mc.compile(lambda x: x * w + x, dtype="float32")
    assert f.value_and_grad(np.full(MANY, 0.1)) == pytest.approx(tenth, rel=1e-15)
    assert w.grad == pytest.approx(tenth, rel=1e-15)


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (3, 5), (19, 1), (19, 2), (35, 6)])
@pytest.mark.parametrize("way", LEVELS)
def test_gradients_of_matrices_are_sums_of_float64(way, n_in, n_out):
    run_on(way)
    size, tenth = 100_003, rounded(0.1)
    layer = nn.Linear(n_in, n_out)
    f = mc.compile(lambda xs: mc.sum(rows_of(layer, xs)), reduction="sum", dtype="float32")
    f.value_and_grad(np.full((size, n_in), 0.1, dtype=np.float32))
    for name, p in layer.named_parameters():
        assert p.grad == (size if "b" in name else size * tenth), name


@pytest.mark.parametrize("seed", range(8))
def test_products_of_float32_are_summed_without_a_rounding(way, seed):
    """Gradients of weights are sums of exact products: off by float64's rounding alone."""
    rng = np.random.default_rng(seed)
    n_in, n_out, size = rng.integers(1, 40), rng.integers(1, 9), rng.integers(1, 700)
    layer = nn.Linear(int(n_in), int(n_out))
    rows = rng.normal(size=(size, n_in)).astype(np.float32)
    slopes = rng.normal(size=(size, n_out)).astype(np.float32)
    f = mc.compile(lambda xs, gs: mc.dot(gs, rows_of(layer, xs)), reduction="sum", dtype="float32")
    f.value_and_grad(rows, slopes)
    exact = slopes.astype(float).T @ rows.astype(float)
    found = [p.grad for name, p in layer.named_parameters() if "b" not in name]
    np.testing.assert_allclose(np.reshape(found, exact.shape), exact, rtol=1e-11, atol=1e-11)


def test_what_a_parameter_gains_within_a_sample_is_as_exact(way):
    """Float32 sums of a thousand numbers of one sign are off by far more than is allowed here."""
    rng = np.random.default_rng(2)
    coefficients = rng.uniform(0.5, 1.5, size=1000).astype(np.float32).tolist()
    rows = rng.uniform(0.5, 1.5, size=(21, 3)).astype(np.float32)
    w = Value(1.0)

    def fn(xs):
        total = xs[0]
        for k, c in enumerate(coefficients):
            total = total * 0.5 + (xs[k % 3] * c) * w
        return total

    f = mc.compile(lambda xs: fn(xs), reduction="sum", dtype="float32", skip=["sums"])
    flat = mc.compile(
        lambda xs: mc.sum([(xs[k % 3] * c) * w for k, c in enumerate(coefficients)]),
        reduction="sum",
        dtype="float32",
        skip=["sums", "matrices"],
    )
    f.value_and_grad(rows)
    assert w.grad == pytest.approx(float64_gradient(fn, rows, w), rel=3e-7)
    flat.value_and_grad(rows)
    exact = sum(np.float64(row[k % 3]) * c for row in rows for k, c in enumerate(coefficients))
    assert w.grad == pytest.approx(exact, rel=1e-7)


def float64_gradient(fn, rows, w):
    mc.compile(lambda xs: fn(xs), reduction="sum", executor="scalar").value_and_grad(rows)
    return w.grad


def test_what_no_sample_changes_is_float64(way):
    w = Value(0.1)
    penalty = mc.compile(lambda x: w * w * 0.3, dtype="float32")
    assert penalty([1.0, 2.0]).tolist() == [0.1 * 0.1 * 0.3] * 2
    assert penalty.value_and_grad([1.0]) == 0.1 * 0.1 * 0.3
    assert w.grad == pytest.approx(0.06, rel=1e-15)
    both = mc.compile(lambda x: x * 0.0 + w * w, dtype="float32")
    assert both([1.0]).tolist() == [rounded(0.1 * 0.1)]


def test_parameters_and_moments_stay_float64(way):
    w = Value(0.1)
    f = mc.compile(lambda x: w * x, reduction="sum", dtype="float32")
    f.fit(np.ones(3), optimizer=optim.SGD([w], lr=1e-10), steps=1)
    assert w.data == 0.1 - 3e-10
    adam = optim.Adam([w], lr=1e-9)
    f.fit(np.full(3, 0.1), optimizer=adam, steps=1)
    moments = adam.state_dict()["state"][0]
    gradient = 3 * rounded(0.1)
    assert moments["exp_avg"] == pytest.approx((1 - 0.9) * gradient, rel=1e-15)
    assert moments["exp_avg_sq"] == pytest.approx((1 - 0.999) * gradient**2, rel=1e-15)
    assert w.data != rounded(w.data)


def test_fit_is_that_of_float64_within_rounding(way):
    draw = np.random.default_rng(1)
    xs, ys = draw.normal(size=(150, 9)), draw.normal(size=150)
    losses = []
    for dtype in ("float64", "float32"):
        random.seed(3)
        model = nn.MLP(9, [17, 5, 1])
        f = mc.compile(lambda x, y, m=model: (m(x) - y) ** 2, dtype=dtype)
        adam = optim.Adam(model.parameters(), lr=0.01)
        losses.append(f.fit(xs, ys, optimizer=adam, steps=40, batch_size=33))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[1] != losses[0]


# -- derivatives -----------------------------------------------------------------------------------


def curve(xs):
    return mc.sum([x * x * x * 0.1 for x in xs]) * xs[0].sin() + (xs[1] * xs[-1]).exp()


@pytest.mark.parametrize(
    "derivative",
    [
        mc.grad(curve),
        mc.hessian(curve),
        lambda xs: mc.hvp(curve, (xs,), ([1.0] * len(xs),)),
        lambda xs: mc.jvp(curve, (xs,), ([1.0] * len(xs),))[1],
        lambda xs: mc.vjp(curve, xs)[1](1.0)[0],
        mc.jacobian(lambda xs: [curve(xs), xs[0].tanh()]),
    ],
    ids=["grad", "hessian", "hvp", "jvp", "vjp", "jacobian"],
)
def test_derivatives_are_in_float32(way, derivative):
    rows = np.random.default_rng(4).normal(size=(41, 4)).astype(np.float32) * np.float32(0.7)
    f = mc.compile(derivative, dtype="float32")
    found, exact = (np.asarray(g(rows)) for g in (f, mc.compile(derivative)))
    assert f.stats().dtype == "float32"
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)
    assert np.any(found != exact)


def test_objectives(way):
    random.seed(2)
    model = nn.MLP(2, [3, 1])
    rows, targets = np.random.default_rng(4).normal(size=(2, 30, 2))
    data = rows, targets[:, 0]
    problems = [
        mc.compile(lambda xs, y: (model(xs) - y) ** 2, dtype=dtype).objective(*data)
        for dtype in ("float64", "float32")
    ]
    x0 = problems[0].x0
    for of in (
        lambda p: p.fun(x0),
        lambda p: p.jac(x0),
        lambda p: p.hess(x0),
        lambda p: p.hessp(x0, np.ones_like(x0)),
    ):
        exact, found = map(of, problems)
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)
        assert np.any(np.asarray(found) != np.asarray(exact))


def test_residuals(way):
    w = [Value(0.3), Value(-0.7)]
    data = np.random.default_rng(4).normal(size=(30,))
    exact, found = (
        mc.compile(lambda x: [(w[0] * x).tanh() - w[1], w[0] * x], dtype=dtype).residuals(data)
        for dtype in ("float64", "float32")
    )
    x0 = exact.x0
    np.testing.assert_allclose(found.fun(x0), exact.fun(x0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.jac(x0), exact.jac(x0), rtol=1e-5, atol=1e-6)
    assert np.asarray(found.fun(x0)).dtype == np.float64
    assert np.any(np.asarray(found.fun(x0)) != np.asarray(exact.fun(x0)))
