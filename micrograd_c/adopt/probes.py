# SPDX-License-Identifier: MIT
"""Small graphs that a class and this engine compute side by side, and where they part."""

import contextlib
import io
import math
import sys
import warnings

from .._core import attributes_of
from .anatomy import MISSING, A, B, C, is_number
from .refusal import Refusal
from .stand_in import FIELDS

DATA = (A, B, 3, -2, 0.0, 1e-12, 1234.5678901234567, -98765.4321)
DATA += (1e9 / 7, 1e-300, -1e300 / 7, 2**53 - 1)
PAIRS = (
    *((A, B), (B, A), (3, -2), (A, 0.0), (0.0, A), (1e-12, A), (A, 1e-12), (A, A), (7.25, 2.0)),
    *((-7.25, 2.0), (98765.4321, 1234.5678), (2.5, 3), (0.0, 0.0), (1e5 / 7, C)),
)
NUMBERS = (0.75, 2, -1, 0, -0.5, 3, 2.0, 1)
POINTS = (A, B, C, 0.0, 3, -2, 1e-12, 1e-3 / 7, 37.5, -37.5, 750.0, -750.0)
SCALES = (-3.7, 98765.4321, 1e-5 / 7)
SIZES = {"": 1, "large numbers": 98765.4321, "small numbers": 1e-5 / 7, "huge numbers": 1e40 / 7}
# Of graph(): from which nodes backward is called. +: grads are set first.
STEPS = {
    "once": "h",
    "twice on one graph": "hh",
    "from two roots that share nodes": "kh",
    "of the whole and then of a part": "hg",
    "on grads that were set before": "+h",
    "of a leaf": "aa",
}


class Side:
    """One of the two: a class, and how its objects are read."""

    def __init__(self, kind, anatomy, operands):
        self.kind, self.anatomy, self.operands = kind, anatomy, operands
        self.times, self.plus = anatomy.times, anatomy.plus
        self.names = vars(sys.modules[anatomy.kind.__module__])

    def read(self, value, field):
        return getattr(value, getattr(self.anatomy, field))

    def write(self, value, field, number):
        setattr(value, getattr(self.anatomy, field), number)

    def answer(self, program):
        """What the program gives and prints, or the exception that it ends in."""
        text, name = io.StringIO(), self.anatomy.name
        self.names.update(dict.fromkeys(self.names.keys() & {name}, self.kind))
        with contextlib.redirect_stdout(text), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return program(self), text.getvalue()
            except (Exception, Refusal) as error:
                return error, ""

    def backward(self, root, *arguments):
        if hasattr(self.anatomy.kind, "backward"):
            return root.backward(*arguments)
        order, seen = [], set()

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for operand in self.operands(node) or ():
                    visit(operand)
                order.append(node)

        visit(root)
        self.write(root, "grad", 1.0)
        for node in reversed(order):
            getattr(node, self.anatomy.rule)()


class Comparison:
    """The nodes of two graphs, walked together from their roots. words: see Words."""

    def __init__(self, theirs, ours, words, in_order):
        self.theirs, self.ours, self.words, self.in_order = theirs, ours, words, in_order
        self.met, self.partners = {}, {}  # id of a node -> (its place, the other side's node)

    def values(self, name, a, b):
        """Says what differs between two results, whatever they are; '' if nothing does."""
        if isinstance(a, self.theirs.kind) and isinstance(b, self.ours.kind):
            return self.nodes(name, a, b)
        if isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
            if any(isinstance(x, self.theirs.kind) for x in a) and not self.in_order:
                return "" if all(id(x) in self.met for x in a) else f"{name} holds other nodes"
            pairs = enumerate(zip(a, b, strict=True))
            return next(filter(None, (self.values(f"{name}[{i}]", *ab) for i, ab in pairs)), "")
        if is_number(a) and is_number(b):
            alike = same(a, b) and isinstance(a, bool) == isinstance(b, bool)
        else:
            alike, a, b = type(a) is type(b) and a == b, shown(a), shown(b)
        return "" if alike else parted(name, a, b)

    def nodes(self, name, a, b):
        if id(a) in self.met:
            alike = self.met[id(a)][1] is b
            return "" if alike else f"{name} is a new node in one of them only"
        self.met[id(a)], self.partners[id(b)] = (len(self.met), b), (len(self.met), a)
        if (type(a) is self.theirs.kind) != (type(b) is self.ours.kind):
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
        theirs, ours = (
            self.sorted(theirs, self.theirs, self.met),
            self.sorted(ours, self.ours, self.partners),
        )
        if len(theirs) != len(ours):
            return parted(f"the number of operands of {name}", len(theirs), len(ours))
        pairs = enumerate(zip(theirs, ours, strict=True), 1)
        found = (self.nodes(f"operand {k} of {name}", x, y) for k, (x, y) in pairs)
        return next(filter(None, found), "")

    def sorted(self, nodes, side, met):
        """Each node once; where no order is seen, those that were met first, then by numbers."""
        nodes = list({id(v): v for v in nodes}.values())

        def rounded(v):
            return float(f"{side.read(v, 'data'):.9g}")

        def place(v):
            first = met.get(id(v), (math.inf,))[0]
            return first, rounded(v), sorted(map(rounded, side.operands(v)))

        return nodes if self.in_order else sorted(nodes, key=place)

    def operations(self, name, a, b):
        attribute = self.theirs.anatomy.op
        if not attribute:
            return ""
        word, symbol = getattr(a, attribute), FIELDS["_op"].__get__(b)
        explicit = attributes_of(b).get(attribute, MISSING) if symbol else getattr(b, attribute)
        if explicit is MISSING:
            explicit = word if self.words.fits(symbol, word) else symbol
        return "" if explicit == word else parted(f".{attribute} of {name}", word, explicit)


def same(a, b):
    """Whether two numbers are the same, the last digits aside."""
    if not (is_number(a) and is_number(b)):
        return a is b
    if a != a or b != b:
        return a != a and b != b
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-15)


def parted(what, there, here):
    return f"{what} is {there} in the script's class, {here} here"


def shown(value):
    plain = value is not None and not hasattr(value, "__dict__")
    return repr(value) if plain else f"a {type(value).__name__}"


# -- programs: what to say of them, and what to compute on either side ---------------------------


def program(method, x, *others, node=True, scale=None, shared=False, stale=False, below=False):
    """A method of x and perhaps another operand, and a sweep from its result.

    The other operand is a node or a number. scale: what the result is multiplied by. shared: it is
    used twice. stale: operands get other numbers before the sweep. below: x is of a subclass.
    """

    def run(side):
        a = (type("Below", (side.kind,), {}) if below else side.kind)(x)
        rest = [side.kind(other) if node else other for other in others]
        call = getattr(type(a), method)
        result = root = call(a, *rest)
        if isinstance(result, side.kind):
            if not math.isfinite(side.read(result, "data")):
                raise ValueError("no number")  # this engine raises, rather than give NaN or inf
            root = side.times(root, side.kind(scale)) if scale else root
            if shared:
                root = side.plus(side.plus(side.times(result, a), call(a, *rest)), result)
            for value in (a, *rest[: node and stale]) if stale else ():
                side.write(value, "data", side.read(value, "data") + 0.5)
            side.backward(root)
        return {"x": a, "y": rest[0] if rest else None, "the result": result, "the root": root}

    given = [f"x = {x:.9g}", *(f"{'y' if node else 'the number'} = {y:.9g}" for y in others)]
    hows = {
        ", changed before backward": stale,
        ", its result used twice": shared,
        ", x of a subclass": below,
        f", its result scaled by {scale}": scale,
    }
    return f"{method} at {', '.join(given)}{''.join(h for h, on in hows.items() if on)}", run


def method_programs(method, count, alone=False, below=False):
    """Of a method with `count` operands besides self; `alone`: without other operations."""
    cases = [((x,), True) for x in POINTS]
    if count:
        cases = [(pair, True) for pair in PAIRS]
        cases += [((x, number), False) for x in (0.0, A, B, 3) for number in NUMBERS]
    yield from (program(method, *case, node=node) for case, node in cases)
    for case, node in [] if alone else [cases[0], cases[1], cases[-len(NUMBERS)]]:
        yield from (program(method, *case, node=node, scale=scale) for scale in SCALES)
        yield program(method, *case, node=node, shared=True)
        if below:
            yield program(method, *case, node=node, below=True)


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
    for size_text, size in SIZES.items():
        for text, steps in STEPS.items():

            def run(side, size=size, steps=steps):
                nodes, result = graph(side, size), None
                for step in steps:
                    if step == "+":
                        for k, node in enumerate(nodes.values()):
                            side.write(node, "grad", 0.25 + k)
                    else:
                        result = nodes[step].backward(*arguments)
                return {**nodes, "the result": result}

            yield f"backward, {', '.join(filter(None, [size_text, text]))}", run


def graph(side, size):
    a, b, c, d = (side.kind(x * size) for x in (A, B, C, C))
    e = side.times(a, b)
    f = side.plus(e, c)
    g = side.times(f, e)
    h = side.plus(side.plus(g, side.times(d, d)), a)
    return {**dict(zip("abcdefgh", (a, b, c, d, e, f, g, h), strict=True)), "k": side.times(f, d)}


def simple_programs(times):
    for x, y in (A, B), (98765.4321, 1e5 / 7), (1e-5 / 7, 1e-4 / 7), (3, -2):
        yield program(f"__{times.__name__}__", x, y)


def broken_rule(side, method, *others, node=True):
    """Says where the rule of the result does not add to gradients, in proportion to its own.

    Only if all do does the order of a sweep not matter, which is another one here.
    """
    slopes = None
    for seed, start in (1.0, 0.0), (1.0, 5.0), (0.0, 5.0), (-3.7, 0.25), (1e4, 5.0):

        def run(side, seed=seed, start=start):
            nodes = [side.kind(A), *(side.kind(other) if node else other for other in others)]
            result = getattr(side.kind, method)(*nodes)
            nodes = [v for v in nodes if isinstance(v, side.kind) and v is not result]
            for value in nodes:
                side.write(value, "grad", start)
            side.write(result, "grad", seed)
            getattr(result, side.anatomy.rule)()
            return [side.read(value, "grad") for value in nodes]

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
