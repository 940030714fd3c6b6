# SPDX-License-Identifier: MIT
"""Machine code gives what the scalar executor gives: arithmetic to the bit, for any numbers."""

import itertools
import math
import random

import hypothesis
import numpy as np
import pytest
from common import EXECUTORS, NATIVE_WAYS, in_threads, run_on
from hypothesis import strategies as st
from test_replay import Graph, draw_batch

import micrograd_c as mc
from micrograd_c import Value, nn

pytestmark = pytest.mark.skipif("native" not in EXECUTORS, reason="no machine code here")

inf, nan = math.inf, math.nan
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    inf,
    -inf,
    nan,
    5e-324,
    -5e-324,
    1e-310,
    2.3e-308,
    1.7e308,
    -3.0,
    1e16,
]

# Rows that all executors compute alike: arithmetic, choices, what the C library computes.
UNARY = ["neg", "abs", "sign", "floor", "ceil", "sqrt", "relu"]
UNARY += ["exp2", "cbrt", "log2", "log10", "tan", "asin", "acos", "asinh", "acosh", "atanh"]
BINARY = ["add", "sub", "mul", "truediv", "maximum", "minimum", "fmod", "mod", "floordiv"]
BINARY += ["hypot", "atan2"]
OPERATORS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "truediv": lambda a, b: a / b,
    "mod": lambda a, b: a % b,
    "floordiv": lambda a, b: a // b,
    "neg": lambda a: -a,
    "abs": abs,
}
# In float32, the scalar executor rounds what an operation gives, and nothing within it.
ROUNDED_ONCE = [*UNARY, *BINARY * 3, "where", "clip", "leaky", "take", "custom", "detach"]
OTHERS = ["where", "clip", "leaky", "power", "sum", "take", "custom", "chain", "detach"]


class Exact:
    """A function of (inputs, index) of random operations that have one right number."""

    def __init__(self, rng, n_inputs, size, kinds=(*UNARY, *BINARY * 3, *OTHERS * 2)):
        self.parameters = [Value(rng.uniform(-2, 2)) for _ in range(rng.randint(2, 6))]
        self.n_inputs = n_inputs
        self.plan = [(rng.choice(kinds), [rng.random() for _ in range(5)]) for _ in range(size)]

    def __call__(self, inputs, index):
        pool = [*(x * 1.0 for x in inputs), *(p * 1.0 for p in self.parameters)]
        for kind, u in self.plan:
            a, b, c, d = (pool[int(v * len(pool))] for v in u[:4])
            try:
                pool.append(self.operation(kind, a, b, c, d, index))
            except (ValueError, OverflowError, ZeroDivisionError):  # of the numbers at hand
                pool.append(a - b)
        return [*pool[-5:], mc.sum(pool[-7:])]

    @staticmethod
    def operation(kind, a, b, c, d, index):
        special = {
            "where": lambda: mc.where(a, b, c),
            "clip": lambda: mc.clip(a, b, c),
            "leaky": lambda: a.leaky_relu(0.25),
            "power": lambda: a**3,
            "sum": lambda: mc.sum([a, b, c, d]),
            "take": lambda: mc.take([a, b, c], index),
            "custom": lambda: mc.custom(0.3, [], []) * a,
            "chain": lambda: a * b + c * d + a,
            "detach": lambda: a.detach() * b,
        }
        if kind in special:
            return special[kind]()
        operands = (a,) if kind in UNARY else (a, b)
        return OPERATORS[kind](*operands) if kind in OPERATORS else getattr(a, kind)(*operands[1:])


def same_bits(a, b):
    """NaNs are equal, whatever their bits are."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    a, b = np.where(np.isnan(a), 7.0, a), np.where(np.isnan(b), 7.0, b)
    return np.array_equal(a.view(np.int64), b.view(np.int64))


def results(function, executor, rows, indices, gradients, **options):
    """Outputs and, of a loss, value and gradients, by an executor."""
    compiled = mc.compile(function, executor=executor, skip=("matrices", "sums"), **options)
    if not gradients:
        return [np.asarray(part) for part in compiled(rows, indices)]
    loss = mc.compile(lambda x, i: function(x, i)[-1], executor=executor, skip=("matrices", "sums"))
    return [loss.value_and_grad(rows, indices), *(p.grad for p in function.parameters)]


def draw_special(rng, function, size):
    rows, indices = draw_batch(rng, function, size)
    for k, j in itertools.product(range(size), range(function.n_inputs)):
        if rng.random() < 0.3:
            rows[k, j] = rng.choice(SPECIAL)
    return rows, indices


functions = st.builds(
    lambda seed, inputs, size: Exact(random.Random(seed), inputs, size),
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.integers(1, 40),
)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    functions,
    st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 300]),
    st.sampled_from(NATIVE_WAYS),
    st.integers(0, 2**32),
)
def test_outputs_are_the_scalar_executor_s_to_the_bit(function, size, way, seed):
    run_on(way)
    rows, indices = draw_special(random.Random(seed), function, size)
    expected, got = (results(function, name, rows, indices, False) for name in ("scalar", "native"))
    for ours, theirs in zip(got, expected, strict=True):
        assert same_bits(ours, theirs)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    st.builds(
        lambda seed, inputs, size: Exact(random.Random(seed), inputs, size, ROUNDED_ONCE),
        st.integers(0, 2**32),
        st.integers(1, 4),
        st.integers(1, 40),
    ),
    st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 300]),
    st.sampled_from(NATIVE_WAYS),
    st.integers(0, 2**32),
)
def test_outputs_in_float32_are_the_scalar_executor_s_to_the_bit(function, size, way, seed):
    run_on(way)
    rows, indices = draw_special(random.Random(seed), function, size)
    ours, theirs = (
        np.array(results(function, name, rows, indices, False, dtype="float32"))[:, :-1]
        for name in ("native", "scalar")
    )
    assert same_bits(ours, theirs)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(functions, st.sampled_from(NATIVE_WAYS), st.integers(0, 2**32))
def test_derivatives_of_a_sample_are_the_scalar_executor_s_to_the_bit(function, way, seed):
    run_on(way)
    rows, indices = draw_special(random.Random(seed), function, 1)
    expected, got = (results(function, name, rows, indices, True) for name in ("scalar", "native"))
    assert same_bits(got, expected)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 2, 5, 8, 64, 255, 257, 1000]),
    st.sampled_from(["mean", "sum"]),
    st.sampled_from(NATIVE_WAYS),
)
def test_all_operations_within_rounding(seed, size, reduction, way):
    rng = random.Random(seed)
    graph = Graph(rng, 3, rng.randint(1, 60))
    rows, indices = draw_batch(rng, graph, size)
    run_on(way)
    found = {}
    for executor in ("scalar", "native"):
        f = mc.compile(graph, executor=executor, reduction=reduction)
        outputs = np.array(f(rows, indices))
        found[executor] = [
            *outputs,
            f.value_and_grad(rows, indices),
            *(p.grad for p in graph.parameters),
        ]
    assert found["native"] == pytest.approx(found["scalar"], rel=1e-10, abs=1e-10, nan_ok=True)


# -- elementary functions --------------------------------------------------------------------------

FUNCTIONS = ["exp", "expm1", "log", "log1p", "tanh", "sinh", "cosh", "atan", "erf", "erfc"]
FUNCTIONS += ["sin", "cos", "sigmoid", "softplus", "gelu", "silu", "normal_cdf"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_the_kernels(name, way):
    """Up to the last places: compilers may contract the kernels' products."""
    rng = np.random.default_rng(5)
    ordinary = rng.normal(size=6000) * 10.0 ** rng.uniform(-9, 6, size=6000)
    bits = rng.integers(0, 2**64, size=4000, dtype=np.uint64).view(np.float64)
    edges = [709.9, -745.3, 22.1, 0.549, 28.1, 1.6e6, -1.7e6]
    x = np.concatenate([ordinary, bits, np.array(SPECIAL), edges])
    ours, theirs = (
        np.asarray(mc.compile(lambda v: getattr(v * 1.0, name)(), executor=executor)(x))
        for executor in ("native", "vector")
    )
    with np.errstate(all="ignore"):
        apart = np.abs(ours - theirs) <= 4 * np.spacing(np.abs(theirs))
    assert (apart | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all()


def test_far_angles_are_the_library_s_one_by_one(way):
    x = np.array([1.5e6, 1.61e6, -4e8, 1e22, inf, nan, 0.25, -1.7e308, 3.0])
    sines = np.asarray(mc.compile(lambda v: v.sin(), executor="native")(x))
    cosines = np.asarray(mc.compile(lambda v: v.cos(), executor="native")(x))
    for k, angle in enumerate(x):
        expected = (math.sin(angle), math.cos(angle)) if math.isfinite(angle) else (nan, nan)
        assert (sines[k], cosines[k]) == pytest.approx(expected, rel=4e-16, abs=0, nan_ok=True)
        near = np.asarray(mc.compile(lambda v: v.sin(), executor="native")([angle]))
        assert same_bits(near[0], sines[k])  # whatever its neighbours are


def test_registers_survive_what_is_computed_aside(way):
    """Values that are alive while the library computes a sine are what they were afterwards."""

    def f(v):
        alive = [v * float(k) for k in range(1, 40)]
        return mc.sum([(v * 1e7).sin(), *(x * x for x in alive), *alive])

    x = np.linspace(-2, 2, 37)
    native, scalar = (np.asarray(mc.compile(f, executor=name)(x)) for name in ("native", "scalar"))
    assert native == pytest.approx(scalar, rel=1e-12)


# -- programs of all sizes -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [200, 3000])
def test_long_programs_with_many_values_alive(size, way):
    """More than registers hold, in both directions."""
    rng = random.Random(size)
    weights = [Value(rng.uniform(-1, 1)) for _ in range(30)]
    plan = [(rng.random(), rng.random(), rng.randrange(3)) for _ in range(size)]

    def compute(x, y):
        pool = [x, y, *weights]
        for u, v, kind in plan:
            a, b = pool[int(u * len(pool))], pool[int(v * len(pool))]
            pool.append([a + b, a - b, a * b * 0.5][kind])
        return pool

    def f(x, y):
        return mc.sum(compute(x, y)) * 0.001

    rows = np.random.default_rng(1).normal(size=(2, 19))
    found, values = {}, {}
    for name in ("scalar", "native"):
        g = mc.compile(f, executor=name)
        found[name] = [*np.asarray(g(*rows)), g.value_and_grad(*rows), *(w.grad for w in weights)]
        values[name] = mc.compile(compute, executor=name, skip="sums")(*rows)
    assert found["native"] == pytest.approx(found["scalar"], rel=1e-11, abs=1e-12)
    assert same_bits(values["native"], values["scalar"])


factors = st.floats(1e-100, 1e3) | st.floats(-1e3, -1e-100)  # no product is too small
terms = st.tuples(
    factors | st.sampled_from([0.0, -0.0, inf, nan]),
    factors | st.sampled_from([0.0, -0.0]),
    st.sampled_from(["product", "sum", "input", "negative"]),
)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
    st.lists(terms, min_size=1, max_size=40), st.integers(0, 30), st.sampled_from(NATIVE_WAYS)
)
def test_sums_of_products(chosen, apart, way):
    """Of few terms and many, known at once or long after each other; 0 has its sign."""
    run_on(way)

    def f(x, y):
        total, chain = [], x[0]
        for k, (_, _, kind) in enumerate(chosen):
            for _ in range(apart):
                chain = chain * 0.5 + y[k]
            total.append(
                {
                    "product": x[k] * y[k],
                    "sum": x[k] * chain if k % 2 else x[k] - 0.0,
                    "input": x[k],
                    "negative": -(x[k] * y[k]),
                }[kind]
            )
        one = total[0]
        for term in total[1:]:
            one = one + term
        return [one, mc.dot([x[0], y[0]], [y[0], x[0]])]

    x, y = (np.array([[term[which] for term in chosen]] * 9) for which in (0, 1))
    ours, theirs = (np.asarray(mc.compile(f, executor=name)(x, y)) for name in ("native", "scalar"))
    finite = np.where(np.isfinite(x), x, 0.0)
    scale = np.abs(finite * y).sum() + np.abs(finite).sum() + 1
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-13 * scale, nan_ok=True)
    zeros = (ours == 0) & (theirs == 0)
    assert (np.signbit(ours) == np.signbit(theirs))[zeros].all()


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 8, 9, 31, 32, 257, 1000, 5000])
def test_batches_of_every_size(size, way):
    w = [Value(0.5), Value(-0.25), Value(2.0)]
    x = np.linspace(-1, 1, 2 * size).reshape(size, 2)
    found = {}
    for name in ("scalar", "native"):
        f = mc.compile(lambda v: ((v[0] * w[0] + v[1] * w[1]).tanh() - w[2]) ** 2, executor=name)
        found[name] = [*np.asarray(f(x)), f.value_and_grad(x), *(p.grad for p in w)]
    assert found["native"] == pytest.approx(found["scalar"], rel=1e-12, abs=1e-14, nan_ok=True)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from(NATIVE_WAYS))
def test_few_samples_are_computed_as_many_are(seed, size, way):
    """Lines for one vector have an order of their own, and the same instructions."""
    run_on(way)
    graph = Graph(random.Random(seed), 3, size)
    rows, indices = draw_batch(random.Random(seed), graph, 11)
    f = mc.compile(lambda x, k: [graph(x, k), *(a.tanh() for a in x)], executor="native")
    whole = np.asarray(f(rows, indices))
    for first, end in [(0, 4), (4, 7), (7, 9), (9, 10)]:
        assert same_bits(f(rows[first:end], indices[first:end]), whole[first:end])


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_a_network_of_few_samples(samples, way):
    """Its layers wait more than they compute."""
    inputs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]][:samples]
    targets = [1.0, -1.0, -1.0, 1.0][:samples]
    losses = {}
    for name in ("scalar", "native"):
        random.seed(1)
        model = nn.MLP(3, [4, 4, 1])
        f = mc.compile(lambda x, y, model=model: (model(x) - y) ** 2, executor=name)
        sgd = mc.optim.SGD(model.parameters(), lr=0.1)
        losses[name] = f.fit(inputs, targets, optimizer=sgd, steps=50)
    assert losses["native"] == pytest.approx(losses["scalar"], rel=1e-10)


def test_what_no_sample_changes(way):
    w = [Value(0.5), Value(-0.25)]
    for f in [
        lambda x: w[0] * w[1].exp(),
        lambda x: w[0],
        lambda x: x,
        lambda x: x * 0.0 + w[0].tanh() * w[1].tanh(),
        lambda x: mc.take([w[0], w[1] * 2.0], w[0] + 0.5),
        lambda x: Value(3.0) * 1.0,
    ]:
        found = {}
        for name in ("scalar", "native"):
            g = mc.compile(f, executor=name)
            found[name] = [
                *np.asarray(g([0.5, 1.5, 2.5])),
                g.value_and_grad([0.5, 1.5, 2.5]),
                *(p.grad for p in w),
            ]
        assert found["native"] == pytest.approx(found["scalar"], rel=1e-14)


def test_several_results_and_columns_of_every_layout(way):
    w = Value(1.5)
    f = mc.compile(lambda a, b: (a[0] * w, [b, a[1] - b, w]), executor="native")
    a = np.arange(40, dtype=np.float32).reshape(2, 20).T
    b = np.arange(60.0)[::3]
    first, rest = f(a, b)
    assert np.asarray(first).tolist() == (a[:, 0] * 1.5).tolist()
    assert (
        np.asarray(rest).tolist() == np.stack([b, a[:, 1] - b, np.full(20, 1.5)], axis=1).tolist()
    )


@pytest.mark.parametrize("size", [1, 3, 4, 5, 11, 130, 1001])
@pytest.mark.parametrize("width", [3, 4, 7, 9, 70])
def test_arrays_whose_rows_are_samples(width, size, way):
    """Columns are turned some at a time, whatever lies between the rows, and so are results."""
    w = Value(1.5)

    def f(x, last):
        return [x[0] * last, w * 2.0, *(a * 2.0 for a in x), x[0]]

    compiled = mc.compile(f, executor="native")
    numbers = np.random.default_rng(width).normal(size=(2 * size, 2 * width + 1))
    last = numbers[:size, 0].copy()
    for x in (
        numbers[:size, :width].copy(),
        numbers[::2, 1 : width + 1],
        numbers[::-2, :width],
        np.asfortranarray(numbers[:size, :width]),
        numbers[:size, : 2 * width : 2],
        numbers[:size, width - 1 :: -1] if width > 1 else numbers[:size, :1],
        numbers[:size, :width].astype(np.float32),
    ):
        full = x.astype(float)
        expected = [full[:, 0] * last, np.full(size, 3.0), *(2.0 * full.T), full[:, 0]]
        assert same_bits(compiled(x, last), np.stack(expected, axis=1))


def test_minibatches_of_rows_are_turned_as_well(way):
    x = np.random.default_rng(3).normal(size=(53, 6))
    losses = {}
    for name in ("scalar", "native"):
        ws = [Value(0.1 * k) for k in range(6)]
        f = mc.compile(lambda v, ws=ws: (mc.dot(v, ws) - 1.0).tanh() ** 2, executor=name)
        adam = mc.optim.Adam(ws, lr=0.01)
        losses[name] = f.fit(x, optimizer=adam, steps=30, batch_size=10, shuffle=True, seed=1)
    assert list(losses["native"]) == pytest.approx(list(losses["scalar"]), rel=1e-12)


def test_a_bad_index_is_named_as_elsewhere(way):
    for index, error in [(3.0, IndexError), (-4.0, IndexError), (0.5, TypeError), (nan, TypeError)]:
        messages = []
        for name in ("scalar", "native"):
            f = mc.compile(lambda x, i: mc.take([x, x * 2.0, x * 3.0], i), executor=name)
            with pytest.raises(error) as caught:
                f([1.0] * 11, [0.0] * 9 + [index, 7.0])
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
        assert "sample 9" in messages[0]


def test_results_are_the_same_for_any_number_of_threads(way):
    graph = Graph(random.Random(3), 3, 40)
    rows, indices = draw_batch(random.Random(4), graph, 9001)
    seen = set()
    for threads in (1, 2, 3):
        f = mc.compile(graph, executor="native", threads=threads)
        loss = f.value_and_grad(rows, indices)
        seen.add(
            (np.asarray(f(rows, indices)).tobytes(), loss, *(p.grad for p in graph.parameters))
        )
    assert len(seen) == 1


def test_runs_at_the_same_time(way):
    w = Value(0.75)
    f = mc.compile(lambda x: (x * w).sin() + (x * 1e7).cos(), executor="native")
    x = np.linspace(0, 5, 40_000)
    expected = np.asarray(f(x)).tobytes()

    def work():
        for _ in range(10):
            assert np.asarray(f(x)).tobytes() == expected

    in_threads(work, work, work)


def trained(executor):
    random.seed(5)
    model = nn.MLP(2, [8, 1])
    opt = mc.optim.Adam(model.parameters(), lr=0.05)
    step = mc.compile(lambda x, y: (model(x) - y) ** 2, executor=executor)
    x = np.random.default_rng(2).normal(size=(50, 2))
    losses = step.fit(x, x[:, 0] * x[:, 1], optimizer=opt, steps=30, batch_size=16)
    return [*losses, *(p.data for p in model.parameters())]


def test_training_is_the_vector_executor_s(way):
    assert trained("native") == pytest.approx(trained("vector"), rel=1e-8)
