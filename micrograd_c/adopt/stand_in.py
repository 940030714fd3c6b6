# SPDX-License-Identifier: MIT
"""What this engine's Value shows for a class of the user's own: its attributes, its constructor."""

import copy
import inspect

from .. import _core
from .._core import Value, attributes_of, operands
from .anatomy import HELD, attributes, collect, is_number, is_plain
from .refusal import refuse

# This engine's own methods and fields, whatever Value may call them later.
HANDLE = Value.__mro__[1]
NATIVE = {
    name: member
    for name, member in {**vars(HANDLE), **vars(Value)}.items()
    if callable(member) and name != "__eq__"
}
FIELDS = {name: vars(HANDLE)[name] for name in ("data", "grad", "_op", "_backward")}
LESSON = {"data": inspect.Parameter.empty, "_children": (), "_op": "", "label": ""}
LESSONS = {"data", "grad", "_prev", "_op", "_backward", "label"}


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


class Hidden:
    """A method of this engine's that the class does not have."""

    def __init__(self, name, kind):
        self.text = f"{kind!r} object has no attribute {name!r}"

    def __get__(self, value, owner=None):
        raise AttributeError(self.text)


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


def stand_in(anatomy, words):
    """Value gets the attributes of the class under their names there, and the look of it."""
    kind = anatomy.kind
    for name in "__name__", "__qualname__", "__module__", "__doc__":
        setattr(Value, name, getattr(kind, name))
    found = {name: attribute(anatomy, name) for name in anatomy.others}
    for name, shape in anatomy.shapes.items():
        if (name, shape, anatomy.leaf.get(name)) != ("_prev", set, set()):
            found[name] = Machinery(name, kind.__name__, held_as(shape, anatomy.leaf.get(name)))
    if anatomy.op:
        words[""] = anatomy.leaf.get(anatomy.op)
        symbol = FIELDS["_op"].__get__
        found[anatomy.op] = Lost(anatomy.op, kind.__name__, lambda value: words.of(symbol(value)))
    aliases = {anatomy.data: "data", anatomy.grad: "grad", anatomy.rule: "_backward"}
    found.update(
        {name: FIELDS[field] for name, field in aliases.items() if name not in (None, field)}
    )
    for name, what in found.items():
        if (name, what) != ("label", ""):
            setattr(Value, name, what)
    _core.stand_for(
        lambda v: Shown({**{n: getattr(v, n) for n in anatomy.leaf}, **attributes_of(v)})
    )
    return found


def attribute(anatomy, name):
    """What stands for an attribute that is not one of those that every such class has."""
    leaf, other_leaf, inner, other = anatomy.others[name]
    constant = is_plain(leaf) and is_plain(inner) and name not in anatomy.partials
    if constant and leaf == other_leaf and inner == other:
        if anatomy.matters(name, leaf):
            return Machinery(name, anatomy.name, lambda value: leaf)
        return (
            leaf
            if leaf == inner
            else Lost(name, anatomy.name, lambda value: inner if operands(value) else leaf)
        )
    named = isinstance(inner, (str, int, float)) and not isinstance(inner, bool)
    return (Lost if named else Machinery)(name, anatomy.name)


def held_as(shape, leaf):
    """How a class shows operands: in a container of some type, or one in each attribute."""
    if isinstance(shape, int):
        return lambda value: next(iter(operands(value)[shape : shape + 1]), leaf)
    return lambda value: shape(operands(value)) if operands(value) else copy.copy(leaf)


def make_init(anatomy, found, words, own):
    """The class's own constructor makes a draft of what Value then holds; a number alone, or with
    the lesson's other arguments, goes the short way. found: see stand_in. own: names in the class
    that its methods change."""
    kind, init, signature = anatomy.kind, HANDLE.__init__, inspect.signature(anatomy.kind)
    parameters = {name: p.default for name, p in signature.parameters.items()}
    first = next(iter(parameters))
    same = list(LESSON.items())[: len(parameters)] == list(parameters.items())
    same = same and anatomy.leaf.keys() <= LESSONS

    def draft(given, named):
        lost = {name: vars(Value)[name] for name in own & vars(kind).keys()}
        try:
            for name in lost:
                setattr(Value, name, vars(kind)[name])
            return attributes(kind(*given, **named))
        finally:
            for name, what in lost.items():
                setattr(Value, name, what)

    def __init__(self, *given, **named):
        short = same or (len(given) == 1 and not named)
        if short and given and type(given[0]) in (int, float):
            return init(self, *given, **named)
        made = draft(given, named)
        number, nodes, slopes = made[anatomy.data], [], []
        if not is_number(number):
            what = f"a {type(number).__name__} as its number"
            refuse(f"gives {anatomy.name} {what}; here it is a float")
        for name in anatomy.links + anatomy.partials:
            collect(made.get(name), Value, nodes, slopes)
        if slopes and not (all(map(is_number, slopes)) and len(slopes) == len(nodes)):
            what = f"{len(slopes)} local derivatives of {len(nodes)} operands"
            refuse(f"gives {anatomy.name} {what}; here each has a number")
        init(self, number, nodes)
        rest = {n: v for n, v in signature.bind(*given, **named).arguments.items() if n != first}
        for name, value in rest.items():
            if value is parameters[name] or (is_plain(value) and value == parameters[name]):
                continue
            seen = any(v is value or (is_plain(v) and v == value) for v in made.values())
            if not (seen or (type(value) in HELD and nodes) or not (value or parameters[name])):
                refuse(f"gives {name}={value!r}: only the script's own {kind.__name__} uses it")
        if slopes:
            self._backward = chain_rule(self, nodes, slopes)
        elif anatomy.rule and any(made.get(anatomy.rule) is value for value in rest.values()):
            setattr(self, anatomy.rule, made[anatomy.rule])
        word = made.get(anatomy.op)
        if anatomy.op and word != anatomy.leaf.get(anatomy.op):
            if nodes and not slopes and not anatomy.rule and word in words.values():
                what = f"gives {word!r} to a node of its own: its derivative"
                refuse(f"{what} is in the script's own {kind.__name__} alone")
            setattr(self, anatomy.op, word)
        for name in anatomy.others.keys() & made.keys() - {*anatomy.links, *anatomy.partials}:
            value, what = made[name], found[name]
            if isinstance(what, Lost) and not what.get:  # every object has another
                changed = not is_number(value) and any(v is value for v in rest.values())
            else:
                changed = not (is_plain(value) and value == anatomy.leaf.get(name))
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
    return NATIVE["__reduce_ex__"](self, protocol)


def array_ufunc(self, ufunc, method, *inputs, **named):
    """NumPy's operations on Values, as on any object; but an array to the right of one is refused:
    most classes make it the data of a node, and this engine would compute with its elements."""
    import numpy

    if ufunc.nin == 2 and isinstance(inputs[0], Value) and numpy.ndim(inputs[1]):
        refuse("computes a Value with an array: its number would be an array; here it is a float")
    boxes = [numpy.empty((), object) if isinstance(x, Value) else x for x in inputs]
    for box, x in zip(boxes, inputs, strict=True):
        if box is not x:
            box[()] = x
    return getattr(ufunc, method)(*boxes, **named)
