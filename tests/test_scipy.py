# SPDX-License-Identifier: MIT
"""Compiled functions as objectives and residuals for SciPy's optimisers."""

import copy
import itertools
import pickle
import random
import sys

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import TraceError, Value, compile, where
from micrograd_c.nn import MLP

N = 40
X = np.random.default_rng(0).normal(size=(N, 2))
Y = np.sin(X[:, 0]) - 0.5 * X[:, 1]


@pytest.fixture
def optimize():
    return pytest.importorskip("scipy.optimize")


def network(reduction="mean"):
    random.seed(42)
    model = MLP(2, [3, 1])
    f = compile(lambda x, y: (model(x) - y) ** 2, reduction=reduction)
    return model, f


def rosenbrock(n):
    values = [Value(x) for x in np.linspace(-1.2, 1.0, n)]

    def fn(scale):
        terms = [100.0 * (q - p * p) ** 2 + (1.0 - p) ** 2 for p, q in itertools.pairwise(values)]
        return mc.sum(terms) * scale

    return values, compile(fn).objective([1.0])


def central_differences(fn, theta, eps=1e-5):
    """Of a function that gives an array: one more axis, the last."""
    columns = []
    for k in range(len(theta)):
        step = np.zeros_like(theta)
        step[k] = eps
        columns.append((np.asarray(fn(theta + step)) - np.asarray(fn(theta - step))) / (2 * eps))
    return np.stack(columns, axis=-1)


def states(values):
    return [(value.data, value.grad) for value in values]


# -- objectives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_and_gradient_are_those_of_value_and_grad_at_theta(reduction):
    model, f = network(reduction)
    params = model.parameters()
    objective = f.objective(X, Y, params=params)
    theta = objective.x0 + np.linspace(-0.3, 0.3, len(params))
    loss, gradient = objective.fun_and_jac(theta)
    assert objective.fun(theta) == loss and type(loss) is float
    assert np.array_equal(objective.jac(theta), gradient) and gradient.shape == theta.shape
    objective.assign(theta)
    assert [p.data for p in params] == theta.tolist()
    assert f.value_and_grad(X, Y) == loss and [p.grad for p in params] == gradient.tolist()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_derivatives_are_those_of_central_differences(reduction):
    _, f = network(reduction)
    objective = f.objective(X, Y)
    theta = objective.x0
    scale = {"mean": 1.0, "sum": N}[reduction]
    slopes = central_differences(objective.fun, theta)
    assert objective.jac(theta) == pytest.approx(slopes, rel=1e-6, abs=1e-8 * scale)
    hessian = objective.hess(theta)
    curvatures = central_differences(objective.jac, theta)
    assert hessian == pytest.approx(curvatures, rel=1e-6, abs=1e-8 * scale)
    assert np.array_equal(hessian, hessian.T) and np.any(hessian != 0.0)
    v = np.cos(np.arange(len(theta)))
    assert objective.hessp(theta, v) == pytest.approx(hessian @ v, rel=1e-12, abs=1e-13 * scale)


def test_nothing_changes_until_assign():
    model, f = network()
    params = model.parameters()
    for k, p in enumerate(params):
        p.grad = float(k)
    before = states(params)
    objective = f.objective(X, Y)
    theta = objective.x0 + 1.0
    objective.fun(theta), objective.jac(theta), objective.hess(theta)
    objective.hessp(theta, theta)
    assert states(params) == before and np.array_equal(objective.x0, theta - 1.0)
    objective.assign(theta)
    assert [p.grad for p in params] == [grad for _, grad in before]
    assert np.array_equal(objective.x0, theta)


def test_nothing_changes_where_a_sample_is_refused():
    values = [Value(1.0), Value(2.0)]
    f = compile(lambda i: mc.take(values, i) ** 2)
    objective = f.objective(np.array([0.0, 5.0]))
    before = states(values)
    for call in (objective.fun, objective.jac, objective.hess, lambda t: objective.hessp(t, t)):
        with pytest.raises(IndexError, match="sample 1"):
            call([3.0, 4.0])
    residuals = f.residuals(np.array([0.0, 5.0]))
    for call in (residuals.fun, residuals.jac):
        with pytest.raises(IndexError, match="sample 1"):
            call([3.0, 4.0])
    assert states(values) == before


def test_the_hessian_of_rosenbrocks_function(optimize):
    _, objective = rosenbrock(5)
    theta = np.linspace(-1.0, 2.0, 5)
    assert objective.fun(theta) == pytest.approx(optimize.rosen(theta), rel=1e-13)
    assert objective.jac(theta) == pytest.approx(optimize.rosen_der(theta), rel=1e-12)
    assert objective.hess(theta) == pytest.approx(optimize.rosen_hess(theta), rel=1e-12)
    v = np.arange(5.0)
    assert objective.hessp(theta, v) == pytest.approx(optimize.rosen_hess_prod(theta, v), rel=1e-12)


@pytest.mark.parametrize(
    ("method", "derivatives"),
    [
        ("BFGS", ["jac"]),
        ("Newton-CG", ["jac", "hessp"]),
        ("Newton-CG", ["jac", "hess"]),
        ("trust-exact", ["jac", "hess"]),
        ("trust-krylov", ["jac", "hessp"]),
    ],
)
def test_minimize_finds_the_minimum(optimize, method, derivatives):
    values, objective = rosenbrock(3)
    given = {name: getattr(objective, name) for name in derivatives}
    result = optimize.minimize(objective.fun, objective.x0, method=method, **given)
    assert result.x == pytest.approx(np.ones(3), abs=1e-3)
    objective.assign(result.x)
    assert [v.data for v in values] == result.x.tolist()


def test_minimize_with_value_and_gradient_of_one_run(optimize):
    _, f = network()
    objective = f.objective(X, Y)
    result = optimize.minimize(objective.fun_and_jac, objective.x0, jac=True, method="L-BFGS-B")
    assert result.fun < 0.2 * objective.fun(objective.x0)


def test_some_parameters_in_an_order_of_ones_own():
    a, b, c, idle = (Value(x) for x in (1.0, 2.0, 3.0, 4.0))
    f = compile(lambda x: (a * x + b * b * c).sin())
    objective = f.objective(X[:, 0], params=[c, idle, a])
    assert objective.parameters[0] is c and objective.x0.tolist() == [3.0, 4.0, 1.0]
    everything = f.objective(X[:, 0])
    assert everything.parameters[0] is a and everything.x0.tolist() == [1.0, 2.0, 3.0]
    theta, whole = np.array([0.5, 9.0, -0.25]), np.array([-0.25, 2.0, 0.5])
    gradient, hessian = everything.jac(whole), everything.hess(whole)
    assert objective.jac(theta).tolist() == [gradient[2], 0.0, gradient[0]]
    expected = np.zeros((3, 3))
    expected[0, 0], expected[2, 2] = hessian[2, 2], hessian[0, 0]
    expected[0, 2] = expected[2, 0] = hessian[0, 2]
    assert objective.hess(theta) == pytest.approx(expected, rel=1e-13)
    b.data = 0.0  # its own number is read at each call
    assert objective.fun(theta) == pytest.approx(np.sin(-0.25 * X[:, 0]).mean())


def test_a_loss_that_depends_on_no_sample():
    a = Value(3.0)
    for reduction, factor in (("mean", 1.0), ("sum", 4.0)):
        objective = compile(lambda x: a**3, reduction=reduction).objective([0.0] * 4)
        assert objective.fun([2.0]) == 8.0 * factor
        assert objective.hess([2.0]).tolist() == [[12.0 * factor]]
        assert objective.hessp([2.0], [0.5]).tolist() == [6.0 * factor]


def test_of_a_kink_the_second_derivative_is_0():
    a = Value(0.0)
    objective = compile(lambda x: where(x > 0.0, (a * x).relu(), a.abs())).objective([1.0, -1.0])
    assert objective.hess([0.0]).tolist() == [[0.0]] and objective.hess([1.0]).tolist() == [[0.0]]


def test_arrays_are_read_anew_and_lists_are_kept():
    a = Value(1.0)
    array, numbers = np.array([1.0, 2.0]), [1.0, 2.0]
    f = compile(lambda x: a * x, reduction="sum")
    of_array, of_list = f.objective(array), f.objective(numbers)
    array[0] = numbers[0] = 5.0
    assert (of_array.fun([1.0]), of_list.fun([1.0])) == (7.0, 3.0)


def test_a_number_that_the_function_reads_and_that_changes_records_it_anew():
    a, power = Value(1.5), Value(2.0)
    objective = compile(lambda x: a ** int(power.data) * x).objective([1.0], params=[a])
    assert objective.fun([3.0]) == 9.0 and objective.hess([3.0]).tolist() == [[2.0]]
    power.data = 3.0
    assert objective.fun([3.0]) == 27.0 and objective.hess([3.0]).tolist() == [[18.0]]
    assert objective.hessp([3.0], [1.0]).tolist() == [18.0]


# -- residuals -------------------------------------------------------------------------------------


def curve():
    """Three residuals a sample, with parameters that some of them do not depend on."""
    p, q, r = Value(1.0), Value(0.5), Value(-0.25)
    f = compile(lambda x, y: [p * x[0] - y, (q * x[1] + r).tanh(), q.exp() - p.floor()])
    return [p, q, r], f.residuals(X, Y)


def test_residuals_are_the_functions_results_in_order():
    (p, q, r), residuals = curve()
    theta = np.array([0.5, 2.0, 1.0])
    expected = np.stack(
        [0.5 * X[:, 0] - Y, np.tanh(2.0 * X[:, 1] + 1.0), np.full(N, np.exp(2.0))], axis=1
    )
    assert residuals.fun(theta) == pytest.approx(expected.reshape(-1), rel=1e-12, abs=1e-15)
    assert [p.data, q.data, r.data] == [1.0, 0.5, -0.25] == residuals.x0.tolist()


def test_the_jacobian_is_that_of_central_differences():
    _, residuals = curve()
    theta = np.array([0.5, 2.0, 1.0])
    jacobian = residuals.jac(theta)
    assert jacobian.shape == (3 * N, 3)
    slopes = central_differences(residuals.fun, theta)
    assert jacobian == pytest.approx(slopes, rel=1e-6, abs=1e-8)


def test_a_sparse_jacobian_has_what_is_not_0_for_every_theta():
    sparse = pytest.importorskip("scipy.sparse")
    _, residuals = curve()
    theta = np.array([0.5, 2.0, 1.0])
    found = residuals.jac(theta, sparse=True)
    assert sparse.issparse(found) and found.shape == (3 * N, 3)
    assert found.nnz == 4 * N  # p; q and r; q, and not p, whose floor has no derivative
    assert np.array_equal(found.toarray(), residuals.jac(theta))
    again = compile(residuals._compiled._fn).residuals(X, Y, sparse=True)
    assert np.array_equal(again.jac(theta).toarray(), found.toarray())
    assert isinstance(again.jac(theta, sparse=False), np.ndarray)


def test_a_sparse_jacobian_follows_a_function_that_is_recorded_anew():
    pytest.importorskip("scipy.sparse")
    a, b, switch = Value(1.0), Value(2.0), Value(1.0)
    f = compile(lambda x: [a * x if switch.data > 0 else b * x])
    residuals = f.residuals([3.0, 4.0], params=[a, b], sparse=True)
    assert residuals.jac([1.0, 1.0]).toarray().tolist() == [[3.0, 0.0], [4.0, 0.0]]
    switch.data = -1.0
    assert residuals.jac([1.0, 1.0]).toarray().tolist() == [[0.0, 3.0], [0.0, 4.0]]


def test_a_jacobian_without_any_entry():
    pytest.importorskip("scipy.sparse")
    a = Value(1.5)
    residuals = compile(lambda x: [a.floor() * x]).residuals([3.0])
    assert residuals.jac([2.5], sparse=True).nnz == 0 and residuals.jac([2.5]).tolist() == [[0.0]]
    assert residuals.jac([2.5], sparse=True).shape == (1, 1)


@pytest.mark.parametrize(
    ("fn", "shape"),
    [
        (lambda x, a: a * x, (2, 1)),
        (lambda x, a: [[a * x, x, 1.0], [a * a, a + x, a]], (12, 1)),
        (lambda x, a: [a * x, 0.5], (4, 1)),
    ],
)
def test_a_value_or_lists_of_lists_are_residuals_too(fn, shape):
    a = Value(2.0)
    f = compile(lambda x: fn(x, a))
    residuals = f.residuals([1.0, 3.0])
    assert residuals.jac([2.0]).shape == shape
    assert residuals.fun([2.0]).tolist() == np.asarray(f([1.0, 3.0])).reshape(-1).tolist()
    slopes = central_differences(residuals.fun, np.array([2.0]))
    assert residuals.jac([2.0]) == pytest.approx(slopes, abs=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
def test_least_squares_finds_the_parameters(optimize, sparse):
    rate, height, offset = Value(0.5), Value(1.0), Value(0.0)
    t = np.linspace(0.0, 4.0, 50)
    y = 2.5 * np.exp(-1.3 * t) + 0.5
    f = compile(lambda t, y: [height * (-rate * t).exp() + offset - y])
    residuals = f.residuals(t, y, sparse=sparse)
    found = optimize.least_squares(residuals.fun, residuals.x0, jac=residuals.jac)
    assert found.x == pytest.approx([1.3, 2.5, 0.5], abs=1e-6)
    residuals.assign(found.x)
    assert [rate.data, height.data, offset.data] == found.x.tolist()


def test_more_residuals_than_parameters_and_more_parameters_than_residuals():
    weights = [Value(0.1 * k) for k in range(6)]
    few = compile(lambda x: [mc.dot(weights, [x**k for k in range(6)]).tanh()]).residuals(X[:, 0])
    many = compile(lambda x: [(weights[0] * x**k).sin() for k in range(6)]).residuals(X[:, 0])
    for residuals in (few, many):
        slopes = central_differences(residuals.fun, residuals.x0)
        assert residuals.jac(residuals.x0) == pytest.approx(slopes, rel=1e-6, abs=1e-8)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theta", "error", "words"),
    [
        ([1.0], ValueError, r"expected theta of shape \(2,\).*got \(1,\)"),
        ([[1.0, 2.0]], ValueError, r"got \(1, 2\)"),
        (1.0, ValueError, r"got \(\)"),
        ([1j, 2.0], TypeError, "expected real numbers as theta, got an array of complex128"),
        (["a", "b"], TypeError, "real numbers"),
        ([Value(1.0), 2.0], TypeError, "real numbers"),
    ],
)
def test_a_theta_of_another_shape_or_type_is_refused(theta, error, words):
    a, b = Value(1.0), Value(2.0)
    objective = compile(lambda x: a * x + b).objective([1.0])
    residuals = compile(lambda x: [a * x + b]).residuals([1.0])
    for call in (
        objective.fun,
        objective.jac,
        objective.hess,
        objective.assign,
        lambda t: objective.hessp(t, [1.0, 1.0]),
        residuals.fun,
        residuals.jac,
        residuals.assign,
    ):
        with pytest.raises(error, match=words):
            call(theta)
    with pytest.raises(ValueError, match="expected v of shape"):
        objective.hessp([1.0, 2.0], [1.0])
    assert states([a, b]) == [(1.0, 0.0), (2.0, 0.0)]


def test_functions_that_are_no_objectives():
    a = Value(1.0)
    outside = a * 2
    for fn, error, words in (
        (lambda x: [a * x], TypeError, "objective: expected .* a Value, got a list of 1"),
        (lambda x: x, ValueError, "objective: the function has no parameters"),
        (lambda x: outside * x, ValueError, r"'\*' has computed outside.*detach\(\)"),
        (lambda x: a.data * a * x, TraceError, "objective: the function reads the number"),
    ):
        with pytest.raises(error, match=words):
            compile(fn).objective([1.0])
    with pytest.raises(TypeError, match=r"residuals: expected .* got a tuple or dict"):
        compile(lambda x: (a * x, x)).residuals([1.0])
    f = compile(lambda x: a * x)
    with pytest.raises(ValueError, match="twice"):
        f.objective([1.0], params=[a, a])
    with pytest.raises(TypeError, match="a list of Values as params, got Value"):
        f.objective([1.0], params=a)
    with pytest.raises(TypeError, match="Values as params, got float"):
        f.residuals([1.0], params=[1.0])
    with pytest.raises(ValueError, match="'\\*' has computed"):
        f.objective([1.0], params=[outside])
    with pytest.raises(ValueError, match="argument 'x'"):
        f.objective([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="no parameters"):
        f.objective([1.0], params=[])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_made_by_the_function(copied):
    _, f = network()
    with pytest.raises(TypeError, match=r"objective: .* copy the compiled function, and call its"):
        copied(f.objective(X, Y))
    with pytest.raises(TypeError, match=r"residuals: cannot be copied"):
        copied(f.residuals(X, Y))


def test_a_node_of_custom_has_a_gradient_and_no_hessian():
    a = Value(1.0)
    of_its_own = compile(lambda x: mc.custom(4.0, [a], [3.0]) * x).objective([2.0])
    assert of_its_own.jac([1.0]).tolist() == [6.0]
    with pytest.raises(TypeError, match="derivatives of first order only"):
        of_its_own.hess([1.0])
    with pytest.raises(TraceError, match="compose it of operations"):
        of_its_own.hessp([1.0], [1.0])


def test_without_numpy_or_scipy_the_error_says_what_to_install(monkeypatch):
    a = Value(1.0)
    f = compile(lambda x: [a * x])
    residuals = f.residuals([1.0])
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match=r"sparse=True\) needs scipy: pip install scipy"):
        residuals.jac([1.0], sparse=True)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match="residuals needs numpy: pip install numpy"):
        f.residuals([1.0])
