# SPDX-License-Identifier: MIT
"""Functions that return structures of Values: compiled, they give the same structure of batches."""

from collections import namedtuple

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import Value, compile, grad, gradients, hessian, hvp, jacobian, jvp, vjp, where

Pair = namedtuple("Pair", "first second")
SAMPLES = [0.5, -1.25, 2.0]


@pytest.fixture
def w():
    return Value(2.0)


def batched(results):
    """What one call a sample gives, as one structure of nested lists with the sample first."""
    first = results[0]
    if isinstance(first, dict):
        return {key: batched([result[key] for result in results]) for key in first}
    if isinstance(first, tuple):
        parts = [batched([result[k] for result in results]) for k in range(len(first))]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return [numbers(result) for result in results]


def numbers(part):
    if isinstance(part, list):
        return [numbers(item) for item in part]
    return part.data if isinstance(part, Value) else float(part)


def as_lists(structure):
    """A compiled function's results, with lists for buffers."""
    if isinstance(structure, dict):
        return {key: as_lists(part) for key, part in structure.items()}
    if isinstance(structure, tuple):
        parts = [as_lists(part) for part in structure]
        return type(structure)(*parts) if hasattr(structure, "_fields") else tuple(parts)
    return structure.tolist()


STRUCTURES = {
    "a Value": lambda x, w: x * w,
    "a list": lambda x, w: [x, x * w, w],
    "a list of one": lambda x, w: [x * w],
    "a list of lists": lambda x, w: [[x, w, x * x], [x + 1.0, x * 2.0, w * w]],
    "a list of lists of one": lambda x, w: [[x], [x * w]],
    "a tuple": lambda x, w: (x, x * w),
    "a tuple of one": lambda x, w: (x * w,),
    "a dict": lambda x, w: {"mean": x * w, 3: [x, w]},
    "a named tuple": lambda x, w: Pair(x * w, [x, -x]),
    "nested": lambda x, w: ({"a": (x, [w, x]), "b": [[x, w], [w, x]]}, (), {"c": ((x,),)}),
    "numbers among Values": lambda x, w: ([x, 1, 0.5], (np.float64(2.5), x)),
    "the same Value twice": lambda x, w: [[x, x], [x, x]],
    "parameters only": lambda x, w: (w, [w * w, 3.0]),
    "leaves of its own": lambda x, w: [Value(4.0), x],
}


@pytest.mark.parametrize("fn", STRUCTURES.values(), ids=STRUCTURES)
def test_the_compiled_functions_structure_is_the_eager_ones(fn, w):
    f = compile(lambda x: fn(x, w))
    eager = batched([fn(Value(x), w) for x in SAMPLES])
    buffers = f(SAMPLES)
    assert as_lists(buffers) == eager
    arrays = f(np.array(SAMPLES))
    assert as_lists(arrays) == eager
    assert as_lists(f(SAMPLES[:1])) == batched([fn(Value(SAMPLES[0]), w)])


def test_parts_are_arrays_where_an_argument_is_one_and_else_buffers(w):
    f = compile(lambda x: {"one": x, "rows": [[x, w], [w, x], [x, x]]})
    results = f(np.array(SAMPLES))
    assert {key: type(part) for key, part in results.items()} == {
        "one": np.ndarray,
        "rows": np.ndarray,
    }
    assert results["one"].shape == (3,) and results["rows"].shape == (3, 3, 2)
    assert results["rows"].flags["C_CONTIGUOUS"] and results["rows"].dtype == np.float64
    results["one"] += 1.0  # nobody else's memory
    assert results["rows"][:, 0, 0].tolist() == SAMPLES
    buffers = f(SAMPLES)
    assert type(buffers["one"]) is type(buffers["rows"]) is mc.compiled.Outputs


def test_a_buffer_of_three_dimensions(w):
    out = compile(lambda x: [[x, x * 2.0, x * 3.0], [w, w, w]])([1.0, 2.0])
    assert out.shape == (2, 2, 3) and len(out) == 2
    view = memoryview(out)
    assert (view.shape, view.strides, view.format, view.c_contiguous) == (
        (2, 2, 3),
        (48, 24, 8),
        "d",
        True,
    )
    assert np.asarray(out).tolist() == out.tolist() == list(out) == view.tolist()
    assert out[1] == [[2.0, 4.0, 6.0], [2.0, 2.0, 2.0]] and out[-2] == out[0]
    assert out[0, 1] == [2.0, 2.0, 2.0] and out[1, 0, 2] == 6.0 and out[1, 0, -1] == 6.0
    assert out[1:] == [out[1]] and out[1, 0, 1:] == [4.0, 6.0]
    array = np.asarray(out)
    array[0, 0, 0] = 9.0
    assert out[0, 0, 0] == 9.0
    assert repr(out) == (
        "Outputs([[[9.0, 2.0, 3.0], [2.0, 2.0, 2.0]], [[2.0, 4.0, 6.0], [2.0, 2.0, 2.0]]])"
    )


def test_indices_and_slices_of_every_dimension(w):
    out = compile(lambda x: [[x, w, x + 1.0], [w * x, x, x * x]])(SAMPLES)
    array = np.asarray(out)
    for index in [
        (slice(None), 1),
        (slice(None), slice(None), 1),
        (0, slice(None), 1),
        (slice(1), slice(None, None, -1), slice(1, None)),
        (1, -1),
        (-1, 0, 2),
    ]:
        assert out[index] == array[index].tolist()
    for index in [(), (0, 0, 0, 0), (0, 2), (3,), 3, (slice(None), 2)]:
        with pytest.raises(IndexError):
            out[index]


def test_a_large_result_shows_its_ends_in_each_dimension():
    out = compile(lambda x: [[x + k for k in range(30)] for _ in range(40)])([0.0] * 50)
    shown = repr(out)
    row = "[0.0, 1.0, 2.0, ..., 27.0, 28.0, 29.0]"
    assert shown.startswith(f"Outputs([[{row}, {row}, {row}, ..., {row}")
    assert shown.endswith("shape=(50, 40, 30))")


def test_an_empty_batch_keeps_the_structure():
    results = compile(lambda x: ([[x, x]], {"a": x}))(np.empty(0))
    assert results[0].shape == (0, 1, 2) and results[1]["a"].shape == (0,)
    assert compile(lambda x: [[x, x]])([]).tolist() == []


def test_every_block_and_thread_writes_to_its_place(w):
    xs = np.linspace(-1.0, 1.0, 5003)
    for threads in (1, 2):
        f = compile(lambda x: (x * w, [[x, x + w], [x * x, w]]), threads=threads)
        one, rows = f(xs)
        assert np.array_equal(one, xs * 2.0)
        expected = np.stack([xs, xs + 2.0, xs * xs, np.full_like(xs, 2.0)], axis=1)
        assert np.array_equal(rows.reshape(-1, 4), expected)


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda x: None, TypeError, "got NoneType$"),
        (lambda x: [x, None], TypeError, r"got NoneType as result\[1\]$"),
        (lambda x: {"a": [[x, x], [x, "b"]]}, TypeError, r"got str as result\['a'\]\[1\]\[1\]$"),
        (lambda x: (x, {"k": x.data > 0}), mc.TraceError, r"\.data"),
        (lambda x: (x, {"k": True}), TypeError, r"got bool as result\[1\]\['k'\]; where\("),
        (lambda x: [x, np.bool_(True)], TypeError, r"got bool_? as result\[1\]; where\("),
        (lambda x: [[x, x], [x]], ValueError, r"2 item.*result\[0\] and 1 as result\[1\]"),
        (lambda x: {"a": [[x], [x, x]]}, ValueError, r"1 item.*\['a'\]\[0\] and 2 .*\['a'\]\[1\]"),
        (lambda x: [x, [x]], TypeError, r"Value as result\[0\] and list as result\[1\]"),
        (lambda x: ([[x], x],), TypeError, r"list as result\[0\]\[0\] and Value as .*\[0\]\[1\]"),
        (lambda x: [], ValueError, "an empty list$"),
        (lambda x: (x, []), ValueError, r"an empty list as result\[1\]"),
        (lambda x: [[x], []], ValueError, r"an empty list as result\[1\]"),
        (lambda x: [[[x]]], TypeError, r"list as result\[0\]\[0\]; lists have up to two levels"),
        (lambda x: [(x, x)], TypeError, r"tuple as result\[0\]; tuples and dicts hold lists"),
        (lambda x: [{"a": x}], TypeError, r"dict as result\[0\]; tuples and dicts hold lists"),
        (lambda x: (), TypeError, r"there is no Value in \(\)"),
        (lambda x: (1.0, [2.0]), TypeError, "there is no Value in"),
        (lambda x: {x}, TypeError, "got set"),
        (lambda x: np.array([x, x]), TypeError, "got ndarray"),
        (lambda x: [x, 1j], TypeError, r"got complex as result\[1\]"),
    ],
)
def test_what_is_no_structure_of_values_is_refused_with_its_place(fn, error, words):
    f = compile(fn)
    with pytest.raises(error, match=words):
        f([1.0, 2.0])
    assert mc.tape_stats().live >= 0 and (Value(1.0) * 2).data == 2.0  # nothing is being recorded


def test_a_structure_without_an_end_is_an_error():
    def fn(x):
        result = {"x": x}
        result["again"] = result
        return result

    with pytest.raises(RecursionError):
        compile(fn)([1.0])


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (lambda x: [x], "got a list of 1$"),
        (lambda x: [[x, x], [x, x]], "got a list of 2 of lists of 2$"),
        (lambda x: (x, x), "got a tuple$"),
        (lambda x: {"loss": x}, "got a dict$"),
    ],
)
def test_a_loss_is_one_value(fn, words, w):
    f = compile(lambda x: fn(x * w))
    with pytest.raises(TypeError, match="value_and_grad: expected .* a Value, " + words):
        f.value_and_grad([1.0])
    with pytest.raises(TypeError, match="fit: expected .* a Value, " + words):
        f.fit([1.0], optimizer=mc.optim.SGD([w], lr=0.1), steps=1)
    assert (w.data, w.grad) == (2.0, 0.0)


def test_leaves_that_the_function_makes_and_returns_are_no_parameters(w):
    f = compile(lambda x: [Value(4.0), x * w, gradients(x * w, [w, x])[1], Value(1.0)])
    assert f([1.0]).tolist() == [[4.0, 2.0, 2.0, 1.0]]
    assert f.stats().parameters == 1


def test_a_leaf_that_is_kept_is_still_a_parameter():
    kept = Value(4.0)
    f = compile(lambda x: [kept, x])
    assert f([1.0]).tolist() == [[4.0, 1.0]] and f.stats().parameters == 1
    kept.data = 5.0
    assert f([1.0]).tolist() == [[5.0, 1.0]]


# -- derivatives of one sample inside a compiled function ------------------------------------------


def energy(p):
    return (p[0] * p[1]).tanh() * p[0].exp() + where(p[1] > 0.0, p[1] ** 3, p[0] * p[1])


def fields(p):
    return [p[0] * p[1], p[0].sin() + p[1], p[1] * p[1]]


V = Value(0.75)  # a parameter

DERIVATIVES = {
    "grad": lambda p: grad(energy)(p),
    "value and gradient": lambda p: mc.value_and_grad(energy)(p),
    "hessian": lambda p: hessian(energy)(p),
    "jacobian, reverse": lambda p: jacobian(fields, mode="reverse")(p),
    "jacobian, forward": lambda p: jacobian(fields, mode="forward")(p),
    "jvp": lambda p: jvp(fields, (p,), ([1.0, 2.0],)),
    "vjp": lambda p: vjp(fields, p)[1]([1.0, p[0], 0.5]),
    "hvp": lambda p: hvp(energy, (p,), ([0.5, p[1]],)),
    "by a parameter": lambda p: gradients(energy([p[0] * V, p[1]]), [V]),
    "by a parameter and inputs": lambda p: gradients((p[0] * V).tanh() * p[1] * V, [V, *p]),
    "by a parameter, twice": lambda p: gradients(
        gradients((p[0] * V).tanh() * p[1], [V])[0], [V, p[0]]
    ),
    "grad of grad": lambda p: grad(lambda x: grad(lambda y: y**3 * V + y.sin())(x) * x)(p[0]),
    "of an inner Value": lambda p: gradients((z := p[0] * p[1]).exp() * z, [z]),
    "of what does not depend on it": lambda p: gradients(p[0] * 2.0, [p[1], V, p[0]]),
}
POINTS = np.array([[0.3, -0.8], [1.5, 0.25], [-0.7, 0.9], [0.0, 1.0], [2.0, -2.0]] * 9)


@pytest.mark.parametrize("fn", DERIVATIVES.values(), ids=DERIVATIVES)
def test_per_sample_derivatives_are_the_eager_ones(fn):
    compiled = as_lists(compile(fn)(POINTS))
    eager = batched([fn([Value(a), Value(b)]) for a, b in POINTS.tolist()])
    flat_compiled, flat_eager = np.array(flat(compiled)), np.array(flat(eager))
    assert flat_compiled == pytest.approx(flat_eager, rel=1e-12, abs=1e-14)
    assert np.any(flat_compiled != 0.0)


def flat(structure):
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [number for part in structure for number in flat(part)]
    return [structure]


def test_a_compiled_hessian_is_symmetric_to_the_bit():
    rows = compile(hessian(energy))(POINTS)
    assert rows.shape == (len(POINTS), 2, 2)
    assert np.array_equal(rows, rows.transpose(0, 2, 1))


def test_a_loss_of_derivatives_is_trained_through_them(w):
    """d/dw of (u'(x) - 1)^2 with u = tanh(w x)."""
    f = compile(lambda x: (grad(lambda y: (w * y).tanh())(x) - 1.0) ** 2)
    f.value_and_grad(SAMPLES)
    expected = []
    for x in SAMPLES:
        t = np.tanh(2.0 * x)
        slope = 2.0 * (1 - t * t)
        by_w = (1 - t * t) - 2.0 * 2.0 * t * (1 - t * t) * x
        expected.append(2 * (slope - 1.0) * by_w)
    assert w.grad == pytest.approx(np.mean(expected), rel=1e-12)


def test_names_of_arguments_are_those_of_the_function_that_is_differentiated():
    def speed(position):
        return position * position

    with pytest.raises(TypeError, match="argument 'position'"):
        compile(grad(speed))("abc")
