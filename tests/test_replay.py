# SPDX-License-Identifier: MIT
"""Compiled functions compute what their plain functions do: in every executor, on every level."""

import functools
import itertools
import math
import random
import threading

import hypothesis
import numpy as np
import pytest
from common import WAYS, run_on
from hypothesis import strategies as st

import micrograd_c as mc
from micrograd_c import Value, _core

ROWS = [row for row in _core.operations() if not row["is_inner"]]
UNARY = [row for row in ROWS if row["shape"] == "unary"]
BINARY = [row["name"] for row in ROWS if row["shape"] == "binary"]
PASSES = [name for name, _ in _core.optimiser_passes()]
KINDS = [*["binary"] * 6, *["unary"] * 4, "sum", "dot", "layer", "chain", "where", "clip"]
KINDS += ["leaky", "power", "number", "take", "take parameters", "custom"]


@pytest.fixture(params=WAYS)
def level(request):
    run_on(request.param)
    return request.param


def binary(name, a, b):
    operators = {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: a * b,
        "truediv": lambda: a / (b * b + 1.5),
        "pow": lambda: (a * a + 0.5) ** b.tanh(),
        "mod": lambda: a % (b * b + 0.7),
        "floordiv": lambda: a // (b * b + 0.7),
        "fmod": lambda: a.fmod(b * b + 0.7),
        "atan2": lambda: a.atan2(b * b + 0.7),
        "hypot": lambda: a.hypot(b * b + 0.7),
    }
    return operators[name]() if name in operators else getattr(a, name)(b)


def unary(row, a):
    low, high = row["interval"]
    # Beside the middle, where sign and floor jump.
    inside = a.tanh() * (0.45 * (high - low)) + (0.51 * high + 0.49 * low)
    return getattr(inside, row["name"])()


class Graph:
    """A function of (inputs, index) with random operations on inputs and parameters, the same each
    time that it is called."""

    def __init__(self, rng, n_inputs, size):
        self.parameters = [Value(rng.uniform(-1, 1)) for _ in range(rng.randint(3, 8))]
        self.plan = [(rng.choice(KINDS), [rng.random() for _ in range(9)]) for _ in range(size)]
        self.n_inputs = n_inputs

    def __call__(self, inputs, index):
        pool = [*inputs, *self.parameters]

        def pick(u):  # half of the time among all, half among the most recent
            if u < 0.5:
                return pool[int(2 * u * len(pool))]
            return pool[-1 - int((2 * u - 1) * min(12, len(pool)))]

        for kind, u in self.plan:
            value = self.operation(kind, u, pick, index)
            pool.append(value.tanh() if u[8] < 0.5 else value * 0.5)
        return mc.sum(pool[-6:])

    def operation(self, kind, u, pick, index):
        a, b, c, d = (pick(x) for x in u[:4])
        weights = self.parameters
        if kind == "binary":
            return binary(BINARY[int(u[7] * len(BINARY))], a, b)
        if kind == "unary":
            return unary(UNARY[int(u[7] * len(UNARY))], a)
        if kind == "layer":
            first = int(u[7] * (len(weights) - 2))
            rows = [mc.dot(weights[k : k + 3], [a, b, c]) for k in range(first)]
            return mc.sum(rows, d)
        numbers = [a + 1.0, 2 - a, a * 1, a * -1.5, -a, a / 4, 1 / (a * a + 1), a + 0.0, a - 0.0]
        return {
            "sum": lambda: mc.sum([a, b, c, d, a]),
            "dot": lambda: mc.dot([a, b], [c, d], pick(u[4])),
            "chain": lambda: a * b + c * d + pick(u[4]) * pick(u[5]) + pick(u[6]),
            "where": lambda: mc.where(a, b, c),
            "clip": lambda: mc.clip(a, -0.5, b),
            "leaky": lambda: a.leaky_relu(0.1),
            "power": lambda: (a * a + 0.3) ** [2, 3, -1, 0.5, -0.5, 1, 0][int(u[7] * 7)],
            "number": lambda: numbers[int(u[7] * len(numbers))],
            "take": lambda: mc.take([a, b, c], index),
            "take parameters": lambda: mc.take(weights[:3], index),
            "custom": lambda: mc.custom(0.3, weights[:2], [0.5, -2.0]) * a,
        }[kind]()


def draw_batch(rng, graph, size):
    rows = [[rng.uniform(-1, 1) for _ in range(graph.n_inputs)] for _ in range(size)]
    indices = [float(rng.randrange(-3, 3)) for _ in range(size)]
    return np.array(rows).reshape(size, graph.n_inputs), np.array(indices)


def eager(graph, rows, indices, reduction):
    """(outputs, loss, gradients) sample by sample."""
    outputs = [
        graph([Value(x) for x in row], Value(i))
        for row, i in zip(rows.tolist(), indices.tolist(), strict=True)
    ]
    for p in graph.parameters:
        p.grad = 0.0
    loss = mc.sum(outputs) * (1 / len(outputs) if reduction == "mean" else 1.0)
    loss.backward()
    return [output.data for output in outputs], loss.data, [p.grad for p in graph.parameters]


def assert_same(compiled, graph, rows, indices, reduction):
    outputs, loss, gradients = eager(graph, rows, indices, reduction)
    for p in graph.parameters:
        p.grad = math.nan
    assert compiled.value_and_grad(rows, indices) == pytest.approx(loss, rel=1e-10, abs=1e-12)
    read = [0.0 if math.isnan(p.grad) else p.grad for p in graph.parameters]
    assert read == pytest.approx(gradients, rel=1e-10, abs=1e-12)
    assert np.asarray(compiled(rows, indices)) == pytest.approx(outputs, rel=1e-10, abs=1e-12)


graphs = st.builds(
    lambda seed, inputs, size: Graph(random.Random(seed), inputs, size),
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.integers(1, 60),
)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    graphs,
    st.integers(1, 40),
    st.sampled_from(WAYS),
    st.sampled_from(["mean", "sum"]),
    st.sampled_from([(), *((name,) for name in PASSES), tuple(PASSES)]),
)
def test_random_graphs_agree_with_eager_mode(graph, size, level, reduction, skip):
    run_on(level)
    compiled = mc.compile(graph, reduction=reduction, skip=skip)
    rows, indices = draw_batch(random.Random(size), graph, size)
    assert_same(compiled, graph, rows, indices, reduction)


@pytest.mark.parametrize(
    "size", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1000]
)
def test_every_batch_size(level, size):
    graph = Graph(random.Random(5), 3, 25)
    rows, indices = draw_batch(random.Random(size), graph, size)
    assert_same(mc.compile(graph), graph, rows, indices, "mean")


@pytest.mark.parametrize("n_in, n_out", [(2, 3), (3, 5), (8, 4), (17, 9), (33, 70)])
def test_one_sample_has_the_derivatives_that_it_has_among_others(level, n_in, n_out):
    """Of one sample alone, vectors are a matrix's columns, or nodes that stand side by side."""
    net = mc.nn.MLP(n_in, [n_out, n_in, 2])
    offsets = [Value(0.1 * k) for k in range(n_in)]

    def fn(x):
        middle = [(a * b + b).exp() for a, b in zip(x, offsets, strict=True)]
        total = mc.sum(middle)
        return mc.sum(net([m / total - 0.3 * total for m in middle])) ** 2 + total / n_in

    f = mc.compile(fn, reduction="sum")
    samples = [[math.sin(5.0 * i + k) for k in range(n_in)] for i in range(9)]
    parameters = [*net.parameters(), *offsets]

    def derivatives(batch):
        for p in parameters:
            p.grad = 0.0
        loss = f.value_and_grad(batch)
        return np.array([loss, *(p.grad for p in parameters)])

    alone = np.sum([derivatives([sample]) for sample in samples], axis=0)
    np.testing.assert_allclose(alone, derivatives(samples), rtol=1e-10, atol=1e-12)


class Repeated:
    """The same layers on one input after the other, each with what came of the one before."""

    def __init__(self, times, n_in, n_out):
        rng = random.Random(times)
        self.times, self.n_in = times, n_in
        self.parameters = [Value(rng.uniform(-1, 1)) for _ in range(n_out * n_in + n_out + n_out)]

    def layer(self, x):
        n_out = len(self.parameters) // (self.n_in + 2)
        weights, biases = self.parameters[: n_out * self.n_in], self.parameters[-n_out:]
        rows = [weights[j * self.n_in : (j + 1) * self.n_in] for j in range(n_out)]
        return [mc.dot(row, x, b).tanh() for row, b in zip(rows, biases, strict=True)]

    def __call__(self, inputs, index):
        state, total = [inputs[0]] * self.n_in, []
        for k in range(self.times):
            out = self.layer([s * math.cos(k + j) + inputs[1] for j, s in enumerate(state)])
            total.append(mc.dot(out, self.parameters[len(out) :][: len(out)]))
            state = [*state, *out][-self.n_in :]
        return mc.sum(total)


@pytest.mark.parametrize("times", [1, 2, 16, 17, 40])
@pytest.mark.parametrize("n_in, n_out", [(1, 1), (3, 2), (8, 4), (17, 9)])
@pytest.mark.parametrize("size", [1, 3])
def test_weights_that_several_products_of_one_sample_share(level, times, n_in, n_out, size):
    graph = Repeated(times, n_in, n_out)
    rows = np.array([[math.sin(k + j) for k in range(2)] for j in range(size)])
    assert_same(mc.compile(graph), graph, rows, np.zeros(size), "mean")


class Chains:
    """Chains of one operation: of what changes with the sample, of parameters, and of both."""

    def __init__(self, name, count):
        self.name = name
        self.parameters = [Value(math.sin(3.0 * k) + 0.1) for k in range(count)]

    def chain(self, values):
        links = list(itertools.accumulate(values, lambda a, b: binary(self.name, a, b)))
        return links[-1] + 0.5 * links[len(links) // 2]

    def __call__(self, inputs, index):
        inner = [w * inputs[1] for w in self.parameters]
        total = self.chain(inner) + inputs[0] * self.chain(self.parameters)
        return total + self.chain([*self.parameters, *inner]) + self.chain([*inner, *inputs])


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("count", [2, 5, 70])
@pytest.mark.parametrize("size", [1, 3, 40])
def test_chains_of_one_operation(level, name, count, size):
    graph = Chains(name, count)
    rows = np.array([[math.cos(k * j) for k in range(3)] for j in range(1, size + 1)])
    assert_same(mc.compile(graph), graph, rows, np.zeros(size), "mean")


@pytest.mark.parametrize("name", ["maximum", "minimum", "mul"])
def test_ties_and_what_is_no_number_in_chains(name):
    weights = [Value(1.0) for _ in range(6)]
    special = [0.0, -0.0, 1.0, 1.0, math.inf, -math.inf, math.nan]
    samples = [random.Random(k).choices(special, k=6) for k in range(40)]

    def fn(x):
        terms = [w * v for w, v in zip(weights, x, strict=True)]
        return functools.reduce(getattr(Value, name, Value.__mul__), terms)

    def results(executor, batch):
        f = mc.compile(fn, executor=executor)
        f.value_and_grad(batch)
        return np.array([*f(batch), *(w.grad for w in weights)])

    for batch in (samples, *([sample] for sample in samples)):
        np.testing.assert_array_equal(results("vector", batch), results("scalar", batch))


def test_sums_side_by_side_through_which_no_parameter_gains():
    w = Value(3.5)
    f = mc.compile(lambda x: w.floor() + mc.dot(x, x[::-1]) * mc.dot(x, x), executor="vector")
    assert f.value_and_grad([[1.0, 2.0, 3.0]]) == 3.0 + 10.0 * 14.0
    assert w.grad == 0.0


@pytest.mark.parametrize("row", UNARY, ids=lambda row: row["name"])
def test_every_operation_of_one_operand(level, row):
    w = Value(0.95)
    f = mc.compile(lambda x: getattr(x * w, row["name"])(), reduction="sum")
    xs = np.linspace(*row["interval"], 37)
    outputs = []
    loss = f.value_and_grad(xs)
    grad = w.grad
    for x in xs.tolist():
        outputs.append(getattr(Value(x) * w, row["name"])())
    total = mc.sum(outputs)
    total.backward()
    assert loss == pytest.approx(total.data, rel=1e-12)
    assert grad == pytest.approx(w.grad, rel=1e-12)
    assert np.asarray(f(xs)) == pytest.approx([v.data for v in outputs], rel=1e-14, abs=1e-300)


FUNCTIONS = {
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "tanh": math.tanh,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "atan": math.atan,
    "erf": math.erf,
    "sin": math.sin,
    "cos": math.cos,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vector_functions_are_the_librarys_within_two_units_in_the_last_place(level, name):
    rng = random.Random(3)
    xs = [rng.uniform(-30, 30) for _ in range(3000)] + [rng.uniform(-1, 1) for _ in range(3000)]
    xs += [rng.choice([-1, 1]) * 10 ** rng.uniform(-320, 2.8) for _ in range(3000)]
    if name == "log":
        xs = [abs(x) + 5e-324 for x in xs]
    if name == "log1p":
        xs = [max(x, -0.999) for x in xs]
    expected = []
    for x in xs:
        try:
            expected.append(FUNCTIONS[name](x))
        except OverflowError:
            expected.append(math.copysign(math.inf, x) if name == "sinh" else math.inf)
    results = np.asarray(mc.compile(lambda x: getattr(x, name)())(xs))
    expected = np.array(expected)
    with np.errstate(invalid="ignore"):
        distance = np.abs(results - expected) / np.spacing(np.abs(expected))
    assert np.all((results == expected) | (distance <= 2))


@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize("largest", [1.5e6, 1.7e6, 1e300, math.inf])
def test_turning_functions_of_any_size(level, name, largest):
    """Vectors take arguments up to 1.6e6; a row with one beyond is the library's."""
    rng = random.Random(5)
    xs = [rng.uniform(-1, 1) * min(largest, 1e300) for _ in range(999)]
    xs += [k * math.pi / 2 for k in range(-500, 500)] + [-largest, largest]
    w = Value(1.0)
    f = mc.compile(lambda x: getattr(x * w, name)())
    function = FUNCTIONS[name]
    expected = np.array([function(x) if math.isfinite(x) else math.nan for x in xs])
    results = np.asarray(f(xs))
    with np.errstate(invalid="ignore"):
        distance = np.abs(results - expected) / np.spacing(np.abs(expected))
    assert np.all((results == expected) | (distance <= 2) | np.isnan(expected) & np.isnan(results))
    g = mc.compile(lambda x, k: getattr(x + k * w, name)(), reduction="sum")
    xs = [x for x in xs if math.isfinite(x)]
    g.value_and_grad(xs, [0.5] * len(xs))
    slope = math.cos if name == "sin" else lambda x: -math.sin(x)
    assert w.grad == pytest.approx(math.fsum(0.5 * slope(x + 0.5) for x in xs), rel=1e-9)


SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 1e308, -1e308, 1.0, -1.0]


@pytest.mark.parametrize("name", [row["name"] for row in UNARY])
def test_special_values_are_ieees(level, name):
    results = np.asarray(mc.compile(lambda x: getattr(x, name)())(SPECIAL)).tolist()
    for x, result in zip(SPECIAL, results, strict=True):
        try:
            expected = getattr(Value(x), name)().data
        except (ValueError, OverflowError):
            continue  # eager mode refuses; a program gives NaN or infinity
        if math.isnan(expected):
            assert math.isnan(result)
        else:
            assert result == pytest.approx(expected, rel=1e-15, abs=0)
            assert math.copysign(1, result) == math.copysign(1, expected)


def test_what_eager_mode_refuses_is_ieee_arithmetic_in_a_program():
    results = mc.compile(lambda x: [x.log(), 1 / x, x**0.5])([0.0, -1.0])
    assert results[0] == [-math.inf, math.inf, 0.0]
    assert math.isnan(results[1][0]) and results[1][1] == -1.0 and math.isnan(results[1][2])


def test_a_sample_without_a_finite_gradient_does_not_spoil_the_lanes_beside_it():
    w = Value(1.0)
    f = mc.compile(lambda x: (w * x).sqrt(), reduction="sum")
    f.value_and_grad([1.0, 4.0, 0.0])  # the derivative of the square root at 0
    assert math.isnan(w.grad) or math.isinf(w.grad)
    f.value_and_grad([1.0, 4.0, 9.0])
    assert w.grad == pytest.approx((1 + 2 + 3) / 2)


def test_results_are_the_same_for_any_number_of_threads():
    graph = Graph(random.Random(11), 4, 60)
    rows, indices = draw_batch(random.Random(1), graph, 5000)
    results = set()
    for threads in (1, 2, 3, 5):
        f = mc.compile(graph, threads=threads)
        loss = f.value_and_grad(rows, indices)
        gradients = tuple(p.grad for p in graph.parameters)
        results.add((loss, gradients, tuple(f(rows, indices).tolist())))
    assert len(results) == 1


@pytest.mark.parametrize(("reduction", "loss"), [("mean", math.nan), ("sum", 0.0)])
def test_an_empty_batch(reduction, loss):
    w = Value(2.0)
    f = mc.compile(lambda x: w * x[0], reduction=reduction)
    w.grad = 7.0
    assert f.value_and_grad(np.empty((0, 3))) == pytest.approx(loss, nan_ok=True)
    assert w.grad == 0.0
    assert np.asarray(f(np.empty((0, 3)))).shape == (0,)


# -- several threads at once -----------------------------------------------------------------------


def in_threads(count, work):
    """Runs work(0), work(1), ... at the same time; returns what they raised."""
    raised = []

    def guarded(k):
        try:
            work(k)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_threads_share_a_compiled_function():
    weights = [Value(0.1 * k - 0.4) for k in range(9)]

    def graph(x):
        return sum((w * x + w).tanh() for w in weights) ** 2

    f = mc.compile(graph, threads=1)
    batches = [[(k + 1) * 1e-3 * i for i in range(20_000 + k)] for k in range(3)]
    expected = [(f(batch).tolist(), f.value_and_grad(batch)) for batch in batches]

    def work(k):
        for _ in range(5):
            assert f(batches[k]).tolist() == expected[k][0]
            assert f.value_and_grad(batches[k]) == expected[k][1]

    assert in_threads(3, work) == []


def test_a_recording_is_no_other_threads_business():
    def work(k):
        for _ in range(100):
            w = Value(2.0)
            if k % 2:
                y = (w * w).tanh()
                assert y.data > 0.9 and not y < 0  # read and compared: no TraceError here
                y.backward()
                assert w.grad > 0
            else:
                f = mc.compile(lambda x, w=w: (w * x).exp())
                assert f([0.0, 0.5]).tolist() == pytest.approx([1.0, math.e])

    assert in_threads(4, work) == []
