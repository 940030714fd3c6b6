# SPDX-License-Identifier: MIT
"""Small graphs that a class and this engine compute side by side, and where they part."""

import contextlib
import io
import math
import sys
import warnings

from .._core import Value, attributes_of
from .anatomy import A, B, C, is_number
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

    def __init__(self, kind, anatomy, operands, in_order):
        self.kind, self.anatomy, self.operands, self.in_order = kind, anatomy, operands, in_order
        self.times, self.plus = anatomy.times, anatomy.plus
        self.names = vars(sys.modules[anatomy.kind.__module__])

    def read(self, value, field):
        return getattr(value, getattr(self.anatomy, field))

    def write(self, value, field, number):
        setattr(value, getattr(self.anatomy, field), number)

    def answer(self, program):
        """What the program gives, as facts, or the exception that it ends in."""
        text, name = io.StringIO(), self.anatomy.name
        self.names.update(dict.fromkeys(self.names.keys() & {name}, self.kind))
        with contextlib.redirect_stdout(text), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                results = program(self)
                return self.facts({**results, "what it prints": text.getvalue()})
            except (Exception, Refusal) as error:
                return error

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

    def facts(self, results):
        """(name, fact) of all there is to compare; a node that was met before is told by its place.

        Where no order is seen, operands stand as they have been met, and then by their numbers.
        """
        found, met = [], {}

        def rounded(node):
            number = self.read(node, "data")
            return float(f"{number:.9g}") if is_number(number) else 0.0

        def place(node):
            below = sorted(map(rounded, self.operands(node) or ()))
            return met.get(id(node), (math.inf,))[0], rounded(node), below

        def each(what, name, nodes):
            ordered = self.in_order or not all(isinstance(v, self.kind) for v in nodes)
            found.append((f"the number of {what}s of {name}", len(nodes)))
            for k, node in enumerate(nodes if ordered else sorted(nodes, key=place), 1):
                tell(f"{what} {k} of {name}", node)

        def tell(name, value):
            if isinstance(value, (list, tuple)):
                each(f"{type(value).__name__} item", name, value)
            elif is_number(value):
                found.append((name, value))
            elif not isinstance(value, self.kind):
                plain = value is not None and not hasattr(value, "__dict__")
                found.append((name, repr(value) if plain else f"a {type(value).__name__}"))
            elif id(value) in met:
                found.append((name, f"node {met[id(value)][0]}"))
            else:
                met[id(value)] = len(met), value  # kept: ids are used again
                found.append((name, self.read(value, "data")))
                found.append((f"the gradient of {name}", self.read(value, "grad")))
                kind = self.anatomy.name if type(value) is self.kind else "a subclass"
                found.append((f"the class of {name}", kind))
                if self.anatomy.links:
                    nodes = {id(v): v for v in self.operands(value)}.values()
                    each("operand", name, nodes)
                if self.anatomy.op:
                    found.append((f".{self.anatomy.op} of {name}", self.word(value)))

        for name, value in results.items():
            tell(name, value)
        return found

    def word(self, value):
        """What the operation is called; a Symbol where the class's word for it stands elsewhere."""
        name = self.anatomy.op
        if self.kind is not Value or name in attributes_of(value):
            return getattr(value, name)
        return Symbol(FIELDS["_op"].__get__(value)) or getattr(value, name)


class Symbol(str):
    """This engine's own name of an operation."""


def parting(theirs, ours, words):
    """Where two lists of facts part, in words; '' where they do not."""
    for (name, there), (other, here) in zip(theirs, ours, strict=False):
        if isinstance(here, Symbol) and words.fits(here, there):
            continue
        if is_number(there) and is_number(here):
            alike = same(there, here) and isinstance(there, bool) == isinstance(here, bool)
        else:
            alike = there is here or (type(there) is type(here) and there == here)
        if not alike or name != other:
            return parted(name, there, here)
    return ""


def same(a, b):
    """Whether two numbers are the same, the last digits aside."""
    if a != a or b != b:
        return a != a and b != b
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-15)


def parted(what, there, here):
    return f"{what} is {there} in the script's class, {here} here"


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


def check_rule(side, method, *others, node=True):
    """Raises Refusal where the rule of the result does not add to gradients, in proportion to its
    own. Only if all rules do does the order of a sweep not matter, which is another one here."""

    def grads(seed, start):
        nodes = [side.kind(A), *(side.kind(other) if node else other for other in others)]
        result = getattr(side.kind, method)(*nodes)
        nodes = [v for v in nodes if isinstance(v, side.kind) and v is not result]
        for value in nodes:
            side.write(value, "grad", start)
        side.write(result, "grad", seed)
        getattr(result, side.anatomy.rule)()
        return [side.read(value, "grad") for value in nodes]

    def run(side):
        slopes = grads(1.0, 0.0)
        for seed, start in (1.0, 5.0), (0.0, 5.0), (-3.7, 0.25), (1e4, 5.0):
            for grad, slope in zip(grads(seed, start), slopes, strict=True):
                expected = start + seed * slope
                if abs(grad - expected) > 1e-6 * (1 + abs(expected)):
                    how = f"{method} at x = {A:.9g}, its gradient {seed}: a gradient of {start}"
                    how += f" becomes {grad} in the script's class, {expected} here"
                    raise Refusal(f"{side.anatomy.name}.{how}")
        return {}

    found = side.answer(run)  # or it takes no such operand, or has no rule in this place
    if isinstance(found, Refusal):
        raise found
