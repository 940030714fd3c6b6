# SPDX-License-Identifier: MIT
"""Compiled functions that meet: in threads, callbacks, finalisers, and in each other."""

import gc
import os
import signal
import sys
import threading
import time
import weakref
from fractions import Fraction

import pytest
from common import PATIENCE, in_threads, records, wait

import micrograd_c as mc
from micrograd_c import TraceError, Value, no_grad, optim

# -- threads ---------------------------------------------------------------------------------------


def test_two_threads_record_one_function_at_the_same_time():
    w = Value(3.0)
    both = threading.Barrier(2)
    calls = []

    def fn(x):
        if len(calls) < 2:
            calls.append(1)
            both.wait(PATIENCE)
        y = x * w
        if len(calls) < 4:
            calls.append(1)
            both.wait(PATIENCE)
        return y + x

    f = mc.compile(fn)
    results = {}
    in_threads(
        lambda: results.update(a=f([1.0, 2.0]).tolist()),
        lambda: results.update(b=f([5.0]).tolist()),
    )
    assert results == {"a": [4.0, 8.0], "b": [20.0]}
    assert f([1.0]).tolist() == [4.0] and len(calls) == 4


def test_a_function_may_call_another_that_is_being_recorded_elsewhere():
    recording, done = threading.Event(), threading.Event()

    def slow(x):
        if threading.current_thread().name == "slow":
            recording.set()
            wait(done)
        return x * 2

    f = mc.compile(slow)

    def outer(x):
        wait(recording)
        number = f([3.0])[0]
        done.set()
        return x * number

    results = {}

    def first():
        threading.current_thread().name = "slow"
        results["f"] = f([1.0]).tolist()

    in_threads(first, lambda: results.update(g=mc.compile(outer)([1.0]).tolist()))
    assert results == {"f": [2.0], "g": [6.0]}


def test_what_another_thread_records_meanwhile_is_its_own():
    """Its nodes stand between those of the function, and it reads what it likes."""
    w, mine = Value(2.0), Value(5.0)
    ask, answered = threading.Event(), threading.Event()

    def fn(x):
        y = x * w
        ask.set()
        wait(answered)
        return y * x

    f = mc.compile(fn)
    outputs = []

    def eager():
        wait(ask)
        z = (mine * mine).tanh() + mine
        assert z > 5.0 and z == z and z and mine.data == 5.0
        z.backward()
        assert mine.grad >= 1.0
        mine.data = 4.0
        with no_grad():
            assert (mine * 2)._prev == set()
        assert mine.detach()._op == ""
        mc.compile(lambda v: v * mine).value_and_grad([1.0])
        optim.SGD([mine], lr=0.1).step()
        answered.set()

    in_threads(eager, lambda: outputs.append(f([3.0, 4.0]).tolist()))
    assert outputs == [[18.0, 32.0]]
    assert f([3.0]).tolist() == [18.0]
    optimizer = optim.SGD([w, mine], lr=0.1)
    f.fit([1.0], optimizer=optimizer, steps=1)  # it has read nothing of mine


def test_fits_of_two_functions_whose_callbacks_call_the_other():
    p, q = Value(1.0), Value(1.0)
    f, g = mc.compile(lambda x: (x * p - 1) ** 2), mc.compile(lambda x: (x * q - 2) ** 2)
    both = threading.Barrier(2)

    def run(mine, other, value):
        def callback(step, loss):
            both.wait(PATIENCE)
            other([1.0])

        mine.fit([1.0], optimizer=optim.SGD([value], lr=0.1), steps=5, callback=callback)

    in_threads(lambda: run(f, g, p), lambda: run(g, f, q))
    assert p.data == 1.0 and q.data == pytest.approx(2 - 0.8**5)


def test_no_step_is_lost_where_threads_train_the_same_parameters():
    w = Value(0.0)
    f = mc.compile(lambda x: x * w)
    optimizers = [optim.SGD([w], lr=1.0) for _ in range(3)]

    def run(k):
        for _ in range(50):
            f.fit([-1.0], optimizer=optimizers[k], steps=3)
            f.fit([-1.0], optimizer=optimizers[k], steps=3, callback=lambda step, loss: False)

    in_threads(*(lambda k=k: run(k) for k in range(3)))
    assert w.data == 3 * 50 * 6


# -- no_grad ---------------------------------------------------------------------------------------


def paused():
    with no_grad():
        yield


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_fit_that_begins_while_a_state_is_read():
    w = Value(1.0)
    f = mc.compile(lambda x: (w * x - 2.0) ** 2)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    state = optim.SGD([Value(0.0)]).state_dict()  # without a momentum buffer
    reading, raised = threading.Event(), []

    def is_training():
        try:
            optimizer.load_state_dict(optimizer.state_dict())
        except RuntimeError:
            return True
        return False

    class Slow(Fraction):
        def __float__(self):
            reading.set()
            while not is_training():
                time.sleep(0.001)
            return 0.5

    def load():
        try:
            optimizer.load_state_dict(state)
        except RuntimeError as error:
            raised.append(str(error))
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    state["param_groups"][0]["lr"] = Slow(1, 2)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    loader = threading.Thread(target=load, daemon=True)
    try:
        loader.start()
        wait(reading)
        with pytest.raises(KeyboardInterrupt):
            f.fit([1.0], optimizer=optimizer, steps=10**9)
    finally:
        signal.signal(signal.SIGINT, before)
    loader.join(PATIENCE)
    assert raised == ["load_state_dict: a fit with this optimizer is running"]
    assert (optimizer.lr, optimizer.momentum) == (0.1, 0.9)


def test_a_pause_ends_with_its_thread():
    kept = []

    def first():
        kept.append(paused())
        next(kept[0])
        assert not records()

    for _ in range(3):
        in_threads(first)
        in_threads(lambda: kept.append(records()))  # often in a thread of the same identity
        assert records() and kept.pop() is True
        kept.clear()
    assert records()


def test_a_pause_that_another_thread_ends_has_ended_where_it_began():
    begun, ended = threading.Event(), threading.Event()
    kept, seen = [paused()], []

    def first():
        next(kept[0])
        seen.append(records())
        begun.set()
        wait(ended)
        seen.append(records())

    def second():
        wait(begun)
        with no_grad():
            kept.pop().close()
            seen.append(records())
        seen.append(records())
        ended.set()

    in_threads(first, second)
    assert seen == [False, False, True, True]


def test_a_pause_that_ends_in_a_recording_has_ended():
    around = paused()
    next(around)
    w = Value(2.0)

    def fn(x):
        around.close()
        return x * w

    mc.compile(fn).value_and_grad([1.0])
    assert w.grad == 1.0 and records()


def test_a_pause_that_a_recording_has_ended_ends_no_other():
    left = []

    def careless(x):
        left.append(paused())
        next(left[0])
        return x

    mc.compile(careless)([1.0])
    assert records()
    with no_grad():
        left.pop().close()
        assert not records()
    assert records()


def test_one_manager_in_two_threads():
    """A decorator has one for all its calls."""
    inside, left = [threading.Event() for _ in range(2)], threading.Event()

    @no_grad()
    def call(k):
        inside[k].set()
        wait(inside[1 - k])
        if k == 1:
            wait(left)
        return records()

    seen = {}

    def first():
        seen[0] = call(0), records()
        left.set()

    def second():
        seen[1] = call(1), records()

    in_threads(first, second)
    assert seen == {0: (False, True), 1: (False, True)}


# -- finalisers and collections --------------------------------------------------------------------


def test_a_collection_among_the_inputs_is_not_mistaken_for_them():
    """Garbage at the end of the tape makes room below the first input while it is being made."""
    p = Value(2.0)
    threshold = gc.get_threshold()
    keep = [Value(1.0) for _ in range(1200)]
    refused = 0
    try:
        for countdown in range(1, 60):
            gc.disable()
            gc.collect()
            hold = [Value(1.0) for _ in range(1100)]  # so that handles have to be made
            for _ in range(3):
                v = Value(1.0)
                v.me = [v]
                del v
            f = mc.compile(lambda x: p * x.data)
            gc.enable()
            gc.set_threshold(countdown, 1000, 1000)
            with pytest.raises(TraceError):
                f([3.0, 4.0])
            refused += len(hold) == 1100
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    assert len(keep) == 1200 and refused == 59


def test_a_finaliser_may_call_the_function_that_is_being_recorded():
    w = Value(2.0)
    results = []

    class Dying:
        pass

    def fn(x):
        if not results:
            results.append("recording")
            dying = Dying()
            reference = weakref.ref(dying, lambda _: results.append(f([5.0]).tolist()))
            del dying
            assert reference() is None
        return x * w

    f = mc.compile(fn)
    assert f([1.0, 2.0]).tolist() == [2.0, 4.0]
    assert results[:2] == ["recording", [10.0]]


def test_a_finaliser_that_runs_in_a_recording_is_part_of_it():
    class Dying:
        def __init__(self, value):
            self.value = value

        def __del__(self):
            try:
                self.value.data = 9.0
            except TraceError as error:
                raised.append(error)

    w, raised = Value(2.0), []

    def fn(x):
        Dying(w)
        return x * w

    assert mc.compile(fn)([1.0]).tolist() == [2.0]
    assert w.data == 2.0 and len(raised) == 1


# -- recordings in recordings ----------------------------------------------------------------------


def test_a_function_that_calls_itself_without_end_is_a_recursion_error():
    f = mc.compile(lambda x: x * f([1.0])[0])
    with pytest.raises(RecursionError):
        f([2.0])
    assert records()


def test_a_function_that_calls_itself_with_less():
    def factorial(xs):
        return xs[0] * (f([[0.0] * (len(xs) - 1)])[0] + 1.0) if len(xs) > 1 else xs[0] + 1.0

    f = mc.compile(factorial)
    assert f([[2.0, 0.0, 0.0]]).tolist() == [2.0]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_exception_in_the_innermost_recording_ends_them_all(depth):
    w = Value(2.0)

    def nested(k):
        def fn(x):
            if k == 0:
                raise KeyError("innermost")
            return x * mc.compile(nested(k - 1))([1.0])[0]

        return fn

    busy_before = mc.tape_stats().nodes
    with pytest.raises(KeyError, match="innermost"), no_grad():
        mc.compile(nested(depth))([1.0])
    assert records() and (w * 2).data == 4.0
    mc._core.compact()
    assert mc.tape_stats().nodes <= busy_before + 2


# -- callbacks -------------------------------------------------------------------------------------


def test_a_callback_may_do_all_that_a_loop_may():
    def run(fitted):
        w, v = Value(1.0), Value(0.5)
        f = mc.compile(lambda x: (w * x + v - 3.0) ** 2)
        optimizer = optim.Adam([w, v], lr=0.1)
        other = optim.SGD([v], lr=0.01)
        states = []

        def callback(step, loss):
            states.append((step, f([1.0, 2.0]).tolist(), f.value_and_grad([2.0]), v.grad))
            other.step()
            if step == 1:
                states.append(optimizer.state_dict())
                optimizer.step()
            if step == 2:
                optimizer.load_state_dict(states[2])
            if step == 3:
                f.fit([1.0], optimizer=optimizer, steps=2)
            if step == 4:
                w.data, optimizer.betas = 2.0, (0.5, 0.5)
            mc.compile(lambda x: x * w * v).value_and_grad([1.0])

        if fitted:
            f.fit([1.0, 2.0], optimizer=optimizer, steps=7, callback=callback)
        else:
            for step in range(7):
                loss = f.value_and_grad([1.0, 2.0])
                optimizer.step()
                callback(step, loss)
        return w.data, v.data, optimizer.steps, states[3:]

    assert run(True) == run(False)


def test_a_callback_that_gives_the_optimiser_other_parameters_is_refused():
    w = Value(1.0)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    f = mc.compile(lambda x: x * w)

    def callback(step, loss):
        optimizer.__init__([Value(1.0) for _ in range(100)], lr=0.1)

    with pytest.raises(RuntimeError, match="other parameters"):
        f.fit([1.0], optimizer=optimizer, steps=5, callback=callback)
    assert w.data == pytest.approx(0.9) and optimizer.steps == 0
