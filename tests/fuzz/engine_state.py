# SPDX-License-Identifier: MIT
"""What all steps of an engine case share: the slots, their mirror, what is watched.

A case does the same to Values and to the mirror's nodes. Its slots are pairs of one of each.
"""

import random
import weakref

from harness import Finding
from mirror import Node

from micrograd_c import Value

NUMBERS = [0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 3.0, -0.5, 1e-3, 10.0, -0.0, 3, 2, -1, True, 0, 1.5]


class Boom(Exception):
    """What callbacks and rules of these cases raise."""


class Dict(Value):
    """A subclass with a dict."""


class Slots(Value):
    __slots__ = ("box", "tag")


class Bare(Value):
    __slots__ = ()


class Own(Value):
    """A subclass with a constructor and a method of its own."""

    def __init__(self, data, children=()):
        super().__init__(data, children, "own")
        self.made = [data]


KINDS = [Dict, Slots, Bare, Own]


class Token:
    """An object whose life is watched: each has one beside its Value and one in the mirror."""

    __slots__ = ("__weakref__", "action", "alive", "case", "number")

    def __init__(self, number, alive, case=None, action=None):
        self.number, self.alive, self.case, self.action = number, alive, case, action
        alive.add(number)

    def __del__(self):
        self.alive.discard(self.number)
        if self.action is not None:
            self.case.act(self.action)


def same(a, b):
    return a == b or (a != a and b != b)


def raised(call, *operands):
    """(result, None), or (None, the class of the exception)."""
    try:
        return call(*operands), None
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        return None, type(error)


class State:
    def __init__(self, seed, features, verbose):
        self.features = features
        self.verbose = verbose
        self.random = random.Random(~seed)
        self.slots = []  # pairs of a Value and its Node
        self.weakrefs = []
        self.generators = []
        self.pending = 0  # callbacks that hold Values of their own
        self.weak_keys = weakref.WeakKeyDictionary()
        self.ours_alive, self.mirror_alive = set(), set()
        self.tokens = 0
        self.failure = None
        self.acting = 0
        self.is_rough = False  # the order of recording is not known: sums may be rounded otherwise
        self.pauses = []  # what has been entered of no_grad(), one object perhaps twice
        self.accumulates = False
        self.nesting = {True: 0, False: 0}
        self.operations = 0
        self.counts = {}
        self.actions = ["allocate", "drop", "compact"]
        self.actions += [
            action
            for action, feature in {
                "collect": "collecting",
                "ask": "asking",
                "sort": "asking",
                "record": "recording",
                "boom": "raising",
            }.items()
            if feature in features
        ]

    def unraisable(self, problem):
        if problem.exc_type is not Boom and self.failure is None:
            self.failure = f"raised where nobody catches it: {problem.exc_value!r}"

    def fail(self, text):
        if self.failure is None:
            self.failure = text
        raise Finding(text)

    def expect(self, what, ours, theirs):
        if ours != theirs:
            self.fail(f"{what}: {ours!r}, expected {theirs!r}")

    def pick(self, r):
        return self.slots[r % len(self.slots)]

    def add(self, ours, node):
        """The result of a step; what runs away is dropped at once."""
        if -1e3 < node.data < 1e3:
            self.slots.append((ours, node))
        if ours.data != node.data and node.data == node.data:
            self.fail(f"{node.op!r}: {ours.data!r}, expected {node.data!r}")
        if self.verbose:
            operands = ", ".join(f"n{operand.serial}" for operand in node.prev)
            print(f"    n{node.serial} = {node.op or 'leaf'}({operands})  # {node.data}")

    def node(self, data, prev, rule, op, extra=None):
        """What a step records; under no_grad() a leaf."""
        if self.pauses:
            return Node(data)
        return Node(data, prev, rule, op, extra)

    def record(self, call, value, rule, op, operands, nodes, numbers):
        """One operation on both sides, where both may refuse it."""
        want, error = raised(value, *numbers)
        got, refused = raised(call, *operands)
        if refused is not error:
            self.fail(f"{op!r} of {numbers}: {refused or got!r}, expected {error or want!r}")
        if error is None:
            self.add(got, self.node(want, nodes, rule, op))

    def token(self, action=None):
        """A token for each side; with an action, the Value's does something when it dies."""
        self.tokens += 1
        ours = Token(self.tokens, self.ours_alive, self, action)
        return ours, Token(self.tokens, self.mirror_alive)
