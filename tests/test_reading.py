# SPDX-License-Identifier: MIT
"""Numbers that a compiled function reads while it is recorded, and gradients that it stops."""

import copy
import math
import random
import struct

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import TraceError, Value, no_grad, optim


@pytest.fixture
def w():
    value = Value(2.0)
    value.grad = 3.0
    return value


def bits(numbers):
    return [struct.pack("d", number) for number in numbers]


# -- numbers that are read -------------------------------------------------------------------------

before = Value(0.5)  # a graph that was there before
held = before * 4
second = Value(1.0)  # an index

READ = {
    "data": lambda w: w.data,
    "item": lambda w: w.item(),
    "grad": lambda w: w.grad,
    "data of a result": lambda w: (w * w + 1.0).data,
    "data behind detach": lambda w: w.detach().data,
    "repr": lambda w: float(repr(w).split("=")[1].split(",")[0]),
    "repr of the grad": lambda w: float(repr(w).split("=")[2].rstrip(")")),
    "format": lambda w: float(f"{w:.3f}"),
    "str": lambda w: len(str(w)),
    "comparison": lambda w: 1.0 if w < 2.5 else -1.0,
    "comparison of a number": lambda w: 1.0 if 2.5 > w * 1.0 else -1.0,  # noqa: SIM300
    "comparison of two": lambda w: 1.0 if Value(2.5) > w else -1.0,
    "max": lambda w: max([w, Value(2.5)], key=lambda v: v.data).data,
    "sorted": lambda w: sorted([w, Value(2.5), w * 0.5])[1].data,
    "the sign of a zero": lambda w: math.copysign(1.0, w.data),
    "copy": lambda w: copy.copy(w).data,
    "a compiled function": lambda w: mc.compile(lambda y: y * w)([1.0])[0],
    "no_grad": no_grad()(lambda w: (w * w).data),
    "custom": lambda w: mc.custom(w.data, [w], [1.0]).data,
    "floor": lambda w: w.data // 1,
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize("steps", [[2.0, 3.0, 2.0], [0.0, -0.0, 0.0], [1.0, math.nan, math.inf]])
def test_a_number_that_was_read_is_read_anew_when_it_has_changed(read, steps, w):
    def fn(x):
        return x * read(w)

    f = mc.compile(fn)
    for number in steps:
        w.data = w.grad = number
        try:
            expected = fn(Value(1.0)).data
        except ValueError:  # what Python's own floats refuse
            continue
        assert bits(f([1.0])) == bits([expected])


def counted(fn):
    calls = []

    def counting(x):
        calls.append(1)
        return fn(x)

    return mc.compile(counting), calls


@pytest.mark.parametrize("number", [2.0, 0.0, -0.0, math.nan, math.inf])
def test_a_number_that_is_the_same_is_not_read_anew(number, w):
    w.data = w.grad = number
    f, calls = counted(lambda x: x * w.data + w.grad)
    for _ in range(3):
        w.data = w.grad = number
        f([1.0])
    assert len(calls) == 1


def test_only_what_was_read_is_watched(w):
    other = Value(1.0)
    f, calls = counted(lambda x: x * w * other.data)
    f([1.0])
    w.data, w.grad, other.grad = 3.0, 1.0, 1.0
    assert f([1.0]).tolist() == [3.0] and len(calls) == 1
    other.data = 2.0
    assert f([1.0]).tolist() == [6.0] and len(calls) == 2


def test_the_number_of_a_node_that_was_there_before_is_its_own():
    f, calls = counted(lambda x: x * held.data)
    assert f([1.0]).tolist() == [2.0]
    before.data = 7.0  # held is not computed again
    assert f([1.0]).tolist() == [2.0] and len(calls) == 1
    held.data = 5.0
    assert f([1.0]).tolist() == [5.0] and len(calls) == 2
    before.data, held.data = 0.5, 2.0


def test_a_leaf_that_the_function_keeps_is_watched_too():
    kept = []

    def fn(x):
        kept.append(kept[0] if kept else Value(2.0))
        return x * kept[0].data

    f = mc.compile(fn)
    assert f([1.0]).tolist() == [2.0]
    kept[0].data = 3.0
    assert f([1.0]).tolist() == [3.0]


def test_a_leaf_that_the_function_drops_is_no_parameter(w):
    f = mc.compile(lambda x: x * Value(3.0) * (Value(2.0) * 2.0).data)
    assert f([1.0]).tolist() == [12.0]
    assert f.stats().parameters == 0


def test_a_constant_of_another_compiled_function_is_watched(w):
    factor = Value(10.0)
    g = mc.compile(lambda y: y * factor.data + w)
    f = mc.compile(lambda x: x * g([1.0])[0])
    assert f([1.0]).tolist() == [12.0]
    factor.data = 20.0
    assert f([1.0]).tolist() == [22.0]
    w.data = 5.0
    assert f([1.0]).tolist() == [25.0]


def test_a_function_compiled_inside_cannot_read_the_inputs_around_it(w):
    def fn(x):
        y = x * w
        return x * mc.compile(lambda z: z + y)([1.0])[0]

    with pytest.raises(TraceError, match="compiled function"):
        mc.compile(fn)([1.0])


@pytest.mark.parametrize("read", ["data", "grad", "repr", "comparison", "a compiled function"])
def test_fit_refuses_what_training_changes(read, w):
    f = mc.compile(lambda x: x * w * READ[read](w))
    with pytest.raises(TraceError, match="fit"):
        f.fit([1.0], optimizer=optim.SGD([w], lr=0.1), steps=2)
    assert (w.data, w.grad) == (2.0, 3.0)


def test_fit_refuses_a_gradient_that_it_computes_of_what_it_does_not_train(w):
    other = Value(1.0)
    f = mc.compile(lambda x: x * w * other * w.grad)
    with pytest.raises(TraceError, match=r"fit: .*\.grad"):
        f.fit([1.0], optimizer=optim.SGD([other], lr=0.1), steps=2)


def test_fit_takes_a_number_that_it_does_not_change(w):
    schedule = Value(0.5)
    f = mc.compile(lambda x: x * w * schedule.data)
    f.fit([1.0], optimizer=optim.SGD([w], lr=0.1), steps=2)
    assert w.data == pytest.approx(2.0 - 2 * 0.1 * 0.5)


def test_fit_refuses_to_go_on_with_a_number_that_a_callback_has_changed(w):
    schedule = Value(0.5)
    f = mc.compile(lambda x: x * w * schedule.data)

    def callback(step, loss):
        schedule.data = 0.25

    with pytest.raises(TraceError, match="fit: a number that the function has read"):
        f.fit([1.0], optimizer=optim.SGD([w], lr=0.1), steps=9, callback=callback)
    assert w.data == pytest.approx(2.0 - 0.1 * 0.5)  # that of one step
    g = mc.compile(lambda x: x * w * schedule)
    g.fit([1.0], optimizer=optim.SGD([w], lr=0.1), steps=2, callback=callback)


# -- gradients that are stopped --------------------------------------------------------------------


def without_gradient(fn):
    def wrapped(*values):
        with no_grad():
            return fn(*values)

    return wrapped


STOPPED = {
    "detach of an input": lambda x, w: w * x.detach(),
    "detach of a weight": lambda x, w: x * w * w.detach(),
    "detach of a result": lambda x, w: (x * w).tanh().detach() * w + x,
    "detach twice": lambda x, w: (x * w).detach().detach() * w,
    "the lesson's trick": lambda x, w: x * w - (x * w).detach() + (x * w).relu(),
    "operators": lambda x, w: without_gradient(lambda: x * w + 1.0 - w / x)() * w,
    "power": lambda x, w: without_gradient(lambda: x**2 + w**0.5 + 2.0**x)() * w,
    "unary": lambda x, w: without_gradient(lambda: -(x * w).tanh())() * w,
    "leaky": lambda x, w: without_gradient((x - w).leaky_relu)(0.2) * w,
    "sum": lambda x, w: without_gradient(mc.sum)([x, w, 1.0]) * w,
    "dot": lambda x, w: without_gradient(mc.dot)([x, w], [w, x], w) * w,
    "where": lambda x, w: without_gradient(mc.where)(x, w, 1.0) * w,
    "where on it": lambda x, w: mc.where(x.detach() - 1.0, w, w * w),
    "clip": lambda x, w: without_gradient(mc.clip)(x * w, -1.0, w) * w,
    "take": lambda x, w: without_gradient(mc.take)([x, w], second) * w,
    "custom": lambda x, w: without_gradient(mc.custom)(3.0, [w], [1.0]) * w * x,
    "custom on an input": lambda x, w: without_gradient(mc.custom)(3.0, [x], [1.0]) * w,
    "a rule in Python": lambda x, w: without_gradient(Value)(3.0, (w, x), "own") * w * x,
    "only constants": lambda x, w: without_gradient(lambda: Value(2.0) * 3.0)() * x * w,
    "nested": without_gradient(lambda x, w: without_gradient(lambda: x * w)() * w),
    "a neuron": lambda x, w: without_gradient(mc.nn.Neuron(1))([x]) * w,
}


@pytest.mark.parametrize("fn", STOPPED.values(), ids=STOPPED)
@pytest.mark.parametrize("skip", [(), tuple(name for name, _ in mc._core.optimiser_passes())])
def test_a_stopped_gradient_is_that_of_a_plain_call(fn, skip, w):
    def plain(x):
        random.seed(3)  # a neuron's weights
        return fn(x, w)

    rng = np.random.RandomState(0)
    f = mc.compile(plain, skip=skip, reduction="sum")
    for _ in range(3):  # the program follows the numbers
        w.data = rng.uniform(0.5, 2.0)
        xs = rng.uniform(0.1, 2.0, 5)
        outputs = [plain(Value(x)) for x in xs]
        total = mc.sum(outputs)
        w.grad = 0.0
        total.backward()
        expected, grad = [v.data for v in outputs], w.grad
        assert f(xs).tolist() == pytest.approx(expected, rel=1e-12)
        w.grad = 0.0
        assert f.value_and_grad(xs) == pytest.approx(total.data, rel=1e-12)
        assert w.grad == pytest.approx(grad, rel=1e-12)


def test_a_stopped_gradient_needs_no_new_recording(w):
    f, calls = counted(lambda x: x * w.detach() * w)
    for number in (1.0, 2.0, 3.0):
        w.data = number
        assert f([1.0]).tolist() == [number * number]
    assert len(calls) == 1


def test_fit_follows_what_it_stops(w):
    def fn(value, x):
        return (x * value - value.detach() * 2) ** 2

    plain = Value(2.0)
    mc.compile(lambda x: fn(w, x)).fit([1.0, 2.5], optimizer=optim.SGD([w], lr=0.05), steps=5)
    optimizer = optim.SGD([plain], lr=0.05)
    for _ in range(5):
        (mc.sum([fn(plain, x) for x in (1.0, 2.5)]) * 0.5).backward()
        optimizer.step()
    assert w.data == pytest.approx(plain.data, rel=1e-12)


def test_what_is_stopped_cannot_be_assigned_or_read_of_an_input(w):
    def assigning(x):
        y = w.detach()
        y.data = 1.0
        return x * y

    with pytest.raises(TraceError):
        mc.compile(assigning)([1.0])
    with pytest.raises(TraceError), no_grad():
        mc.compile(lambda x: w if x.detach() > 0 else x)([1.0])
    assert (w * 2)._op == "*"


def test_a_number_that_only_a_graph_keeps_is_watched_too():
    y = Value(3.0) * Value(2.0, label="other")

    def hidden():
        (leaf,) = [v for v in y._prev if v.label != "other"]
        return leaf

    f = mc.compile(lambda x: x * hidden().data)
    assert f([1.0]).tolist() == [3.0]
    hidden().data = 7.0
    assert f([1.0]).tolist() == [7.0]
