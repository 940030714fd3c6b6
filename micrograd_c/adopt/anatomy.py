# SPDX-License-Identifier: MIT
"""Which attributes of a class's objects hold what: found by making objects of it."""

import functools
import inspect
import numbers
import operator
import types

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
        x, y = self.try_to("be made from a number alone", lambda: (kind(A), kind(B)))
        product = self.try_to("multiply", lambda: self.times(x, y))
        total = self.try_to("add", lambda: self.plus(x, y))
        states = self.leaf, other_leaf, inner, other = [
            dict(attributes(v)) for v in (x, y, product, total)
        ]
        self.data = self.find_data(other_leaf, inner)
        shapes = {n: shape_of(v, x, y) for n, v in inner.items()}
        self.shapes = {n: shape for n, shape in shapes.items() if shape is not None}
        parts = {n: ([], []) for n in inner}
        for n, (nodes, rest) in parts.items():
            collect(inner[n], kind, nodes, rest)
        apart = [n for n, shape in self.shapes.items() if isinstance(shape, int)]
        links = [n for n, (nodes, _) in parts.items() if {id(x), id(y)} == {*map(id, nodes)}]
        links.sort(key=lambda n: type(inner[n]) in (set, frozenset))
        self.links = apart or links[:1]
        self.holds_sets = any(shape in (set, frozenset) for shape in self.shapes.values())
        self.partials = [
            n
            for n, (_, rest) in parts.items()
            if type(inner[n]) in HELD and tuple(rest) == self.slopes
        ]
        self.rule = next((n for n, v in inner.items() if takes_nothing(v)), None)
        self.grad = self.find_grad()
        self.op = self.find_op(inner, other if self.times is not self.plus else self.leaf)
        self.known = {self.data, self.grad, self.rule, self.op, *self.shapes}
        self.others = {
            n: [state.get(n, MISSING) for state in states]
            for n in self.leaf | inner
            if n not in self.known
        }

    def try_to(self, what, build):
        try:
            return build()
        except Exception as error:
            raise Refusal(f"{self.name} cannot {what}: {type(error).__name__}: {error}") from error

    def find_data(self, other_leaf, inner):
        for n, v in self.leaf.items():
            product = near(inner.get(n), self.times(A, B))
            if near(v, A) and near(other_leaf.get(n), B) and product:
                x = self.kind(A)
                setattr(x, n, 7.0)
                if near(getattr(self.times(x, self.kind(B)), n), self.times(7.0, B)):
                    if type(v) is float:
                        return n
                    what = f"a {type(v).__name__}, {v!r}, here the float {A}"
                    raise Refusal(f"{self.name}({A}).{n} is {what}")
        raise Refusal(f"{self.name}({A:.6g}) holds its number in no attribute, as a real number")

    def find_grad(self):
        """The attribute that a sweep of x * y fills; one that holds the derivatives goes first."""
        found = []
        for n, start in self.leaf.items():
            if n == self.data or not (start is None or is_number(start)):
                continue
            x, y = self.kind(A), self.kind(B)
            product = self.times(x, y)
            if hasattr(self.kind, "backward"):
                self.try_to("run backward", product.backward)
            else:
                setattr(product, n, 1.0)
                self.try_to("apply a chain rule", getattr(product, self.rule or "", bool))
            changed = is_number(getattr(x, n)) and getattr(x, n) != start
            if changed and near(getattr(product, n), 1):
                slopes = zip((x, y), self.slopes, strict=True)
                found.append((not all(near(getattr(v, n), slope) for v, slope in slopes), n))
        if not found:
            what = "the gradient of x * y is in no attribute of x after backward()"
            raise Refusal(f"{self.name}: {what}")
        grad = min(found)[1]
        start = self.leaf[grad]
        if start != 0 or isinstance(start, bool):
            raise Refusal(f"{self.name}.{grad} starts at {start!r} there, 0.0 here")
        return grad

    def find_op(self, inner, unlike):
        """A text, a class or a member of an Enum: one for products, another for sums."""
        again = attributes(self.times(self.kind(B), self.kind(A)))
        for name, word in inner.items():
            named = isinstance(word, (str, type)) or hasattr(word, "name")
            if named and word == again[name] and word != unlike.get(name):
                return name
        return None

    def matters(self, name, constant):
        """Whether the class computes something else where the attribute is another."""
        seen = []
        for given in (constant, not constant, 1.0 if is_number(constant) else "text"):
            try:
                x, y = self.kind(A), self.kind(B)
                setattr(x, name, given)
                setattr(y, name, given)
                product = self.plus(self.times(x, y), x)
                getattr(product, "backward", bool)()
                seen.append(
                    [getattr(v, n) for v in (x, y, product) for n in (self.data, self.grad)]
                )
            except Exception as error:
                seen.append(type(error))
        return seen.count(seen[0]) < len(seen)

    def operands_of(self, value):
        """As a list; None where the class does not show them."""
        found = []
        for name in self.links:
            collect(getattr(value, name, None), self.kind, found, [])
        return found if self.links else None


@functools.cache
def slots(kind):
    members = (item for base in reversed(kind.__mro__) for item in vars(base).items())
    return [name for name, member in members if isinstance(member, types.MemberDescriptorType)]


def attributes(value):
    """Everything that an object holds, in __dict__ or in __slots__."""
    found = {name: getattr(value, name) for name in slots(type(value)) if hasattr(value, name)}
    return {**found, **getattr(value, "__dict__", {})}


def collect(held, kind, nodes, rest):
    """Sorts what an attribute holds, in containers or not, into objects of the class and others."""
    if isinstance(held, kind):
        nodes.append(held)
    elif type(held) in HELD:
        for each in held:
            collect(each, kind, nodes, rest)
    elif held is not None:
        rest.append(held)


def shape_of(held, x, y):
    """How x * y holds its operands: which one, or in a container of which type. Or None."""
    if held is x or held is y:
        return 0 if held is x else 1
    return type(held) if type(held) in HELD and {*map(id, held)} == {id(x), id(y)} else None


def takes_nothing(value):
    if not callable(value) or isinstance(value, type):
        return False
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def is_number(value):
    return isinstance(value, numbers.Real)


def is_plain(value):
    return type(value) in PLAIN or (type(value) is tuple and all(map(is_plain, value)))


def near(value, number):
    """Also where the class rounds or clips: that is told later, with both numbers."""
    return is_number(value) and abs(value - number) <= 0.05 * abs(number)
