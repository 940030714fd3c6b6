# SPDX-License-Identifier: MIT
"""Hessians by directions as lanes, by colours, one by one: one matrix in every way."""

import copy
import functools
import itertools
import random

import numpy as np
import pytest
from common import data
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_c as mc
from micrograd_c import TraceError, Value, _core, compile, hessian, hessians, take, where
from micrograd_c.nn import MLP

SAMPLES = np.array([0.5, -1.25, 2.0])


@pytest.fixture(params=["by products", "one by one"])
def way(request, monkeypatch):
    """One of two ways, whatever is quicker."""
    one_by_one = request.param == "one by one"
    monkeypatch.setattr(hessians, "is_quicker_one_by_one", lambda products, samples: one_by_one)
    return request.param


def chain(v):
    return mc.sum([100.0 * (q - p * p) ** 2 + (1.0 - p) ** 2 for p, q in itertools.pairwise(v)])


def arrow(v):
    return mc.sum([(x * v[-1]).sin() for x in v[:-1]])


def grid(v):
    width = 5
    beside = [(k, k + 1) for k in range(len(v)) if (k + 1) % width] + [
        (k, k + width) for k in range(len(v) - width)
    ]
    return mc.sum([(v[i] * v[j]).tanh() for i, j in beside])


PATTERNS = {
    # name: (function, how many directions are enough for 20 numbers)
    "chain": (chain, 3),
    "arrow, hub last": (arrow, 2),
    "arrow, hub first": (lambda v: arrow(v[::-1]), 2),
    "grid": (grid, 8),
    "separable": (lambda v: mc.sum([x**3 for x in v]), 1),
    "pairs": (lambda v: mc.sum([(x * y).exp() for x, y in zip(v[::2], v[1::2], strict=True)]), 2),
    "band of five": (
        lambda v: mc.sum([(x * y * z).sin() for x, y, z in zip(v, v[1:], v[2:], strict=False)]),
        7,
    ),
    "dense": (lambda v: mc.sum(v).exp(), 20),
    "dense in half": (lambda v: mc.sum(v[:10]).sin() + mc.sum(v[10:]), 10),
    "one number": (lambda v: v[7].exp(), 1),
    "linear": (lambda v: mc.dot(v, [float(k) for k in range(20)]), 1),
}


def recorded(objective):
    return _core.Products(objective._record_products())


@pytest.mark.parametrize("name", PATTERNS)
def test_few_directions_find_every_entry(name, way):
    fn, enough = PATTERNS[name]
    rng = random.Random(1)
    values = [Value(rng.uniform(-1, 1)) for _ in range(20)]
    objective = compile(lambda s: fn(values) * s).objective([1.0], params=values)
    theta = objective.x0
    expected = np.array(data(hessian(fn)(values)))
    found = objective.hess(theta)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert np.array_equal(found, found.T)
    products = recorded(objective)
    assert 1 <= products.n_directions <= enough
    assert products.count >= np.count_nonzero(np.triu(expected))


@pytest.mark.parametrize("name", PATTERNS)
def test_a_sparse_hessian_has_what_is_not_0_for_every_theta(name):
    sparse = pytest.importorskip("scipy.sparse")
    fn, _ = PATTERNS[name]
    values = [Value(0.1 * k - 0.7) for k in range(20)]
    f = compile(lambda s: fn(values) * s)
    objective = f.objective(SAMPLES, params=values)
    theta = objective.x0
    matrix = objective.hess(theta, sparse=True)
    assert sparse.issparse(matrix) and matrix.format == "csr" and matrix.shape == (20, 20)
    assert matrix.has_sorted_indices and np.array_equal(matrix.toarray(), objective.hess(theta))
    products = recorded(objective)
    rows, columns = np.frombuffer(products.places(), np.uint32).reshape(-1, 2).T
    assert matrix.nnz == 2 * products.count - np.count_nonzero(rows == columns)
    of_sparse = f.objective(SAMPLES, params=values, sparse=True)
    assert np.array_equal(of_sparse.hess(theta).toarray(), objective.hess(theta))
    assert isinstance(of_sparse.hess(theta, sparse=False), np.ndarray)


@pytest.mark.parametrize(
    ("fn", "n", "enough"),
    [
        (arrow, 8000, 2),  # a hub has a colour of its own
        (lambda v: mc.sum([mc.sum(v[k : k + 40]).sin() for k in range(0, 261, 9)]), 300, 79),
    ],
    ids=["a hub of 8,000", "a wide band"],
)
def test_colours_of_patterns_whose_star_colouring_would_take_long(fn, n, enough):
    rng = random.Random(2)
    values = [Value(rng.uniform(-1, 1)) for _ in range(n)]
    objective = compile(lambda s: fn(values) * s).objective([1.0], params=values)
    products = recorded(objective)
    assert products.n_directions <= enough
    v = np.cos(np.arange(n))
    rows, columns = np.frombuffer(products.places(), np.uint32).reshape(-1, 2).T
    one = _core.Arguments(([1.0],), str)
    theta = _core.Arguments(([value.data for value in products.program.parameters],), str)
    entries = np.asarray(products.sums(one, theta, 1))
    product = np.bincount(rows, entries * v[columns], n)
    below = rows != columns
    product += np.bincount(columns[below], (entries * v[rows])[below], n)
    assert product == pytest.approx(objective.hessp(objective.x0, v), rel=1e-11, abs=1e-11)


class SparseProgram:
    """A random function each of whose terms depends on a few of its numbers."""

    def __init__(self, seed, n, terms):
        rng = random.Random(seed)
        self.point = [rng.uniform(-1, 1) for _ in range(n)]
        self.terms = [
            (rng.choice("*+-tew"), *(rng.randrange(n) for _ in range(3))) for _ in range(terms)
        ]

    def __call__(self, v):
        return mc.sum([self.term(kind, v[i], v[j], v[k]) for kind, i, j, k in self.terms])

    def term(self, kind, x, y, z):
        return {
            "*": lambda: x * y * z,
            "+": lambda: (x + y) * z,
            "-": lambda: (x - y) ** 2 + z,
            "t": lambda: (x * y).tanh() / (z * z + 2.0),
            "e": lambda: (x - z).exp(),
            "w": lambda: where(x - y, z.sin() * x, y * y),
        }[kind]()


sparse_programs = st.builds(
    SparseProgram, st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40)
)


@settings(max_examples=80, deadline=None)
@given(sparse_programs)
def test_random_sparse_functions_have_one_hessian(program):
    expected = data(hessian(program)(program.point))
    assert expected == [list(column) for column in zip(*expected, strict=True)]
    values = [Value(x) for x in program.point]
    objective = compile(lambda s: program(values)).objective([0.0], params=values)
    close = pytest.approx(np.array(expected), rel=1e-9, abs=1e-10)
    assert objective.hess(objective.x0) == close
    f = compile(hessian(program))
    assert np.asarray(f([program.point]))[0] == close
    assert np.asarray(f([program.point] * 300))[299] == close


# -- objectives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_hessian_of_a_batch_is_that_of_its_samples(reduction, count, way):
    random.seed(3)
    model = MLP(2, [3, 1])
    f = compile(lambda x, y: (model(x) - y) ** 2, reduction=reduction)
    x, y = np.random.default_rng(1).normal(size=(count, 2)), np.linspace(-1, 1, count)
    objective = f.objective(x, y, params=model.parameters())
    theta = objective.x0 * 0.5
    each = [f.objective(x[k : k + 1], y[k : k + 1]).hess(theta) for k in range(count)]
    expected = np.sum(each, axis=0) if count else np.zeros((len(theta), len(theta)))
    found = objective.hess(theta)
    scale = max(count, 1) if reduction == "mean" else 1
    assert found == pytest.approx(expected / scale, rel=1e-12, abs=1e-13)
    assert np.array_equal(found, found.T)


def test_a_loss_that_no_sample_changes_is_counted_for_each(way):
    a, b = Value(1.0), Value(2.0)
    for reduction, factor in (("mean", 1.0), ("sum", 4.0)):
        objective = compile(lambda x: a**3 * b, reduction=reduction).objective([0.0] * 4)
        found = objective.hess([2.0, 5.0])
        assert found.tolist() == [[60.0 * factor, 12.0 * factor], [12.0 * factor, 0.0]]


def test_a_refused_sample_is_named(way):
    values = [Value(1.0), Value(2.0)]
    objective = compile(lambda i: take(values, i) ** 2).objective([0.0, 1.0, 5.0])
    with pytest.raises(IndexError, match=r"index 5 .*sample 2"):
        objective.hess([3.0, 4.0])


def test_a_number_that_was_read_records_it_anew(way):
    a, b, power = Value(1.5), Value(2.0), Value(2.0)
    f = compile(lambda x: a ** int(power.data) * b * x)
    objective = f.objective([1.0], params=[a, b])
    assert objective.hess([3.0, 1.0]).tolist() == [[2.0, 6.0], [6.0, 0.0]]
    power.data = 3.0
    assert objective.hess([3.0, 1.0]).tolist() == [[18.0, 27.0], [27.0, 0.0]]


def test_what_is_no_parameter_of_the_objective_has_its_own_number(way):
    a, b = Value(2.0), Value(3.0)
    objective = compile(lambda x: a * a * b * x).objective([1.0], params=[a])
    assert objective.hess([1.0]).tolist() == [[6.0]]
    b.data = 5.0
    assert objective.hess([1.0]).tolist() == [[10.0]]


def test_many_samples_of_few_parameters_are_taken_one_by_one():
    a, b = Value(1.0), Value(2.0)
    f = compile(lambda x: (a * x).sin() * b)
    few, many = f.objective([0.5], params=[a, b]), f.objective([0.5] * 1000, params=[a, b])
    assert many.hess([1.0, 2.0]) == pytest.approx(few.hess([1.0, 2.0]), rel=1e-12)
    products = recorded(few)
    assert hessians.is_quicker_one_by_one(products, 1000)
    assert not hessians.is_quicker_one_by_one(products, 1)


@pytest.mark.parametrize("executor", _core.executor_names())
def test_every_executor_gives_it(executor, way):
    values = [Value(0.3 * k - 1.0) for k in range(10)]
    expected = np.array(data(hessian(grid)(values)))
    point = [[value.data for value in values]]
    try:
        objective = compile(lambda s: grid(values) * s, executor=executor).objective(SAMPLES)
        of_point = compile(hessian(grid), executor=executor)(point)
    except ValueError as refusal:  # the named one cannot run it
        pytest.skip(str(refusal))
    theta = objective.x0
    assert objective.hess(theta) == pytest.approx(expected * SAMPLES.mean(), rel=1e-12, abs=1e-13)
    assert np.asarray(of_point)[0] == pytest.approx(expected, rel=1e-12, abs=1e-13)


# -- compile(hessian(fn)) --------------------------------------------------------------------------


def test_the_hessians_of_a_batch_of_points(way):
    w = Value(0.5)

    def fn(scale, v):
        return (mc.sum([x * y for x, y in itertools.pairwise(v)]) * w).sin() * scale

    points = np.random.default_rng(2).normal(size=(3, 6))
    for argnums, width in ((1, 6), (-1, 6), (0, 1), ((1, 0), 7)):
        of_sample = hessian(fn, argnums)
        f = compile(of_sample)
        for number in (0.5, -0.75):
            w.data = number
            found = f(SAMPLES, points)
            assert type(found) is np.ndarray and found.shape == (3, width, width)
            for k in range(3):
                expected = data(of_sample(float(SAMPLES[k]), points[k].tolist()))
                assert found[k] == pytest.approx(np.array(expected), rel=1e-12, abs=1e-13)
                assert np.array_equal(found[k], found[k].T)
        assert f(SAMPLES[:0], points[:0]).shape == (0, width, width)


def test_a_hessian_goes_over_to_entries_one_by_one_and_stays():
    f = compile(hessian(lambda v: (v[0] * v[1]).exp() + v[2] ** 2))
    point = [0.5, -1.0, 2.0]
    one = f([point]).tolist()
    assert len(f._hessians) == 1 and not f._programs
    many = f([point] * 2000).tolist()
    assert not f._hessians and len(f._programs) == 1
    assert many[1999] == [pytest.approx(row, rel=1e-13) for row in one[0]]
    assert f([point]).tolist()[0] == many[0] and not f._hessians


def test_a_compiled_hessian_is_a_function_like_all_others(way):
    v = [Value(1.0), Value(2.0)]
    f = compile(hessian(lambda x: (x[0] * v[0] + x[1] * v[1]) ** 3))
    assert f([[1.0, 1.0]]).tolist() == [[[18.0, 36.0], [36.0, 72.0]]]
    assert f.stats().recorded_nodes > 0 and "1 program" in repr(f) and "(B, 2)" in str(f)
    with pytest.raises(TypeError, match=r"value_and_grad: .* a list of 2 of lists of 2"):
        f.value_and_grad([[1.0, 1.0]])
    jacobian = f.residuals([[1.0, 1.0]]).jac([1.0, 2.0])
    assert jacobian.shape == (4, 2) and jacobian[0].tolist() == [42.0, 6.0]
    assert copy.deepcopy(f)([[1.0, 1.0]]).tolist() == [[[18.0, 36.0], [36.0, 72.0]]]


def test_what_wraps_a_hessian_is_another_function():
    rows = hessian(lambda x: x[0] ** 3)

    @functools.wraps(rows)
    def doubled(x):
        return [[2.0 * entry for entry in row] for row in rows(x)]

    assert compile(doubled)([[2.0]]).tolist() == [[[24.0]]]


def test_compiled_hessians_refuse_what_functions_refuse(way):
    f = compile(hessian(lambda i, v: take([v[0] ** 3, v[0] * v[1]], i), 1))
    with pytest.raises(IndexError, match=r"index 2 .*sample 1"):
        f([0.0, 2.0], [[1.0, 2.0]] * 2)
    with pytest.raises(TypeError, match="hessian: expected fn to return a Value, got list"):
        compile(hessian(lambda v: v))([[1.0]])
    with pytest.raises(ValueError, match=r"argnums 1, but fn got 1 argument"):
        compile(hessian(lambda v: v[0], 1))([[1.0]])
    with pytest.raises(TraceError, match="truth value"):
        compile(hessian(lambda v: v[0] if v[0] > 0 else v[0] * v[0]))([[1.0]])


# -- eager -----------------------------------------------------------------------------------------


def test_entries_that_are_always_0_are_one_value():
    rows = hessian(lambda v: v[0] * v[1] + v[2].sin() + v[3])([1.0, 2.0, 3.0, 4.0])
    assert rows[0][1] is rows[1][0] and rows[0][0] is rows[3][3] is rows[2][0]
    assert data(rows)[2][2] == -np.sin(3.0) and rows[0][0].data == 0.0


def test_a_hessian_is_differentiated_again():
    def third(x):
        return hessian(lambda v: (v[0] * v[1]).sin() * v[0])([x, x * x])[0][1]

    point = 0.7
    by_hand = (third(Value(point + 1e-5)).data - third(Value(point - 1e-5)).data) / 2e-5
    assert mc.grad(third)(point).data == pytest.approx(by_hand, rel=1e-8)


def test_of_custom_there_is_no_hessian():
    with pytest.raises(TypeError, match=r"'square': .* first order only"):
        hessian(lambda v: mc.custom(v[0].data ** 2, [v[0]], [2 * v[0].data], "square") * v[0])(
            [3.0]
        )


def test_under_no_grad_a_hessians_entries_are_leaves():
    with mc.no_grad():
        rows = hessian(lambda v: v[0] ** 3 * v[1])([2.0, 1.0])
    assert data(rows) == [[12.0, 12.0], [12.0, 0.0]]
    assert not any(entry._prev for row in rows for entry in row)


def test_what_runs_by_products_is_printed_too():
    f = mc.compile(hessian(lambda v: mc.sum([a.tanh() * b for a, b in itertools.pairwise(v)])))
    f([[0.1] * 30])
    assert "program for v: (B, 30)" in str(f)
