# SPDX-License-Identifier: MIT
"""Calls at the same time: in threads, in signal handlers, in child processes."""

import copy
import math
import os
import random
import signal
import threading

import numpy as np
from harness import Finding
from programs_function import Scale
from programs_state import FLOAT64, State

import micrograd_c as mc

CHILD_HANGS = 300  # seconds; by then the harness has ended a parent that waits for its child


class Threads(State):
    def call_in_threads(self, r):
        """All of one function, or each of its own, which it records while others do."""
        chance = random.Random(r)
        rounds = [self.arrays(chance) for _ in range(3)]
        if any(None in self.eager_outputs(samples[:1]) for _, samples in rounds):
            return
        compiled, scale = [self.compiled] * len(rounds), None
        if chance.random() < 0.5:
            compiled = [self.compile(copy.copy(self.fn), threads=self.threads) for _ in rounds]
            scale = self.fn.scale = Scale()
            scale.data_of = self.parameters[0]
            compiled[0].__wrapped__.scale = compiled[1].__wrapped__.scale = scale
        else:
            self.compiled(*rounds[0][0])  # recorded here: a Function runs once at a time
        results = [None] * len(rounds)

        def run(k):
            if k == 0 and scale is not None:
                scale([0.5, 1.5])  # what the others call while they record
            for _ in range(3):
                results[k] = compiled[k](*rounds[k][0])

        self.in_threads(run, len(rounds))
        for (arguments, samples), result in zip(rounds, results, strict=True):
            self.check_outputs(
                "outputs in a thread", lambda *_, result=result: result, arguments, samples
            )
        self.counts["threads"] += 1

    def in_threads(self, run, count):
        errors = []

        def attempt(k):
            try:
                run(k)
            except Exception as error:
                errors.append(error)

        workers = [threading.Thread(target=attempt, args=(k,)) for k in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()  # threads that wait for each other hang, which the harness finds
        errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
        if errors:
            raise Finding(f"in a thread: {type(errors[0]).__name__}: {errors[0]}") from errors[0]

    def fits_in_threads(self, r):
        """Two fits at a time whose callbacks evaluate each other's function."""
        if self.fn.n_outputs > 0 or self.fn.reads:
            return
        chance = random.Random(r)
        arguments, samples = self.arrays(chance, 3)
        result = self.eager_gradients(samples)
        if result is None or not all(map(math.isfinite, result[1])):
            return
        functions = [self.fn, copy.copy(self.fn)]
        compiled = [self.compile(fn, threads=1) for fn in functions]
        start = [p.data for p in self.parameters]
        for f in compiled:
            f(*arguments)
            f.value_and_grad(*arguments)
        meet = threading.Barrier(2)

        def run(k):
            def callback(step, loss):
                if step == 0:
                    meet.wait()
                compiled[1 - k](*arguments)

            optimizer = mc.optim.SGD(self.fn.parameters, lr=0.0)
            try:
                compiled[k].fit(*arguments, optimizer=optimizer, steps=3, callback=callback)
            except BaseException:
                meet.abort()  # the other would wait for ever
                raise

        self.in_threads(run, 2)
        if not all(map(FLOAT64.alike, start, [p.data for p in self.parameters])):
            raise Finding("fits in two threads, of learning rate 0, changed parameters")
        self.put(start)

    def call_in_handler(self, r):
        """What a handler computes is right, or refused; what it interrupts is right."""
        if self.fn.n_outputs > 0 or self.fn.reads or not hasattr(signal, "setitimer"):
            return
        chance = random.Random(r)
        arguments, samples = self.arrays(chance, 200)
        others, other_samples = self.arrays(chance, 20)
        refused = None in self.eager_outputs(samples + other_samples)
        if refused or self.eager_gradients(samples) is None:
            return
        if chance.random() < 0.5:  # so many that signals are looked for on the way
            arguments = [np.resize(a, (100_000, *np.shape(a)[1:])) for a in arguments]
        start = [p.data for p in self.parameters]
        outside = self.train_for_a_while(arguments)
        self.put(start)
        results, calls = [], []

        def handler(*_):
            calls.append(None)
            if len(calls) == 30:  # on a busy machine, handlers could leave no time to train
                signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                if r & 1:
                    self.compiled.value_and_grad(*others)
                else:
                    results.append(np.array(self.compiled(*others)))
            except RuntimeError:
                self.counts["handlers refused"] += 1

        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)
            inside = self.train_for_a_while(arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        self.put(start)
        if not all(map(FLOAT64.alike, inside, outside)):
            raise Finding(f"training that handlers interrupt: {inside}, expected {outside}")
        self.counts["handlers"] += len(results)

    def call_in_child(self, r):
        """What a child computes is right, whatever the threads were doing that it does not have."""
        if self.fn.reads or not hasattr(os, "fork"):
            return
        arguments, samples = self.arrays(random.Random(r), 64)
        if not self.fn.steps or None in self.eager_outputs(samples):
            return
        want = self.refusal("outputs", lambda: np.array(self.compiled(*arguments)))
        stop = threading.Event()

        def keep_running():
            while not stop.is_set():
                self.compiled(*arguments)

        runner = threading.Thread(target=keep_running)
        runner.start()
        try:
            for _ in range(3):
                process = os.fork()
                if process == 0:
                    self.be_child(arguments, want)
                status = os.waitpid(process, 0)[1]
                if status:
                    raise Finding(f"a forked child that calls the function ends with {status}")
        finally:
            stop.set()
            runner.join()
        self.counts["children"] += 3

    def be_child(self, arguments, want):
        status = 1
        try:
            signal.alarm(CHILD_HANGS)
            got = np.array(self.compiled(*arguments))
            again = np.array(self.compile(self.fn)(*arguments))
            if np.array_equal(got, want, equal_nan=True) and again.shape == want.shape:
                status = 0
        finally:
            os._exit(status)

    def train_for_a_while(self, arguments):
        """Losses and parameters of some 10 ms of training."""
        size = len(arguments[0])
        optimizer = mc.optim.SGD(self.fn.parameters, lr=1e-4)
        losses = self.compiled.fit(
            *arguments, optimizer=optimizer, steps=3 if size > 1000 else 300, batch_size=None
        )
        return [*losses, *[p.data for p in self.parameters]]
