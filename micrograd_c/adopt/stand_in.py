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
LESSON = {"data": inspect.Parameter.empty, "_children": (), "_op": "", "label": ""}
FIELDS = {name: vars(HANDLE)[name] for name in ("data", "grad", "_op", "_backward")}


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
        lambda v: Shown({**{n: getattr(v, n) for n in anatomy.leaf}, **attributes_of(v)}),
        lambda data: (
            data
            if type(data) is float or is_number(data)
            else number_of(anatomy, attributes(kind(data)))
        ),
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


def number_of(anatomy, made):
    number = made[anatomy.data]
    if not is_number(number):
        what = f"a {type(number).__name__} as its number"
        refuse(f"gives {anatomy.name} {what}; here it is a float")
    return number


def make_init(anatomy, found, words, own):
    """The class's own constructor makes a draft of what Value then holds; a number alone goes the
    short way. found: see stand_in. own: names in the class that its methods change."""
    kind, init = anatomy.kind, HANDLE.__init__
    parameters = {name: p.default for name, p in inspect.signature(kind).parameters.items()}
    if is_lessons(anatomy, parameters):
        return init
    first, defaults = next(iter(parameters)), list(parameters.values())[1:]
    lenient, leaf_rule = not any(defaults), anatomy.leaf.get(anatomy.rule)
    swept = getattr(kind, "backward", None)
    others = anatomy.others.keys() - {*anatomy.links, *anatomy.partials}

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
        if len(given) == 1 and not named and type(given[0]) in (int, float):
            return init(self, given[0])
        made = draft(given, named)
        number, rule, word = number_of(anatomy, made), made.get(anatomy.rule), made.get(anatomy.op)
        nodes, slopes, odd = [], [], []
        for name in anatomy.links:
            collect(made.get(name), Value, nodes, odd)
        for name in anatomy.partials:
            collect(made.get(name), Value, [], slopes)
        fit = not slopes or (all(map(is_number, slopes)) and len(slopes) == len(nodes))
        if not fit or odd not in ([], slopes):
            what = "operands, or local derivatives, that are no Values, or no numbers"
            refuse(f"gives {anatomy.name} {what}")
        init(self, number, nodes)
        rest = [*given[1:], *(value for name, value in named.items() if name != first)]
        for value in rest:
            places, plain = (*made.values(), *nodes, *defaults), is_plain(value)
            seen = any(v is value or (plain and is_plain(v) and v == value) for v in places)
            if not (seen or (type(value) in HELD and nodes) or (lenient and not value)):
                refuse(f"gives {value!r}, which only the script's own {anatomy.name} can keep")
        its_own = getattr(rule, "__code__", None) is not getattr(leaf_rule, "__code__", None)
        by_name = not anatomy.rule and word in words.values()
        if slopes:
            self._backward = chain_rule(self, nodes, slopes)
        elif rule is not None and any(rule is value for value in rest):
            setattr(self, anatomy.rule, rule)
        elif nodes and (its_own or by_name) and inspect.unwrap(Value.backward) is not swept:
            refuse(f"makes a node whose derivative only the script's own {anatomy.name} knows")
        if anatomy.op and word != anatomy.leaf.get(anatomy.op):
            setattr(self, anatomy.op, word)
        for name in others:
            value, what = made.get(name), found[name]
            if isinstance(what, Lost) and not what.get:  # every object has another
                changed = not is_number(value) and any(v is value for v in rest)
            else:
                changed = name in made and not (is_plain(value) and value == anatomy.leaf.get(name))
            if changed:
                setattr(self, name, value)

    return __init__


def is_lessons(anatomy, parameters):
    """Whether a constructor takes what this engine's takes, and does not go by an operation."""
    init = anatomy.kind.__init__
    texts = {text for text in init.__code__.co_consts if isinstance(text, str)} - {init.__doc__, ""}
    same = list(LESSON.items())[: len(parameters)] == list(parameters.items())
    fields = {"data", "grad", "_prev", "_op", "_backward", "label"}
    return same and anatomy.leaf.keys() <= fields and all("<lambda>" in text for text in texts)


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
