# SPDX-License-Identifier: MIT
"""What compile() takes, gives and refuses; a refused call leaves everything as it was."""

import array
import copy
import math

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import TraceError, Value


@pytest.fixture
def w():
    value = Value(2.0)
    value.grad = 5.0
    return value


def without_gradient(x, w):
    with mc.no_grad():
        return x * w


def with_closure(x, w):
    out = Value(1.0, (x, w), "own")
    out._backward = lambda: None
    return out


def assign(field):
    def assigning(x, w):
        setattr(x, field, 1.0)
        return x * w

    return assigning


def assign_to_weight(x, w):
    w.data = 3.0
    return x * w


def backward_inside(x, w):
    y = x * w
    y.backward()
    return y


REFUSED = {
    ".data": lambda x, w: w * x.data,
    ".data of a result": lambda x, w: w * (x * w).data,
    ".item()": lambda x, w: w * x.item(),
    ".grad": lambda x, w: w * x.grad,
    "less": lambda x, w: x if x < 0 else w,
    "greater than a weight": lambda x, w: x if w > x else w,
    "max": lambda x, w: max(x, w),
    "format": lambda x, w: w * float(f"{x:.2f}"),
    "detach": lambda x, w: w * x.detach(),
    "no_grad": without_gradient,
    "copy": lambda x, w: w * copy.copy(x),
    "custom": lambda x, w: mc.custom(3.0, [x], [1.0]),
    "a chain rule in Python": with_closure,
    "assigning data": assign("data"),
    "assigning grad": assign("grad"),
    "assigning a weight's data": assign_to_weight,
    "backward": backward_inside,
}


@pytest.mark.parametrize("fn", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("call", ["outputs", "value_and_grad", "fit"])
def test_what_would_bake_in_one_samples_number_is_refused(fn, call, w):
    f = mc.compile(lambda x: fn(x, w))
    optimizer = mc.optim.SGD([w], lr=0.1)
    calls = {
        "outputs": lambda: f([1.0, 2.0]),
        "value_and_grad": lambda: f.value_and_grad([1.0, 2.0]),
        "fit": lambda: f.fit([1.0, 2.0], optimizer=optimizer, steps=3),
    }
    with pytest.raises(TraceError):
        calls[call]()
    assert (w.data, w.grad) == (2.0, 5.0)
    assert (w * 3).data == 6.0 and w.item() == 2.0  # nothing is being recorded any more


def test_the_error_says_what_was_done_and_what_to_do_instead(w):
    with pytest.raises(TraceError, match=r"\.data of a Value that depends on an input.*where\(\)"):
        mc.compile(lambda x: w * x.data)([1.0])


def test_an_exception_of_the_function_comes_through(w):
    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        mc.compile(fails).value_and_grad([1.0])
    with pytest.raises(ZeroDivisionError):
        mc.compile(lambda x: x * (w / (w - 2.0)))([1.0])


def test_identity_truth_and_repr_of_an_input_are_no_numbers():
    def fn(x):
        assert x == x and x and hash(x) and "sample" in repr(x)
        return x

    assert mc.compile(fn)([3.0]).tolist() == [3.0]


def test_a_number_that_depends_on_no_input_may_be_read_and_is_read_anew_when_it_changes(w):
    f = mc.compile(lambda x: x * w.data)
    assert f([1.0, 2.0]).tolist() == [2.0, 4.0]
    w.data = 3.0
    assert f([1.0, 2.0]).tolist() == [3.0, 6.0]
    g = mc.compile(lambda x: x * w if (w * w).data < 10 else x)
    assert g([1.0]).tolist() == [3.0]
    w.data = 4.0
    assert g([1.0]).tolist() == [1.0]


def test_fit_does_not_train_what_the_function_reads_as_a_number(w):
    f = mc.compile(lambda x: x * w.data * w)
    with pytest.raises(TraceError, match="fit"):
        f.fit([1.0], optimizer=mc.optim.SGD([w], lr=0.1), steps=2)
    assert (w.data, w.grad) == (2.0, 5.0)


# -- arguments ------------------------------------------------------------------------------------


def twice(x):
    return x * 2


def summed(xs):
    return mc.sum(xs)


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
    "read-only": np.frombuffer(MATRIX.tobytes()).reshape(3, 2),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_a_matrix_of_any_kind(matrix):
    expected = np.asarray(matrix, dtype=float).sum(axis=1)
    assert np.asarray(mc.compile(summed)(matrix)) == pytest.approx(expected)


BAD = {
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


# -- parameters and programs ----------------------------------------------------------------------


def test_assigned_data_is_seen_by_the_next_call(w):
    f = mc.compile(lambda x: x * w)
    assert f([1.0]).tolist() == [2.0]
    w.data = 7.0
    assert f([1.0]).tolist() == [7.0]
    f.value_and_grad([3.0])
    assert w.grad == 3.0


def test_a_parameter_that_the_result_does_not_move_with_gets_a_zero_gradient(w):
    f = mc.compile(lambda x: mc.where(True, x, w))
    f.value_and_grad([1.0])
    assert w.grad == 0.0


def test_a_parameter_made_in_the_function_and_kept_is_trained():
    kept = []

    def fn(x):
        if not kept:
            kept.append(Value(2.0))
        return x * kept[0]

    mc.compile(fn).value_and_grad([1.0, 3.0])
    assert kept[0].grad == 2.0


def test_the_function_runs_once_for_each_structure_of_arguments():
    calls = []

    def fn(xs):
        calls.append(len(xs))
        return mc.sum(xs)

    f = mc.compile(fn)
    for width in (2, 3, 2, 3, 2):
        assert f(np.ones((4, width))).tolist() == [width] * 4
    assert calls == [2, 3]


def test_a_compiled_function_inside_another_is_part_of_its_graph(w):
    inner = mc.compile(lambda x: x * w)
    outer = mc.compile(lambda x: inner(x) + 1)
    assert outer([1.0, 2.0]).tolist() == [3.0, 5.0]
    outer.value_and_grad([4.0])
    assert w.grad == 4.0


def test_stats_and_listing_show_what_became_of_the_graph(w):
    f = mc.compile(lambda x: x * w + x * w)
    with pytest.raises(ValueError, match="call the function first"):
        f.stats()
    f([1.0])
    stats = f.stats()
    assert stats.recorded_nodes == 5 and stats.optimised_nodes == 4 and stats.parameters == 1
    assert stats.bytes > 0 and stats.lanes >= 1 and stats.level in mc._core.levels()
    assert "input 0" in str(f) and "mul" in str(f)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"fn": 3}, TypeError),
        ({"fn": twice, "reduction": "max"}, ValueError),
        ({"fn": twice, "threads": 0}, ValueError),
        ({"fn": twice, "threads": 1.5}, ValueError),
    ],
)
def test_bad_calls_of_compile(arguments, error):
    with pytest.raises(error, match="compile: expected"):
        mc.compile(**arguments)


def test_an_unknown_pass_cannot_be_left_out():
    with pytest.raises(ValueError, match="expected passes among constants"):
        mc.compile(twice, skip=("magic",))([1.0])


def test_the_tape_is_as_before_when_a_function_has_been_recorded(w):
    mc._core.compact()
    before = mc.tape_stats().nodes
    f = mc.compile(lambda x: (x * w).tanh())
    f.value_and_grad([1.0, 2.0])
    assert mc.tape_stats().nodes == before
    assert math.isfinite(w.grad)


# -- what stands around the call -------------------------------------------------------------------


def test_no_grad_around_the_first_call_does_not_matter():
    w = Value(2.0)
    f = mc.compile(lambda x: (w * x).tanh())
    with mc.no_grad():
        assert f([1.0]).tolist() == [math.tanh(2.0)]
        assert (w * 2)._op == ""  # it is on again
    assert (w * 2)._op == "*"
    f.value_and_grad([1.0])
    assert w.grad == pytest.approx(1 - math.tanh(2.0) ** 2)


def test_no_grad_that_a_function_leaves_open_ends_with_it():
    def careless(x):
        mc.no_grad().__enter__()
        return x

    assert mc.compile(careless)([1.0]).tolist() == [1.0]
    w = Value(2.0)
    assert (w * 2)._op == "*"


def test_compile_is_a_decorator_with_and_without_options():
    w = Value(2.0)

    @mc.compile
    def plain(x):
        """Doubles."""
        return w * x

    @mc.compile(reduction="sum", threads=1)
    def summed(x):
        return w * x

    assert plain.value_and_grad([1.0, 3.0]) == 4.0
    assert summed.value_and_grad([1.0, 3.0]) == 8.0
    assert plain.__doc__ == "Doubles."
