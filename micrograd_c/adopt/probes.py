# SPDX-License-Identifier: MIT
"""Small graphs that a class and this engine compute side by side, and where they part."""

import contextlib
import io
import math
import numbers
import operator
import warnings

from .._core import attributes_of, operands
from .attributes import FIELDS, Refusal

# Not round: what rounds, clips or stores them in fewer bits is noticed.
A, B, C = 1.3247179572447461, -0.7548776662466927, 0.5698402909980532
DATA = (
    A,
    B,
    3,
    -2,
    0.0,
    1e-12,
    1234.5678901234567,
    -98765.4321,
    1e9 / 7,
    1e-300,
    -1e300 / 7,
    2**53 - 1,
)
PAIRS = (
    *((A, B), (B, A), (3, -2), (A, 0.0), (0.0, A), (1e-12, A), (A, 1e-12), (A, A), (7.25, 2.0)),
    *((-7.25, 2.0), (98765.4321, 1234.5678), (2.5, 3), (0.0, 0.0), (1e5 / 7, C)),
)
NUMBERS = (0.75, 2, -1, 0, -0.5, 3, 2.0, 1)
POINTS = (A, B, C, 0.0, 3, -2, 1e-12, 1e-3 / 7, 37.5, -37.5, 750.0, -750.0)
SCALES = (-3.7, 98765.4321, 1e-5 / 7)
MISSING = object()


class NotYet(Exception):
    """The class uses a name that its module defines later."""


class Side:
    """One of the two: a class, and how its objects are read."""

    def __init__(self, kind, read, write, operands, names):
        self.kind, self.read, self.write, self.operands = kind, read, write, operands
        self.names = names  # the module in which the class's name stands for this side's
        self.backward = lambda root: root.backward()
        self.times, self.plus = operator.mul, operator.add

    def answer(self, program):
        """What the program gives and prints, or the exception that it ends in."""
        text = io.StringIO()
        self.names.update(dict.fromkeys(self.names.keys() & {self.kind.__name__}, self.kind))
        with contextlib.redirect_stdout(text), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return program(self), text.getvalue()
            except (Exception, Refusal) as error:
                return error, ""


def engine_side(kind, names):
    return Side(
        kind,
        lambda value, field: FIELDS[field].__get__(value),
        lambda value, field, number: FIELDS[field].__set__(value, number),
        operands,
        names,
    )


class Comparison:
    """The nodes of two graphs, walked together from their roots."""

    def __init__(self, graft, words):
        self.theirs, self.ours, self.anatomy = graft.theirs, graft.ours, graft.anatomy
        self.words, self.in_order = words, graft.in_order
        self.met = {}

    def values(self, name, a, b):
        """Says what differs between two results, whatever they are; '' if nothing does."""
        if isinstance(a, self.theirs.kind) and isinstance(b, self.ours.kind):
            return self.nodes(name, a, b)
        if isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
            if any(isinstance(x, self.theirs.kind) for x in a) and not self.in_order:
                return "" if all(id(x) in self.met for x in a) else f"{name} holds other nodes"
            differences = (
                self.values(f"{name}[{i}]", *ab) for i, ab in enumerate(zip(a, b, strict=True))
            )
            return next(filter(None, differences), "")
        if is_number(a) and is_number(b):
            return (
                ""
                if same(a, b) and isinstance(a, bool) == isinstance(b, bool)
                else parted(name, a, b)
            )
        return "" if type(a) is type(b) and a == b else parted(name, shown(a), shown(b))

    def nodes(self, name, a, b):
        if id(a) in self.met:
            return "" if self.met[id(a)][1] is b else f"{name} is a new node in one of them only"
        self.met[id(a)] = a, b
        if type(a) is not self.theirs.kind:
            return parted(name, f"a {type(a).__name__}", f"a {type(b).__name__}")
        for field in "data", "grad":
            there, here = self.theirs.read(a, field), self.ours.read(b, field)
            if not same(there, here):
                return parted(f"{'the gradient of ' * (field == 'grad')}{name}", there, here)
        return self.below(name, a, b) or self.operations(name, a, b)

    def below(self, name, a, b):
        theirs, ours = self.theirs.operands(a), self.ours.operands(b)
        if theirs is None:
            return ""
        theirs, ours = ({id(x): x for x in side}.values() for side in (theirs, ours))
        theirs, ours = list(theirs), list(ours)
        if len(theirs) != len(ours):
            return parted(f"the number of operands of {name}", len(theirs), len(ours))
        for k, x in enumerate(theirs):
            y = ours[k]
            if self.anatomy.holds_sets or not self.in_order:
                left = [
                    z for z in ours if all(z is not met or m is x for m, met in self.met.values())
                ]
                left = [
                    z for z in left if self.numbers(self.theirs, x) == self.numbers(self.ours, z)
                ]
                y = next(
                    (z for z in ours if self.met.get(id(x), (0, 0))[1] is z), (left or ours)[0]
                )
            difference = self.nodes(f"operand {k + 1} of {name}", x, y)
            if difference:
                return difference
        return ""

    def numbers(self, side, value):
        """By which operands without an order are told apart."""
        below = {float(f"{side.read(v, 'data'):.9g}") for v in side.operands(value)}
        return float(f"{side.read(value, 'data'):.9g}"), below

    def operations(self, name, a, b):
        attribute = self.anatomy.op
        if not attribute:
            return ""
        symbol, word = self.ours.read(b, "_op"), getattr(a, attribute)
        explicit = attributes_of(b).get(attribute, MISSING)
        if explicit is MISSING:
            return (
                ""
                if self.words.fits(symbol, word)
                else parted(f".{attribute} of {name}", word, symbol)
            )
        return "" if explicit == word else parted(f".{attribute} of {name}", word, explicit)


def is_number(value):
    return isinstance(value, numbers.Real)


def same(a, b):
    """Whether two numbers are the same, the last digits aside."""
    if not (is_number(a) and is_number(b)):
        return a is b
    a, b = float(a), float(b)
    if a != a or b != b:
        return a != a and b != b
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-15)


def parted(what, there, here):
    return f"{what} is {there} in the script's class, {here} here"


def shown(value):
    return (
        f"a {type(value).__name__}" if hasattr(value, "__dict__") or value is None else repr(value)
    )


# -- programs: what to say of them, and what to compute on either side ---------------------------


def program(method, x, *others, node=True, scale=None, shared=False, stale=False):
    """A method of x and perhaps another operand, and a sweep from its result."""

    def run(side):
        def call():
            return getattr(side.kind, method)(a, *rest)

        a = side.kind(x)
        rest = [side.kind(other) if node else other for other in others]
        result = root = call()
        if isinstance(result, side.kind):
            if not math.isfinite(side.read(result, "data")):
                raise ValueError("no number")  # this engine raises, rather than give NaN or inf
            root = side.times(root, side.kind(scale)) if scale else root
            if shared:
                root = side.plus(side.plus(side.times(result, a), call()), result)
            for value in (a, *rest[: node and stale]) if stale else ():
                side.write(value, "data", side.read(value, "data") + 0.5)
            side.backward(root)
        return {"x": a, "y": rest[0] if rest else None, "the result": result, "the root": root}

    given = [
        f"x = {x:.9g}",
        *(f"{'y' if node else 'the number'} = {other:.9g}" for other in others),
    ]
    how = ", changed before backward" if stale else ""
    how += (
        f", its result scaled by {scale:.6g}"
        if scale
        else ", its result used twice"
        if shared
        else ""
    )
    return f"{method} at {', '.join(given)}{how}", run


def method_programs(method, count, alone=False):
    """Of a method with `count` operands besides self; `alone`: without other operations."""
    if count == 0:
        cases = [((x,), True) for x in POINTS]
    else:
        cases = [(pair, True) for pair in PAIRS]
        cases += [((x, number), False) for x in (0.0, A, B, 3) for number in NUMBERS]
    yield from (program(method, *case, node=node) for case, node in cases)
    for case, node in [] if alone else [cases[0], cases[1], cases[-len(NUMBERS)]]:
        yield from (program(method, *case, node=node, scale=scale) for scale in SCALES)
        yield program(method, *case, node=node, shared=True)


def stale_programs(method, count):
    """Of a graph whose operands get other numbers before the sweep."""
    yield program(method, A, *[B] * count, stale=True)
    if count:
        yield program(method, A, 3, node=False, stale=True)


def constructor_programs():
    for x in DATA:
        yield f"__init__ of {x!r}", lambda side, x=x: {"the object": side.kind(x)}


def sweep_programs(arguments=()):
    """What backward does to grads that are there, to shared nodes, and besides."""
    sizes = {
        "": 1,
        "large numbers": 98765.4321,
        "small numbers": 1e-5 / 7,
        "huge numbers": 1e40 / 7,
    }
    for text, size in sizes.items():
        for steps in STEPS:
            how = ", ".join(filter(None, [text, steps.__doc__]))
            yield (
                f"backward, {how}",
                lambda side, *x, s=size, f=steps: f(side, graph(side, s), *arguments),
            )


def simple_programs(times):
    for x, y in (A, B), (98765.4321, 1e5 / 7), (1e-5 / 7, 1e-4 / 7), (3, -2):
        yield program(f"__{times.__name__}__", x, y)


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


def graph(side, size):
    a, b, c, d = (side.kind(x * size) for x in (A, B, C, C))
    e = side.times(a, b)
    f = side.plus(e, c)
    g = side.times(f, e)
    h = side.plus(side.plus(g, side.times(d, d)), a)
    return {name: value for name, value in locals().items() if name not in ("side", "size")}


def once(side, nodes, *arguments):
    """once"""
    return {**nodes, "the result": nodes["h"].backward(*arguments)}


def twice(side, nodes, *arguments):
    """twice on one graph"""
    nodes["h"].backward(*arguments)
    return once(side, nodes, *arguments)


def two_roots(side, nodes, *arguments):
    """from two roots that share nodes"""
    side.times(nodes["f"], nodes["d"]).backward(*arguments)
    return once(side, nodes, *arguments)


def of_a_part(side, nodes, *arguments):
    """of the whole and then of a part"""
    nodes["h"].backward(*arguments)
    nodes["g"].backward(*arguments)
    return nodes


def on_grads(side, nodes, *arguments):
    """on grads that were set before"""
    for k, node in enumerate(nodes.values()):
        side.write(node, "grad", 0.25 + k)
    return once(side, nodes, *arguments)


def of_a_leaf(side, nodes, *arguments):
    """of a leaf"""
    nodes["a"].backward(*arguments)
    nodes["a"].backward(*arguments)
    return nodes


def broken_rule(side, method, rule, *others, node=True):
    """Says where the rule of the result does not add to gradients, in proportion to its own.

    Only if all do does the order of a sweep not matter, which is another one here.
    """
    slopes = None
    for seed, start in (1.0, 0.0), (1.0, 5.0), (0.0, 5.0), (-3.7, 0.25), (1e4, 5.0):

        def run(side, seed=seed, start=start):
            operands = [side.kind(A), *(side.kind(other) if node else other for other in others)]
            result = getattr(side.kind, method)(*operands)
            operands = [v for v in operands if isinstance(v, side.kind) and v is not result]
            for value in operands:
                side.write(value, "grad", start)
            side.write(result, "grad", seed)
            getattr(result, rule)()
            return [side.read(value, "grad") for value in operands]

        grads, _ = side.answer(run)
        if isinstance(grads, BaseException):
            return ""  # it takes no such operand, or has no rule in this place
        slopes = slopes or grads
        for grad, slope in zip(grads, slopes, strict=True):
            expected = start + seed * slope
            if abs(grad - expected) > 1e-6 * (1 + abs(expected)):
                how = f"{method} at x = {A:.9g}, its gradient {seed}: a gradient of {start}"
                return f"{how} becomes {grad} in the script's class, {expected} here"
    return ""


STEPS = once, twice, two_roots, of_a_part, on_grads, of_a_leaf
