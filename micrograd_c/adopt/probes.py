# SPDX-License-Identifier: MIT
"""Small graphs that a class and this engine compute side by side, and where they part.

A program is what to say of it, and what to run: that takes V, one of the two classes, and gives
the objects to compare under their names.
"""

import contextlib
import io
import itertools
import math
import warnings

from .._core import Value, attributes_of
from .anatomy import A, B, C, is_number
from .refusal import Refusal
from .stand_in import FIELDS, Words

DATA = (
    *(A, B, 3, -2, 0.0, 1e-12, 1234.5678901234567, -98765.4321),
    *(1e9 / 7, 1e-300, -1e300 / 7, 2**53 - 1),
)
PAIRS = (
    *((A, B), (B, A), (3, -2), (A, 0.0), (0.0, A), (1e-12, A), (A, 1e-12), (A, A), (7.25, 2.0)),
    *((-7.25, 2.0), (98765.4321, 1234.5678), (2.5, 3), (0.0, 0.0), (1e5 / 7, C)),
)
NUMBERS = (0.75, 2, -1, 0, -0.5, 3, 2.0, 1)
POINTS = (A, B, C, 0.0, 3, -2, 1e-12, 1e-3 / 7, 37.5, -37.5, 750.0, -750.0)
SCALES = (-3.7, 98765.4321, 1e-5 / 7)
SIZES = {"": 1, "large numbers": 98765.4321, "small numbers": 1e-5 / 7, "huge numbers": 1e40 / 7}
# Of a graph of nodes a to k: from which ones backward is called. +: grads are set first.
STEPS = {
    "once": "h",
    "twice on one graph": "hh",
    "from two roots that share nodes": "kh",
    "of the whole and then of a part": "hg",
    "on grads that were set before": "+h",
    "of a leaf": "aa",
}
# The gradient of a result, and the one that an operand has when the rule of the result runs.
SEEDS = ((1.0, 5.0), (0.0, 5.0), (-3.7, 0.25), (1e4, 5.0))


class Symbol(str):
    """This engine's own name of an operation, where the class's word for it stands elsewhere."""


class Trial:
    """in_order: whether the order of operands is compared, which no set shows."""

    def __init__(self, anatomy, watch, words, in_order):
        self.anatomy, self.watch, self.words, self.in_order = anatomy, watch, words, in_order

    def difference(self, programs):
        """In words; '' where the two agree; None if the class never answers."""
        answered, words = False, Words(self.words)
        for text, run in programs:
            there = self.answer(self.anatomy.kind, run)
            error = there.get("the result")
            if isinstance(error, BaseException) and not isinstance(error, AssertionError):
                continue  # this engine may do what the class cannot
            here, answered = self.answer(Value, run), True
            for name in [name for name in there if name in here] or ["the result"]:
                theirs, ours = there.get(name, "there"), here.get(name, "there")
                if not alike(theirs, ours, words):
                    return f"{text}: {name} is {theirs!r} in the script's class, {ours!r} here"
        self.words.update(words)
        return "" if answered else None

    def answer(self, V, run):
        """What the program gives, as facts, or the exception that it ends in."""
        self.watch.put_back()
        text, name = io.StringIO(), self.anatomy.name
        self.watch.names.update(dict.fromkeys(self.watch.names.keys() & {name}, V))
        with contextlib.redirect_stdout(text), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                facts = self.facts(V, run(V))
                facts["whether it draws random numbers"] = self.watch.has_drawn()
                return {**facts, "what it prints": text.getvalue()}
            except (Exception, Refusal) as error:
                return {"the result": error}

    def facts(self, V, results):
        """All there is to compare, by name; a node that was met before is told by its place."""
        anatomy, facts, met, todo = self.anatomy, {}, {}, list(results.items())

        def number(node):
            return f"{getattr(node, anatomy.data):.9g}"

        def place(node):
            """Where no order is seen, nodes stand as they have been met, then by their numbers."""
            below = sorted(map(number, anatomy.operands(node)))
            return met.get(id(node), (math.inf,))[0], number(node), below

        for name, value in todo:
            parts = ()
            if id(value) in met:
                facts[name] = f"node {met[id(value)][0]}"
            elif isinstance(value, V):
                met[id(value)] = len(met), value  # kept: ids are used again
                facts[name] = getattr(value, anatomy.data)
                facts[f"the gradient of {name}"] = getattr(value, anatomy.grad)
                facts[f"the class of {name}"] = type(value) is V
                if anatomy.op:
                    facts[f".{anatomy.op} of {name}"] = word(value, anatomy.op)
                parts = list({id(v): v for v in anatomy.operands(value)}.values())
                facts[f"the number of operands of {name}"] = len(parts)
            elif isinstance(value, (list, tuple)):
                facts[name], parts = f"a {type(value).__name__} of {len(value)}", list(value)
            elif is_number(value) or not (value is None or hasattr(value, "__dict__")):
                facts[name] = value
            else:
                facts[name] = f"a {type(value).__name__}"
            if not self.in_order and all(isinstance(part, V) for part in parts):
                parts = sorted(parts, key=place)
            todo += [(f"part {k} of {name}", part) for k, part in enumerate(parts, 1)]
        return facts


def word(value, name):
    if not isinstance(value, Value) or name in attributes_of(value):
        return getattr(value, name)
    return Symbol(FIELDS["_op"].__get__(value)) or getattr(value, name)


def alike(theirs, ours, words):
    """Whether two facts are the same, the last digits of numbers aside."""
    if isinstance(ours, Symbol) and words.fits(ours, theirs):
        return True
    if is_number(theirs) and is_number(ours) and isinstance(theirs, bool) == isinstance(ours, bool):
        close = math.isclose(theirs, ours, rel_tol=1e-9, abs_tol=1e-15)
        return close or (theirs != theirs and ours != ours)
    failed = isinstance(theirs, AssertionError) and isinstance(ours, AssertionError)
    return failed or theirs is ours or (type(theirs) is type(ours) and theirs == ours)


def call(V, method, x, others, node):
    """A method of x and perhaps other operands, nodes or numbers: all of them, and the result."""
    operands = [V(x), *(V(other) if node else other for other in others)]
    return operands, getattr(type(operands[0]), method)(*operands)


def of_method(anatomy, method, x, *others, node=True, scale=None, stale=False, below=False):
    """The method, and a sweep from its result.

    scale: the result is used twice, once times this. stale: operands get other numbers before the
    sweep. below: x is of a subclass.
    """

    def run(V):
        kind = type("Below", (V,), {}) if below else V
        operands, result = call(kind, method, x, others, node)
        root = result
        if isinstance(result, V):
            if not math.isfinite(getattr(result, anatomy.data)):
                raise ValueError("no number")  # this engine raises, rather than give NaN or inf
            if scale:
                root = anatomy.times(anatomy.times(result, V(scale)), operands[0])
                again = getattr(V, method)(*operands)
                root = anatomy.plus(anatomy.plus(root, again), result)
            for value in operands[: 1 + node] if stale else ():
                setattr(value, anatomy.data, getattr(value, anatomy.data) + 0.5)
            anatomy.sweep(root)
        nodes = dict(zip("xyz", operands, strict=False))
        return {**nodes, "the result": result, "the root": root}

    names = "yz" if node else ("the number", "another")
    given = [f"{name} = {v:.9g}" for name, v in zip(("x", *names), (x, *others), strict=False)]
    scaled = f"its result used twice, scaled by {scale}"
    hows = {"changed before backward": stale, "x of a subclass": below, scaled: scale}
    return f"{method} at {', '.join([*given, *(how for how, on in hows.items() if on)])}", run


def all_of_method(anatomy, method, count, alone):
    """Of a method with `count` operands besides self; `alone`: without other operations."""
    cases = [((x,), True) for x in POINTS]
    if count:
        cases = [((*pair, C)[: 1 + count], True) for pair in PAIRS]
        pairs = itertools.product((0.0, A, B, 3), NUMBERS)
        cases += [((*pair, 2)[: 1 + count], False) for pair in pairs]
    yield from (of_method(anatomy, method, *case, node=node) for case, node in cases)
    for case, node in [] if alone else [cases[0], cases[1], cases[-len(NUMBERS)]]:
        for how in *({"scale": scale} for scale in SCALES), {"below": True}:
            yield of_method(anatomy, method, *case, node=node, **how)


def of_product(anatomy):
    for pair in (A, B), (98765.4321, 1e5 / 7), (1e-5 / 7, 1e-4 / 7), (3, -2):
        yield of_method(anatomy, f"__{anatomy.times.__name__}__", *pair)


def of_constructor():
    for x in DATA:
        yield f"__init__ of {x!r}", lambda V, x=x: {"the object": V(x)}


def of_backward(anatomy):
    """What backward does to grads that are there, to shared nodes, and besides."""
    times, plus = anatomy.times, anatomy.plus
    for (text, size), (how, steps) in itertools.product(SIZES.items(), STEPS.items()):

        def run(V, size=size, steps=steps):
            a, b, c, d = (V(x * size) for x in (A, B, C, C))
            e = times(a, b)
            f = plus(e, c)
            g = times(f, e)
            h = plus(plus(g, times(d, d)), a)
            nodes = dict(zip("abcdefghk", (a, b, c, d, e, f, g, h, times(f, d)), strict=True))
            result = None
            for step in steps:
                if step == "+":
                    for k, node in enumerate(nodes.values()):
                        setattr(node, anatomy.grad, 0.25 + k)
                else:
                    result = nodes[step].backward()
            return {**nodes, "the result": result}

        yield f"backward, {', '.join(filter(None, [text, how]))}", run


def of_rule(anatomy, method, *others, node=True):
    """Raises Refusal where the rule of the result does not add to gradients, in proportion to its
    own. Only if all rules do does the order of a sweep not matter, which is another one here."""

    def grads(V, seed, start):
        operands, result = call(V, method, A, others, node)
        nodes = [v for v in operands if isinstance(v, V) and v is not result]
        for value in nodes:
            setattr(value, anatomy.grad, start)
        setattr(result, anatomy.grad, seed)
        getattr(result, anatomy.rule)()
        return [getattr(value, anatomy.grad) for value in nodes]

    def run(V):
        slopes = grads(V, 1.0, 0.0)
        for seed, start in SEEDS:
            for grad, slope in zip(grads(V, seed, start), slopes, strict=True):
                expected = start + seed * slope
                if not math.isclose(grad, expected, rel_tol=1e-6, abs_tol=1e-6):
                    what = f"{method} at x = {A:.9g}, its gradient {seed}: a gradient of {start}"
                    what += f" becomes {grad} in the script's class, {expected} here"
                    raise Refusal(f"{anatomy.name}.{what}")
        return {}

    return run
