# SPDX-License-Identifier: MIT
"""How to sweep and whether to record: backward, accumulate_grads, no_grad."""

import threading
from fractions import Fraction

import numpy as np
import pytest
from common import closure_node, grads, leaves, nodes_without_garbage

from micrograd_c import (
    Value,
    _core,
    accumulate_grads,
    clip,
    custom,
    dot,
    no_grad,
    take,
    tape_stats,
    topological_sort,
    where,
)
from micrograd_c import sum as fused_sum

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- backward and accumulation ---------------------------------------------------------------------


def test_backward_starts_afresh_by_default():
    x = Value(3.0)
    y = x * x
    for _ in range(2):
        y.backward()
        assert grads(x, y) == [6.0, 1.0]


@pytest.mark.parametrize("graph", ["built in", "closure"])
def test_accumulation_adds_to_leaves_and_to_nothing_else(graph):
    x = Value(3.0)
    y = x * x if graph == "built in" else closure_node(x, x, x, x, x, x)
    z = y * 2
    x.grad = 100.0
    for expected in (112.0, 124.0):
        z.backward(accumulate=True)
        assert grads(x, y, z) == [expected, 2.0, 1.0]
    z.backward(accumulate=False)
    assert grads(x, y, z) == [12.0, 2.0, 1.0]


def test_two_losses_accumulate_as_in_pytorch():
    x = Value(2.0)
    (x * 3).backward(accumulate=True)
    (x * x).backward(accumulate=True)
    assert x.grad == 7.0


def test_a_leaf_as_root_accumulates_its_seed():
    x = Value(2.0)
    x.backward(accumulate=True)
    x.backward(accumulate=True)
    assert x.grad == 2.0


def test_the_default_of_backward_is_what_was_last_set():
    x = Value(2.0)
    y = x * 3
    accumulate_grads()
    y.backward()
    y.backward(accumulate=None)
    assert x.grad == 6.0
    y.backward(accumulate=False)
    assert x.grad == 3.0
    accumulate_grads(False)
    y.backward()
    assert x.grad == 3.0
    accumulate_grads(on=True)
    y.backward()
    assert x.grad == 6.0


def test_the_lessons_exercise_of_forgotten_zeroing():
    x = Value(1.0)
    by_step = []
    for _ in range(3):
        (x * 2).backward(accumulate=True)
        by_step.append(x.grad)
    assert by_step == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("options", [{"accumulate": None}, {"accumulate": False}, {}])
def test_backward_takes_its_option_by_name_only(options):
    v = Value(3.0)
    v.grad = 5.0
    assert (v * v).backward(**options) is None
    assert v.grad == 6.0
    with pytest.raises(TypeError):
        v.backward(True)
    with pytest.raises(TypeError):
        v.backward(retain_graph=True)


# -- no_grad ---------------------------------------------------------------------------------------

# Everything that records, on two Values.
RECORDERS = {
    "+": lambda x, y: x + y,
    "+ number": lambda x, y: x + 1.0,
    "number -": lambda x, y: 2 - x,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "** 2": lambda x, y: x**2,
    "** Fraction": lambda x, y: x ** Fraction(1, 2),
    "** NumPy": lambda x, y: x ** np.int64(2),
    "neg": lambda x, y: -x,
    "abs": lambda x, y: abs(x),
    "tanh": lambda x, y: x.tanh(),
    "leaky_relu": lambda x, y: x.leaky_relu(),
    "maximum": lambda x, y: x.maximum(y),
    "sum": lambda x, y: fused_sum([x, y, 1.0]),
    "dot": lambda x, y: dot([x], [y], 1.0),
    "where": lambda x, y: where(x, y, 1.0),
    "clip": lambda x, y: clip(x, 0.0, y),
    "take": lambda x, y: take([x, y], Value(1)),
    "custom": lambda x, y: custom(1.0, [x, y], [2.0, 3.0]),
    "named custom": lambda x, y: custom(1.0, [x, y], [2.0, 3.0], op="mine"),
    "closure": lambda x, y: closure_node(x, y),
    "array": lambda x, y: np.array([x, y]) @ np.array([1.0, 2.0]),
}
each_recorder = pytest.mark.parametrize("record", RECORDERS.values(), ids=RECORDERS)


@each_recorder
@pytest.mark.parametrize("heavy", [False, True], ids=["light", "heavy"])
def test_results_inside_no_grad_are_leaves(record, heavy):
    x, y = leaves(0.5, 2.0)
    if heavy:
        x = closure_node(x)
    outside = record(x, y)
    with no_grad():
        inside = record(x, y)
    assert (type(inside), inside.data) == (Value, outside.data)
    assert (inside._prev, topological_sort(inside)) == (set(), [inside])
    x.grad = 7.0
    inside.backward()
    assert (inside.grad, x.grad) == (1.0, 7.0)
    assert record(x, y)._prev != set()


@pytest.mark.parametrize("name", [name for name in RECORDERS if name != "closure"])
def test_a_leaf_of_no_grad_has_no_operation(name):
    with no_grad():
        assert RECORDERS[name](*leaves(0.5, 2.0))._op == ""


@each_recorder
def test_nothing_stays_on_the_tape_inside_no_grad(record):
    x, y = leaves(0.5, 2.0)
    before = nodes_without_garbage()
    with no_grad():
        results = [record(x, y) for _ in range(10)]
        _core.compact()
        assert tape_stats().nodes == before + 10
    assert len(results) == 10


def test_no_grad_ends_with_its_block():
    x = Value(1.0)
    with no_grad() as manager:
        assert isinstance(manager, no_grad)
        assert (x * 2)._prev == set()
    assert (x * 2)._op == "*"


def test_no_grad_nests():
    x = Value(1.0)
    outer = no_grad()
    with outer:
        with no_grad():
            assert (x * 2)._op == ""
        assert (x * 2)._op == ""
        with outer:
            assert (x * 2)._op == ""
        assert (x * 2)._op == ""
    assert (x * 2)._op == "*"


def test_leaving_no_grad_once_too_often_does_nothing():
    x = Value(1.0)
    manager = no_grad()
    with manager:
        pass
    manager.__exit__(None, None, None)
    assert (x * 2)._op == "*"
    with no_grad():
        assert (x * 2)._op == ""


def test_no_grad_ends_with_an_exception_and_lets_it_through():
    x = Value(1.0)
    with pytest.raises(ZeroDivisionError), no_grad(), no_grad():
        x / 0
    assert (x * 2)._op == "*"


def test_no_grad_is_a_decorator():
    x = Value(3.0)

    @no_grad()
    def evaluate(scale, *, shift=0.0):
        """What it does."""
        return x * scale + shift

    @no_grad()
    def countdown(n):
        return x * n if n == 0 else countdown(n - 1)

    for _ in range(2):
        result = evaluate(2, shift=1.0)
        assert (result.data, result._prev) == (7.0, set())
        assert (x * 2)._op == "*"
    assert countdown(3)._op == ""
    assert (x * 2)._op == "*"
    assert (evaluate.__name__, evaluate.__doc__) == ("evaluate", "What it does.")


def test_no_grad_decorates_generators_while_their_own_code_runs():
    x = Value(3.0)
    closed = []

    @no_grad()
    def numbers(count):
        """What it does."""
        try:
            for k in range(count):
                try:
                    given = yield x * k
                except KeyError:
                    given = "caught"
                if given is not None:
                    yield (x + 1, given)
        finally:
            closed.append((x * 2)._op)
        return x * count

    def outer():
        return (yield from numbers(1))

    assert [v._op for v in numbers(3)] == [""] * 3
    steps = numbers(9)
    for result in steps:
        assert result._op == "" and (x * 2)._op == "*"
    steps = numbers(9)
    assert next(steps).data == 0.0 and (x * 2)._op == "*"
    result, given = steps.send("sent")
    assert (result._op, given) == ("", "sent") and (x * 2)._op == "*"
    next(steps)
    assert steps.throw(KeyError("mine"))[1] == "caught" and (x * 2)._op == "*"
    with pytest.raises(ZeroDivisionError):
        steps.throw(ZeroDivisionError)
    steps = numbers(9)
    next(steps)
    steps.close()
    assert closed == [""] * 4 and (x * 2)._op == "*"
    steps = outer()
    next(steps)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value._op == "" and (x * 2)._op == "*"
    assert (numbers.__name__, numbers.__doc__) == ("numbers", "What it does.")


def test_no_grad_refuses_to_decorate_async_functions():
    async def function():
        pass

    async def generator():
        yield

    for decorated in (function, generator):
        with pytest.raises(TypeError, match=r"write `with no_grad\(\):` inside"):
            no_grad()(decorated)


def test_no_grad_is_a_decorator_that_ends_with_an_exception():
    x = Value(3.0)

    @no_grad()
    def fail():
        return (-x).log()

    with pytest.raises(ValueError, match="log"):
        fail()
    assert (x * 2)._op == "*"


def test_no_grad_refuses_what_recording_refuses():
    with no_grad():
        for x in (Value(0.0), closure_node(Value(0.0))):
            before = nodes_without_garbage()
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    1 / x
                with pytest.raises(ValueError, match="log"):
                    x.log()
                with pytest.raises(ZeroDivisionError):
                    x**-1
                with pytest.raises(TypeError):
                    x + "x"
                with pytest.raises(TypeError):
                    fused_sum([x, "x"])
            assert tape_stats().nodes == before


def test_gradients_can_be_read_and_graphs_swept_inside_no_grad():
    x = Value(3.0)
    y = x * x
    with no_grad():
        y.backward()
        x.data -= 0.1 * x.grad
    assert (x.data, x.grad) == (2.4, 6.0)


def test_no_grad_is_for_its_own_thread_only():
    x = Value(1.0)
    operations = {}
    inside, checked = threading.Event(), threading.Event()

    def evaluate():
        with no_grad():
            inside.set()
            checked.wait(10)
            operations["other"] = (x * 2)._op
        operations["other, after"] = (x * 2)._op

    thread = threading.Thread(target=evaluate)
    thread.start()
    assert inside.wait(10)
    operations["this"] = [(x * 2)._op, (x**2)._op, x.tanh()._op, fused_sum([x, x])._op]
    checked.set()
    thread.join()
    operations["this, after"] = (x * 2)._op
    assert operations == {
        "this": ["*", "**2", "tanh", "sum"],
        "other": "",
        "other, after": "*",
        "this, after": "*",
    }
