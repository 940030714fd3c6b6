# SPDX-License-Identifier: MIT
"""A class in, its stand-in out.

Every name of the class has candidates: this engine's own method, and the class's as written. The
first one that agrees with the class on all probes is set on this engine's Value.
"""

import contextlib
import functools
import inspect
import io
import sys
import time
import types
import warnings

from .. import _core
from .._core import Value
from . import probes
from .anatomy import A, Anatomy, B, C
from .refusal import Refusal, located, refuse, told
from .stand_in import HANDLE, NATIVE, OPERATOR, Lost, Words, make_init, stand_in
from .watch import Watch

# Functions of a class that are not the user's doing, or are asked for elsewhere.
SKIPPED = {"__init__", "__post_init__", "__replace__", "__annotate__", "__annotate_func__"}
COMPUTING = {"__add__", "__mul__", "__sub__", "__pow__", "tanh", "relu", "backward"}
IMPOSSIBLE = {"__new__", "__setattr__", "__delattr__", "__getattribute__", "__del__"}
SWEEPS = [
    lambda self: HANDLE.backward(self, accumulate=False),
    lambda self: HANDLE.backward(self, accumulate=True),
    lambda self: _core.sweep_onto_grads(self),
]


class Adopter:
    """Called with a class, right after its statement: gives what takes its place.

    mentioned, assigned: see source.py. strict: a class that cannot be replaced ends the script with
    a Refusal; else it stays, and `notes` says why.
    """

    def __init__(self, mentioned, assigned, strict=True):
        self.mentioned, self.assigned, self.strict = mentioned, assigned, strict
        self.adopted = {}  # module -> the name of its class that has been replaced
        self.notes = []
        self.seconds = 0.0  # spent here, not in the script
        naming = {name: getattr(Value, name) for name in ("__name__", "__qualname__", "__doc__")}
        self.pristine = {**vars(Value), **naming}

    def __call__(self, kind, again=False):
        """again: another class statement of the name follows."""
        start, before, line = time.perf_counter(), len(told), sys._getframe(1)
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.adopt(kind)
            self.adopted[kind.__module__] = kind.__name__
            return Value
        except Refusal as refusal:
            why = refusal
        except Exception as error:
            why = f"{kind.__name__} cannot be asked: {type(error).__name__}: {error}"
        finally:
            del told[before:]  # those of trying
            self.seconds += time.perf_counter() - start
        self.put_back()
        if self.strict and (self.adopted or not again):
            refuse(why, line)
        self.notes.append(located(why, line))
        return kind

    def adopt(self, kind):
        name = kind.__name__
        if self.adopted and kind.__module__ not in self.adopted:
            other = next(iter(self.adopted))
            raise Refusal(f"a second class {name}: the one of module {other} is replaced already")
        self.put_back()
        watch = Watch(kind)
        try:
            Graft(kind, watch, self.mentioned).make(self.assigned)
        finally:
            watch.names[name] = kind
            watch.put_back()
        for changed in sorted(watch.others & self.mentioned):
            raise Refusal(f"class {name} changes {changed}, which this engine's Value would not")
        for attribute in watch.own:
            setattr(Value, attribute, Lost(attribute, name))

    def put_back(self):
        """Value is this engine's own again."""
        _core.stand_for(None)
        for name in vars(Value).keys() - self.pristine.keys():
            delattr(Value, name)
        for name, member in self.pristine.items():
            if getattr(Value, name, None) is not member and vars(Value).get(name) is not member:
                setattr(Value, name, member)


class Graft:
    """One class on this engine's Value."""

    def __init__(self, kind, watch, mentioned):
        self.kind, self.name, self.watch = kind, kind.__name__, watch
        members = {name: v for base in kind.__mro__[-2::-1] for name, v in vars(base).items()}
        self.members = {name: v for name, v in members.items() if is_of_the_user(name, v)}
        found = COMPUTING & self.members.keys()
        if len(found) < 2 or not found & {"__add__", "__mul__"}:
            raise Refusal(f"class {self.name} does not compute: nothing to replace")
        for name in sorted(IMPOSSIBLE & members.keys()):
            raise Refusal(f"class {self.name} has a {name} of its own")
        for name in sorted({base.__name__ for base in kind.__mro__[1:-1]} & mentioned):
            raise Refusal(f"class {self.name} is a {name}, this engine's Value is not")
        self.anatomy, self.words = Anatomy(kind), Words()
        shapes = self.anatomy.shapes
        in_order = not {set, frozenset} & {*shapes.values()} and bool(mentioned & shapes.keys())
        self.trial = probes.Trial(self.anatomy, watch, self.words, in_order)
        self.taken = []  # programs of the methods that this engine's take the place of
        self.captures = False  # whether rules keep numbers of the operands, which this engine reads

    def make(self, assigned):
        anatomy, members = self.anatomy, self.members
        stand_in(anatomy, members, self.words)
        asked = [name for name, member in members.items() if self.is_asked(name, member)]
        for name in members.keys() - {"backward", *asked, *anatomy.known, *anatomy.others}:
            setattr(Value, name, members[name])
        init = make_init(anatomy, self.words, self.watch)
        self.settle("__init__", [init], probes.of_constructor())
        simple = list(probes.of_product(anatomy))
        self.settle_backward(simple)
        first = [name for name in asked if name in ("__mul__", "__add__")]
        for name in first:
            self.settle_method(name, alone=True)
        for name in first:
            self.settle_method(name)
        self.settle_backward([*simple, *probes.of_backward(anatomy)])
        for name in asked:
            if name not in first:
                self.settle_method(name)
        found = [
            f"{name} is not {value!r}, and that is assigned"
            for name, value in self.watch.switches(assigned)  # to the end: then all is as it was
            if name not in self.watch.own | self.watch.others and self.trial.difference(self.taken)
        ]
        if found:
            raise Refusal(f"class {self.name} computes otherwise where {found[0]}")
        if "backward" in members:
            self.guard_backward(members["backward"], self.captures)

    def is_asked(self, name, member):
        """Whether it is an operation, so that it is tried; all else is kept as it is written."""
        if name == "backward" or not isinstance(member, types.FunctionType) or required(member) > 2:
            return False
        if name.startswith("__"):
            return OPERATOR.fullmatch(name) is not None
        used = {*member.__code__.co_names, *member.__code__.co_freevars}
        return name in NATIVE or bool({self.name, "__class__", "type"} & used)

    def settle(self, name, candidates, programs):
        """Sets the first candidate that agrees with the class, and gives it."""
        programs, differences = list(programs), []
        for candidate in candidates:
            setattr(Value, name, candidate)
            found = self.trial.difference(programs)
            if found == "" or (found is None and candidate is self.members.get(name)):
                return candidate
            differences.append(found)
        raise Refusal(f"{self.name}.{differences[0 if name == 'backward' else -1]}")

    def settle_backward(self, programs):
        if "backward" in self.members:
            self.settle("backward", [*SWEEPS, self.members["backward"]], programs)

    def settle_method(self, name, alone=False):
        member, count = self.members[name], required(self.members[name])
        same = name in NATIVE and (name.startswith("__") or count == len(parameters(member)))
        candidates = [NATIVE[name], member] if same else [member]
        programs = probes.all_of_method(self.anatomy, name, count, alone)
        chosen = self.settle(name, candidates, programs)
        if alone:
            return
        others = ((B, C)[:count], True), ((3, 2)[:count], False)
        if chosen is not member:
            program = functools.partial(probes.of_method, self.anatomy, name, A)
            self.taken.append(program(*(C, B)[:count]))
            stale = [program(*numbers, node=node, stale=True) for numbers, node in others]
            self.captures = self.captures or bool(self.trial.difference(stale))
        elif self.anatomy.rule:
            for numbers, node in others:
                rule = probes.of_rule(self.anatomy, name, *numbers, node=node)
                error = self.trial.answer(self.kind, rule).get("the result")
                if isinstance(error, Refusal):  # or it takes no such operands, or has no rule there
                    raise error

    def guard_backward(self, written, captures):
        """backward(seed) and the like run as written; and rules that keep the numbers of their
        operands end where this engine's read other ones."""
        plain = Value.backward

        @functools.wraps(plain)
        def backward(self, *given, **named):
            if captures and _core.is_stale(self):
                why = "backward on a graph whose numbers have been changed since"
                refuse(f"{why}: only the script's own class keeps the old ones")
            return written(self, *given, **named) if given or named else plain(self)

        if captures or (written is not plain and parameters(written)):
            Value.backward = backward


def is_of_the_user(name, member):
    if name.startswith("__") and name != "__hash__":
        return isinstance(member, types.FunctionType) and name not in SKIPPED
    return not isinstance(member, types.MemberDescriptorType)


def parameters(function):
    """Besides self."""
    return list(inspect.signature(function).parameters.values())[1:]


def required(function):
    """How many operands a method takes besides self; 3 also where it takes any number."""
    some = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return sum(3 if p.kind in some else p.default is p.empty for p in parameters(function))
