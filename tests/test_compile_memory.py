# SPDX-License-Identifier: MIT
"""Compiled functions come and go without leaving memory, nodes or references behind."""

import gc
import sys
import weakref

import pytest
from common import needs_proc, resident

import micrograd_c as mc
from micrograd_c import Value, optim


def use_once(w):
    """Makes a function, calls it in every way, also a refused one, and drops it."""
    f = mc.compile(lambda x: (x * w).tanh() + w * w)
    f([1.0])
    f.value_and_grad([1.0, 2.0])
    f.fit([1.0, 2.0], optimizer=optim.Adam([w], lr=1e-9), steps=2)
    with pytest.raises(mc.TraceError):
        mc.compile(lambda x: x.data * w)([1.0])


@needs_proc
def test_ten_thousand_functions_made_and_dropped_leave_memory_flat():
    w = Value(1.0)
    for _ in range(500):
        use_once(w)
    gc.collect()
    before, nodes = resident(), mc.tape_stats().nodes
    for _ in range(10_000):
        use_once(w)
    gc.collect()
    assert resident() - before < 4 << 20
    assert mc.tape_stats().nodes == nodes


@needs_proc
def test_calls_of_one_function_leave_memory_flat():
    w = Value(1.0)
    f = mc.compile(lambda x: (x * w).sigmoid())
    optimizer = optim.SGD([w], lr=0.1)
    numbers = [0.1 * k for k in range(300)]

    def use():
        f(numbers)
        f.value_and_grad(numbers)
        f.fit(numbers, optimizer=optimizer, steps=3, batch_size=64, shuffle=True)
        with pytest.raises(ValueError, match="rows of one length"):
            f([[1.0], [2.0, 3.0]])

    for _ in range(200):
        use()
    before = resident()
    for _ in range(2000):
        use()
    assert resident() - before < 4 << 20


def test_a_dropped_function_lets_go_of_its_parameters_and_of_what_it_wraps():
    def made():
        w = Value(2.0)

        def fn(x):
            return x * w

        f = mc.compile(fn)
        f([1.0])
        return f, weakref.ref(w), weakref.ref(fn)

    f, *seen = made()
    assert all(reference() is not None for reference in seen)
    del f
    gc.collect()
    assert all(reference() is None for reference in seen)


def test_arguments_are_not_held_after_the_call():
    class Numbers(list):
        pass

    numbers = Numbers([1.0, 2.0])
    count = sys.getrefcount(numbers)
    f = mc.compile(lambda x: x * 2)
    f(numbers)
    assert sys.getrefcount(numbers) == count
