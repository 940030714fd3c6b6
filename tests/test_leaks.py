# SPDX-License-Identifier: MIT
"""Which Values leak from a recording, by which ways, and how they live and die afterwards."""

import gc
import math
import os
import sys
import threading
import weakref

import pytest
from common import LEAKED, leak, run_python

import micrograd_c as mc
from micrograd_c import TraceError, Value, nn, optim

# -- which Values leak -----------------------------------------------------------------------------


def raises_on_use(value):
    with pytest.raises(TraceError, match=LEAKED):
        value.data  # noqa: B018
    return True


WAYS = {
    "an input": lambda x: x,
    "a result of an operation": lambda x: x + 1.0,
    "a method's": lambda x: x.tanh(),
    "a detached one": lambda x: x.detach(),
    "one of no_grad()": lambda x: mc.no_grad()(lambda: x * 2.0)(),
    "a sum": lambda x: mc.sum([x, 1.0]),
    "a choice": lambda x: mc.where(x > 0, x, 0.0),
    "a gradient": lambda x: mc.gradients(x**3, [x])[0],
    "grad's": lambda x: mc.grad(lambda a: a**3)(x),
    "a tangent": lambda x: mc.jvp(lambda a: a**3, (x,), (1.0,))[1],
    "a pullback's": lambda x: mc.vjp(lambda a: a**3, x)[1](1.0)[0],
    "a second derivative": lambda x: mc.hessian(lambda a: a[0] ** 3)([x])[0][0],
    "with a label": lambda x: labelled(x * 2.0),
    "with attributes": lambda x: with_attributes(x * 2.0),
    "with a chain rule": lambda x: with_rule(x * 2.0),
    "on one with attributes": lambda x: with_attributes(x * 2.0) + 1.0,
    "a layer's": lambda x: nn.Layer(1, 1)([x]),
}


def labelled(value):
    value.label = ["y"]
    return value


def with_attributes(value):
    value.own = [value]
    return value


def with_rule(value):
    value._backward = lambda: value
    return value


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_whatever_depends_on_an_input_leaks(make):
    assert raises_on_use(leak(make))
    gc.collect()


def test_what_depends_on_no_input_keeps_its_number():
    w = Value(2.0)
    kept = []

    @mc.compile
    def f(x):
        penalty = w * w
        constant = Value(5.0)
        zero = mc.gradients(x * 2.0, [w])[0]
        kept.extend([w, penalty, constant, zero])
        return x * penalty + constant

    assert f([3.0]).tolist() == [17.0]
    assert [v.data for v in kept] == [2.0, 4.0, 5.0, 0.0]
    kept[1].backward()
    assert w.grad == 4.0 and kept[1]._prev == {w}
    assert (kept[1] + kept[2]).data == 9.0


def test_all_inputs_leak_also_those_that_were_not_used():
    kept = []

    @mc.compile
    def f(x, pair):
        kept.extend([x, *pair])
        return pair[0] * 2.0

    f([1.0], [[2.0, 3.0]])
    assert len(kept) == 3 and all(map(raises_on_use, kept))
    f.value_and_grad([1.0], [[2.0, 3.0]])
    assert f([1.0], [[5.0, 3.0]]).tolist() == [10.0]


def test_the_result_itself_leaks_where_the_function_keeps_it():
    class Model:
        def __call__(self, x):
            self.last = (x * 2.0).tanh()
            return self.last

    model = Model()
    f = mc.compile(model)
    f([0.5])
    assert raises_on_use(model.last)
    assert f([0.5]).tolist() == [math.tanh(1.0)]  # the program does not need it


def test_a_state_that_is_carried_from_one_recording_to_the_next_is_refused():
    class Cell:
        h = 0.0

        def __call__(self, x):
            self.h = (self.h + x).tanh()
            return self.h

    cell = Cell()
    f = mc.compile(lambda *xs: sum((cell(x) for x in xs), Value(0.0)))
    f([0.5])
    with pytest.raises(TraceError, match=LEAKED):
        f([0.5], [0.5])


def test_values_of_a_recording_that_failed_leak_too():
    kept = []

    @mc.compile
    def f(x):
        y = x * 2.0
        kept.append(y)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        f([1.0])
    assert raises_on_use(kept[0])
    frame = caught.tb.tb_next
    while "y" not in frame.tb_frame.f_locals:
        frame = frame.tb_next
    assert frame.tb_frame.f_locals["y"] is kept[0]
    assert raises_on_use(frame.tb_frame.f_locals["x"])


def test_values_of_a_function_that_was_refused_leak_too():
    kept = []

    @mc.compile
    def f(x):
        kept.append(x * 2.0)
        return with_rule(x * 3.0)

    with pytest.raises(TraceError, match="_backward of its own"):
        f([1.0])
    assert raises_on_use(kept[0])


def test_a_pullback_that_outlives_the_recording_is_refused():
    pullback = leak(lambda x: mc.vjp(lambda a: a * a, x)[1])
    with pytest.raises(TraceError, match=LEAKED):
        pullback(1.0)


def test_a_condition_of_a_leaked_value_is_refused():
    condition = leak(lambda x: x > 0)
    with pytest.raises(TraceError):
        mc.where(condition, 1.0, 0.0)


def test_a_generator_goes_on_with_leaked_values():
    def steps(x):
        while True:
            x = x * 2.0
            yield x

    generator = leak(lambda x: (lambda g: (next(g), g)[1])(steps(x)))
    with pytest.raises(TraceError, match=LEAKED):
        next(generator)


def test_of_a_recording_inside_another_only_its_own_values_leak_at_its_end():
    kept = []

    @mc.compile
    def outer(x):
        y = x * 2.0

        @mc.compile
        def inner(z):
            kept.append(z * 3.0)
            return z

        inner([1.0])
        assert raises_on_use(kept[0])
        return y + x

    assert outer([1.0, 2.0]).tolist() == [3.0, 6.0]


def test_a_function_compiled_inside_another_cannot_take_its_values_as_parameters():
    inner = []

    @mc.compile
    def outer(x):
        inner.append(mc.compile(lambda z: z * x))
        return x * inner[0]([1.0])[0]

    with pytest.raises(TraceError):
        outer([3.0])
    with pytest.raises(TraceError, match=LEAKED):
        inner[0]([1.0])


def test_an_optimizer_cannot_train_an_input():
    kept = []

    @mc.compile
    def f(x):
        kept.append(optim.SGD([x], lr=0.1))
        return x

    with pytest.raises(TraceError):
        f([1.0])


def test_a_node_of_ones_own_on_an_input_is_refused_at_once():
    class Own(Value):
        pass

    for kind in (Value, Own):
        with pytest.raises(TraceError, match="_backward of its own"):
            mc.compile(lambda x, kind=kind: [x, kind(1.0, (x,), "own")][0])([1.0])
    w = Value(2.0)
    f = mc.compile(lambda x: [x, Own(1.0, (w,), "own")][0])
    assert f([1.0]).tolist() == [1.0]


def test_a_module_that_keeps_one_says_so():
    class Net(nn.Module):
        def __init__(self):
            self.w = Value(2.0)

        def forward(self, x):
            self.hidden = self.w * x
            return self.hidden.tanh()

    net = Net()
    assert net.parameters() == [net.w]
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    mc.compile(net).fit([1.0, 2.0], optimizer=optimizer, steps=3)
    uses = [net.parameters, lambda: list(net.named_parameters()), net.state_dict, net.zero_grad]
    for use in uses:
        with pytest.raises(TraceError, match=f"'hidden': a parameter made of a Value.*{LEAKED}"):
            use()
    del net.hidden
    assert net.parameters() == [net.w]


def test_values_that_another_thread_keeps_leak():
    kept, started, finished = [], threading.Event(), threading.Event()

    def elsewhere(x):
        kept.append(x * 2.0)
        started.set()
        finished.wait(60)
        kept.append(kept[0])

    threads = []

    @mc.compile
    def f(x):
        threads.append(threading.Thread(target=elsewhere, args=(x,)))
        threads[0].start()
        started.wait(60)
        return x + 1.0

    f([1.0])
    assert raises_on_use(kept[0])
    finished.set()
    threads[0].join()
    assert raises_on_use(kept[1])


def test_an_operation_during_which_its_operand_leaks_is_refused():
    """Making a node may run the collector, whose callback lets another thread go on."""
    results = []
    value, used, ended = [], threading.Event(), threading.Event()

    def f(x):
        value.append(x * 2.0)
        used.wait(60)
        return x

    def record():
        mc.compile(f)([1.0])
        ended.set()

    recorder = threading.Thread(target=record)
    recorder.start()
    while not value:
        pass

    def callback(phase, info):
        gc.callbacks.remove(callback)
        used.set()
        ended.wait(60)

    hold = [Value(1.0) for _ in range(3000)]  # no handle is left in the free list
    gc.collect()
    threshold = gc.get_threshold()
    try:
        gc.set_threshold(1)
        gc.callbacks.append(callback)
        with pytest.raises(TraceError, match=LEAKED):
            results.append([value[0] + 1.0 for _ in range(3000)])
    finally:
        gc.set_threshold(*threshold)
        used.set()
        recorder.join()
    assert not results and len(hold) == 3000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child_what_other_threads_were_recording_has_leaked():
    run_python(
        """
        import os, threading, warnings
        import micrograd_c as mc
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads
        kept, started, finished = [], threading.Event(), threading.Event()

        def f(x):
            kept.append(x * 2.0)
            started.set()
            finished.wait(60)
            return x

        thread = threading.Thread(target=lambda: mc.compile(f)([1.0]))
        thread.start()
        started.wait(60)
        child = os.fork()
        if child == 0:
            try:
                kept[0].data
            except mc.TraceError as error:
                os._exit(0 if "has left it" in str(error) else 2)
            os._exit(1)
        finished.set()
        thread.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """
    )


# -- lifetimes -------------------------------------------------------------------------------------


def test_a_leaked_value_keeps_no_graph():
    kept = []

    @mc.compile
    def f(x):
        y = x
        for _ in range(5000):
            y = y * 1.0001
        kept.append(y)
        return x

    gc.collect()
    before = mc.tape_stats().live
    f([1.0])
    gc.collect()
    assert mc.tape_stats().live <= before + 1
    kept.clear()
    gc.collect()
    assert mc.tape_stats().live <= before


def test_weak_references_and_finalizers_tell_of_its_end():
    told = []

    def make(x):
        y = with_attributes(x * 2.0)
        weakref.finalize(y, told.append, "finalize")
        y.reference = weakref.ref(y, lambda _: told.append("ref"))
        return [y, weakref.ref(y, lambda _: told.append("ref"))]

    kept = leak(make)
    reference = kept[1]
    assert not told and reference() is kept[0]
    kept.clear()
    gc.collect()
    assert sorted(told) == ["finalize", "ref"] and reference() is None


def test_cycles_through_a_leaked_value_are_collected():
    class Thing:
        pass

    things = []

    def make(x):
        y = x * 2.0
        y.thing = Thing()
        y.thing.value = y
        things.append(weakref.ref(y.thing))
        z = y + 1.0
        y.late = [z]
        return y

    kept = [leak(make)]
    gc.collect()
    assert things[0]() is not None and things[0]().value is kept[0]
    kept.clear()
    gc.collect()
    assert things[0]() is None


def test_what_becomes_heavy_after_something_was_recorded_on_it_may_leak():
    def make(x):
        y = x * 2.0
        z = y.tanh() + y
        y.own = [z]
        z.own = [y]
        return z

    kept = [leak(make) for _ in range(5)]
    gc.collect()
    assert all(map(raises_on_use, kept))
    del kept
    gc.collect()


def test_the_class_counts_its_instances():
    leaked_class = type(leak())
    gc.collect()
    before = sys.getrefcount(leaked_class), sys.getrefcount(Value)
    kept = [leak() for _ in range(100)]
    assert sys.getrefcount(leaked_class) == before[0] + 100
    del kept
    gc.collect()
    assert sys.getrefcount(leaked_class) == before[0]
    assert abs(sys.getrefcount(Value) - before[1]) < 1100  # the free list's


def test_leaks_at_exit_do_no_harm():
    run_python(
        """
        import micrograd_c as mc
        kept = []

        @mc.compile
        def f(x):
            y = x * 2.0
            y.own = [y]
            kept.append([y, x, y + 1.0])
            return y

        f([1.0])
        mc.kept = kept
        """
    )
