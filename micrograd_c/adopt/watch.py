# SPDX-License-Identifier: MIT
"""What trying a class leaves behind, such as counters and lists of nodes: seen, and put back."""

import collections
import copy
import functools
import itertools
import random
import sys
import weakref

from .anatomy import MISSING, is_plain

CONTAINERS = (list, dict, set, collections.deque, weakref.WeakSet, itertools.count)
SMALL = 64  # containers up to this size are compared by their items, larger ones by their size


class Watch:
    """The globals around a class, itself, and the other classes and objects of its module.

    own: names in the class itself that its methods change; others: those of other things.
    """

    def __init__(self, kind):
        self.kind, self.own, self.others = kind, set(), set()
        module = sys.modules[kind.__module__]
        self.names = vars(module)
        self.spaces = [("", module), ("", kind)]
        for name, value in self.names.items():
            owner = value if isinstance(value, type) else type(value)
            if owner.__module__ == kind.__module__ and owner is not kind:
                self.spaces += [(name, value)] if hasattr(value, "__dict__") else []
        self.before = [{name: state(v) for name, v in names(s).items()} for _, s in self.spaces]
        self.sources = [(random.getstate, random.setstate)]
        if numpy := sys.modules.get("numpy.random"):
            self.sources.append((numpy.get_state, numpy.set_state))
        self.random = [get() for get, _ in self.sources]

    def has_drawn(self):
        """Whether random numbers have been drawn since the last put_back."""
        return [repr(get()) for get, _ in self.sources] != [*map(repr, self.random)]

    def put_back(self):
        """Notes what has changed since the beginning, and undoes it."""
        for (_, put), kept in zip(self.sources, self.random, strict=True):
            put(kept)
        for (owner, space), before in zip(self.spaces, self.before, strict=True):
            now = names(space)
            for name in (before.keys() | now.keys()) - {self.kind.__name__}:
                value, held, kept = before.get(name, (MISSING, None, None))
                if now.get(name, MISSING) is value and contents(value) == held:
                    continue
                (self.own if space is self.kind else self.others).add(owner or name)
                if isinstance(value, itertools.count):
                    value = copy.copy(kept)  # nothing else sets it back
                    before[name] = state(value)
                elif kept is not None:
                    value.clear()
                    getattr(value, "extend" if hasattr(value, "extend") else "update")(kept)
                if value is MISSING:
                    delattr(space, name)
                else:
                    setattr(space, name, value)

    def switches(self, assigned):
        """Constants that the script assigns, alone or in containers, each with another value until
        the next."""
        self.put_back()
        for (_, space), before in zip(self.spaces, self.before, strict=True):
            for name in names(space).keys() & assigned:
                held = getattr(space, name)
                parts = enumerate(held) if isinstance(held, list) else ()
                parts = held.items() if isinstance(held, dict) else parts
                places = [(functools.partial(setattr, space, name), held)]
                places += [(functools.partial(held.__setitem__, key), v) for key, v in parts]
                for put, value in places[:SMALL]:
                    for current in (another(value), value) if is_plain(value) else ():
                        put(current)
                        before[name] = state(getattr(space, name))
                        if current is not value:
                            yield name, value


def another(value):
    return value + type(value)(1) if type(value) in (int, float, str) else not value


def names(space):
    return {name: value for name, value in vars(space).items() if not name.startswith("__")}


def state(value):
    return value, contents(value), copy.copy(value) if isinstance(value, CONTAINERS) else None


def contents(value):
    """What a container holds, to be compared; None for anything else."""
    if isinstance(value, itertools.count) or not isinstance(value, CONTAINERS):
        return repr(value) if isinstance(value, itertools.count) else None
    if len(value) > SMALL:
        return len(value)
    pairs = value.items() if isinstance(value, dict) else zip(value)
    return [id(x) for pair in pairs for x in pair]
