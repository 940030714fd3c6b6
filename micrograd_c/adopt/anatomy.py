# SPDX-License-Identifier: MIT
"""What the attributes of a class's objects hold, and its constructor takes: asked of objects."""

import inspect
import operator
import sys
import types

from .._core import attributes_of
from .attributes import Fixed, LeafOrNot, Lost, Machinery, Operands, Refusal, Shown, refuse
from .probes import MISSING, A, B, NotYet, Side, is_number

PLAIN = (str, int, float, bool, type(None))
HELD = (list, tuple, set, frozenset)


class Anatomy:
    """Raises Refusal where an object does not show its number or its gradient."""

    def __init__(self, kind):
        self.kind, self.name = kind, kind.__name__
        self.calls = []
        # What most graphs here are made with, and its derivatives at A and B.
        self.times = operator.mul if hasattr(kind, "__mul__") else operator.add
        self.plus = operator.add if hasattr(kind, "__add__") else operator.mul
        self.slopes = (B, A) if self.times is operator.mul else (1, 1)
        x, y = self.x, self.y = self.try_to(
            "be made from a number alone", lambda: (kind(A), kind(B))
        )
        leaf, other_leaf = attributes(x), attributes(y)
        self.product = self.try_to("multiply", lambda: self.spied(lambda: self.times(x, y)))
        self.sum = self.try_to("add", lambda: self.spied(lambda: self.plus(x, y)))
        inner, other = attributes(self.product), attributes(self.sum)
        self.data = self.find_data(leaf, other_leaf, inner)
        self.shapes = {
            n: shape for n, v in inner.items() if (shape := self.shape_of(v)) is not None
        }
        self.holds_sets = any(shape in (set, frozenset) for shape in self.shapes.values())
        self.rule = next((n for n, v in inner.items() if takes_nothing(v)), None)
        self.grad = self.find_grad(leaf, inner)
        self.op = self.find_op(inner, other if self.times is not self.plus else leaf)
        self.known = {self.data, self.grad, self.rule, self.op, *self.shapes}
        self.roles = self.find_roles()
        self.others = {
            n: self.descriptor(
                n, leaf.get(n, MISSING), other_leaf.get(n, MISSING), v, other.get(n, MISSING)
            )
            for n, v in {**leaf, **inner}.items()
            if n not in self.known
        }
        self.leaves = {n: leaf.get(n) for n in (*self.shapes, self.op) if n}

    def try_to(self, what, build):
        try:
            return build()
        except NameError as error:
            raise NotYet(f"{self.name} cannot {what}: {error}") from error
        except Exception as error:
            raise Refusal(f"{self.name} cannot {what}: {type(error).__name__}: {error}") from error

    def spied(self, build):
        """What is built, with the arguments that the class gives its own constructor noted."""
        init = self.kind.__init__
        own = "__init__" in vars(self.kind)

        def spy(made, *positional, **named):
            self.calls.append(inspect.signature(init).bind(made, *positional, **named).arguments)
            init(made, *positional, **named)

        self.kind.__init__ = spy
        try:
            return build()
        finally:
            if own:
                self.kind.__init__ = init
            else:
                del self.kind.__init__

    def find_data(self, leaf, other_leaf, inner):
        found = [
            n
            for n, v in leaf.items()
            if near(v, A) and near(other_leaf.get(n), B) and near(inner.get(n), self.times(A, B))
        ]
        for n in found:
            x = self.kind(A)
            setattr(x, n, 7.0)
            if near(getattr(self.times(x, self.y), n), self.times(7.0, B)):
                if type(leaf[n]) is not float:
                    kept = type(leaf[n]).__name__
                    raise Refusal(
                        f"{self.name}({A}).{n} is a {kept}, {leaf[n]!r}, here the float {A}"
                    )
                return n
        raise Refusal(f"{self.name}({A:.6g}) holds its number in no attribute, as a real number")

    def find_grad(self, leaf, inner):
        if hasattr(self.kind, "backward"):
            x, y = self.kind(A), self.kind(B)
            product = self.times(x, y)
            self.try_to("run backward", product.backward)
            after, seed = attributes(x), attributes(product)
            changed = [
                n
                for n, v in after.items()
                if is_number(v) and v != leaf.get(n) and near(seed.get(n), 1)
            ]
            exact = [n for n in changed if self.is_slope(x, y, n)]
            found = [n for n in exact or changed if n != self.data]
        else:
            found = [
                n for n in leaf if n != self.data and is_number(leaf[n]) and self.rule_fills(n)
            ]
        if not found:
            raise Refusal(
                f"{self.name}: the gradient of x * y is in no attribute of x after backward()"
            )
        if leaf.get(found[0]) != 0 or isinstance(leaf[found[0]], bool):
            raise Refusal(
                f"{self.name}.{found[0]} starts at {leaf.get(found[0])!r} there, 0.0 here"
            )
        return found[0]

    def find_op(self, inner, unlike):
        """A text, a class or a member of an Enum: one for products, another for sums."""
        again = attributes(self.times(self.kind(B), self.kind(A)))
        for name, word in inner.items():
            named = isinstance(word, (str, type)) or hasattr(word, "name")
            if named and word == again[name] and word != unlike.get(name):
                return name
        return None

    def rule_fills(self, name):
        x, y = self.kind(A), self.kind(B)
        product = self.times(x, y)
        setattr(product, name, 1.0)
        if self.rule:
            self.try_to("apply a chain rule", getattr(product, self.rule))
        return self.is_slope(x, y, name)

    def is_slope(self, x, y, name):
        return near(getattr(x, name), self.slopes[0]) and near(getattr(y, name), self.slopes[1])

    def shape_of(self, value):
        """How an attribute of x * y holds x and y: None if it does not."""
        for index, operand in enumerate((self.x, self.y)):
            if value is operand:
                return index
        if type(value) in HELD and {id(v) for v in value} == {id(self.x), id(self.y)}:
            return type(value)
        return None

    def find_roles(self):
        """Parameter -> *data, *operands, *partials, *op or *rule, what keeps it, or None."""
        signature = self.signature = inspect.signature(self.kind)
        roles = dict.fromkeys(signature.parameters)
        roles[next(iter(roles))] = "*data"
        for call in self.calls:
            for name, value in call.items():
                if name not in roles or roles[name]:
                    continue
                if holds(value, lambda v: v is self.x or v is self.y):
                    roles[name] = "*operands"
                elif callable(value) and not isinstance(value, type):
                    roles[name] = "*rule"
                elif type(value) in HELD and value and all(map(is_number, value)):
                    roles[name] = "*partials"
                elif self.op and value == getattr(self.product, self.op) and value is not None:
                    roles[name] = "*op"
        for name, parameter in signature.parameters.items():
            roles[name] = roles[name] or self.stored(name, parameter.default)
        return roles

    def stored(self, name, default):
        """The attribute that keeps what is given for a parameter; None if there is none."""
        for given in (not default, "text", 7.25, MISSING):
            try:
                made = attributes(self.kind(A, **{name: given}))
            except Exception:
                continue
            kept = [
                n for n, v in made.items() if v is given and attributes(self.x).get(n) is not given
            ]
            if kept:
                return kept[0]
        return None

    def descriptor(self, name, leaf, other_leaf, inner, other):
        """What stands for an attribute that is none of the known ones."""
        plain = all(is_plain(v) for v in (leaf, inner))
        if plain and leaf == other_leaf and inner == other:
            if self.matters(name, leaf):
                return Fixed(name, self.name, leaf)
            return leaf if leaf == inner else LeafOrNot(leaf, inner)
        named = isinstance(inner, (str, int, float)) and not isinstance(inner, bool)
        return (Lost if named else Machinery)(name, self.name)

    def matters(self, name, constant):
        """Whether the class computes something else where the attribute is another."""
        numbers = []
        for given in (constant, not constant, 1.0 if is_number(constant) else "text"):
            try:
                x, y = self.kind(A), self.kind(B)
                for value in x, y:
                    setattr(value, name, given)
                product = self.plus(self.times(x, y), x)
                getattr(product, "backward", bool)()
                numbers.append(
                    [getattr(v, f) for v in (x, y, product) for f in (self.data, self.grad)]
                )
            except Exception as error:
                numbers.append(type(error))
        return any(other != numbers[0] for other in numbers)

    def operands_of(self, value):
        """As a list; None where the class does not show them."""
        if not self.shapes:
            return None
        found = []
        for name, shape in self.shapes.items():
            held = getattr(value, name, None)
            found += [held] if isinstance(shape, int) else held or ()
            if not isinstance(shape, int):
                break
        return [v for v in found if isinstance(v, self.kind)]

    def side(self):
        field = {"data": self.data, "grad": self.grad}
        return Side(
            self.kind,
            lambda value, name: getattr(value, field[name]),
            lambda value, name, number: setattr(value, field[name], number),
            self.operands_of,
            vars(sys.modules[self.kind.__module__]),
        )

    def describe(self, value):
        """What vars(value) shows, in the order that the class has set it."""
        own = attributes_of(value)
        return Shown({**{n: getattr(value, n) for n in attributes(self.x)}, **own})

    def convert(self, data):
        """The number of data that is none: the class itself says, or raises."""
        if is_number(data):
            return data
        number = getattr(self.kind(data), self.data)
        if not is_number(number):
            refuse(f"gives {self.name} a {type(number).__name__} as its number; here it is a float")
        return number

    def stand_ins(self):
        """Attribute -> what stands for it in this engine's Value, but for data, grad and so on."""
        shapes = {
            n: Operands(n, self.name, shape, self.leaves[n])
            for n, shape in self.shapes.items()
            if (n, shape, self.leaves[n]) != ("_prev", set, set())
        }
        return {**self.others, **shapes}


def attributes(value):
    """Everything that an object holds, in __dict__ or in __slots__."""
    found = {}
    for kind in reversed(type(value).__mro__):
        for name, member in vars(kind).items():
            if isinstance(member, types.MemberDescriptorType) and hasattr(value, name):
                found[name] = getattr(value, name)
    return {**found, **getattr(value, "__dict__", {})}


def is_plain(value):
    return type(value) in PLAIN or (type(value) is tuple and all(map(is_plain, value)))


def near(value, number):
    """Also where the class rounds or clips: that is told later, with both numbers."""
    return is_number(value) and abs(value - number) <= 0.05 * abs(number)


def takes_nothing(value):
    if not callable(value) or isinstance(value, type):
        return False
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def holds(value, wanted, depth=3):
    if wanted(value):
        return True
    return depth > 0 and type(value) in HELD and any(holds(v, wanted, depth - 1) for v in value)
