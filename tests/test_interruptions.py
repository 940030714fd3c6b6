# SPDX-License-Identifier: MIT
"""What comes in the middle of a compiled function that is running: signal handlers and forks."""

import os
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from common import PATIENCE, in_threads, records, wait
from unrolled import EXECUTORS

import micrograd_c as mc
from micrograd_c import Value, no_grad, optim

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork of POSIX")


# -- signal handlers -------------------------------------------------------------------------------


class Enough(Exception):
    pass


def is_training(optimizer):
    try:
        optimizer.load_state_dict(optimizer.state_dict())
    except RuntimeError:
        return True
    return False


def interrupted(f, xs, ys, optimizer, handler, times=3):
    """Trains until the handler has run so many times in the middle of it."""
    count = []

    def handle(signum, frame):
        signal.setitimer(signal.ITIMER_REAL, 0)
        if is_training(optimizer):  # a busy machine may not have begun by now
            handler(len(count))
            count.append(1)
        if len(count) == times:
            raise Enough
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Enough):
            f.fit(xs, ys, optimizer=optimizer, steps=10**9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(count) == times


def problem():
    """A function, its weights, and 300 samples."""
    rng = np.random.RandomState(0)
    weights = [Value(w) for w in rng.uniform(-1, 1, 12)]

    def fn(x, y):
        hidden = [(a * x + b).tanh() for a, b in zip(weights[:6], weights[6:], strict=True)]
        return (mc.sum(hidden) - y) ** 2

    xs = rng.uniform(-1, 1, 300)
    return mc.compile(fn), weights, xs, np.sin(3 * xs)


@posix
def test_a_handler_may_call_the_function_that_is_being_trained():
    f, weights, xs, ys = problem()
    g, twins, *_ = problem()
    optimizer = optim.SGD(weights, lr=0.001, momentum=0.9)
    more = np.linspace(-1, 1, 5000)
    seen = []

    def handler(k):
        size = 5000 - 1000 * k
        seen.append(len(f(more[:size], more[:size])))
        f.value_and_grad(more[:size], more[:size])
        mc.compile(lambda x, y: f._fn(x, y))(more[:10], more[:10])

    interrupted(f, xs, ys, optimizer, handler)
    assert seen == [5000, 4000, 3000] and optimizer.steps > 0
    same = optim.SGD(twins, lr=0.001, momentum=0.9)
    g.fit(xs, ys, optimizer=same, steps=optimizer.steps)
    assert [w.data for w in weights] == [w.data for w in twins]


@posix
def test_a_handler_cannot_train_what_is_being_trained():
    f, weights, xs, ys = problem()
    g, twins, *_ = problem()
    optimizer = optim.SGD(weights, lr=0.001, momentum=0.9)
    other = optim.SGD(weights[:1], lr=0.1)
    free = Value(1.0)
    refused = []

    def handler(k):
        state = optimizer.state_dict()
        calls = [
            lambda: f.fit(xs, ys, optimizer=optimizer, steps=1),
            lambda: f.fit(xs, ys, optimizer=other, steps=1),
            lambda: optimizer.step(),
            lambda: optimizer.__init__([Value(1.0)], lr=0.1),
            lambda: optimizer.load_state_dict(state),
        ]
        for call in calls:
            try:
                call()
            except RuntimeError as error:
                refused.append(str(error))
        optim.SGD([free], lr=0.1).step()
        mc.compile(lambda x: x * free).fit([1.0], optimizer=optim.SGD([free], lr=0.1), steps=1)

    interrupted(f, xs, ys, optimizer, handler)
    assert len(refused) == 15 and all("running" in message for message in refused)
    assert free.data < 0.8
    same = optim.SGD(twins, lr=0.001, momentum=0.9)
    g.fit(xs, ys, optimizer=same, steps=optimizer.steps)
    assert [w.data for w in weights] == [w.data for w in twins]


@posix
@pytest.mark.parametrize("error", [IndexError, TypeError, KeyboardInterrupt])
def test_what_a_handler_raises_leaves_the_parameters_of_a_whole_step(error):
    f, weights, xs, ys = problem()
    g, twins, *_ = problem()
    optimizer = optim.Adam(weights)

    def handler(k):
        raise error("mine")

    with pytest.raises(error, match="mine"):
        interrupted(f, xs, ys, optimizer, handler)
    assert optimizer.steps > 0
    g.fit(xs, ys, optimizer=optim.Adam(twins), steps=optimizer.steps)
    assert [w.data for w in weights] == [w.data for w in twins]
    optimizer.step()  # it is free again


W = Value(0.999)
LONG = {"length": 2**32 - 2}
LONG_LOOPS = {
    "a step": lambda x: mc.scan(lambda c, _: ((c * W).sin(), None), x, **LONG)[0],
    "a loop a step": lambda x: mc.scan(
        lambda c, _: (mc.scan(lambda d, _: (d * W, None), c, length=3)[0], None), x, **LONG
    )[0],
    "a step that does nothing": lambda x: mc.scan(lambda c, _: (c, None), x, **LONG)[0],
    "a loop a step that does nothing": lambda x: mc.scan(
        lambda c, _: (mc.scan(lambda d, _: (d, None), c, **LONG)[0], None), x, **LONG
    )[0],
}


@posix
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", LONG_LOOPS)
def test_a_loop_of_many_steps_can_be_interrupted(executor, name):
    """Within its steps: one sample alone would take minutes."""
    f = mc.compile(LONG_LOOPS[name], executor=executor)
    f([])  # records

    def handle(signum, frame):
        raise Enough

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(Enough):
            f([1.0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@posix
def test_a_setting_that_a_handler_assigns_may_need_moments_that_were_not_there():
    f, weights, xs, ys = problem()
    optimizer = optim.SGD(weights, lr=0.001)

    def handler(k):
        optimizer.momentum = 0.9

    interrupted(f, xs, ys, optimizer, handler)
    f.fit(xs, ys, optimizer=optimizer, steps=5)
    assert optimizer.momentum == 0.9 and "momentum_buffer" in optimizer.state_dict()["state"][0]


# -- child processes -------------------------------------------------------------------------------


def in_child(work):
    """Whether a forked child does the work without an error, in time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(PATIENCE)
            work()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def use(f, weights, xs, ys):
    """Everything that a process can do with a function."""
    f(xs, ys)
    loss = f.value_and_grad(xs, ys)
    optimizer = optim.SGD(weights, lr=0.01)
    assert f.fit(xs, ys, optimizer=optimizer, steps=2)[0] == loss
    optimizer.step()
    g = mc.compile(lambda x: x * weights[0])
    g.value_and_grad([1.0])
    assert records()
    before = mc.tape_stats()
    keep = [Value(1.0) for _ in range(100)]
    for _ in range(100):
        del keep[::2]
        keep += [Value(1.0) for _ in range(100)]
    mc._core.compact()
    after = mc.tape_stats()
    assert after.compactions > before.compactions  # nobody keeps the tape busy


@posix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("doing", ["recording", "training", "running", "pausing"])
def test_a_child_works_whatever_other_threads_were_doing(doing):
    f, weights, xs, ys = problem()
    started, stop = threading.Event(), threading.Event()
    others = [Value(1.0)]

    def record_nested(x):
        def inner(y):
            started.set()
            wait(stop)
            return y

        return x * mc.compile(inner)([1.0])[0]

    def work():
        if doing == "recording":
            mc.compile(record_nested)([1.0])
        elif doing == "training":
            h = mc.compile(lambda x, y: (x * others[0] - y) ** 2)
            while not stop.is_set():
                started.set()
                h.fit(xs, ys, optimizer=optim.SGD(others, lr=1e-9), steps=200)
        elif doing == "running":
            many = np.tile(xs, 100)
            while not stop.is_set():
                f.value_and_grad(many, many)
                started.set()
        else:
            with no_grad():
                started.set()
                wait(stop)

    def parent():
        wait(started)
        try:
            for _ in range(3):
                time.sleep(0.001)
                assert in_child(lambda: use(f, weights, xs, ys))
        finally:
            stop.set()

    in_threads(work, parent)
    assert records()


@posix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="AddressSanitizer's own locks are not fit for fork: with GCC 12's, 3 of 143 children of "
    "a C program that only starts threads and forks hang in pthread_create, without it none",
)
def test_a_child_starts_threads_although_its_parent_was_starting_some():
    weight = Value(0.5)
    f = mc.compile(lambda x: (x * weight).tanh(), threads=2)
    xs = np.linspace(-1, 1, 20_000)
    loss = f.value_and_grad(xs)
    started, stop = threading.Event(), threading.Event()

    def work():
        while not stop.is_set():
            f(xs)
            started.set()

    def in_threads_of_its_own():
        assert f.value_and_grad(xs) == loss
        g = mc.compile(lambda x: x * weight, threads=2)
        assert len(g(xs)) == len(xs)

    def parent():
        wait(started)
        try:
            assert all(in_child(in_threads_of_its_own) for _ in range(10))
        finally:
            stop.set()

    in_threads(work, parent)
