# SPDX-License-Identifier: MIT
"""What a compiled function takes as arguments, and what it gives back."""

import array
import copy
import ctypes
import itertools
import multiprocessing
import pickle

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import Value, _core


@pytest.fixture
def w():
    value = Value(2.0)
    value.grad = 5.0
    return value


# -- arguments ------------------------------------------------------------------------------------


def twice(x):
    return x * 2


def summed(xs):
    return mc.sum(xs)


class OnlyArray:
    """As a pandas DataFrame: a NumPy array on request, names of columns when iterated."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __array__(self, dtype=None, copy=None):
        return self.numbers

    def __iter__(self):
        return iter([0, 1, 2])


VECTORS = {
    "list": [1.0, 2.0, 3.0],
    "tuple of mixed numbers": (1, 2.0, np.float32(3)),
    "float64": np.array([1.0, 2.0, 3.0]),
    "float32": np.array([1, 2, 3], dtype=np.float32),
    "int64": np.array([1, 2, 3]),
    "uint8": np.array([1, 2, 3], dtype=np.uint8),
    "strided": np.array([1.0, 9, 2, 9, 3, 9])[::2],
    "strided float32": np.array([1, 9, 2, 9, 3, 9], dtype=np.float32)[::2],
    "reversed": np.array([3.0, 2.0, 1.0])[::-1],
    "array.array": array.array("d", [1, 2, 3]),
    "array.array of float": array.array("f", [1, 2, 3]),
    "array.array of int": array.array("i", [1, 2, 3]),
    "memoryview": memoryview(array.array("d", [1, 2, 3])),
    "range": range(1, 4),
    "misaligned": np.frombuffer(b"x" + np.array([1.0, 2.0, 3.0]).tobytes(), "f8", 3, 1),
    "misaligned float32": np.frombuffer(b"x" + np.float32([1, 2, 3]).tobytes(), "f4", 3, 1),
    "a field": np.array([(0, 1.0), (9, 2.0), (9, 3.0)], dtype=[("a", "u1"), ("x", "f8")])["x"],
    "big-endian": np.array([1, 2, 3], dtype=">f8"),
    "big-endian float32": np.array([1, 9, 2, 9, 3], dtype=">f4")[::2],
    "big-endian ints": np.array([1, 2, 3], dtype=">i4"),
    "little-endian ints": np.array([1, 2, 3], dtype="<u2"),
    "ctypes": (ctypes.c_double * 3)(1, 2, 3),
    "ctypes float": (ctypes.c_float * 3)(1, 2, 3),
    "ctypes int": (ctypes.c_int * 3)(1, 2, 3),
    "shared": multiprocessing.RawArray("d", [1, 2, 3]),
    "memoryview of ctypes": memoryview((ctypes.c_double * 3)(1, 2, 3)),
    "only __array__": OnlyArray(np.array([1.0, 2.0, 3.0])),
    "broadcast": np.broadcast_to(np.array([[1.0], [2.0], [3.0]]), (3, 1))[:, 0],
}


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_a_vector_of_any_kind(vector):
    assert mc.compile(twice)(vector).tolist() == [2.0, 4.0, 6.0]


MATRIX = np.arange(6.0).reshape(3, 2)
MATRICES = {
    "nested lists": MATRIX.tolist(),
    "list of tuples": [tuple(row) for row in MATRIX.tolist()],
    "list of arrays": list(MATRIX),
    "C order": MATRIX,
    "Fortran order": np.asfortranarray(MATRIX),
    "transposed": MATRIX.T.copy().T,
    "float32": MATRIX.astype(np.float32),
    "a slice of columns": np.hstack([MATRIX, MATRIX])[:, 1:3][:, ::-1],
    "big-endian": MATRIX.astype(">f8"),
    "big-endian float32, transposed": MATRIX.T.astype(">f4").T,
    "big-endian ints": MATRIX.astype(">i8"),
    "ctypes": ((ctypes.c_double * 2) * 3)((0, 1), (2, 3), (4, 5)),
    "ctypes float": ((ctypes.c_float * 2) * 3)((0, 1), (2, 3), (4, 5)),
    "only __array__": OnlyArray(MATRIX),
    "read-only": np.frombuffer(MATRIX.tobytes()).reshape(3, 2),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_a_matrix_of_any_kind(matrix):
    expected = np.asarray(matrix, dtype=float).sum(axis=1)
    assert np.asarray(mc.compile(summed)(matrix)) == pytest.approx(expected)


WIDE = np.arange(13 * 11.0).reshape(13, 11)
LAYOUTS = {
    "C order": WIDE,
    "Fortran order": np.asfortranarray(WIDE),
    "float32": WIDE.astype(np.float32),
    "misaligned": np.frombuffer(b"x" + WIDE.tobytes(), "f8", WIDE.size, 1).reshape(WIDE.shape),
    "rows of a wider one": np.hstack([WIDE, WIDE])[:, :11],
    "every other column": np.repeat(WIDE, 2, axis=1)[:, ::2],
    "columns from right to left": WIDE[:, ::-1].copy()[:, ::-1],
    "rows from bottom to top": WIDE[::-1].copy()[::-1],
    "one row for all": np.broadcast_to(WIDE[:1], WIDE.shape),
}


@pytest.mark.parametrize("matrix", LAYOUTS.values(), ids=LAYOUTS)
def test_columns_are_read_one_by_one_or_together(matrix):
    """The sixth column is not read, so that those before and those after stand apart."""
    f = mc.compile(lambda x: [a * (k + 1.0) for k, a in enumerate(x) if k != 5], executor="vector")
    expected = np.delete(matrix * np.arange(1.0, 12.0), 5, axis=1)
    assert f(matrix).tolist() == expected.tolist()


class Pair(ctypes.Structure):
    _fields_ = [("a", ctypes.c_double), ("b", ctypes.c_double)]


class Row:
    """Says another length than it has."""

    def __init__(self, length, numbers):
        self.length, self.numbers = length, numbers

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(self.numbers)


BAD = {
    "a row that ends early": ([Row(3, [1.0, 2.0])] * 2, ValueError, "'x': row 0.* 3.*2 numbers"),
    "a row that goes on": (
        [Row(2, [1.0, 2.0]), Row(2, [1.0, 2.0, 3.0])],
        ValueError,
        "'x': row 1.* 2.*more numbers",
    ),
    "a row without end": ([Row(2, itertools.repeat(1.0))], ValueError, "'x': row 0.* 2.*more"),
    "a ctypes number": (ctypes.c_double(3.0), ValueError, r"'x'.*got \(\)"),
    "3-d ctypes": ((((ctypes.c_double * 2) * 2) * 2)(), ValueError, r"'x'.*got \(2, 2, 2\)"),
    "ctypes structures": ((Pair * 2)(), TypeError, "'x'.*format"),
    "long doubles": (np.zeros(2, dtype="g"), TypeError, "'x'.*format 'g'"),
    "dates": (np.zeros(2, dtype="M8[s]"), ValueError, "buffer"),
    "fields": (np.zeros(2, dtype=[("a", "u1"), ("x", "f8")]), TypeError, "'x'.*format"),
    "a set": ({1.0, 2.0}, TypeError, "'x'.*set"),
    "a dict": ({1.0: 2.0}, TypeError, "'x'.*dict"),
    "rows of bytes": ([b"ab", b"cd"], TypeError, "'x'.*bytes"),
    "a number": (3.0, ValueError, r"'x'.*\(B,\) or \(B, n\), got \(\)"),
    "0-d": (np.array(3.0), ValueError, r"'x'.*got \(\)"),
    "3-d": (np.zeros((2, 2, 2)), ValueError, r"'x'.*got \(2, 2, 2\)"),
    "3-d lists": ([[[1.0]]], ValueError, "'x'.*got"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, r"'x'.*one length.*\(2,\).*\(1,\)"),
    "mixed depth": ([1.0, [2.0]], ValueError, "'x'.*one length"),
    "text": ("abc", TypeError, "'x'.*str"),
    "bytes": (b"abc", TypeError, "'x'.*bytes"),
    "texts": (["a"], TypeError, "'x'.*str"),
    "None": (None, TypeError, "'x'.*NoneType"),
    "Nones": ([None, None], TypeError, "'x'.*NoneType"),
    "complex": (np.array([1j]), TypeError, "'x'"),
    "objects": (np.array([object()]), TypeError, "'x'"),
}


@pytest.mark.parametrize(("bad", "error", "words"), BAD.values(), ids=BAD)
def test_a_bad_argument_is_named_with_what_was_expected_and_what_came(bad, error, words, w):
    def fn(x):
        return (x[0] if isinstance(x, list) else x) * w

    f = mc.compile(fn)
    for call in (f, f.value_and_grad):
        with pytest.raises(error, match=words):
            call(bad)
    with pytest.raises(error, match=words):
        f.fit(bad, optimizer=mc.optim.SGD([w], lr=0.1), steps=1)
    assert (w.data, w.grad) == (2.0, 5.0)


def test_arguments_must_agree_in_the_number_of_samples():
    with pytest.raises(ValueError, match=r"'y'.*\(3,\).*'x'.*\(2,\)"):
        mc.compile(lambda x, y: x * y)([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"'y'.*\(3, 1\).*got \(2, 1\)"):
        mc.compile(lambda x, y: x * y[0])([1.0, 2.0, 3.0], [[1.0], [2.0]])


def test_no_arguments_at_all():
    with pytest.raises(TypeError, match="needs an array"):
        mc.compile(lambda: Value(1.0))()


def test_too_many_arguments_are_pythons_own_error():
    with pytest.raises(TypeError, match="positional argument"):
        mc.compile(twice)([1.0], [1.0])


def test_buffers_are_released_after_the_call():
    numbers = array.array("d", [1.0, 2.0])
    mc.compile(twice)(numbers)
    numbers.append(3.0)  # BufferError while somebody holds its buffer


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [(3.0, IndexError, "index 3.*3 values.*sample 1"), (0.5, TypeError, "whole number.*sample 1")],
)
def test_an_index_that_chooses_nothing_leaves_everything_as_it_was(index, error, words, w):
    f = mc.compile(lambda i: mc.take([w, w * 2, w * 3], i))
    assert f([-1.0, 2.0]).tolist() == [6.0, 6.0]
    for call in (f, f.value_and_grad):
        with pytest.raises(error, match=words):
            call([0.0, index])
    assert (w.data, w.grad) == (2.0, 5.0)


# -- results --------------------------------------------------------------------------------------


def test_outputs_are_a_buffer_that_numpy_takes_without_a_copy():
    outputs = mc.compile(lambda x: [x, x * 2, x * x])([1.0, 2.0])
    first, second = np.asarray(outputs), np.asarray(outputs)
    assert first.shape == outputs.shape == (2, 3) and first.dtype == np.float64
    first[0, 0] = 9.0
    assert second[0, 0] == 9.0 and outputs[0] == [9.0, 2.0, 1.0]
    assert len(outputs) == 2 and outputs[-1] == [2.0, 4.0, 4.0] and outputs[1, 2] == 4.0
    assert list(outputs) == outputs.tolist() == outputs[:]
    with pytest.raises(IndexError):
        outputs[2]


def test_outputs_show_their_numbers_and_of_many_those_at_the_ends():
    f = mc.compile(twice)
    assert repr(f([1.0, 2.5])) == "Outputs([2.0, 5.0])"
    assert repr(mc.compile(lambda x: [x, -x])([1.0])) == "Outputs([[1.0, -1.0]])"
    many = "Outputs([0.0, 2.0, 4.0, ..., 194.0, 196.0, 198.0], shape=(100,))"
    assert repr(f(range(100))) == many
    wide = repr(mc.compile(lambda x: [x + k for k in range(50)])([0.0] * 10_000))
    assert wide.startswith("Outputs([[0.0, 1.0, 2.0, ..., 47.0, 48.0, 49.0], [")
    assert wide.endswith("]], shape=(10000, 50))") and len(wide) < 400


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))]
)
def test_results_can_be_copied_and_pickled(copied):
    pair = mc.compile(lambda x: ([[x, x * x], [-x, x / 3]], x, [x]))([1.0, 2.5])
    for result in [*pair, mc.compile(lambda x: [x, x])([])]:
        again = copied(result)
        assert (type(again), again.shape) == (type(result), result.shape)
        assert again.tolist() == result.tolist()
        np.asarray(again)[...] = 7.0
        assert again.tolist() != result.tolist() or not len(result)


def test_results_are_numpy_arrays_where_an_argument_is_one():
    f = mc.compile(lambda x, y: x * y)
    numbers = np.array([1.0, 2.0])
    for result in (f(numbers, [3.0, 4.0]), f([3.0, 4.0], numbers)):
        assert type(result) is np.ndarray and result.dtype == np.float64
        assert result.tolist() == [3.0, 8.0]
        result += 1.0  # nobody else's memory
    assert type(f([3.0, 4.0], [1.0, 2.0])) is mc.compiled.Outputs
    assert mc.compile(lambda x: [x, x])(numbers).shape == (2, 2)


def test_outputs_outlive_their_function():
    numbers = np.asarray(mc.compile(twice)([1.0, 2.0]))
    assert numbers.tolist() == [2.0, 4.0]


def test_a_list_of_results_is_for_evaluation_only(w):
    f = mc.compile(lambda x: [x * w])
    assert np.asarray(f([1.0])).shape == (1, 1)
    with pytest.raises(TypeError, match=r"value_and_grad.*list"):
        f.value_and_grad([1.0])
    assert w.grad == 5.0


@pytest.mark.parametrize("result", [3.0, None, "x", [1.0]])
def test_a_result_that_is_no_value(result):
    with pytest.raises(TypeError, match="compile: expected the function to return"):
        mc.compile(lambda x: result)([1.0])


def test_results_without_a_sample_in_them(w):
    f = mc.compile(lambda x: w * 3)
    assert f([1.0, 2.0]).tolist() == [6.0, 6.0]
    assert f.value_and_grad([1.0, 2.0]) == 6.0 and w.grad == 3.0
    g = mc.compile(lambda x: w * 3, reduction="sum")
    assert g.value_and_grad([1.0, 2.0]) == 12.0 and w.grad == 6.0


def test_nobody_asks_for_an_arguments_name_while_all_is_well():
    """It is for messages; looking it up for every number of a list takes longer than all else."""

    def name_of(k):
        raise AssertionError(k)

    for rows in ([1, 2.5, True] * 100, [(1.0, np.float32(2.0))] * 100, [np.array(1.0)] * 3):
        assert _core.Arguments((rows,), name_of).size == len(rows)


def test_sizes_that_no_memory_holds_are_refused():
    class Long:
        def __len__(self):
            return 2**61

        def __iter__(self):
            return iter([1.0] * 10_000)

    f = mc.compile(lambda x: x[0])
    with pytest.raises(MemoryError):
        f([Long()])
    with pytest.raises(ValueError, match="768614336404564650 columns"):
        f(np.broadcast_to(np.float64(1.0), (1, 768614336404564650)))
    for size, of_sample in ((2**61, (8,)), (2**62, ()), (-1, (2,))):
        with pytest.raises(MemoryError):
            _core.Outputs(size, of_sample)


@pytest.mark.parametrize("index", [3, -4, 10**30, -(10**30)])
def test_a_place_that_no_result_has(index):
    for out in (mc.compile(lambda x: x)([1.0] * 3), mc.compile(lambda x: [x, x])([1.0] * 3)):
        assert out[2] == out[-1]
        with pytest.raises(IndexError, match=f"{index} is out of range for 3"):
            out[index]


def test_a_function_that_does_not_tell_its_signature():
    class Secretive:
        @property
        def __signature__(self):
            raise RuntimeError("secret")

        def __call__(self, x):
            return x

    f = mc.compile(Secretive())
    assert f([1.0]).tolist() == [1.0]
    with pytest.raises(TypeError, match="argument '0'"):
        f("abc")


def test_columns_of_results():
    out = mc.compile(lambda x: [x, x * 10])([1.0, 2.0, 3.0])
    array = np.asarray(out)
    for index in (
        (slice(None), 1),
        (slice(0, 2), 1),
        (slice(None), slice(None, None, -1)),
        (2, 0),
        (-1, slice(1)),
    ):
        assert out[index] == array[index].tolist()


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x.astype(np.float32),
        lambda x: x.astype(">f8"),
        lambda x: x.astype(np.int64),
        lambda x: np.stack([x[::-1]] * 2)[:, ::-1][0],
        lambda x: x.tolist(),
        memoryview,
        lambda x: x[:2],
        lambda x: x[:0],
        lambda x: np.repeat(x, 2)[::2],
    ],
)
def test_a_call_after_a_call_takes_any_kind_of_array_again(other):
    """A call like the one before reads arrays where they are; it gives what a new function does."""
    w = Value(1.5)
    f = mc.compile(lambda x: (w * x).tanh())
    x = np.array([1.0, 2.0, -3.0, 4.0, 0.0])
    for arrays in (x, other(x), x, other(x)):
        loss, grad = f.value_and_grad(arrays), w.grad
        expected = mc.compile(lambda x: (w * x).tanh()).value_and_grad(arrays)
        assert repr((loss, grad)) == repr((expected, w.grad))


def test_a_call_after_a_call_refuses_what_the_first_would():
    w = Value(1.5)
    f = mc.compile(lambda x, y: (w * x - y) ** 2)
    x = np.array([1.0, 2.0])
    f.value_and_grad(x, x)
    with pytest.raises(ValueError, match=r"expected shape \(2,\)"):
        f.value_and_grad(x, x[:1])
    with pytest.raises(TypeError, match="got bytes"):
        f.value_and_grad(x, bytes(16))
    with pytest.raises(TypeError, match=r"missing|positional"):
        f.value_and_grad(x)
    f.value_and_grad(x, x)
    x.resize(5, refcheck=False)  # nothing holds the array's memory between calls
