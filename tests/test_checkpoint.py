# SPDX-License-Identifier: MIT
"""checkpoint: eager code whose inner nodes are computed again gives what it gives without."""

import random

import pytest
from unrolled import gradient, same

import micrograd_c as mc
from micrograd_c import Value, _core, compile, nn


def slopes(values):
    return [v.grad for v in values]


@pytest.mark.parametrize("accumulate", [False, True])
def test_a_checkpoint_changes_no_number(accumulate):
    random.seed(1)
    net = nn.MLP(3, [4, 4, 1])
    inputs = [Value(0.3), Value(-0.2), Value(1.0)]

    def run(f):
        for v in [*inputs, *net.parameters()]:
            v.grad = 0.5
        z = [a * 2.0 + b for a, b in zip(inputs, inputs[1:] + inputs[:1], strict=True)]
        first = f(z)
        loss = first * f([first * 0.5, z[0], first]) + z[1]
        loss.backward(accumulate=accumulate)
        return [loss.data, *slopes(inputs), *slopes(net.parameters())]

    same(run(mc.checkpoint(net)), run(net), 1e-14)


def test_a_checkpoint_reads_what_was_computed_outside():
    w = Value(0.7)

    def run(wrap):
        u = w * 3.0
        v = u * u
        x = v * 0.7
        (wrap(lambda x: (x * u + v).tanh() * v)(x) * x).backward()
        return [w.grad]

    same(run(mc.checkpoint), run(lambda f: f), 1e-14)


def test_a_checkpoint_keeps_no_inner_node():
    def chain(x):
        for _ in range(1_000):
            x = x * 0.999
        return x

    x = Value(1.0)
    before = _core.tape_stats().live
    y = mc.checkpoint(chain)(x)
    assert _core.tape_stats().live - before < 10
    y.backward()
    assert abs(x.grad - 0.999**1_000) < 1e-12 and _core.tape_stats().live - before < 10


def test_a_checkpoint_of_several_results_and_backward_passes():
    @mc.checkpoint
    def several(a, b):
        return {"product": a * b, "others": [a.sin(), b]}

    a, b = Value(1.0), Value(2.0)
    made = several(a, b)
    (made["product"] * 2.0 + made["others"][1]).backward()
    assert (a.grad, b.grad) == (4.0, 3.0)
    made["others"][1].backward()
    assert b.grad == 1.0
    (made["product"] + made["product"] * made["others"][1]).backward()
    assert (a.grad, b.grad) == (6.0, 5.0)


def test_a_checkpoint_within_a_checkpoint():
    inner = mc.checkpoint(lambda x: (x * 2.0).tanh())
    outer = mc.checkpoint(lambda x: inner(inner(x)) * x)
    x, y = Value(0.3), Value(0.3)
    outer(x).backward()
    (((y * 2.0).tanh() * 2.0).tanh() * y).backward()
    same([x.grad], [y.grad], 1e-14)


def test_a_checkpoint_draws_the_same_again():
    """Otherwise a gradient would be that of another function; who draws next sees nothing of it."""
    w = Value(0.7)

    def noisy(x):
        return (
            x * mc.random.normal(w, 0.5) * mc.random.bernoulli(0.5) + random.random() * x
        ).tanh()

    def run(wrap):
        random.seed(5)
        x = Value(2.0)
        inner = wrap(noisy)
        y = wrap(lambda x: inner(x) * mc.random.uniform() + noisy(x))(x)
        between = random.random()
        y.backward()
        return [y.data, x.grad, w.grad, between, random.random()]

    assert run(mc.checkpoint) == run(lambda f: f)


def test_the_numbers_to_come_are_as_they_were_where_the_second_call_fails():
    calls = []

    def once(x):
        calls.append(mc.random.normal())
        if len(calls) == 2:
            raise KeyError("mine")
        return x * x

    x = Value(2.0)
    y = mc.checkpoint(once)(x)
    state = random.getstate()
    with pytest.raises(KeyError, match="mine"):
        y.backward()
    assert random.getstate() == state and x.grad == 0.0
    assert calls[0].data == calls[1].data


def test_derivatives_as_values_are_not_taken_through_a_checkpoint():
    x = Value(2.0)
    with pytest.raises(TypeError, match=r"'checkpoint' .* cannot be differentiated"):
        mc.gradients(mc.checkpoint(lambda x: x * x)(x), [x])
    with pytest.raises(TypeError, match="checkpoint: expected a function, got int"):
        mc.checkpoint(3)


def test_a_checkpoint_that_does_not_do_the_same_again():
    lengths = iter([1, 2])
    x = Value(2.0)
    (y,) = mc.checkpoint(lambda x: [x * x] * next(lengths))(x)
    with pytest.raises(ValueError, match=r"fn returned 2 Value\(s\) when it was called again"):
        y.backward()


def test_a_checkpoint_in_a_compiled_function_is_its_function():
    w = Value(0.5)
    f = compile(mc.checkpoint(lambda x: (x * w).tanh()))
    g = compile(lambda x: (x * w).tanh())
    assert gradient(f, [w], [1.0, 2.0]) == gradient(g, [w], [1.0, 2.0])
    with mc.no_grad():
        assert mc.checkpoint(lambda x: x * w)(Value(2.0))._prev == set()
