# SPDX-License-Identifier: MIT
"""Executors: chosen by name, equal in what they give and in what they refuse."""

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

NAMES = _core.executor_names()


@pytest.fixture(params=EXECUTORS)
def executor(request):
    return request.param


def square(x):
    return x * x


def test_the_list_ends_with_the_reference():
    assert NAMES == ["native", "vector", "scalar"]


@pytest.mark.parametrize("wrong", ["gpu", "", "Scalar", 3, b"scalar", True])
def test_another_name_is_refused_at_once(wrong):
    with pytest.raises(ValueError, match=r"compile: expected executor .*'scalar' or None, got"):
        mc.compile(square, executor=wrong)


def test_stats_name_the_executor(executor):
    f = mc.compile(square, executor=executor)
    assert f([3.0]).tolist() == [9.0]
    assert f.stats().executor == executor


def test_the_decorator_takes_an_executor():
    @mc.compile(executor="scalar", reduction="sum")
    def f(x):
        return x * x

    assert f.value_and_grad([1.0, 2.0]) == 5.0
    assert f.stats().executor == "scalar"


def test_copies_and_pickles_keep_the_executor():
    f = mc.compile(square, executor="scalar")
    for twin in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        twin([1.0])
        assert twin.stats().executor == "scalar"


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_loss_that_no_sample_changes(executor, reduction, size):
    w = Value(3.0)
    f = mc.compile(lambda x: w * w, reduction=reduction, executor=executor)
    loss = f.value_and_grad(np.zeros(size))
    times = size if reduction == "sum" else 1 if size else math.nan
    assert loss == pytest.approx(9.0 * times, nan_ok=True)
    assert w.grad == 6.0 * (size if reduction == "sum" else size > 0)


def test_a_loss_that_is_a_parameter_an_input_or_a_number(executor):
    w = Value(3.0)
    losses = [(lambda x: w, 3.0, 1.0), (lambda x: x, 1.5, 0.0), (lambda x: Value(7.0), 7.0, 0.0)]
    for fn, loss, grad in losses:
        w.grad = 0.0
        assert mc.compile(fn, executor=executor).value_and_grad([1.0, 2.0]) == loss
        assert w.grad == grad


def test_a_kink_stops_an_infinite_adjoint(executor):
    """Times 0 it would be NaN."""
    w, v = Value(-1.0), Value(2.0)

    def fn(x):
        return (w * x).relu().sqrt() + mc.clip(w, 0.0, v).sqrt() + mc.where(x, v, w.exp()).log()

    f = mc.compile(fn, executor=executor)
    assert f.value_and_grad([1.0]) == pytest.approx(math.log(2.0))
    assert (w.grad, v.grad) == (0.0, 0.5)


@pytest.mark.parametrize("index", [7, -4, 0.5])
def test_a_bad_index_names_its_sample(executor, index):
    w = Value(0.2)
    f = mc.compile(lambda k, x: mc.take([w, x, w * x], k) * w, executor=executor)
    error = TypeError if index % 1 else IndexError
    for call in (f, f.value_and_grad):
        with pytest.raises(error, match=r"for sample 2$"):
            call([0.0, 1.0, index, index], [1.0, 2.0, 3.0, 4.0])
    g = mc.compile(lambda x: x * mc.take([w, w * w], w * 5), executor=executor)
    assert g([1.0]).tolist() == pytest.approx([0.04])
    w.data = 1.0
    with pytest.raises(IndexError, match=r"index 5 .* for every sample$"):
        g([1.0])


def test_training_is_the_same_in_all(executor):
    losses = []
    for name in (executor, "scalar"):
        random.seed(4)
        model = nn.MLP(3, [4, 4, 1])
        rng = np.random.default_rng(1)
        xs, ys = rng.normal(size=(50, 3)), rng.normal(size=50)
        f = mc.compile(lambda x, y, m=model: (m(x) - y) ** 2, executor=name)
        adam = optim.Adam(model.parameters(), lr=0.01)
        losses.append(f.fit(xs, ys, optimizer=adam, steps=30, batch_size=8, shuffle=True, seed=3))
        assert f.stats().executor == name
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_programs_of_all_are_listed(executor):
    w = Value(2.0)

    def fn(xs, k):
        return mc.dot([w, w * w], xs).tanh() + mc.take([w, xs[0]], k)

    f = mc.compile(fn, executor=executor)
    f.value_and_grad([[1.0, 2.0]], [0.0])
    assert "for every sample" in str(f) and "tanh" in str(f)


SHAPES = [(1, 5), (2, 64), (3, 7), (4, 1), (5, 2), (7, 3), (8, 4), (13, 6), (17, 9), (33, 17)]


@pytest.mark.parametrize("last", [0.75, math.inf])
@pytest.mark.parametrize("n_in, n_out", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_layers_of_every_shape_on_batches_of_every_size(way, n_in, n_out, last):
    """Numbers that fill no vector, tile or strip; infinite ones of the last sample count once."""
    run_on(way)
    draw = np.random.default_rng(n_in * n_out)
    weights, biases = draw.normal(size=(n_out, n_in)), draw.normal(size=n_out)
    scales = draw.normal(size=n_in)
    rows = [[Value(w) for w in row] for row in weights]
    shifts, factors = [Value(b) for b in biases], [Value(s) for s in scales]

    def loss(x):
        inner = [a * s for a, s in zip(x, factors, strict=True)]
        return mc.sum([mc.dot(row, inner, b) ** 2 for row, b in zip(rows, shifts, strict=True)])

    f = mc.compile(loss, reduction="sum")
    for size in (1, 2, 5, 48, 63, 100):
        x = draw.normal(size=(size, n_in))
        x[-1, 0] = last
        inner = x * scales
        outputs = inner @ weights.T + biases
        assert f.value_and_grad(x) == pytest.approx((outputs**2).sum())
        with np.errstate(invalid="ignore"):
            by_inner = 2 * outputs @ weights
            expected = [2 * outputs.T @ inner, 2 * outputs.sum(axis=0), (by_inner * x).sum(axis=0)]
        for values, derivatives in zip((rows, shifts, factors), expected, strict=True):
            found = [value.grad for value in np.ravel(values)]
            np.testing.assert_allclose(found, derivatives.ravel(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_products_whose_parts_are_used_apart(way):
    """Rows at which no adjoint arrives, inputs and weights that lead nowhere, shared weights."""
    run_on(way)
    w = [Value(0.3 * k - 0.7) for k in range(6)]
    numbers = [Value(0.5), Value(-0.25)]

    def fn(x, y):
        rows = [mc.dot(w[k : k + 2], [x, y], w[k]) for k in range(4)]
        over = mc.dot(w[1:4], [rows[0].tanh(), rows[2], x])
        other = mc.dot([*numbers, 2.0], [rows[0], x, y]) + rows[1].detach()
        return mc.where(x, over * rows[3].detach(), other) * (w[5] * w[5]).exp()

    xs, ys = [0.5, -1.0, 2.0], [1.5, 0.25, -0.75]
    f = mc.compile(fn, reduction="sum")
    loss = f.value_and_grad(xs, ys)
    found = [p.grad for p in w + numbers]
    total = mc.sum(fn(Value(x), Value(y)) for x, y in zip(xs, ys, strict=True))
    total.backward()
    assert loss == pytest.approx(total.data, rel=1e-12)
    assert found == pytest.approx([p.grad for p in w + numbers], rel=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_a_sum_that_has_a_square_more_than_once(way):
    run_on(way)
    w, v = Value(0.7), Value(-1.5)

    def fn(x):
        once = mc.dot([w, w, v, w, v], [w, w, w, w, v])
        return (
            once * x + mc.dot([w, x, x, w], [w, x, x, w]) + mc.dot([w * x, w * x], [w * x, w * x])
        )

    f = mc.compile(fn, skip=["sums", "subexpressions"])
    f.value_and_grad([2.0, 3.0])
    found = w.grad, v.grad
    (mc.sum(fn(Value(x)) for x in (2.0, 3.0)) * 0.5).backward()
    assert found == pytest.approx((w.grad, v.grad), rel=1e-12)


def test_random_functions_that_return_lists(executor):
    for seed in range(20):
        graph = Graph(random.Random(seed), 3, 20)
        rows, indices = draw_batch(random.Random(seed), graph, 6)
        both = [
            mc.compile(lambda x, k, fn=graph: [fn(x, k), x[0] + 1], executor=name)(rows, indices)
            for name in (executor, "scalar")
        ]
        np.testing.assert_allclose(*both, rtol=1e-10, atol=1e-12)


def test_print_says_what_was_chosen_and_why():
    weights = [[Value(0.1 * k + j) for k in range(8)] for j in range(8)]

    def rows(xs):
        return [mc.dot(row, xs).tanh() for row in weights]

    layers, one = mc.compile(lambda xs: mc.sum(rows(rows(xs)))), mc.compile(lambda x: x * x)
    layers([[0.5] * 8] * 20)
    one([1.0] * 9)
    assert f"executor {one.stats().executor}" in str(one)
    assert layers.stats().executor == "vector"
    assert "  executor vector" in str(layers)
    if "native" in EXECUTORS:
        why = "not native: matrix products have vector kernels of their own"
        assert f"  executor vector, {why}\n" in str(layers)
        assert layers.stats().reason == why
        assert one.stats().reason is None
        assert "  executor native\n" in str(one)
    asked = mc.compile(lambda x: x * x, executor="vector")
    asked([1.0])
    assert "executor" not in str(asked) and asked.stats().reason is None


@pytest.mark.parametrize("executor", sorted({"vector", "native"} & set(EXECUTORS)))
def test_rows_are_used_again(executor):
    """Where nobody needs a number, the next one takes its place: a long chain needs few."""
    w = Value(0.5)

    def chain(x):
        for _ in range(500):
            x = (x * 0.9).sin()
        return x

    f = mc.compile(chain, executor=executor)
    f([1.0, 2.0])
    assert f.stats().optimised_nodes > 1000 and f.stats().rows == 2
    plain = mc.compile(chain, executor="scalar")
    plain([1.0])
    assert plain.stats().rows > 1000
    kept = mc.compile(lambda x: chain(x * w), executor=executor)
    kept.value_and_grad([1.0, 2.0])  # what the way back needs is kept
    assert kept.stats().rows > 500


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("way", WAYS)
def test_an_index_that_is_nearly_whole_is_none(way, dtype):
    """Counted from the end, it is rounded: whether it is whole has to be asked before."""
    real = np.dtype(dtype).type
    nearly = float(np.nextafter(real(-1.0), real(0.0)))
    table = [Value(0.1 * k) for k in range(65)]

    def in_a_loop(i):
        return mc.scan(lambda c, _: (c + mc.take(table, i), None), 0.0, length=3)[0]

    run_on(way)
    try:
        for fn in (lambda i: mc.take(table, i), in_a_loop):
            f = mc.compile(fn, dtype=dtype)
            assert f([-1.0] * 9).tolist() == pytest.approx([f([64.0])[0]] * 9)
            with pytest.raises(TypeError, match="expected a whole number as index"):
                f([-1.0] * 8 + [nearly])
    finally:
        run_on(None)
