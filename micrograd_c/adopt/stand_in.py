# SPDX-License-Identifier: MIT
"""What this engine's Value shows for a class of the user's own: its attributes, its constructor."""

import copy
import inspect
import re
import sys
from typing import Any

from .. import _core
from .._core import Value, attributes_of, operands
from .anatomy import HELD, attributes, collect, is_number, is_plain
from .refusal import refuse

# This engine's own methods and fields, whatever Value may call them later.
HANDLE: Any = Value.__mro__[1]
MEMBERS = {**vars(HANDLE), **vars(Value)}
NATIVE = {name: v for name, v in MEMBERS.items() if callable(v) and name != "__eq__"}
FIELDS = {name: MEMBERS[name] for name in ("data", "grad", "_op", "_backward")}
OPERATOR = re.compile(
    "__[ri]?(add|sub|mul|truediv|floordiv|mod|divmod|pow|matmul)__|"
    "__(neg|pos|abs|invert|lt|le|gt|ge|eq|ne|round|trunc|floor|ceil|float|int)__"
)
PICKLED = {"__getstate__", "__setstate__", "__reduce__"}


class Lost:
    """An attribute that this engine has no counterpart for, or finds by `get`. It can be set."""

    def __init__(self, name, kind, get=None):
        self.name, self.kind, self.get = name, kind, get

    def __get__(self, value, owner=None):
        if self.get:
            return self if value is None else self.get(value)
        refuse(f"reads .{self.name}, which only the script's own {self.kind} has")


class Machinery(Lost):
    """One that the class computes with: setting it to anything else would do nothing here."""

    def __set__(self, value, what):
        if not (self.get and is_plain(what) and what == self.get(value)):
            refuse(f"sets .{self.name}, which only the script's own {self.kind} computes with")


class Hidden(Lost):
    """A method of this engine's that the class does not have."""

    def __get__(self, value, owner=None):
        raise AttributeError(f"{self.kind!r} object has no attribute {self.name!r}")


class Shown(dict):
    """What vars() of a Value gives: to be looked at."""

    def refuse(self, *what, **named):
        refuse("writes into the __dict__ of a Value, which is only shown here")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = refuse


class Words(dict):
    """This engine's operations -> what the class calls them, as far as it has been seen."""

    def of(self, symbol):
        key, exponent = without_exponent(symbol)
        word = self.get(key, key)
        return word.replace("{}", exponent) if isinstance(word, str) else word

    def fits(self, symbol, word):
        """Learns the word for the symbol, or says whether it is the one that is known."""
        key, exponent = without_exponent(symbol)
        word = word.replace(exponent, "{}") if exponent and isinstance(word, str) else word
        return self.setdefault(key, word) == word


def without_exponent(symbol):
    exponent = symbol[2:] if symbol.startswith("**") else ""
    return ("**{}" if exponent else symbol), exponent


def stand_in(anatomy, members, words):
    """Value gets the look of the class, its attributes under their names there, and no others."""
    name, leaf = anatomy.name, anatomy.leaf
    look = ("__name__", "__qualname__", "__module__", "__doc__")
    shown = {n: getattr(anatomy.kind, n) for n in look}
    shown |= {n: attribute(anatomy, n, *states) for n, states in anatomy.others.items()}
    for n, shape in anatomy.shapes.items():
        if (n, shape, leaf.get(n)) != ("_prev", set, set()):
            shown[n] = Machinery(n, name, held_as(shape, leaf.get(n)))
    if anatomy.op:
        words[""], symbol = leaf.get(anatomy.op), FIELDS["_op"].__get__
        shown[anatomy.op] = Lost(anatomy.op, name, lambda value: words.of(symbol(value)))
    shown |= {anatomy.data: FIELDS["data"], anatomy.grad: FIELDS["grad"]}
    shown |= {anatomy.rule: FIELDS["_backward"]} if anatomy.rule else {}
    for n in {*NATIVE, "data", "grad", "label"} - {*members, *anatomy.known, *anatomy.others}:
        if n in ("__repr__", "__format__", "__reduce_ex__"):
            shown[n] = getattr(object, n)
        elif OPERATOR.fullmatch(n):
            shown[n] = getattr(object, n, lambda value, *other: NotImplemented)
        elif not n.startswith("_"):
            shown[n] = Hidden(n, name)
    if not PICKLED & members.keys():
        shown["__reduce_ex__"] = reduce
    for n, what in {**shown, "__array_ufunc__": array_ufunc}.items():
        if (n, what) != ("label", ""):
            setattr(Value, n, what)
    _core.stand_for(lambda v: Shown({n: getattr(v, n) for n in leaf} | attributes_of(v)))


def attribute(anatomy, name, leaf, other_leaf, inner, other):
    """What stands for an attribute that is not one of those that every such class has."""
    constant = is_plain(leaf) and is_plain(inner) and name not in anatomy.partials
    if constant and leaf == other_leaf and inner == other:
        if anatomy.matters(name, leaf):
            return Machinery(name, anatomy.name, lambda value: leaf)
        if leaf == inner:
            return leaf
        return Lost(name, anatomy.name, lambda value: inner if operands(value) else leaf)
    named = isinstance(inner, (str, int, float)) and not isinstance(inner, bool)
    return (Lost if named else Machinery)(name, anatomy.name)


def held_as(shape, leaf):
    """How a class shows operands: in a container of some type, or one in each attribute."""
    if isinstance(shape, int):
        return lambda value: next(iter(operands(value)[shape : shape + 1]), leaf)
    return lambda value: shape(operands(value)) if operands(value) else copy.copy(leaf)


def draft(kind, watch, given, named):
    """The attributes of an object of the class, made by its own constructor."""
    lost = {name: vars(Value)[name] for name in watch.own & vars(kind).keys()}
    try:
        for name in lost:
            setattr(Value, name, vars(kind)[name])
        made = kind(*given, **named)
    finally:
        for name, what in lost.items():
            setattr(Value, name, what)
    found = attributes(made)
    getattr(made, "__dict__", {}).clear()  # so that only others than itself can hold it
    held = sys.getrefcount(made) - sum(getattr(v, "__self__", 0) is made for v in found.values())
    if held > 2 and hasattr(made, "__dict__") and not (watch.own or watch.others):
        refuse(f"has the constructor of {kind.__name__} keep the object elsewhere")
    return found


def make_init(anatomy, words, watch):
    """The class's own constructor makes a draft of what Value then holds; a number alone goes the
    short way."""
    kind, init, leaf = anatomy.kind, HANDLE.__init__, anatomy.leaf
    defaults = [p.default for p in inspect.signature(kind).parameters.values()][1:]
    swept, leaf_rule = getattr(kind, "backward", None), leaf.get(anatomy.rule)
    handled = {*anatomy.known, *anatomy.links, *anatomy.partials}

    def swept_as_written():
        return inspect.unwrap(getattr(Value, "backward", init)) is swept

    def __init__(self, *given, **named):
        if len(given) == 1 and not named and type(given[0]) in (int, float):
            return init(self, given[0])
        made, rest = draft(kind, watch, given, named), [*given[1:], *named.values()]
        number, rule, word = (made.get(n) for n in (anatomy.data, anatomy.rule, anatomy.op))
        nodes, odd = collect([made.get(name) for name in anatomy.links], Value)
        _, slopes = collect([made.get(name) for name in anatomy.partials], Value)
        if not is_number(number):
            what = f"a {type(number).__name__} as its number"
            refuse(f"gives {kind.__name__} {what}; here it is a float")
        fit = not slopes or (all(map(is_number, slopes)) and len(slopes) == len(nodes))
        if not fit or odd not in ([], slopes):
            what = "operands, or local derivatives, that are no Values, or no numbers"
            refuse(f"gives {kind.__name__} {what}")
        for value in rest:
            places, plain = (*made.values(), *nodes, *defaults), is_plain(value)
            seen = any(v is value or (plain and is_plain(v) and v == value) for v in places)
            hidden = not (seen or (type(value) in HELD and nodes))
            if hidden and (value or any(defaults)):
                refuse(f"gives {value!r}, which only the script's own {kind.__name__} can keep")
        init(self, number, nodes)
        its_own = getattr(rule, "__code__", None) is not getattr(leaf_rule, "__code__", None)
        by_name = not anatomy.rule and word in words.values()
        if slopes:
            self._backward = chain_rule(self, nodes, slopes)
        elif rule is not None and any(rule is value for value in rest):
            setattr(self, anatomy.rule, rule)
        elif nodes and (its_own or by_name) and not swept_as_written():
            refuse(f"makes a node whose derivative only the script's own {kind.__name__} knows")
        for name in made.keys() - handled | {anatomy.op, anatomy.grad} & made.keys():
            value, what = made[name], vars(Value).get(name)
            if isinstance(what, Lost) and not what.get:  # every object has another
                changed = not is_number(value) and any(v is value for v in rest)
            else:
                changed = not (is_plain(value) and value == leaf.get(name))
            if changed:
                setattr(self, name, value)

    return __init__


def chain_rule(node, nodes, slopes):
    grad = FIELDS["grad"]

    def rule():
        g = grad.__get__(node)
        for operand, slope in zip(nodes, slopes, strict=True):
            grad.__set__(operand, grad.__get__(operand) + slope * g)

    return rule


def reduce(self, protocol):
    if operands(self):
        refuse("copies or pickles a node of a graph; here only leaves can be")
    numbers = [FIELDS[name].__get__(self) for name in ("data", "grad")]
    return restored, (type(self), *numbers, attributes_of(self))


def restored(kind, data, grad, others):
    value = kind.__new__(kind)
    HANDLE.__init__(value, data)
    FIELDS["grad"].__set__(value, grad)
    for name, what in others.items():
        setattr(value, name, what)
    return value


def array_ufunc(self, ufunc, method, *inputs, **named):
    """NumPy's operations on Values, as on any object; but an array to the right of one is refused:
    most classes make it the data of a node, and this engine would compute with its elements."""
    import numpy

    if ufunc.nin == 2 and isinstance(inputs[0], Value) and numpy.ndim(inputs[1]):
        refuse("computes a Value with an array: its number would be an array; here it is a float")
    boxes = [numpy.asarray(x, object) if isinstance(x, Value) else x for x in inputs]
    return getattr(ufunc, method)(*boxes, **named)
