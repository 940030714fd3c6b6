# SPDX-License-Identifier: MIT
"""The names of a class of the user's own, on this engine's Value."""

import copy
import os
import sys

from .._core import Value, operands

# What stands between a line of the script and this module: this package, and Python's library.
BETWEEN = tuple(os.path.dirname(path) + os.sep for path in (os.path.dirname(__file__), os.__file__))
# This engine's own fields, whatever Value may call them later.
FIELDS = {name: vars(Value.__mro__[1])[name] for name in ("data", "grad", "_op", "_backward")}


class Refusal(BaseException):
    """Why a class cannot stand on this engine. Not an Exception: the script must not catch it."""


told = []  # every Refusal so far: a script must not go on after one, whatever it catches


def only_own(kind):
    return f"which only the script's own {kind} has"


def refuse(what):
    """Ends the script, with the line of it that asks for something that cannot be had."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(BETWEEN):
        frame = frame.f_back
    file = os.path.basename(frame.f_code.co_filename)
    told.append(Refusal(f"{file}, line {frame.f_lineno}: {what}"))
    raise told[-1]


class Lost:
    """An attribute that this engine has no counterpart for. One that is a name can be set."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind

    def __get__(self, value, owner=None):
        refuse(f"reads .{self.name}, {only_own(self.kind)}")


class Machinery(Lost):
    """One that the class computes with: setting it would do nothing here."""

    def __set__(self, value, what):
        refuse(f"sets .{self.name}, {only_own(self.kind)}")


class Fixed(Lost):
    """One that changes what the class computes: here it stays as it is."""

    def __init__(self, name, kind, constant):
        super().__init__(name, kind)
        self.constant = constant

    def __get__(self, value, owner=None):
        return self.constant

    def __set__(self, value, what):
        if what is not self.constant and what != self.constant:
            only = f"only the script's own {self.kind} knows what to do then"
            refuse(f"sets .{self.name} to {what!r}: {only}")


class Shown(dict):
    """What vars() of a Value gives: to be looked at."""

    def refuse(self, *what, **named):
        refuse("writes into the __dict__ of a Value, which is only shown here")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = refuse


class Hidden:
    """A method of this engine's that the class does not have."""

    def __init__(self, name, kind):
        self.text = f"{kind!r} object has no attribute {name!r}"

    def __get__(self, value, owner=None):
        raise AttributeError(self.text)


class LeafOrNot:
    """A constant of leaves, and another one of all other nodes."""

    def __init__(self, leaf, inner):
        self.leaf, self.inner = leaf, inner

    def __get__(self, value, owner=None):
        return self.inner if value is not None and operands(value) else self.leaf


class Operands(Machinery):
    """The operands as the class keeps them: in a container of some type, or one by one."""

    def __init__(self, name, kind, shape, leaf):
        super().__init__(name, kind)
        self.shape, self.leaf = shape, leaf

    def __get__(self, value, owner=None):
        found = operands(value)
        if isinstance(self.shape, int):
            found = found[self.shape : self.shape + 1]
            return found[0] if found else self.leaf
        return self.shape(found) if found else copy.copy(self.leaf)


class Operation:
    """The name of the operation, in the class's own words; what is set is kept beside it."""

    def __init__(self, words):
        self.words = words

    def __get__(self, value, owner=None):
        return self if value is None else self.words.of(FIELDS["_op"].__get__(value))


class Words:
    """What the class calls this engine's operations, as far as it has been seen."""

    def __init__(self, seen=()):
        self.seen = dict(seen)

    def are_this_engines(self):
        return all(word == symbol.replace("**n", "**{}") for symbol, word in self.seen.items())

    def of(self, symbol):
        if is_power(symbol):
            pattern = self.seen.get("**n", "**{}")
            return pattern.replace("{}", symbol[2:]) if isinstance(pattern, str) else pattern
        return self.seen.get(symbol, symbol)

    def fits(self, symbol, word):
        """Learns the word for the symbol, or says whether it is the one that is known."""
        if is_power(symbol):
            word = word.replace(symbol[2:], "{}") if isinstance(word, str) else word
            symbol = "**n"
        return self.seen.setdefault(symbol, word) == word


def is_power(symbol):
    return symbol.startswith("**") and symbol != "**"
