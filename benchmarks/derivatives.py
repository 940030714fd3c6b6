# SPDX-License-Identifier: MIT
"""Hessians beside one gradient of the same function, and eager gradients beside recording."""

import importlib.util
import itertools
import random

import micrograd_c
from micrograd_c import Value, gradients, hessian

from . import workloads
from .measure import agree, compare

SIZES = ((200, 30), (400, 60), (1_000, 100))  # operations, inputs
CHAIN = 1_000
LONG_DOT = 100


class RandomFunction:
    """A random function of n numbers, of + - * tanh exp: so many operations, all of which count.

    calls: the names tanh, exp and sum of the engine that it will be called with.
    """

    def __init__(self, operations, n, calls=(Value.tanh, Value.exp, micrograd_c.sum), seed=1):
        rng = random.Random(seed)
        self.point = [rng.uniform(-1.0, 1.0) for _ in range(n)]
        self.steps = [
            (rng.choice("+-*te"), rng.randrange(n + k), rng.randrange(n + k))
            for k in range(operations)
        ]
        used = {slot for _, *slots in self.steps for slot in slots}
        self.ends = [slot for slot in range(n + operations) if slot not in used]
        self.calls = calls

    def __call__(self, xs):
        tanh, exp, total = self.calls
        values = list(xs)
        for kind, i, j in self.steps:
            x, y = values[i], values[j]
            if kind == "+":
                values.append(x + y)
            elif kind == "-":
                values.append(x - y)
            elif kind == "*":
                values.append(x * y)
            elif kind == "t":
                values.append(tanh(x))
            else:
                values.append(exp(-(x * x)))
        # The mean, and bounded: so that no derivative overflows or vanishes.
        ends = [values[slot] for slot in self.ends]
        return tanh(total(ends) * (0.3 / len(ends)))


def chain(values):
    """Rosenbrock's function: its Hessian has three diagonals."""
    return micrograd_c.sum(
        [100.0 * (y - x * x) ** 2 + (1.0 - x) ** 2 for x, y in itertools.pairwise(values)]
    )


def of_parameters(function, point):
    """The function compiled, with its numbers as parameters; and these."""
    values = [Value(number) for number in point]
    return micrograd_c.compile(lambda one: function(values)), values


def hessian_rows(name, settings, operations, n):
    """At one point: until the first result is there, and each after that."""
    function = RandomFunction(operations, n)
    point = [function.point]

    def ready():
        compiled = micrograd_c.compile(hessian(function))
        return compiled, compiled(point)

    compiled, first = ready()
    columns = list(zip(*first[0], strict=True))
    agree(name, itertools.chain(*first[0]), itertools.chain(*columns), rel_tol=0.0)
    expected = [entry.data for row in hessian(function)(function.point) for entry in row]
    agree(name, itertools.chain(*first[0]), expected)

    def gradient_ready():
        gradient, _ = of_parameters(function, function.point)
        return gradient, gradient.value_and_grad([0.0])

    gradient, _ = gradient_ready()
    return [
        compare(f"{name}, ready", ready, gradient_ready, settings),
        compare(
            f"{name}, each",
            lambda: compiled(point),
            lambda: gradient.value_and_grad([0.0]),
            settings,
        ),
    ]


def objective_rows(name, settings):
    """By f.objective, which wants NumPy, the largest of the random functions and the chain."""
    import numpy

    rows = []
    has_scipy = importlib.util.find_spec("scipy") is not None
    operations, n = SIZES[-1]
    function = RandomFunction(operations, n)
    rng = random.Random(1)
    rosenbrock = [rng.uniform(-1.0, 1.0) for _ in range(CHAIN)]
    cases = [(f"{operations:,} by {n}", function, function.point, False)]
    cases += [(f"chain of {CHAIN:,}", chain, rosenbrock, False)]
    cases += [(f"chain of {CHAIN:,}, sparse", chain, rosenbrock, True)] * has_scipy
    for title, fn, point, sparse in cases:
        compiled, values = of_parameters(fn, point)
        objective = compiled.objective([0.0], params=values, sparse=sparse)
        theta, v = objective.x0, numpy.cos(numpy.arange(len(point)))
        agree(title, objective.hess(theta) @ v, objective.hessp(theta, v))
        rows.append(
            compare(
                f"{name}, {title}",
                lambda objective=objective, theta=theta: objective.hess(theta),
                lambda compiled=compiled: compiled.value_and_grad([0.0]),
                settings,
            )
        )
    return rows


def dots(size):
    """A chain of dot products of LONG_DOT terms, `size` products in all; and its leaves."""
    weights = [Value(0.001 * k) for k in range(LONG_DOT)]
    xs = [Value(0.01)] * LONG_DOT
    total = Value(0.5)
    for _ in range(size // LONG_DOT):
        total = micrograd_c.dot(weights, xs, total)
    return total, [*weights, xs[0]]


def gradients_row(name, settings, size, of_dots):
    """gradients(), over recording the graph that it is asked of."""

    def record():
        if of_dots:
            return dots(size)
        leaves = [Value(number) for number in workloads.CHAIN_START]
        return workloads.chain(*leaves, size), leaves

    root, leaves = record()
    root.backward()
    agree(name, [slope.data for slope in gradients(root, leaves)], [leaf.grad for leaf in leaves])
    return compare(
        name, lambda: gradients(root, leaves), record, settings, first_calls=1, second_calls=1
    )


def add_cases(add, settings):
    """The lines of the table; add(group, name, run of a name and settings that gives rows)."""
    for operations, n in SIZES:
        name = f"{operations:,} by {n}"
        add("hessian", name, lambda s, name=name, o=operations, n=n: hessian_rows(name, s, o, n))
    if importlib.util.find_spec("numpy") is not None:
        add("hessian", "f.objective", lambda s: objective_rows("hess", s))
    size = settings.sizes[-1]
    for title, of_dots in ((f"{size:,} operations", False), (f"dots, {size:,} products", True)):
        add(
            "gradients",
            title,
            lambda s, title=title, of_dots=of_dots: [gradients_row(title, s, size, of_dots)],
        )
