# SPDX-License-Identifier: MIT
"""What trying a class leaves behind, such as counters and lists of nodes: seen, and put back."""

import collections
import copy
import itertools
import random
import sys
import weakref

CONTAINERS = (list, dict, set, collections.deque, weakref.WeakSet, itertools.count)
SMALL = 64  # containers up to this size are compared by their items, larger ones by their size


class Watch:
    """The globals around a class, itself, and the other classes and objects of its module."""

    def __init__(self, kind):
        module = self.names = vars(sys.modules[kind.__module__])
        self.kind = kind
        self.spaces = [("", module), ("", kind)]
        for name, value in module.items():
            owner = value if isinstance(value, type) else type(value)
            own = owner.__module__ == kind.__module__ and owner is not kind
            if own and hasattr(value, "__dict__"):
                self.spaces.append((name, value))
        self.before = [
            {name: (value, contents(value), copied(value)) for name, value in names(space).items()}
            for _, space in self.spaces
        ]
        self.numpy = sys.modules.get("numpy.random")
        self.states = random.getstate(), self.numpy and self.numpy.get_state()
        self.own = set()  # names in the class itself that its methods change
        self.others = set()  # names of other things that they change

    def put_back(self):
        """Notes what has changed since the beginning, and undoes it."""
        random.setstate(self.states[0])
        if self.numpy:
            self.numpy.set_state(self.states[1])
        for (owner, space), before in zip(self.spaces, self.before, strict=True):
            now = names(space)
            for name in (before.keys() | now.keys()) - {self.kind.__name__}:
                value, held, copy_of_it = before.get(name, (self, None, None))
                if now.get(name, self) is value and contents(value) == held:
                    continue
                (self.own if space is self.kind else self.others).add(owner or name)
                if copy_of_it is not None:
                    value = refilled(value, copy_of_it)
                    before[name] = value, contents(value), copied(value)
                put(space, name, value, value is self)

    def switches(self, assigned):
        """Constants that the script assigns, each with another value until the next."""
        for _, space in self.spaces:
            for name, value in names(space).items():
                if name in assigned and type(value) in (bool, int, float, str, type(None)):
                    put(space, name, another(value), False)
                    yield name, value
                    put(space, name, value, False)


def names(space):
    space = space if isinstance(space, dict) else vars(space)
    return {name: value for name, value in space.items() if not name.startswith("__")}


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


def copied(value):
    return copy.copy(value) if isinstance(value, CONTAINERS) else None


def refilled(container, copy_of_it):
    """The container as it was; what cannot be filled again is replaced by a copy."""
    if isinstance(container, itertools.count):
        return copied(copy_of_it)
    container.clear()
    getattr(container, "extend" if hasattr(container, "extend") else "update")(copy_of_it)
    return container


def put(space, name, value, was_missing):
    if isinstance(space, dict):
        space.pop(name) if was_missing else space.__setitem__(name, value)
    elif was_missing:
        delattr(space, name)
    else:
        setattr(space, name, value)


def another(value):
    return value + type(value)(1) if type(value) in (int, float, str) else not value
