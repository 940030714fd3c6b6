# SPDX-License-Identifier: MIT
"""fit() against loops.py: losses, parameters, callbacks, the order of samples."""

import contextlib
import math
import random

import numpy as np
from harness import Finding
from loops import Rule, batches
from programs_calls import Calls
from programs_state import EAGER, PASSES

import micrograd_c as mc
from micrograd_c import TraceError, Value


class Fits(Calls):
    def fit(self, r, callback=False):
        if self.fn.n_outputs > 0 or self.fn.draws:  # a step has draws of its own
            return self.evaluate(r)
        chance = random.Random(r)
        arguments, samples = self.arrays(chance, chance.choice([1, 3, 4, 10, 17]))
        steps, n = chance.randint(0, 6), len(samples)
        batch_size = chance.choice([None, 1, 2, 3, 8, n])
        shuffle, seed = chance.random() < 0.5, chance.getrandbits(20)
        trained = [p for p in self.fn.parameters if chance.random() < 0.8] or self.fn.parameters[:1]
        rule_seed = chance.getrandbits(32)
        self.show(f"fit{arguments!r}"[:200] + f" {steps=} {batch_size=} {shuffle=}")
        is_split = batch_size is not None and batch_size < n
        order = self.order(n, steps, seed) if shuffle and is_split else lambda _: list(range(n))
        chosen = batches(order, n, batch_size, steps)
        start = [p.data for p in self.parameters]
        want = None
        if self.eager_outputs(samples[:1]) != [None]:  # as when it is recorded
            want = self.loop(trained, rule_seed, samples, chosen)
        self.put(start)
        options = {"steps": steps, "batch_size": batch_size, "shuffle": shuffle, "seed": seed}
        optimizer = Rule(random.Random(rule_seed), len(trained), in_groups=True).optimizer(trained)
        if want is None:
            with contextlib.suppress(*EAGER, TraceError):
                self.compiled.fit(*arguments, optimizer=optimizer, **options)
            self.put(start)
            self.counts["refused"] += 1
            return None
        if callback:
            options["callback"] = self.make_callback(chance, arguments, samples)
        try:
            losses = self.compiled.fit(*arguments, optimizer=optimizer, **options)
        except TraceError as error:
            self.put(start)
            if self.fn.reads:
                return None
            raise Finding(f"fit raised TraceError: {error}") from error
        except Exception as error:
            self.put(start)
            raise Finding(f"fit raised {type(error).__name__}: {error}") from error
        got = [*losses, *[p.data for p in self.parameters]]
        self.put(start)

        def again():
            noisy = self.loop(trained, rule_seed, samples, chosen)
            self.put(start)
            return noisy

        if not self.has_fewer_nans(arguments, samples, got, want):
            self.expect(f"fit by {optimizer}", got, want, again)
        self.counts["fits"] += 1
        return None

    def has_fewer_nans(self, arguments, samples, got, want):
        """As gradients may have, see allow_fewer_nans(): what would be NaN trains on."""
        fewer = any(math.isnan(b) and not math.isnan(a) for a, b in zip(got, want, strict=True))
        if not fewer or not (self.chooses() or set(self.skip) != set(PASSES)):
            return False
        self.check_gradients("value_and_grad before a fit", self.compiled, arguments, samples)
        self.counts["fits with fewer NaN"] += 1
        return True

    def fit_with_callback(self, r):
        self.fit(r, callback=True)

    def make_callback(self, chance, arguments, samples):
        """Evaluates the function that trains, or another one, and sets what is already so."""
        other = self.compile(self.fn)
        which = chance.randrange(3)
        some = random.Random(chance.getrandbits(32))

        def callback(step, loss):
            if which == 0:
                self.check_outputs("outputs in a callback", self.compiled, arguments, samples)
            elif which == 1:
                self.check_outputs("outputs of another in a callback", other, arguments, samples)
            else:
                self.check_outputs("outputs in a callback", self.compiled, *self.arrays(some))
            for p in self.parameters:
                p.data = p.data
            return False

        return callback

    def order(self, n, steps, seed):
        """The order of samples in each epoch: what a fit in batches of one with this seed meets."""
        one = Value(1.0)
        numbers = np.arange(float(n))
        which = mc.compile(lambda i: i * one)
        losses = (
            which.fit(
                numbers,
                optimizer=mc.optim.SGD([one], lr=0.0),
                steps=n * (steps + 2),
                batch_size=1,
                shuffle=True,
                seed=seed,
            )
            if n > 1
            else [0.0] * (steps + 2)
        )
        epochs = [[int(x) for x in losses[k : k + n]] for k in range(0, len(losses), n)]
        for epoch in epochs:
            if sorted(epoch) != list(range(n)):
                raise Finding(f"an epoch of a shuffled fit meets samples {epoch}")
        return lambda k: epochs[k]

    def loop(self, trained, rule_seed, samples, chosen, lrs=None):
        """Losses and the parameters afterwards, by a loop in Python; None where it is refused.

        lrs: the learning rate of each step, where it is not the rule's; None: the one before.
        """
        rule = Rule(random.Random(rule_seed), len(trained), in_groups=lrs is None)
        at = [k for p in trained for k, q in enumerate(self.parameters) if p is q]
        losses = []
        for step, batch in enumerate(chosen):
            if lrs is not None and lrs[step] is not None:
                rule.lr = lrs[step]
            result = self.eager_gradients([samples[k] for k in batch])
            if result is None:
                return None
            loss, grads = result
            losses.append(loss)
            with np.errstate(all="ignore"):
                try:
                    numbers = rule.step([p.data for p in trained], [grads[k] for k in at])
                except EAGER:
                    return None
            for p, number in zip(trained, numbers, strict=True):
                p.data = number
        return [*losses, *[p.data for p in self.parameters]]
