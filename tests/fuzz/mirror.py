# SPDX-License-Identifier: MIT
"""The lesson's engine once more, with every operation of the table: the fuzzers' oracle.

As in micrograd_c.benchmarks.reference, a node holds its operands, and its rule adds to their grads.
What differs: every operation of the table; infinities where Python would raise; one order for the
sweep, that of recording, so that sums are rounded as the engine rounds them and results can be
compared bit by bit.
"""

import ctypes
import ctypes.util
import math

inf, nan = math.inf, math.nan
LN_2, LN_10 = 0.69314718055994530942, 2.30258509299404568402


class Node:
    """A number, the nodes it was computed from, and what a Value has besides."""

    __slots__ = (
        "attributes",
        "data",
        "extra",
        "grad",
        "kind",
        "label",
        "op",
        "prev",
        "rule",
        "serial",
    )
    recorded = 0

    def __init__(self, data, prev=(), rule=None, op="", extra=None):
        self.data = data
        self.grad = 0.0
        self.prev = prev
        self.rule = rule
        self.op = op
        self.extra = extra
        self.label = ""
        self.attributes = None
        self.kind = None
        self.serial = Node.recorded = Node.recorded + 1


def backward(root, accumulate):
    order = sorted(reached(root), key=serial_of, reverse=True)
    for node in order:
        if node.prev or not accumulate:
            node.grad = 0.0
    root.grad += 1.0
    gaining = {root}  # where an adjoint arrives; elsewhere, no rule is applied
    for node in order:
        if node in gaining and node.prev:
            stops = CHOICES[node.rule](node) if node.rule in CHOICES else STOPS.get(node.rule, ())
            gaining.update(v for k, v in enumerate(node.prev) if k not in stops)
        if node in gaining and node.rule is not None:
            node.rule(node)


def serial_of(node):
    return node.serial


def reached(root):
    seen, todo = set(), [root]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo.extend(node.prev)
    return seen


def topological_order(root):
    """Depth-first post-order, operands in written order, root last."""
    order, seen, todo = [], set(), [(root, False)]
    while todo:
        node, are_operands_done = todo.pop()
        if are_operands_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            todo.append((node, True))
            todo.extend((operand, False) for operand in reversed(node.prev))
    return order


# -- arithmetic as IEEE 754 has it, where Python raises -------------------------------------------


def div(a, b):
    if b:
        return a / b
    return nan if a == 0 or a != a or b != b else math.copysign(inf, a) * math.copysign(1.0, b)


def root(x):
    return math.sqrt(x) if x >= 0 else nan


def logarithm(x):
    return math.log(x) if x > 0 else -inf if x == 0 else nan


def powered(x, y):
    try:
        z = x**y
    except OverflowError:
        return -inf if x < 0 and y % 2 == 1 else inf
    except ZeroDivisionError:
        return math.copysign(inf, x) if y % 2 == 1 else inf
    return nan if isinstance(z, complex) else z


def exponential(x):
    try:
        return math.exp(x)
    except OverflowError:
        return inf


def cosine_hyperbolic(x):
    try:
        return math.cosh(x)
    except OverflowError:
        return inf


def sine_hyperbolic(x):
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(inf, x)


def circular(function):
    return lambda x: function(x) if math.isfinite(x) else nan


sine, cosine = circular(math.sin), circular(math.cos)


# -- values, which raise what Python raises -------------------------------------------------------


def sigmoid(x):
    e = exponential(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


def softplus(x):
    return (x if x > 0 else 0.0) + math.log1p(exponential(-abs(x))) + (x if x != x else 0.0)


def normal_cdf(x):
    return 0.5 * math.erfc(-x * 0.70710678118654752440)


def whole(rounded):
    """A rounding of Python's, as IEEE 754 has it: any number, the sign of 0 kept."""
    return lambda x: math.copysign(rounded(x), x) if math.isfinite(x) else x


def sign(x):
    return math.copysign(1.0, x) if x and x == x else x


def of_the_c_library(name):
    """math has exp2 and cbrt from Python 3.11 on."""
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    function.argtypes, function.restype = [ctypes.c_double], ctypes.c_double
    return function


cbrt, unchecked_exp2 = of_the_c_library("cbrt"), of_the_c_library("exp2")


def exp2(x):
    z = unchecked_exp2(x)
    if math.isinf(z) and math.isfinite(x):
        raise OverflowError
    return z


def length(x, y):
    """The C library's hypot, which Python's math.hypot is not."""
    if x != x or y != y:  # abs of a complex NaN raises what an earlier overflow has left in errno
        return math.inf if math.isinf(x) or math.isinf(y) else math.nan
    return abs(complex(x, y))


def power(x, y):
    if y == 2.0:
        z = x * x
        if math.isinf(z) and math.isfinite(x):
            raise OverflowError
        return z
    if x < 0 and math.isfinite(x) and math.isfinite(y) and y != math.floor(y):
        raise ValueError  # Python's float turns complex
    return x**y


def remainder(x, y):
    return math.fmod(x, y) if y and math.isfinite(x) and y == y else nan


def quotient(x, y):
    """Rounded down."""
    try:
        return x // y
    except ZeroDivisionError:
        return nan


def maximum(x, y):
    return x if x != x or x > y else y


def minimum(x, y):
    return x if x != x or x < y else y


# name -> (value of x, gain of x from x, z, g; None: it gains nothing)
UNARY = {
    "sin": (math.sin, lambda x, z, g: g * cosine(x)),
    "cos": (math.cos, lambda x, z, g: -g * sine(x)),
    "neg": (lambda x: -x, lambda x, z, g: -g),
    "abs": (abs, lambda x, z, g: g if x > 0 else -g if x < 0 else 0.0),
    "exp": (math.exp, lambda x, z, g: g * z),
    "expm1": (math.expm1, lambda x, z, g: g * (z + 1.0)),
    "log": (math.log, lambda x, z, g: div(g, x)),
    "log1p": (math.log1p, lambda x, z, g: div(g, 1.0 + x)),
    "sqrt": (math.sqrt, lambda x, z, g: div(g * 0.5, z)),
    "tan": (math.tan, lambda x, z, g: g * (1.0 + z * z)),
    "asin": (math.asin, lambda x, z, g: div(g, root((1.0 - x) * (1.0 + x)))),
    "acos": (math.acos, lambda x, z, g: div(-g, root((1.0 - x) * (1.0 + x)))),
    "atan": (math.atan, lambda x, z, g: g / (1.0 + x * x)),
    "sinh": (math.sinh, lambda x, z, g: g * cosine_hyperbolic(x)),
    "cosh": (math.cosh, lambda x, z, g: g * sine_hyperbolic(x)),
    "tanh": (math.tanh, lambda x, z, g: g * (1.0 - z * z)),
    "sigmoid": (sigmoid, lambda x, z, g: g * z * (1.0 - z)),
    "relu": (lambda x: 0.0 if x <= 0 else x, lambda x, z, g: 0.0 if z <= 0 else g),
    "softplus": (softplus, lambda x, z, g: g * sigmoid(x)),
    "gelu": (
        lambda x: x * normal_cdf(x),
        lambda x, z, g: (
            g * (normal_cdf(x) + x * 0.39894228040143267794 * exponential(-0.5 * x * x))
        ),
    ),
    "silu": (
        lambda x: x * sigmoid(x),
        lambda x, z, g: g * sigmoid(x) * (1.0 + x * sigmoid(-x)),
    ),
    "erf": (math.erf, lambda x, z, g: g * 1.12837916709551257390 * exponential(-x * x)),
    "erfc": (math.erfc, lambda x, z, g: -g * 1.12837916709551257390 * exponential(-x * x)),
    "normal_cdf": (
        normal_cdf,
        lambda x, z, g: g * 0.39894228040143267794 * exponential(-0.5 * x * x),
    ),
    "exp2": (exp2, lambda x, z, g: g * (z * LN_2)),
    "log2": (math.log2, lambda x, z, g: div(g, x * LN_2)),
    "log10": (math.log10, lambda x, z, g: div(g, x * LN_10)),
    "cbrt": (cbrt, lambda x, z, g: div(g, 3.0 * z * z)),
    "asinh": (math.asinh, lambda x, z, g: div(g, root(1.0 + x * x))),
    "acosh": (math.acosh, lambda x, z, g: div(g, root((x - 1.0) * (x + 1.0)))),
    "atanh": (math.atanh, lambda x, z, g: div(g, (1.0 - x) * (1.0 + x))),
    "sign": (sign, None),
    "floor": (whole(math.floor), None),
    "ceil": (whole(math.ceil), None),
}

# name -> (symbol, value, gain of x, gain of y; None: it gains nothing)
BINARY = {
    "add": ("+", lambda x, y: x + y, lambda x, y, z, g: g, lambda x, y, z, g: g),
    "sub": ("-", lambda x, y: x - y, lambda x, y, z, g: g, lambda x, y, z, g: -g),
    "mul": ("*", lambda x, y: x * y, lambda x, y, z, g: g * y, lambda x, y, z, g: g * x),
    "truediv": (
        "/",
        lambda x, y: x / y,
        lambda x, y, z, g: div(g, y),
        lambda x, y, z, g: div(-g * z, y),
    ),
    "pow": (
        "**",
        power,
        lambda x, y, z, g: power_gain(x, y, g),
        lambda x, y, z, g: 0.0 if x == 0 and y >= 0 else g * z * logarithm(x),
    ),
    "maximum": (
        "maximum",
        maximum,
        lambda x, y, z, g: g * 0.5 if x == y else 0.0 if x < y else g,
        lambda x, y, z, g: g * 0.5 if x == y else 0.0 if y < x else g,
    ),
    "minimum": (
        "minimum",
        minimum,
        lambda x, y, z, g: g * 0.5 if x == y else 0.0 if x > y else g,
        lambda x, y, z, g: g * 0.5 if x == y else 0.0 if y > x else g,
    ),
    "floordiv": ("//", lambda x, y: x // y, None, None),
    "mod": (
        "%",
        lambda x, y: x % y,
        lambda x, y, z, g: g,
        lambda x, y, z, g: -g * quotient(x, y),
    ),
    "fmod": (
        "fmod",
        math.fmod,
        lambda x, y, z, g: g,
        lambda x, y, z, g: -g * div(x - remainder(x, y), y),
    ),
    "atan2": (
        "atan2",
        math.atan2,
        lambda x, y, z, g: div(g * y, x * x + y * y),
        lambda x, y, z, g: div(-g * x, x * x + y * y),
    ),
    "hypot": (
        "hypot",
        length,
        lambda x, y, z, g: g * div(x, z),
        lambda x, y, z, g: g * div(y, z),
    ),
}


def power_gain(x, y, g):
    if y == 2.0:
        return g * (2.0 * x)
    return 0.0 if y == 0.0 else g * (y * powered(x, y - 1.0))


# -- rules --------------------------------------------------------------------------------------


# rule -> the places of operands that gain nothing, whatever the numbers are
STOPS = {}


def unary_rule(gain):
    def rule(node):
        if gain is None:
            return
        (operand,) = node.prev
        operand.grad += gain(operand.data, node.data, node.grad)

    STOPS[rule] = (0,) if gain is None else ()
    return rule


def binary_rule(gain_x, gain_y):
    def rule(node):
        a, b = node.prev
        x, y, z, g = a.data, b.data, node.data, node.grad
        if gain_x is None:
            return
        a.grad += gain_x(x, y, z, g)
        b.grad += gain_y(x, y, z, g)

    STOPS[rule] = (0, 1) if gain_x is None else ()
    return rule


def add_rule(node):
    a, b = node.prev
    g = node.grad
    a.grad += g
    b.grad += g


def mul_rule(node):
    a, b = node.prev
    g = node.grad
    x = a.data
    a.grad += g * b.data
    b.grad += g * x


UNARY_RULE = {name: unary_rule(gain) for name, (_, gain) in UNARY.items()}
BINARY_RULE = {name: binary_rule(*row[2:]) for name, row in BINARY.items()}
BINARY_RULE.update(add=add_rule, mul=mul_rule)


def pow_number_rule(node):
    (base,) = node.prev
    base.grad += power_gain(base.data, node.extra, node.grad)


def leaky_relu_rule(node):
    (x,) = node.prev
    x.grad += node.grad if x.data > 0 else node.grad * node.extra


def sum_rule(node):
    for operand in node.prev:
        operand.grad += node.grad


def dot_rule(node):
    operands, g = node.prev, node.grad
    for k in range(0, len(operands) - 1, 2):
        w, x = operands[k], operands[k + 1]
        w.grad += g * x.data
        x.grad += g * w.data
    if len(operands) % 2:
        operands[-1].grad += g


def where_rule(node):
    condition, a, b = node.prev
    chosen = a if condition.data > 0 else b
    chosen.grad += node.grad


def where_stops(node):
    return (0, 2 if node.prev[0].data > 0 else 1)


def clip_rule(node):
    v, low, high = node.prev
    x, lo, hi, g = v.data, low.data, high.data, node.grad
    v.grad += 0.0 if x < lo or x > hi else g
    low.grad += g if x < lo and lo <= hi else 0.0
    high.grad += g if x > hi or lo > hi else 0.0


def taken(node):
    """The place of the operand that take has chosen; 0, its index's: none."""
    index = node.prev[0].data  # which may have been assigned since
    if index < 0:
        index += len(node.prev) - 1
    return int(index) + 1 if 0 <= index < len(node.prev) - 1 else 0


def take_rule(node):
    if taken(node):
        node.prev[taken(node)].grad += node.grad


def take_stops(node):
    return [k for k in range(len(node.prev)) if k == 0 or k != taken(node)]


# rule -> of a node of it, the places of operands that gain nothing, as the numbers are
CHOICES = {where_rule: where_stops, take_rule: take_stops}


def custom_rule(node):
    for operand, partial in zip(node.prev, node.extra, strict=True):
        operand.grad += node.grad * partial


def dot_value(operands):
    total = operands[-1].data if len(operands) % 2 else 0.0
    for k in range(0, len(operands) - 1, 2):
        total += operands[k].data * operands[k + 1].data
    return total


def sum_value(operands):
    total = operands[0].data
    for operand in operands[1:]:
        total += operand.data
    return total
