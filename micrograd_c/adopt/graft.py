# SPDX-License-Identifier: MIT
"""Puts one class on this engine's Value. Every name has candidates: this engine's own method, and
the class's as written. The first one that agrees with the class on all probes is set."""

import functools
import inspect
import re
import types

from .. import _core
from .._core import Value, operands
from . import probes
from .anatomy import Anatomy
from .refusal import Refusal, refuse
from .stand_in import HANDLE, NATIVE, Hidden, Words, array_ufunc, make_init, reduce, stand_in

# Parts of every class that are not the user's doing, or are asked for elsewhere.
SKIPPED = re.compile(
    r"__(module|doc|dict|weakref|slots|init|post_init|annotations|annotate|annotate_func|qualname|"
    r"annotations_cache|static_attributes|firstlineno|match_args|dataclass_\w+|replace|orig_bases|"
    r"parameters|abstractmethods)__|_abc_impl"
)
SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
OPERATOR = re.compile(
    "__[ri]?(add|sub|mul|truediv|floordiv|mod|divmod|pow|matmul)__|"
    "__(neg|pos|abs|invert|lt|le|gt|ge|eq|ne|round|trunc|floor|ceil|float|int|bool)__"
)
OWN_WAY = {"__eq__", "__ne__", "__bool__", "__float__", "__int__"}
COMPUTING = {"__add__", "__mul__", "__sub__", "__pow__", "tanh", "relu", "backward"}
PICKLED = {"__getstate__", "__setstate__", "__reduce__"}
IMPOSSIBLE = {"__new__", "__setattr__", "__delattr__", "__getattribute__", "__del__"}
NEEDED = {*IMPOSSIBLE, "__init__", "__reduce_ex__", "__bool__"}  # of Value, whatever the class has
SWEEPS = [
    lambda self: HANDLE.backward(self, accumulate=False),
    lambda self: HANDLE.backward(self, accumulate=True),
    lambda self: _core.sweep_onto_grads(self),
]


class Graft:
    def __init__(self, kind, watch, mentions):
        self.kind, self.watch, self.mentions = kind, watch, mentions
        self.members = {
            name: member
            for base in reversed(kind.__mro__[:-1])
            for name, member in vars(base).items()
            if not SKIPPED.fullmatch(name) and not isinstance(member, SLOTS)
        }
        found = COMPUTING & self.members.keys()
        if len(found) < 2 or not found & {"__add__", "__mul__"}:
            raise Refusal(f"class {kind.__name__} does not compute: nothing to replace")
        for name in sorted(IMPOSSIBLE & self.members.keys()):
            raise Refusal(f"class {kind.__name__} has a {name} of its own")
        for base in kind.__mro__[1:-1]:
            if base.__name__ in mentions:
                what = f"is a {base.__name__}, this engine's Value is not"
                raise Refusal(f"class {kind.__name__} {what}")
        self.taken = []  # programs of the methods that this engine's take the place of
        self.words = Words()
        self.captures = False  # whether rules keep numbers of the operands, which this engine reads

    def make(self):
        anatomy = self.anatomy = Anatomy(self.kind)
        in_order = not anatomy.holds_sets and bool(self.mentions & anatomy.shapes.keys())
        self.theirs = probes.Side(self.kind, anatomy, anatomy.operands_of, in_order)
        self.ours = probes.Side(Value, anatomy, operands, in_order)
        found = stand_in(anatomy, self.words)
        asked = [name for name, member in self.members.items() if self.is_asked(name, member)]
        elsewhere = {"backward", *asked, *anatomy.known, *anatomy.others}
        for name in self.members.keys() - elsewhere:
            setattr(Value, name, self.members[name])
        own_way = bool(PICKLED & self.members.keys())
        Value.__reduce_ex__ = object.__reduce_ex__ if own_way else reduce
        init = make_init(anatomy, found, self.words, self.watch.own)
        self.settle("__init__", [init], probes.constructor_programs())
        simple = list(probes.simple_programs(anatomy.times))
        self.settle_backward(simple)
        first = [name for name in asked if name in ("__mul__", "__add__")]
        for alone in True, False:
            for name in first:
                self.settle_method(name, alone)
        self.settle_backward(simple + list(probes.sweep_programs()))
        for name in asked:
            if name not in first:
                self.settle_method(name)
        self.refuse_switches()
        self.guard_backward()
        self.hide()
        Value.__array_ufunc__ = array_ufunc

    def is_asked(self, name, member):
        """Whether it is an operation, so that it is tried; all else is kept as it is written."""
        function = isinstance(member, types.FunctionType)
        if name == "backward" or not function or required(member) > 1:
            return False
        if name.startswith("__"):
            return OPERATOR.fullmatch(name) is not None
        return name in NATIVE or makes_nodes(member.__code__, self.kind.__name__)

    def difference(self, asked):
        """Where the two sides part, in words; '' where they agree; None if theirs never answers."""
        answered, words = False, Words(self.words)
        for text, run in asked:
            self.watch.put_back()
            there = self.theirs.answer(run)
            if isinstance(there, BaseException) and type(there) is not AssertionError:
                continue  # this engine may do what the class cannot
            self.watch.put_back()
            here = self.ours.answer(run)
            if type(there) is AssertionError is type(here):
                continue
            answered = True
            failed = [f"{type(e).__name__} ({e})" for e in (there, here) if type(e) is not list]
            if type(there) is AssertionError:
                found = probes.parted("the result", failed[0], "none")
            elif failed:
                result = dict(there).get("the result", "there")
                found = probes.parted("the result", result, failed[0])
            else:
                found = probes.parting(there, here, words)
            if found:
                return f"{text}: {found}"
        self.words.update(words)
        return "" if answered else None

    def settle(self, name, candidates, asked):
        """Sets the first candidate that agrees with the class, and gives it."""
        asked, differences = list(asked), []
        for candidate in candidates:
            if getattr(Value, name, None) is not candidate:
                setattr(Value, name, candidate)
            found = self.difference(asked)
            if found == "" or (found is None and candidate is self.members.get(name)):
                return candidate
            differences.append(found)
        raise Refusal(f"{self.kind.__name__}.{differences[0 if name == 'backward' else -1]}")

    def settle_method(self, name, alone=False):
        """This engine's, as it is or for numbers alone; or the class's own."""
        member, count = self.members[name], required(self.members[name])
        native = NATIVE.get(name)
        if name in OWN_WAY or not (name.startswith("__") or count == len(parameters(member))):
            native = None

        def of_numbers(x, y):
            return (member if isinstance(y, Value) else native)(x, y)

        candidates = [native, *[of_numbers] * count, member] if native else [member]
        asked = probes.method_programs(name, count, alone, self.mentions.subclassed)
        chosen = self.settle(name, candidates, asked)
        if alone:
            return
        if chosen is not member:
            self.taken.append(probes.program(name, probes.A, *[probes.C] * count))
            stale = probes.stale_programs(name, count)
            self.captures = self.captures or bool(self.difference(stale))
        elif self.anatomy.rule:
            probes.check_rule(self.theirs, name, *[probes.B] * count)
            if count:
                probes.check_rule(self.theirs, name, 2, node=False)

    def settle_backward(self, asked):
        if "backward" in self.members:
            self.settle("backward", [*SWEEPS, self.members["backward"]], asked)

    def guard_backward(self):
        """backward(seed) and the like run as written, if that comes to the same here; and rules
        that keep the numbers of their operands end where this engine's read other ones."""
        written, plain, name = self.members.get("backward"), Value.backward, self.kind.__name__
        agrees, captures = True, self.captures
        takes = written is not plain and written and parameters(written)
        if takes:
            default = takes[0].default
            given = not default if isinstance(default, bool) else 2.75
            Value.backward = written
            agrees = self.difference(probes.sweep_programs((given,))) == ""

        @functools.wraps(plain)
        def backward(self, *given, **named):
            if captures and _core.is_stale(self):
                why = "backward on a graph whose numbers have been changed since"
                refuse(f"{why}: only the script's own {name} keeps the old ones")
            if not given and not named:
                return plain(self)
            if not agrees:
                refuse(f"gives backward() an argument, which only the script's own {name} has")
            return written(self, *given, **named)

        Value.backward = backward if takes or captures else plain

    def refuse_switches(self):
        """What the class computes must not hang on something that the script switches."""
        found = [
            f"{name} is not {value!r}, and that is assigned"
            for name, value in self.watch.switches(self.mentions.assigned)
            if name not in self.watch.own | self.watch.others and self.difference(self.taken)
        ]
        if found:
            raise Refusal(f"class {self.kind.__name__} computes otherwise where {found[0]}")

    def hide(self):
        """What this engine can do and the class cannot is as missing as it is there."""
        given = {*self.members, *self.anatomy.known, *self.anatomy.others, *NEEDED}
        for name in {*NATIVE, "data", "grad", "label"} - given:
            if hasattr(object, name):
                setattr(Value, name, getattr(object, name))
            elif OPERATOR.fullmatch(name):
                setattr(Value, name, lambda value, *other: NotImplemented)
            elif not name.startswith("_"):
                setattr(Value, name, Hidden(name, self.kind.__name__))


def parameters(function):
    """Besides self."""
    return list(inspect.signature(function).parameters.values())[1:]


def required(function):
    """How many operands a method takes besides self; 2 also where it takes any number."""
    given = parameters(function)
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        return 2
    return sum(p.default is p.empty for p in given)


def makes_nodes(code, name):
    """Whether a method names its class, as one that makes nodes itself does."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    names = {*code.co_names, *code.co_freevars}
    return bool({name, "__class__", "type"} & names) or any(makes_nodes(c, name) for c in inner)
