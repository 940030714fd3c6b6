# SPDX-License-Identifier: MIT
"""Puts one class on this engine's Value, method by method, as far as the two agree."""

import inspect
import re
import types

from .. import _core
from .._core import Value
from . import limits, probes
from .anatomy import Anatomy
from .attributes import FIELDS, Operation, Refusal, Words, only_own, refuse
from .constructor import make_init
from .native import NATIVE, OPERATOR, SWEEPS

# Parts of every class that are not the user's doing, or are asked for elsewhere.
SKIPPED = re.compile(
    r"__(module|doc|dict|weakref|slots|init|post_init|annotations|annotate|annotate_func|qualname|"
    r"annotations_cache|static_attributes|firstlineno|match_args|dataclass_\w+|replace|orig_bases|"
    r"parameters|abstractmethods)__|_abc_impl"
)
SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
OWN_WAY = ("__eq__", "__ne__", "__bool__", "__float__", "__int__")
PICKLED = {"__getstate__", "__setstate__", "__reduce__"}
COMPUTING = {"__add__", "__mul__", "__sub__", "__pow__", "tanh", "relu", "backward"}


class Graft:
    def __init__(self, kind, watch, mentions, last):
        self.kind, self.watch, self.mentions, self.last = kind, watch, mentions, last
        self.members = {
            name: member
            for base in reversed(kind.__mro__[:-1])
            for name, member in vars(base).items()
            if not SKIPPED.fullmatch(name) and not isinstance(member, SLOTS)
        }
        found = COMPUTING & self.members.keys()
        if len(found) < 2 or not found & {"__add__", "__mul__"}:
            raise Refusal(f"class {kind.__name__} does not compute: nothing to replace")
        limits.refuse_parts(kind, self.members, mentions)
        self.taken = []  # methods that this engine's take the place of
        self.words = Words()
        self.captures = False  # whether rules keep numbers of the operands, which this engine reads

    def make(self):
        anatomy = self.anatomy = Anatomy(self.kind)
        self.in_order = not anatomy.holds_sets and bool(self.mentions & anatomy.shapes.keys())
        self.theirs = anatomy.side()
        self.ours = probes.engine_side(Value, self.theirs.names)
        for side in self.theirs, self.ours:
            side.times, side.plus = anatomy.times, anatomy.plus
        self.written = getattr(self.kind, "backward", None)
        if self.written is None:
            for side, rule in (self.theirs, anatomy.rule), (self.ours, "_backward"):
                side.backward = lambda root, side=side, rule=rule: probes.by_hand(side, root, rule)
        self.stand_in()
        asked = [name for name, member in self.members.items() if self.is_asked(name, member)]
        for name in self.members.keys() - asked - anatomy.known - anatomy.others.keys():
            if name != "backward":
                setattr(Value, name, self.members[name])
        own_way = bool(PICKLED & self.members.keys())
        Value.__reduce_ex__ = object.__reduce_ex__ if own_way else limits.reduce
        self.insist(probes.constructor_programs())
        sweeps = self.choose([*SWEEPS, self.written], probes.simple_programs(anatomy.times))
        first = [name for name in asked if name in ("__mul__", "__add__")]
        self.keep_where_needed(first, alone=True)
        self.write(self.keep_where_needed(first))
        self.choose(sweeps, probes.sweep_programs())
        self.accept_arguments()
        self.write(self.keep_where_needed([name for name in asked if name not in first]))
        limits.refuse_switches(self)
        limits.refuse_subclasses(self)
        if self.captures and Value.backward is not self.written:
            limits.refuse_stale_graphs(self.kind.__name__)
        limits.hide(self)
        Value.__array_ufunc__ = limits.array_ufunc
        if anatomy.op == "_op" and self.words.are_this_engines():
            del Value._op

    def stand_in(self):
        """Value gets the attributes of the class under their names there, and its constructor."""
        anatomy = self.anatomy
        for name in "__name__", "__qualname__", "__module__", "__doc__":
            setattr(Value, name, getattr(self.kind, name))
        aliases = {anatomy.data: "data", anatomy.grad: "grad", anatomy.rule: "_backward"}
        for name, field in aliases.items():
            if name and name != field:
                setattr(Value, name, FIELDS[field])
        for name, stand_in in anatomy.stand_ins().items():
            if (name, stand_in) != ("label", ""):
                setattr(Value, name, stand_in)
        if anatomy.op:
            self.words.seen[""] = anatomy.leaves[anatomy.op]
            setattr(Value, anatomy.op, Operation(self.words))
        _core.stand_for(anatomy.describe, anatomy.convert)
        init = make_init(anatomy)
        if init:
            Value.__init__ = init

    def is_asked(self, name, member):
        """Whether it is an operation, so that it is tried; all else is kept as it is written."""
        if name == "backward" or not isinstance(member, types.FunctionType):
            return False
        if name.startswith("__"):
            operates = OPERATOR.fullmatch(name) is not None
        else:
            operates = self.native(name) or makes_nodes(member, self.kind.__name__)
        return bool(operates) and required(member) <= 1

    def native(self, name):
        return None if name in OWN_WAY else NATIVE.get(name)

    # -- asking --

    def difference(self, asked):
        """Where the two sides part, in words; '' where they agree; None if theirs never answers."""
        answered = False
        words = Words(self.words.seen)
        for text, run in asked:
            self.watch.put_back()
            there, printed = self.theirs.answer(run)
            if isinstance(there, NameError) and not self.last:
                raise probes.NotYet(f"{self.kind.__name__}.{text}: {there}") from there
            if isinstance(there, BaseException) and not isinstance(there, AssertionError):
                continue  # this engine may do what the class cannot
            self.watch.put_back()
            here, printed_here = self.ours.answer(run)
            if isinstance(there, AssertionError):
                if type(here) is AssertionError:
                    continue
                return f"{text}: AssertionError in the script's class, none here"
            answered = True
            if isinstance(here, Refusal):
                return f"{text}: {here}"
            if isinstance(here, BaseException):
                result = next(reversed(there.values()))
                there = getattr(result, self.anatomy.data, result)
                return f"{text}: {probes.parted('the result', there, type(here).__name__)} ({here})"
            if printed != printed_here:
                first = printed.strip()[:40]
                return f"{text}: prints {first!r} in the script's class, nothing here"
            comparison = probes.Comparison(self, words)
            for name, value in there.items():
                found = comparison.values(name, value, here[name])
                if found:
                    return f"{text}: {found}"
        self.words.seen.update(words.seen)
        return "" if answered else None

    def insist(self, asked):
        found = self.difference(asked)
        if found:
            raise Refusal(f"{self.kind.__name__}.{found}")

    # -- methods --

    def keep_where_needed(self, names, alone=False):
        """Sets the class's own methods where this engine's do not agree; gives their names."""
        written = [name for name in names if not self.take(name, alone)]
        for name in written:
            setattr(Value, name, self.members[name])
        return written

    def take(self, name, alone):
        """Whether this engine's own method agrees, as it is or with its operands put otherwise."""
        member, native = self.members[name], self.native(name)
        if vars(Value).get(name) is member or native is None:
            return False
        candidates = [native]
        if required(member) == 1:
            forward = NATIVE.get(re.sub("__r(?=...)", "__", name))
            candidates += [
                lambda x, y: forward(x, y),  # a reflected one that keeps the order
                lambda x, y: forward(x, y if isinstance(y, Value) else Value(y)),
                lambda x, y: (member if isinstance(y, Value) else forward)(x, y),
            ]
        asked = list(probes.method_programs(name, required(member), alone))
        for candidate in candidates if callable_alike(name, member, native) else ():
            if candidate is not native:
                setattr(Value, name, candidate)
            if self.difference(asked) == "":
                self.taken.append(name)
                stale = probes.stale_programs(name, required(member))
                self.captures = self.captures or bool(self.difference(stale))
                return True
            if candidate is not native:
                delattr(Value, name)
        return False

    def write(self, names):
        """Insists that methods that are kept as written come to the same here."""
        for name in names:
            count = required(self.members[name])
            self.insist(probes.method_programs(name, count))
            rule = self.anatomy.rule
            cases = [((probes.B,), True), ((2,), False)] if count else [((), True)]
            for others, node in cases:
                broken = rule and probes.broken_rule(self.theirs, name, rule, *others, node=node)
                if broken:
                    raise Refusal(f"{self.kind.__name__}.{broken}")

    def samples(self):
        """A program of each method that this engine's takes the place of."""
        for name in self.taken:
            yield probes.program(name, probes.A, *[probes.C] * required(self.members[name]))

    # -- backward --

    def choose(self, sweeps, asked):
        """The ways of backward that agree with the class's; the first one of them is set."""
        if self.written is None:
            return sweeps
        agreeing, asked, first = [], list(asked), ""
        for sweep in sweeps:
            Value.backward = sweep
            found = self.difference(asked)
            first = first or found
            if found == "":
                agreeing.append(sweep)
        if not agreeing:
            raise Refusal(f"{self.kind.__name__}.{first}")
        Value.backward = agreeing[0]
        return agreeing

    def accept_arguments(self):
        """backward(seed) and the like run as written, if that comes to the same here."""
        written, plain, name = self.written, Value.backward, self.kind.__name__
        if written in (None, plain) or len(inspect.signature(written).parameters) < 2:
            return
        default = list(inspect.signature(written).parameters.values())[1].default
        Value.backward = written
        given = not default if isinstance(default, bool) else 2.75
        agrees = self.difference(probes.sweep_programs((given,))) == ""

        def backward(self, *positional, **named):
            if not positional and not named:
                plain(self)
            elif agrees:
                return written(self, *positional, **named)
            else:
                refuse(f"gives backward() an argument, {only_own(name)}")

        Value.backward = backward


def required(function):
    """How many operands a method takes besides self; 2 also where it takes any number."""
    given = list(inspect.signature(function).parameters.values())[1:]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        return 2
    return sum(p.default is p.empty for p in given)


def callable_alike(name, member, native):
    """Whether further parameters have the same names and defaults: slope=0.01 is not alpha=0.2."""
    if name.startswith("__"):
        return True
    try:
        given = [list(inspect.signature(f).parameters.values())[1:] for f in (member, native)]
    except ValueError:
        return False
    further = [[(p.name, p.default) for p in ps if p.default is not p.empty] for ps in given]
    return further[0] == further[1]


def makes_nodes(function, name):
    """Whether a method names its class, as one that makes nodes itself does."""
    stack = [function.__code__]
    while stack:
        code = stack.pop()
        if {name, "__class__", "type"} & {*code.co_names, *code.co_freevars}:
            return True
        stack += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return False
