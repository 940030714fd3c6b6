# SPDX-License-Identifier: MIT
"""What scan is compared with: the loop, recorded step by step."""

import itertools

from micrograd_c import Value, _core, random, scan

EXECUTORS = ["scalar", "vector", None]


def unrolled(body, carry, xs=None, length=None, checkpoint=1):
    """What scan() has to give."""
    ys = []
    for k in range(length if xs is None else len(xs)):
        carry, y = body(carry, None if xs is None else xs[k])
        ys.append(y)
    return carry, ys


class Scans:
    """scan(), and what draws in its bodies: see Unrolled."""

    def __call__(self, *args, **options):
        return scan(*args, **options)

    def draw(self, kind):
        return getattr(random, kind)()


class Unrolled:
    """Loops, step by step, whose bodies find what they draw among Values; or, None, which note in
    `places` what they would draw, as (kind, which draw, step).

    This says once more what a draw in a body is: which one it is of those that bodies record, and
    the number of the step, counted through all loops around it, from 1 on.
    """

    def __init__(self, given=None):
        self.given = None if given is None else iter(given)
        self.places = []
        self.next, self.step = 0, 0

    def __call__(self, body, carry, xs=None, length=None, checkpoint=1):
        n = length if xs is None else len(xs)
        outer, first, steps = self.step, self.next, itertools.count()

        def numbered(carry, x):
            self.step, self.next = n * outer + next(steps), first
            return body(carry, x)

        result = unrolled(numbered, carry, xs, length)
        self.step = outer
        return result

    def draw(self, kind):
        self.places.append((kind, self.next, 1 + self.step))
        self.next += 1
        return Value(0.5) if self.given is None else next(self.given)

    def numbers(self, samples, seed, call=0, is_float32=False):
        """Of each sample, a row: what it draws there."""
        return [
            [
                _core.drawn(kind, seed, sample, which, call, is_float32, step)
                for kind, which, step in self.places
            ]
            for sample in samples
        ]


def drawn_in_step(sample, step, which=0, seed=1, kind="normal", call=0):
    """What draw `which` of bodies is, in the step of this number, from 0 on."""
    return _core.drawn(kind, seed, sample, which, call, step=1 + step)


def numbers(result):
    """What a compiled function gives, as a flat list."""
    if isinstance(result, float):
        return [result]
    return [number for part in result for number in numbers(part)]


def same(ours, theirs, tolerance=1e-10):
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert x == y or (x != x and y != y) or abs(x - y) <= tolerance * max(1.0, abs(x), abs(y))


def gradient(f, parameters, *arrays, **named):
    """The loss and the gradient; 0 for what the loss does not depend on."""
    for p in parameters:
        p.grad = 0.0
    loss = f.value_and_grad(*arrays, **named)
    return [loss, *(p.grad for p in parameters)]
