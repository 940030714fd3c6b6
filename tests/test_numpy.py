# SPDX-License-Identifier: MIT
"""Values in NumPy's arrays and functions."""

import math

import numpy as np
import pytest
from common import each_operator, slopes

from micrograd_c import Value

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- NumPy -----------------------------------------------------------------------------------------


def values(*numbers):
    return np.array([Value(x) for x in numbers])


def data_of(array):
    return [v.data for v in np.asarray(array, dtype=object).ravel()]


def test_numpy_makes_object_arrays_of_values():
    a = Value(1.0)
    array = np.array([[a, a], [a, a]])
    assert (array.dtype, array.shape) == (object, (2, 2))
    assert array[0, 1] is a


@each_operator
def test_object_arrays_work_elementwise(op):
    a, b = values(1.0, 2.0, 3.0), values(0.5, 1.5, 2.5)
    plain = np.array([0.5, 1.5, 2.5])
    expected = op(np.array([1.0, 2.0, 3.0]), plain).tolist()
    for result in (op(a, b), op(a, plain), op(np.array([1.0, 2.0, 3.0]), b)):
        assert data_of(result) == pytest.approx(expected)
        assert all(type(v) is Value for v in result)


@each_operator
def test_an_array_beside_a_value_is_left_to_numpy(op):
    v, array = Value(2.0), np.array([[1.0, 2.0], [3.0, 4.0]])
    right, left = op(v, array), op(array, v)
    assert right.shape == left.shape == (2, 2)
    assert data_of(right) == pytest.approx(op(2.0, array).ravel().tolist())
    assert data_of(left) == pytest.approx(op(array, 2.0).ravel().tolist())
    right.sum().backward()
    assert v.grad == pytest.approx(sum(slopes(op, 2.0, y)[0] for y in array.ravel()))
    left.sum().backward()
    assert v.grad == pytest.approx(sum(slopes(op, x, 2.0)[1] for x in array.ravel()))


def test_an_array_beside_a_value_in_a_comparison_is_left_to_numpy():
    v, array = Value(2.0), np.array([1.0, 2.0, 3.0])
    assert (v < array).tolist() == [False, False, True]
    assert (array <= v).tolist() == [True, True, False]
    assert (values(1.0, 2.0, 3.0) > v).tolist() == [False, False, True]


def test_matrix_products_sums_and_means_of_object_arrays():
    w, x = values(1.0, 2.0, 3.0), np.array([4.0, 5.0, 6.0])
    for product in (w @ x, x @ w, w.dot(x), np.dot(w, x)):
        assert (type(product), product.data) == (Value, 32.0)
        product.backward()
        assert [v.grad for v in w] == [4.0, 5.0, 6.0]
    square = w @ w
    square.backward()
    assert (square.data, [v.grad for v in w]) == (14.0, [2.0, 4.0, 6.0])
    matrix = np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
    assert data_of(matrix @ matrix) == [7.0, 10.0, 15.0, 22.0]
    assert (matrix.sum().data, matrix.mean().data) == (10.0, 2.5)
    assert data_of(matrix.sum(axis=0)) == [4.0, 6.0]
    matrix.mean().backward()
    assert [v.grad for v in matrix.ravel()] == [0.25] * 4


UFUNCS = ["exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"]


@pytest.mark.parametrize("name", UFUNCS)
def test_numpys_functions_work_on_object_arrays(name):
    result = getattr(np, name)(values(0.25, 0.75))
    assert data_of(result) == pytest.approx([getattr(math, name)(x) for x in (0.25, 0.75)])
    assert all(v._op == name for v in result)
    assert getattr(np, name)(Value(0.25)).data == pytest.approx(getattr(math, name)(0.25))


def test_more_of_numpy_on_object_arrays():
    array = values(-1.0, 2.0)
    assert data_of(np.abs(array)) == [1.0, 2.0]
    assert data_of(-array) == [1.0, -2.0]
    assert data_of(array**2) == data_of(np.square(array)) == [1.0, 4.0]
    assert (array.max().data, array.min().data, array.prod().data) == (2.0, -1.0, -2.0)
    assert [v.data for v in np.sort(array)] == [-1.0, 2.0]
    array += 1
    assert data_of(array) == [0.0, 3.0]


def test_a_value_in_place_with_an_array_becomes_an_array():
    v = Value(1.0)
    v += np.array([1.0, 2.0])
    assert data_of(v) == [2.0, 3.0]
