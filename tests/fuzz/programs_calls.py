# SPDX-License-Identifier: MIT
"""Calls of a case's function one after the other: outputs, gradients, changes, misuse."""

import random

from harness import Finding
from programs_function import COMPARISONS, MISUSE
from programs_state import State

import micrograd_c as mc
from micrograd_c import TraceError, Value, _core

LEVELS = _core.levels()


class Calls(State):
    def evaluate(self, r):
        chance = random.Random(r)
        arguments, samples = self.arrays(chance)
        self.show(f"f{arguments!r}"[:300])
        self.check_outputs("outputs", self.compiled, arguments, samples)

    def gradient(self, r):
        if self.fn.n_outputs > 0:
            return self.evaluate(r)
        arguments, samples = self.arrays(random.Random(r))
        self.show(f"value_and_grad{arguments!r}"[:300])
        return self.check_gradients("value_and_grad", self.compiled, arguments, samples)

    def assign(self, r):
        chance = random.Random(r)
        changes = chance.choice([0.0, 0.5, 1.0])
        for p in self.fn.parameters:
            if chance.random() < changes:
                p.data = round(chance.uniform(-2, 2), 2)
            if chance.random() < 0.5:
                p.grad = chance.choice([0.0, 1.0])
        if chance.random() < 0.4:  # of 0.0, the other zero
            self.fn.parameters[0].data = -self.fn.parameters[0].data
        self.fn.position.data = float(chance.randrange(-3, 3))

    def level(self, r):
        _core.set_level(LEVELS[r % len(LEVELS)])

    def misuse(self, r):
        """Nothing that would bake in one sample's number gets through."""
        names = list(MISUSE) + (list(COMPARISONS) if "comparisons" in self.features else [])
        name = names[r % len(names)]
        arguments, samples = self.arrays(random.Random(r >> 8), 4)
        if not self.fn.steps or self.eager_outputs(samples[:1]) == [None]:
            return
        self.fn.mark = ((r >> 16) % len(self.fn.steps), name, r >> 40 & 1)
        before = [p.data for p in self.parameters]
        call = mc.compile(self.fn)
        if "garbage" in self.features:
            for _ in range(3):
                leaf = Value(1.0)
                leaf.itself = [leaf]
                del leaf
        try:
            call(*arguments)
        except TraceError:
            self.counts["misuse"] += 1
            return
        except Exception as error:
            raise Finding(f"misuse {name!r}: {type(error).__name__}: {error}") from error
        finally:
            self.fn.mark = None
            if [p.data for p in self.parameters] != before:
                raise Finding(f"misuse {name!r} changed parameters")
        raise Finding(f"misuse {name!r}: nothing was raised")
