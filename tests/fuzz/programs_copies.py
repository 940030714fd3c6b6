# SPDX-License-Identifier: MIT
"""Copies in the middle of a run: of compiled functions, of optimisers that have trained."""

import copy
import pickle
import random

from harness import Finding
from loops import Rule, batches
from programs_fits import Fits

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)  # before 2, none for classes with __slots__
DEEP = [copy.deepcopy, *[lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in PROTOCOLS]]


def numbers_of(parameters):
    return repr([(p.data, p.grad) for p in parameters])


class Copies(Fits):
    def shallow_copy(self, r):
        self.compiled = copy.copy(self.compiled)
        self.evaluate(r)

    def deep_copy(self, r):
        """Goes on with a copy, or with what it was made of; each has numbers of its own."""
        chance = random.Random(r)
        arguments, samples = self.arrays(chance)
        original, before = self.compiled, numbers_of(self.parameters)
        twin = chance.choice(DEEP)(original)
        self.take_up(twin)
        self.same("the numbers of a copy", numbers_of(self.parameters), before)
        self.check_outputs("outputs of a copy", twin, arguments, samples)
        self.assign(chance.getrandbits(64))
        self.check_outputs("outputs of a copy", twin, arguments, samples)
        self.take_up(original)
        self.same("the numbers of what was copied", numbers_of(self.parameters), before)
        self.check_outputs("outputs of what was copied", original, arguments, samples)
        if chance.random() < 0.5:
            self.take_up(twin)
        self.counts["copies"] += 1

    def take_up(self, compiled):
        self.compiled, self.fn = compiled, compiled.__wrapped__
        self.parameters = [*self.fn.parameters, self.fn.position]

    def same(self, what, got, want):
        if got != want:
            raise Finding(f"{what}: {got}, expected {want}")

    # -- fits that go on --

    def fit_in_parts(self, r):
        """As one loop, whatever happens to the optimiser and the function between two parts."""
        if self.fn.n_outputs > 0 or self.fn.reads or self.fn.draws:
            return self.evaluate(r)
        chance = random.Random(r)
        arguments, samples = self.arrays(chance, chance.choice([1, 3, 4, 10, 17]))
        n, size = len(samples), chance.choice([None, None, 1, 3])
        parts = [chance.randint(0, 4) for _ in range(chance.choice([2, 3]))]
        rates = [None, *[chance.choice([None, 0.0, 1e-3, 0.05]) for _ in parts[1:]]]
        changes = [chance.choice(list(CHANGES)) for _ in parts]
        by_hand = [size is None and chance.random() < 0.4 for _ in parts]
        trained = [k for k in range(len(self.fn.parameters)) if chance.random() < 0.8] or [0]
        rule_seed = chance.getrandbits(32)
        self.show(f"fit{arguments!r}"[:200] + f" {parts=} {size=} {changes=} {by_hand=}")
        chosen, lrs, lr = [], [], None
        for steps, rate in zip(parts, rates, strict=True):
            lr = lr if rate is None else rate
            chosen += batches(lambda _: list(range(n)), n, size, steps)
            lrs += [lr] * steps
        start = [p.data for p in self.parameters]

        def loop():
            parameters = [self.parameters[k] for k in trained]
            result = self.loop(parameters, rule_seed, samples, chosen, lrs)
            self.put(start)
            return result

        want = loop()
        if want is None or self.eager_outputs(samples[:1]) == [None]:
            self.counts["refused"] += 1
            return None
        rule = Rule(random.Random(rule_seed), len(trained))
        optimizer = rule.optimizer([self.parameters[k] for k in trained])
        losses, self.left = [], []
        for steps, rate, change, hand in zip(parts, rates, changes, by_hand, strict=True):
            optimizer = self.changed(change, optimizer, chance)
            if rate is not None:
                optimizer.lr = rate
            train = self.train_by_hand if hand else self.train
            losses += self.refusal(
                "fit in parts",
                lambda t=train, o=optimizer, s=steps: t(arguments, o, s, size),
            )
        got = [*losses, *[p.data for p in self.parameters]]
        for parameters, numbers in self.left:
            self.same("the numbers of what was copied", numbers_of(parameters), numbers)
        self.put(start)
        if not self.has_fewer_nans(arguments, samples, got, want):
            self.expect(f"fit in parts by {optimizer}", got, want, loop)
        self.counts["fits in parts"] += 1
        return None

    def changed(self, change, optimizer, chance):
        """The optimiser to go on with; where the function is copied as well, that goes on, too."""
        state, before = repr(optimizer.state_dict()), numbers_of(self.parameters)
        optimizer = CHANGES[change](self, optimizer, chance)
        self.same(f"the state after {change!r}", repr(optimizer.state_dict()), state)
        self.same(f"the numbers after {change!r}", numbers_of(self.parameters), before)
        known = {id(p) for p in self.parameters}
        if not all(id(p) in known for p in optimizer.params):
            raise Finding(f"after {change!r} the optimizer has parameters of its own")
        return optimizer

    def copied_together(self, optimizer, chance):
        self.left.append((self.parameters, numbers_of(self.parameters)))
        compiled, optimizer = chance.choice(DEEP)((self.compiled, optimizer))
        self.take_up(compiled)
        return optimizer

    def loaded(self, optimizer, chance):
        """A new one of the class, with other settings until it has loaded the state."""
        state = chance.choice([lambda x: x, *DEEP])(optimizer.state_dict())
        other = type(optimizer)(optimizer.params, lr=0.7)
        if chance.random() < 0.5:
            numbers = [p.data for p in optimizer.params]
            other.step()  # so that it has moments, which are the other's afterwards
            for p, number in zip(optimizer.params, numbers, strict=True):
                p.data = number
        other.load_state_dict(state)
        return other

    def train(self, arguments, optimizer, steps, size):
        return self.compiled.fit(*arguments, optimizer=optimizer, steps=steps, batch_size=size)

    def train_by_hand(self, arguments, optimizer, steps, _):
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            losses.append(self.compiled.value_and_grad(*arguments))
            optimizer.step()
        return losses


# what happens to the optimiser between two parts of a fit
CHANGES = {
    "nothing": lambda case, optimizer, chance: optimizer,
    "a copy": lambda case, optimizer, chance: copy.copy(optimizer),
    "a copy with the function": Copies.copied_together,
    "state_dict": Copies.loaded,
}
