# SPDX-License-Identifier: MIT
"""What trying a class leaves behind, such as counters and lists of nodes: seen, and put back."""

import collections
import copy
import itertools
import random
import sys
import weakref

from .anatomy import MISSING

CONTAINERS = (list, dict, set, collections.deque, weakref.WeakSet, itertools.count)
SMALL = 64  # containers up to this size are compared by their items, larger ones by their size


class Watch:
    """The globals around a class, itself, and the other classes and objects of its module.

    own: names in the class itself that its methods change; others: those of other things.
    """

    def __init__(self, kind):
        self.kind, self.own, self.others = kind, set(), set()
        self.names = vars(sys.modules[kind.__module__])
        self.spaces = [("", self.names), ("", kind)]
        for name, value in self.names.items():
            owner = value if isinstance(value, type) else type(value)
            own = owner.__module__ == kind.__module__ and owner is not kind
            if own and hasattr(value, "__dict__"):
                self.spaces.append((name, value))
        self.before = [{n: state(v) for n, v in names(space).items()} for _, space in self.spaces]
        self.numpy = sys.modules.get("numpy.random")
        self.random = random.getstate(), self.numpy and self.numpy.get_state()

    def put_back(self):
        """Notes what has changed since the beginning, and undoes it."""
        random.setstate(self.random[0])
        if self.numpy:
            self.numpy.set_state(self.random[1])
        for (owner, space), before in zip(self.spaces, self.before, strict=True):
            now = names(space)
            for name in (before.keys() | now.keys()) - {self.kind.__name__}:
                value, held, kept = before.get(name, (MISSING, None, None))
                if now.get(name, MISSING) is value and contents(value) == held:
                    continue
                (self.own if space is self.kind else self.others).add(owner or name)
                if kept is not None:
                    value = refilled(value, kept)
                    before[name] = state(value)
                put(space, name, value)

    def switches(self, assigned):
        """Constants that the script assigns, each with another value until the next."""
        self.put_back()
        for (_, space), before in zip(self.spaces, self.before, strict=True):
            for name, value in names(space).items():
                if name in assigned and type(value) in (bool, int, float, str, type(None)):
                    number = type(value) in (int, float, str)
                    other = value + type(value)(1) if number else not value
                    for current in other, value:
                        before[name] = state(current)
                        put(space, name, current)
                        if current is other:
                            yield name, value


def names(space):
    space = space if isinstance(space, dict) else vars(space)
    return {name: value for name, value in space.items() if not name.startswith("__")}


def state(value):
    return value, contents(value), copy.copy(value) if isinstance(value, CONTAINERS) else None


def contents(value):
    """What a container holds, to be compared; None for anything else."""
    if not isinstance(value, CONTAINERS):
        return None
    if isinstance(value, itertools.count):
        return repr(value)
    if len(value) > SMALL:
        return len(value)
    pairs = value.items() if isinstance(value, dict) else zip(value)
    return [id(x) for pair in pairs for x in pair]


def refilled(container, kept):
    """The container as it was; what cannot be filled again is replaced by a copy."""
    if isinstance(container, itertools.count):
        return copy.copy(kept)
    container.clear()
    getattr(container, "extend" if hasattr(container, "extend") else "update")(kept)
    return container


def put(space, name, value):
    if isinstance(space, dict):
        space.pop(name) if value is MISSING else space.__setitem__(name, value)
    elif value is MISSING:
        delattr(space, name)
    else:
        setattr(space, name, value)
