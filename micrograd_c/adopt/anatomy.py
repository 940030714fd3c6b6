# SPDX-License-Identifier: MIT
"""Which attributes of a class's objects hold what: found by making objects of it."""

import contextlib
import copyreg
import numbers
import operator

from .._core import Value, operands
from .refusal import Refusal

# Not round: what rounds, clips or stores them in fewer bits is noticed.
A, B, C = 1.3247179572447461, -0.7548776662466927, 0.5698402909980532
MISSING = object()
PLAIN = (str, int, float, bool, type(None))
HELD = (list, tuple, set, frozenset)


class Anatomy:
    """Raises Refusal where an object does not show its number or its gradient.

    Names of attributes: data, grad, rule (the chain rule, called without arguments), op (what the
    operation is called), shapes (how x * y holds x and y), links (where its operands are),
    partials (local derivatives) and others, with what two leaves, a product and a sum have there.
    """

    def __init__(self, kind):
        self.kind, self.name = kind, kind.__name__
        # What most graphs here are made with, and its derivatives at A and B.
        self.times = operator.mul if hasattr(kind, "__mul__") else operator.add
        self.plus = operator.add if hasattr(kind, "__add__") else operator.mul
        self.slopes = (B, A) if self.times is operator.mul else (1, 1)
        x, y = kind(A), kind(B)
        product = self.times(x, y)
        states = [attributes(v) for v in (kind(A), kind(B), product, self.plus(x, y))]
        self.leaf, _, inner, _ = states
        numbers = {name: held for name, held in self.leaf.items() if near(held, A)}
        self.data = next((n for n in numbers if near(inner.get(n), self.times(A, B))), None)
        if self.data is None:
            what = f"({A:.6g}) holds its number in no attribute, as a real number"
            raise Refusal(self.name + what)
        number = self.leaf[self.data]
        if type(number) is not float:
            what = f"a {type(number).__name__}, {number!r}, here the float {A}"
            raise Refusal(f"{self.name}({A}).{self.data} is {what}")
        self.shapes, self.links, self.partials = {}, [], []
        for name, held in sorted(inner.items(), key=lambda item: type(item[1]) in HELD[2:]):
            nodes, rest = collect(held, kind)
            if [*map(id, nodes)] == [id(held)]:
                self.shapes[name] = 0 if held is x else 1
            elif {*map(id, nodes)} == {id(x), id(y)}:
                self.links.append(name)
                if not rest and not any(type(part) in HELD for part in held):
                    self.shapes[name] = type(held)
            if type(held) in HELD and tuple(rest) == self.slopes:
                self.partials.append(name)
        apart = [name for name, shape in self.shapes.items() if isinstance(shape, int)]
        self.links = apart or self.links[:1]
        self.rule = next((name for name, held in inner.items() if runs_alone(held)), None)
        self.grad = self.find_grad()
        again = attributes(self.times(kind(B), kind(A)))
        # A text that all products have, and leaves have not.
        words = [name for name, word in inner.items() if isinstance(word, str)]
        self.op = next((n for n in words if inner[n] == again[n] != self.leaf.get(n)), None)
        self.known = {self.data, self.grad, self.rule, self.op, *self.shapes}
        names = (self.leaf | inner).keys() - self.known
        self.others = {name: [state.get(name, MISSING) for state in states] for name in names}

    def find_grad(self):
        """The attribute that a sweep of x * y fills; one that holds the derivatives goes first."""
        found = []
        for name, start in self.leaf.items():
            if name == self.data or not (start is None or is_number(start)):
                continue
            x, y = self.kind(A), self.kind(B)
            product, self.grad = self.times(x, y), name
            self.sweep(product)
            swept = [getattr(v, name) for v in (x, y, product)]
            if is_number(swept[0]) and swept[0] != start and near(swept[2], 1):
                found.append((not all(map(near, swept, self.slopes)), name))
        if not found:
            what = "the gradient of x * y is in no attribute of x after backward()"
            raise Refusal(f"{self.name}: {what}")
        grad = min(found)[1]
        start = self.leaf[grad]
        if start != 0 or isinstance(start, bool):
            raise Refusal(f"{self.name}.{grad} starts at {start!r} there, 0.0 here")
        return grad

    def sweep(self, root):
        """Of one node alone where the class has no backward (yet)."""
        if hasattr(self.kind, "backward"):
            return root.backward()
        setattr(root, self.grad, 1.0)
        return getattr(root, self.rule or "", bool)()

    def matters(self, name, constant):
        """Whether the class computes something else where the attribute is another."""

        def outcome(given):
            x, y = self.kind(A), self.kind(B)
            try:
                setattr(x, name, given)
                setattr(y, name, given)
                product = self.plus(self.times(x, y), x)
                getattr(product, "backward", bool)()
                return [getattr(v, n) for v in (x, y, product) for n in (self.data, self.grad)]
            except Exception as error:
                return type(error)

        others = not constant, 1.0 if is_number(constant) else "text"
        return any(outcome(other) != outcome(constant) for other in others)

    def operands(self, value):
        """Of either class, as a list."""
        if isinstance(value, Value):
            return operands(value)
        return [v for name in self.links for v in collect(getattr(value, name), self.kind)[0]]


def attributes(value):
    """Everything that an object holds, in __dict__ or in __slots__."""
    names = [name for name in copyreg._slotnames(type(value)) if hasattr(value, name)]
    return {name: getattr(value, name) for name in names} | getattr(value, "__dict__", {})


def collect(held, kind):
    """What an attribute holds, in containers or not: objects of the class, and others."""
    if isinstance(held, kind):
        return [held], []
    if type(held) not in HELD:
        return [], [] if held is None else [held]
    parts = [collect(part, kind) for part in held]
    return [v for nodes, _ in parts for v in nodes], [v for _, rest in parts for v in rest]


def runs_alone(held):
    with contextlib.suppress(Exception):
        return callable(held) and not isinstance(held, type) and (held(), True)[1]


def is_number(value):
    return isinstance(value, numbers.Real)


def is_plain(value):
    return type(value) in PLAIN or (type(value) is tuple and all(map(is_plain, value)))


def near(value, number):
    """Also where the class rounds or clips: that is told later, with both numbers."""
    return is_number(value) and abs(value - number) <= 0.05 * abs(number)
