# SPDX-License-Identifier: MIT
"""Puts this engine's Value in the place of a class, method by method, as far as the two agree."""

import contextlib
import inspect
import io
import re
import sys
import time
import types
import warnings

from .. import _core
from .._core import Value, operands
from . import probes
from .anatomy import Anatomy
from .attributes import FIELDS, Hidden, Lost, Operation, Refusal, Words, only_own, refuse, told
from .constructor import make_init
from .watch import Watch

HANDLE = Value.__mro__[1]
# Parts of every class that are not the user's doing, or are asked for elsewhere.
SKIPPED = re.compile(
    "__(module|doc|dict|weakref|slots|init|post_init|annotations|annotate|annotate_func|qualname|"
    "annotations_cache|static_attributes|firstlineno|match_args|dataclass_\\w+|replace|orig_bases|"
    "parameters|abstractmethods)__|_abc_impl"
)
IMPOSSIBLE = ("__new__", "__setattr__", "__delattr__", "__getattribute__", "__del__")
OPERATOR = re.compile(
    "__[ri]?(add|sub|mul|truediv|floordiv|mod|divmod|pow|matmul)__|"
    "__(neg|pos|abs|invert|lt|le|gt|ge|eq|ne|round|trunc|floor|ceil|float|int|bool)__"
)
COMPUTING = {"__add__", "__mul__", "__sub__", "__pow__", "tanh", "relu", "backward"}
DISPLAYS = ("__repr__", "__str__", "__format__")
OWN_WAY = ("__eq__", "__ne__", "__bool__", "__float__", "__int__")


def zeroing(self):
    HANDLE.backward(self, accumulate=False)


def adding(self):
    HANDLE.backward(self, accumulate=True)


def adding_everywhere(self):
    _core.sweep_onto_grads(self)


class Adopter:
    """Called with a class, right after its statement: gives what takes its place.

    mentions: every name that is used outside the class. strict: a class that cannot be replaced
    ends the script with a Refusal; else it stays, and `notes` says why.
    """

    def __init__(self, mentions, strict=True):
        self.mentions, self.strict = mentions, strict
        self.adopted = {}  # module -> the name of its class that has been replaced
        self.notes = []
        self.seconds = 0.0  # spent here, not in the script
        self.pristine = dict(vars(Value)), {n: getattr(Value, n) for n in ("__name__", "__qualname__", "__doc__")}

    def __call__(self, kind, last=True, again=False):
        """last: no later line will ask again. again: another class statement of the name follows."""
        if kind is Value:
            return kind
        start = time.perf_counter()
        try:
            return self.adopt(kind, last)
        except (probes.NotYet, Refusal) as why:
            self.put_back()
            if again or (isinstance(why, probes.NotYet) and not last):
                return kind
            caller = sys._getframe(1)
            file = re.split(r"[\\/]", caller.f_code.co_filename)[-1]
            refusal = Refusal(f"{file}, line {caller.f_lineno}: {why}")
        finally:
            self.seconds += time.perf_counter() - start
        if not self.strict:
            self.notes.append(str(refusal))
            return kind
        told.append(refusal)
        raise refusal

    def adopt(self, kind, last):
        if self.adopted and kind.__module__ not in self.adopted:
            other = next(iter(self.adopted))
            raise Refusal(f"a second class {kind.__name__}: the one of module {other} is replaced already")
        self.put_back()
        watch = Watch(kind)
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Graft(kind, watch, self.mentions, last).make()
        finally:
            watch.names[kind.__name__] = kind
            watch.put_back()
            told.clear()
        seen = watch.others & self.mentions
        if seen:
            raise Refusal(f"class {kind.__name__} changes {min(seen)}, which this engine's Value would not")
        for name in watch.own:
            setattr(Value, name, Lost(name, kind.__name__))
        self.adopted[kind.__module__] = kind.__name__
        return Value

    def put_back(self):
        """Value is this engine's own again."""
        members, names = self.pristine
        _core.stand_for(None, None)
        for name in vars(Value).keys() - members.keys():
            delattr(Value, name)
        for name, member in {**members, **names}.items():
            if getattr(Value, name, None) is not member and vars(Value).get(name) is not member:
                setattr(Value, name, member)


class Graft:
    """One class on this engine's Value."""

    def __init__(self, kind, watch, mentions, last):
        self.kind, self.watch, self.mentions, self.last = kind, watch, mentions, last
        self.members = {
            name: member
            for base in reversed(kind.__mro__[:-1])
            for name, member in vars(base).items()
            if not SKIPPED.fullmatch(name)
        }
        if "__add__" not in self.members or len(COMPUTING & self.members.keys()) < 2:
            raise Refusal(f"class {kind.__name__} does not compute: nothing to replace")
        for name in IMPOSSIBLE:
            if name in self.members:
                raise Refusal(f"class {kind.__name__} has a {name} of its own")
        for base in kind.__mro__[1:-1]:
            if base.__name__ in mentions:
                raise Refusal(f"class {kind.__name__} is a {base.__name__}, this engine's Value is not")
        self.taken = []  # methods that this engine's take the place of
        self.words = Words()
        self.captures = False  # whether rules keep the operands' numbers, where this engine's read them

    def make(self):
        self.anatomy = Anatomy(self.kind)
        self.in_order = not self.anatomy.holds_sets and bool(self.mentions & self.anatomy.shapes.keys())
        self.theirs = self.anatomy.side()
        self.ours = probes.engine_side(Value, self.theirs.names)
        self.theirs.times = self.ours.times = self.anatomy.times
        if not hasattr(self.kind, "backward"):
            for side, rule in (self.theirs, self.anatomy.rule), (self.ours, "_backward"):
                side.backward = lambda root, side=side, rule=rule: by_hand(side, root, rule)
        self.stand_in()
        asked = {n: m for n, m in self.members.items() if self.is_asked(n, m)}
        for name, member in self.members.items():
            if name not in asked and name not in self.anatomy.known | {"backward", *self.anatomy.others}:
                if not isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                    setattr(Value, name, member)
        self.insist(probes.constructor_programs())
        sweeps = [zeroing, adding, adding_everywhere, getattr(self.kind, "backward", None)]
        sweeps = self.choose(sweeps, simple_programs(self.anatomy.times))
        first = [name for name in ("__mul__", "__add__") if name in asked]
        self.keep_where_needed(first, alone=True)
        for name in self.keep_where_needed(first):
            self.write(name)
        self.choose(sweeps, probes.sweep_programs())
        self.accept_arguments()
        for name in self.keep_where_needed([name for name in asked if name not in first]):
            self.write(name)
        if self.captures and Value.backward is not getattr(self.kind, "backward", None):
            self.refuse_stale_graphs()
        self.refuse_switches()
        self.refuse_subclasses()
        self.hide()
        if self.anatomy.op == "_op" and all(
            word == symbol.replace("**n", "**{}") for symbol, word in self.words.seen.items()
        ):
            del Value._op

    def keep_where_needed(self, names, alone=False):
        """Sets the class's own methods where this engine's do not agree; gives their names."""
        written = [name for name in names if not self.take(name, alone)]
        for name in written:
            setattr(Value, name, self.members[name])
        return written

    def stand_in(self):
        """Value gets the attributes of the class under their names there, and its constructor."""
        anatomy = self.anatomy
        Value.__name__, Value.__qualname__ = self.kind.__name__, self.kind.__qualname__
        Value.__module__, Value.__doc__ = self.kind.__module__, self.kind.__doc__
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
        if name == "backward" or not isinstance(member, types.FunctionType) or required(member) > 1:
            return False
        if name in DISPLAYS:
            return False
        named = self.native(name) is not None and not name.startswith("_")
        return bool(OPERATOR.fullmatch(name)) or named or makes_nodes(member, self.kind.__name__)

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
            here, own_text = self.ours.answer(run)
            if isinstance(there, AssertionError):
                if type(here) is AssertionError:
                    continue
                return f"{text}: AssertionError in the script's class, none here"
            answered = True
            if isinstance(here, Refusal):
                return f"{text}: {here}"
            if isinstance(here, BaseException):
                result = next(reversed(there.values()))
                number = getattr(result, self.anatomy.data, result)
                return f"{text}: {number} in the script's class, {type(here).__name__} here ({here})"
            if printed != own_text:
                return f"{text}: prints {printed.strip()[:40]!r} in the script's class, nothing here"
            comparison = probes.Comparison(self.theirs, self.ours, self.anatomy, words, self.in_order)
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

    def take(self, name, alone=False):
        """Whether this engine's own method agrees, as it is or with its operands put otherwise."""
        member = self.members[name]
        if vars(Value).get(name) is member:
            return False
        forward = NATIVE.get(re.sub("__r(?=...)", "__", name))
        candidates = [self.native(name)]
        if required(member) == 1 and self.native(name):
            candidates += [lambda x, y: forward(x, y), lambda x, y: forward(x, lifted(y))]
            candidates += [lambda x, y: (member if isinstance(y, Value) else forward)(x, y)]
        for candidate in candidates:
            if candidate is None or not callable_alike(name, member, candidate):
                continue
            if candidate is not self.native(name):
                setattr(Value, name, candidate)
            if self.difference(probes.method_programs(name, required(member), alone)) == "":
                if self.difference(probes.stale_programs(name, required(member))):
                    self.captures = True
                self.taken.append(name)
                return True
            if candidate is not self.native(name):
                delattr(Value, name)
        return False

    def write(self, name):
        """Keeps a method as the class has it, if that comes to the same here; else refuses."""
        member = self.members[name]
        self.insist(probes.method_programs(name, required(member)))
        cases = [((), True)] if required(member) == 0 else [((probes.B,), True), ((2,), False)]
        for others, node in cases:
            rule = self.anatomy.rule
            broken = rule and probes.broken_rule(self.theirs, name, rule, *others, node=node)
            if broken:
                raise Refusal(f"{self.kind.__name__}.{broken}")
        return True

    def choose(self, sweeps, asked):
        """The ways of this engine's backward that agree with the class's; the first one is set."""
        agreeing, first, asked = [], "", list(asked)
        if sweeps[-1] is None:
            return sweeps
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
        written = getattr(self.kind, "backward", None)
        if written is None or Value.backward is written:
            return
        parameters = list(inspect.signature(written).parameters.values())[1:]
        if not parameters:
            return
        default, plain, name = parameters[0].default, Value.backward, self.kind.__name__
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


    def refuse_switches(self):
        """What the class computes must not hang on something that the script switches."""
        asked = [run for name in self.taken for _, run in probes.sample(name, required(self.members[name]))]
        usual = [self.numbers(run) for run in asked]
        self.watch.put_back()
        for name, value in self.watch.switches(self.mentions.assigned):
            if name in self.watch.own | self.watch.others:
                continue  # a counter
            for run, numbers in zip(asked, usual, strict=True):
                if self.numbers(run) != numbers:
                    kind = self.kind.__name__
                    raise Refusal(f"class {kind} computes otherwise where {name} is not {value!r}, and that is assigned")

    def numbers(self, run):
        there, _ = self.theirs.answer(run)
        if isinstance(there, BaseException):
            return None
        nodes = [v for v in there.values() if isinstance(v, self.kind)]
        read = self.theirs.read
        return [(read(v, "data"), read(v, "grad"), len(self.theirs.operands(v) or ())) for v in nodes]

    def refuse_subclasses(self):
        """Where operations of a subclass give the subclass: here they give Value."""
        if not self.mentions.subclassed:
            return
        below = type("Below", (self.kind,), {})
        side = probes.Side(below, self.theirs.read, self.theirs.write, self.theirs.operands, self.theirs.names)
        for name in self.taken:
            for text, run in probes.sample(name, required(self.members[name])):
                there, _ = side.answer(run)
                if isinstance(there, dict) and type(there["the result"]) is below:
                    raise Refusal(f"{self.kind.__name__}.{text}: of a subclass gives the subclass, here Value")

    def refuse_stale_graphs(self):
        sweep, name = Value.backward, self.kind.__name__

        def backward(self, *positional, **named):
            if _core.is_stale(self):
                why = "backward on a graph whose numbers have been changed since"
                refuse(f"{why}: only the script's own {name} keeps the old ones")
            return sweep(self, *positional, **named)

        Value.backward = backward

    def hide(self):
        """What this engine can do and the class cannot is as missing as it is there."""
        name = self.kind.__name__
        given = self.members.keys() | self.anatomy.known | self.anatomy.others.keys()
        for method in NATIVE.keys() - given - {"__init__", "__new__"}:
            if hasattr(object, method):
                if method not in ("__reduce_ex__", "__setattr__", "__getattribute__", "__delattr__"):
                    setattr(Value, method, getattr(object, method))
            elif OPERATOR.fullmatch(method):
                setattr(Value, method, lambda value, *other: NotImplemented)
            elif not method.startswith("_"):
                setattr(Value, method, Hidden(method, name))


NATIVE = {
    name: member
    for kind in (HANDLE, Value)
    for name, member in vars(kind).items()
    if callable(member) and name != "__eq__"
}


def lifted(value):
    return value if isinstance(value, Value) else Value(value)


def required(function):
    """How many operands a method takes besides self; 2 also where it takes any number."""
    given = list(inspect.signature(function).parameters.values())[1:]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        return 2
    return sum(p.default is p.empty for p in given)


def callable_alike(name, member, candidate):
    """Whether further parameters have the same names and defaults: slope=0.01 is not alpha=0.2."""
    if name.startswith("__"):
        return True
    try:
        given = [list(inspect.signature(f).parameters.values())[1:] for f in (member, candidate)]
    except ValueError:
        return False
    further = [[(p.name, p.default) for p in parameters if p.default is not p.empty] for parameters in given]
    return further[0] == further[1]


def makes_nodes(function, name):
    """Whether a method names its class, as one that makes nodes itself does."""
    stack = [function.__code__]
    while stack:
        code = stack.pop()
        if {name, "__class__", "type"} & {*code.co_names, *code.co_freevars}:
            return True
        stack += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return False


def simple_programs(times):
    for x, y in (probes.A, probes.B), (98765.4321, 1e5 / 7), (1e-5 / 7, 1e-4 / 7), (3, -2):
        yield probes.program(f"__{times.__name__}__", x, y)


def by_hand(side, root, rule):
    """A sweep node by node, for a class that has no backward."""
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for operand in side.operands(node) or ():
                visit(operand)
            order.append(node)

    visit(root)
    side.write(root, "grad", 1.0)
    for node in reversed(order):
        getattr(node, rule)()
