# SPDX-License-Identifier: MIT
"""Random compiled programs against the same code run eagerly: outputs, losses, gradients, fits.

    python tests/fuzz/programs.py --programs 30000

A case is a function of one sample, written down as steps, and calls of it: batches in all kinds of
arrays, vector levels, threads, passes left out, fits. Any part of the steps is a case as well.
"""

import contextlib
import copy
import gc
import math
import operator
import os
import random
import signal
import sys
import threading

import harness
import numpy as np
from buffers import convert
from harness import Finding
from loops import Rule, batches

import micrograd_c as mc
from micrograd_c import TraceError, Value, _core, nn

FEATURES = {
    "operations": "operators and methods of the table",
    "sums": "sum, dot, sums of sums",
    "layers": "nn.Layer and what looks like one",
    "choices": "where, clip, take on inputs and parameters",
    "decided": "where and take that a constant decides",
    "detached": "detach() and no_grad() inside the function",
    "reads": "numbers of parameters read while recording: .data, .item(), a branch",
    "grad_reads": "the .grad of a parameter read while recording",
    "inner": "another compiled function called inside the function, on Values",
    "inner_numbers": "another compiled function called inside the function, on numbers",
    "customs": "custom() on parameters",
    "specials": "zeros of both signs, infinities, NaN among the inputs",
    "arrays": "float32 and float64 arrays",
    "strided": "arrays with strides",
    "misaligned": "floats at any address",
    "big_endian": "floats with their bytes the other way round",
    "ctypes": "ctypes arrays",
    "sequences": "lists, tuples, array.array, whole numbers",
    "levels": "every vector level",
    "skips": "optimiser passes left out",
    "large": "batches of 1,000",
    "empty": "batches of no sample",
    "threads": "calls from several threads at a time",
    "signals": "a signal handler that calls the function",
    "forks": "a child process, forked while a thread runs the function",
    "garbage": "collections at any time, also while a function is recorded",
    "fits": "fit() against a loop",
    "callbacks": "fit() with a callback that calls functions and changes numbers",
    "misuse": "what has to raise TraceError",
    "comparisons": "== and != and truth values of inputs among the misuse",
}

# name of a step of the function -> (weight, the feature it belongs to)
OPERATIONS = {
    "binary": (20, "operations"),
    "number": (12, "operations"),
    "divide": (4, "operations"),
    "power": (5, "operations"),
    "unary": (16, "operations"),
    "leaky": (2, "operations"),
    "chain": (3, "sums"),
    "total": (5, "sums"),
    "dot": (6, "sums"),
    "layer": (2, "layers"),
    "dots": (3, "layers"),
    "where": (5, "choices"),
    "condition": (4, "choices"),
    "clip": (3, "choices"),
    "take": (3, "choices"),
    "decided_where": (4, "decided"),
    "decided_take": (3, "decided"),
    "detach": (3, "detached"),
    "no_grad": (2, "detached"),
    "read": (2, "reads"),
    "grad_read": (1, "grad_reads"),
    "inner": (2, "inner"),
    "inner_number": (1, "inner_numbers"),
    "custom": (2, "customs"),
}
CALLS = {
    "evaluate": (6, None),
    "gradient": (6, None),
    "assign": (4, None),
    "level": (3, "levels"),
    "fit": (2, "fits"),
    "fit_with_callback": (1, "callbacks"),
    "call_in_threads": (0.5, "threads"),
    "fits_in_threads": (0.2, "threads"),
    "call_in_handler": (0.15, "signals"),
    "call_in_child": (0.1, "forks"),
    "misuse": (1, "misuse"),
}
NUMBERS = [0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 3.0, -0.5, 0.25, 1, 2, -1, 0, 3]
INNER = mc.compile(lambda a, b: (a * b).tanh() + a)
LEVELS = _core.levels()
PASSES = [name for name, _ in _core.optimiser_passes()]
DIFFERENCE, NOISE = 1e-9, 1e-12
EAGER = (ArithmeticError, ValueError)

# Operands made fit for operations that refuse most numbers; the others take any.
FIT = {
    "exp": lambda x: x.tanh() * 2,
    "expm1": lambda x: x.sin(),
    "sinh": lambda x: x.tanh() * 2,
    "cosh": lambda x: x.tanh() * 2,
    "tan": lambda x: x.tanh(),
    "asin": lambda x: x.tanh() * 0.9,
    "acos": lambda x: x.tanh() * 0.9,
    "log": lambda x: x * x + 0.1,
    "log1p": lambda x: x * x,
    "sqrt": lambda x: x * x + 0.01,
    "exp2": lambda x: x.tanh() * 2,
    "log2": lambda x: x * x + 0.1,
    "log10": lambda x: x * x + 0.1,
    "cbrt": lambda x: x * x + 0.01,
    "acosh": lambda x: x * x + 1.1,
    "atanh": lambda x: x.tanh() * 0.9,
}
UNARY = [
    row["name"] for row in _core.operations() if row["shape"] == "unary" and not row["is_inner"]
]
MISUSE = {
    "data": lambda x: x * x.data,
    "item": lambda x: x * x.item(),
    "grad": lambda x: x * x.grad,
    "less": lambda x: x if x < 0 else x * 2,
    "greater": lambda x: x if x < 0.5 else x * 2,
    "max": lambda x: max(x, x * 2),
    "float": lambda x: x * float(f"{x:.3f}"),
    "backward": lambda x: x.backward() or x,
    "custom": lambda x: mc.custom(3.0, [x], [1.0]),
    "closure": lambda x: closure(x),
    "copy": lambda x: x * copy.copy(x).data,
    "assign": lambda x: setattr(x, "data", 1.0) or x,
}
COMPARISONS = {
    "equal": lambda x: x * 2 if x == 0 else x,
    "unequal": lambda x: x * 2 if x != 1.5 else x,
    "truth": lambda x: x * 2 if x else x,
    "not": lambda x: x * (not x),
}


def closure(x):
    out = Value(1.0, (x,), "own")
    out._backward = lambda: None
    return out


class Function:
    """A function of one sample, from its steps; run by calling it with Values."""

    def __init__(self, seed, steps, features):
        chance = random.Random(seed)
        random.seed(seed)
        self.steps = steps
        self.structure = [
            chance.choice([-1, -1, 1, 2, 3, 5]) for _ in range(chance.choice([1, 1, 2, 3]))
        ]
        self.has_index = "choices" in features and chance.random() < 0.3
        self.parameters = [
            Value(round(chance.uniform(-2, 2), 2)) for _ in range(chance.choice([1, 2, 4]))
        ]
        if chance.random() < 0.2:
            self.parameters[0].data = chance.choice([0.0, -0.0, 1.0])
        self.position = Value(float(chance.randrange(3)))  # a parameter that holds an index
        self.activation = chance.choice(["tanh", "relu", "sigmoid", "gelu", "linear"])
        self.layer_ = nn.Layer(
            chance.choice([1, 2, 3, 8]), chance.choice([1, 2, 4]), self.activation
        )
        if any(name == "layer" for name, _ in steps):
            self.parameters += self.layer_.parameters()
        self.n_outputs = chance.choice([-1, -1, -1, 1, 2, 5])
        self.mark = None  # where misuse happens, and what it is
        self.noise = None
        self.reads = any(name in ("read", "grad_read", "inner_number") for name, _ in steps)

    def __call__(self, *arguments):
        if self.has_index:
            *arguments, self.index = arguments
        inputs = [v for a in arguments for v in (a if isinstance(a, list) else [a])]
        self.once = list(self.parameters)
        self.pool = [*self.parameters, *inputs]
        self.inputs = inputs
        self.outer = len(self.pool)
        marked = None
        self.depends = {id(v) for v in inputs}
        self.keep = []  # so that ids are not used again
        for k, (name, r) in enumerate(self.steps):
            before = len(self.pool)
            getattr(self, name)(r)
            if self.noise is not None:
                for at in range(before, len(self.pool)):
                    self.pool[at] = self.pool[at] * (1.0 + NOISE * self.noise.gauss(0, 1))
            if self.mark is not None and self.mark[0] == k:
                _, name, is_leaf = self.mark
                target = inputs[-1] if is_leaf or name == "copy" else self.pool[-1] + inputs[0]
                marked = MISUSE_ALL[name](target)
        n = max(1, abs(self.n_outputs))
        results = self.pool[-n:] if len(self.pool) >= n else self.pool[-1:] * n
        if marked is not None:  # what the result does not depend on is nobody's misuse
            results[0] = results[0] + marked
        if self.n_outputs > 0:
            return results
        # Large numbers would hide the others.
        total = results[0]
        for other in self.pool[self.outer :][-4:-1]:
            total = total + other * 0.5
        return total

    # -- what steps use --

    def any(self, r):
        """Of what was made last, of all, or, one in four, of what depends on no input."""
        where = r & 3
        r >>= 2
        if where == 0:
            return self.once[-1 - r % len(self.once)]
        if where == 1:
            return self.pool[r % len(self.pool)]
        return self.pool[-1 - r % min(6, len(self.pool))]

    def push(self, value, *operands):
        self.pool.append(value)
        self.keep.append(value)
        if any(id(v) in self.depends for v in operands):
            self.depends.add(id(value))
        elif len(self.once) < 12:
            self.once.append(value)

    def several(self, r, count):
        values = []
        for _ in range(count):
            r = (r * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            values.append(self.any(r >> 33))
        return values

    def tame(self, x, r):
        how = r % 5
        return (
            x if how < 2 else x.tanh() if how == 2 else mc.clip(x, -2, 2) if how == 3 else x.sin()
        )

    # -- operations --

    def binary(self, r):
        x, y = self.any(r), self.any(r >> 20)
        how = (r >> 40) % 8
        if how < 3:
            out = (x + y, x - y, y - x)[how]
        elif how < 6:
            out = self.tame(x, r >> 44) * self.tame(y, r >> 48)
        else:
            out = x.maximum(y) if how == 6 else x.minimum(y)
        self.push(out, x, y)

    def number(self, r):
        x, c = self.any(r), NUMBERS[(r >> 20) % len(NUMBERS)]
        how = (r >> 40) % 8
        out = (
            (lambda: x + c),
            (lambda: c - x),
            (lambda: x * c),
            (lambda: c * x),
            (lambda: x - c),
            (lambda: x / (c or 4)),
            (lambda: x.maximum(c)),
            (lambda: -x),
        )[how]()
        self.push(out, x)

    def divide(self, r):
        x, y = self.any(r), self.any(r >> 20)
        self.push(x / (y if r >> 60 == 1 else y * y + 0.5), x, y)

    def power(self, r):
        x, y = self.any(r), self.any(r >> 20)
        how = (r >> 40) % 10
        if how < 5:
            out = self.tame(x, 2) ** (2, 3, 1, 0, 2.0)[how]
        elif how < 8:
            out = (x * x + 0.3) ** (-1, 0.5, 1.5)[how - 5]
        elif how == 8:
            out = (x * x + 0.3) ** y.tanh()
        else:
            out = (0.5, 2, 1.5)[r >> 50 & 1] ** y.tanh()
        self.push(out, x, y)

    def unary(self, r):
        x, name = self.any(r), UNARY[(r >> 20) % len(UNARY)]
        if r >> 58 != 1 and name in FIT:
            self.push(getattr(FIT[name](x), name)(), x)
        else:
            self.push(abs(x) if name == "abs" else getattr(x, name)(), x)

    def leaky(self, r):
        x = self.any(r)
        self.push(x.leaky_relu((0.01, 0.2, 0.0, -1.0, 1)[(r >> 20) % 5]), x)

    # -- sums and matrices --

    def chain(self, r):
        values = self.several(r, 2 + r % 7)
        out = values[0]
        for k, v in enumerate(values[1:]):
            out = out - v if r >> k & 1 else out + v
        self.push(out, *values)

    def total(self, r):
        values = self.several(r, 1 + r % 9)
        start = (None, 0.5, values[0])[(r >> 20) % 3]
        weights = [v * (0.5 + k) for k, v in enumerate(values)] if r >> 30 & 1 else values
        self.push(mc.sum(weights, start), *values)

    def dot(self, r):
        n = 1 + r % 5
        ws, xs = self.several(r, n), self.several(r >> 7, n)
        bias = (None, 1.5, self.any(r >> 30))[(r >> 20) % 3]
        if r >> 40 & 1:
            xs[0] = 2.0
        self.push(mc.dot(ws, xs, bias), *ws, *[x for x in xs if isinstance(x, Value)], *self.inputs)

    def xs(self, r, n):
        return (
            [self.inputs[k] for k in range(n)]
            if len(self.inputs) >= n and r & 1
            else (self.several(r, n))
        )

    def layer(self, r):
        xs = self.xs(r, len(self.layer_.neurons[0].w))
        outs = self.layer_(xs)
        for out in outs if isinstance(outs, list) else [outs]:
            self.push(out, *self.inputs)

    def dots(self, r):
        """Rows that share their inputs, as a layer's do, though not always all."""
        n, m = 1 + r % 6, 2 + (r >> 8) % 4
        xs = self.xs(r >> 12, n)
        for k in range(m):
            ws = self.several((r >> 16) + k, n)
            bias = self.parameters[k % len(self.parameters)] if r >> 50 & 1 else None
            row = mc.dot(ws, xs if k or not r >> 51 & 1 else xs[::-1], bias)
            self.push(row.tanh() if r >> 52 & 1 else row, *self.inputs)

    # -- choices --

    def where(self, r):
        condition, x, y = self.any(r), self.any(r >> 16), self.any(r >> 32)
        y = 0.5 if r >> 60 & 1 else y
        self.push(mc.where(condition, x, y), condition, x, y)

    def condition(self, r):
        """Comparisons of inputs: eagerly, what a comparison reads is not in the graph."""
        compare = (operator.lt, operator.le, operator.gt, operator.ge)
        x, y = (self.inputs[(r >> at) % len(self.inputs)] for at in (40, 16))
        first = compare[r >> 60 & 3](x, (0.25, -1, y * 0.5)[(r >> 50) % 3])
        second = compare[r >> 62 & 3]((0.5, y.tanh())[r >> 48 & 1], x * 2)
        how = (r >> 52) % 4
        if how == 0:
            chosen = first & second | False
        elif how == 1:
            chosen = mc.logical_or(mc.logical_not(first), second)
        elif how == 2:
            chosen = mc.logical_and(first, mc.logical_not(mc.logical_and(second, True)))
        else:
            chosen = first
        a, b = self.any(r >> 24), self.any(r >> 32)
        self.push(mc.where(chosen, a, b), x, a, b)

    def clip(self, r):
        x, low, high = self.any(r), self.any(r >> 16), self.any(r >> 32)
        how = r >> 60 & 3
        if how == 0:
            self.push(mc.clip(x, -1, 0.5), x)
        elif how == 1:
            self.push(mc.clip(x, low=low), x, low)
        else:
            self.push(mc.clip(x, low, high), x, low, high)

    def take(self, r):
        values = self.several(r, 3 + r % 4)
        if r >> 60 & 1:
            values[0] = 1.25
        index = self.index if self.has_index and r >> 61 & 1 else self.position
        self.push(mc.take(values, index), *self.inputs)

    def decided_where(self, r):
        x, y = self.any(r), self.any(r >> 16)
        condition = (True, False, Value(1.0), Value(-1.0), Value(0.0))[(r >> 32) % 5]
        x = 3.0 if r >> 60 == 1 else x
        self.push(mc.where(condition, x, y), *[v for v in (x, y) if isinstance(v, Value)])

    def decided_take(self, r):
        values = self.several(r, 2 + r % 3)
        at = (r >> 20) % (2 * len(values)) - len(values)
        self.push(mc.take(values, Value(at) if r >> 40 & 1 else at), *values)

    # -- gradients that stop, numbers that are read --

    def detach(self, r):
        x = self.any(r)
        self.push(x.detach() * (1 if r >> 60 & 1 else self.any(r >> 20)), *self.inputs)

    def no_grad(self, r):
        x, y = self.any(r), self.any(r >> 20)
        with mc.no_grad():
            z = x * 0.5 + y.tanh()
            if r >> 60 & 1:
                z = mc.where(x, z, y)
        self.push(z + x, *self.inputs)

    def read(self, r):
        p, x = self.parameters[(r >> 20) % len(self.parameters)], self.any(r)
        how = (r >> 40) % 4
        if how == 0:
            out = x * p.data
        elif how == 1:
            out = x + p.item()
        elif how == 2:
            out = x * 2 if p > 0.1 else x + p
        else:
            out = x * math.copysign(1.5, p.data)
        self.push(out, x, *self.inputs)

    def grad_read(self, r):
        p, x = self.parameters[(r >> 20) % len(self.parameters)], self.any(r)
        self.push(x * (p.grad + 0.5), x, *self.inputs)

    def inner(self, r):
        x, y = self.any(r), self.any(r >> 20)
        self.push(INNER(x, y), x, y)

    def inner_number(self, r):
        p, x = self.parameters[(r >> 20) % len(self.parameters)], self.any(r)
        scale = self.scale
        scale.data_of = p
        self.push(x * scale([0.5])[0], x, *self.inputs)

    def custom(self, r):
        p, x = self.parameters[(r >> 20) % len(self.parameters)], self.any(r)
        self.push(mc.custom(0.75, [p, 2.0], [0.5, 1.0]) * x, x)


MISUSE_ALL = {**MISUSE, **COMPARISONS}


class Scale:
    """A compiled function of a number, times a parameter."""

    data_of = None

    def __init__(self):
        self.compiled = {}

    def __call__(self, numbers):
        p = self.data_of
        if id(p) not in self.compiled:
            self.compiled[id(p)] = mc.compile(lambda x: x * p)
        return self.compiled[id(p)](numbers)


# -- calls --------------------------------------------------------------------------------------


class Case:
    def __init__(self, seed, operations, features, counts, verbose):
        self.features, self.counts, self.verbose = features, counts, verbose
        self.fn = Function(seed, operations, features)
        self.fn.scale = Scale()
        chance = random.Random(seed ^ 0x5EED)
        skip = (
            chance.sample(PASSES, chance.randint(0, len(PASSES))) if chance.random() < 0.3 else []
        )
        self.skip = [name for name in PASSES if name in skip] if "skips" in features else []
        self.reduction = chance.choice(["mean", "sum"])
        self.threads = chance.choice([None, None, 1, 2, 3])
        self.compiled = mc.compile(
            self.fn, reduction=self.reduction, skip=self.skip, threads=self.threads
        )
        self.parameters = [*self.fn.parameters, self.fn.position]
        # While others record, each eager run needs an instance of its own.
        self.level_name = None

    def arrays(self, chance, size=None):
        """(arguments, the numbers in them by sample)"""
        if size is None:
            sizes = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33]
            if "large" in self.features and chance.random() < 0.03:
                sizes = [1000]
            if "empty" in self.features and chance.random() < 0.03:
                sizes = [0]
            size = chance.choice(sizes)
        source = np.random.RandomState(chance.getrandbits(32))
        arguments, numbers = [], []
        for n in self.fn.structure:
            a = source.standard_normal((size,) if n < 0 else (size, n)) * 1.5
            if "specials" in self.features and chance.random() < 0.15:
                special = source.choice([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 0.0], a.shape)
                a = np.where(source.random_sample(a.shape) < 0.3, special, a)
            buffer, held = convert(a, chance, self.features)
            arguments.append(buffer)
            numbers.append(held)
        if self.fn.has_index:
            a = source.randint(-3, 3, size).astype(np.float64)
            buffer, held = (a.tolist(), a) if chance.random() < 0.5 else (a, a)
            arguments.append(buffer)
            numbers.append(held)
        samples = [
            [a[k].tolist() for a in numbers] for k in range(size)
        ]  # lists of floats, and floats
        return arguments, samples

    # -- the eager side --

    def sample(self, numbers):
        return self.fn(
            *[[Value(x) for x in a] if isinstance(a, list) else Value(a) for a in numbers]
        )

    def eager_outputs(self, samples):
        """A row for each sample; None where eager code refuses its numbers."""
        rows = []
        for numbers in samples:
            try:
                result = self.sample(numbers)
            except EAGER:
                rows.append(None)
                continue
            rows.append([v.data for v in result] if isinstance(result, list) else [result.data])
        return rows

    def eager_gradients(self, samples):
        """(loss, gradients by parameter), or None where eager code refuses."""
        loss, totals = 0.0, [0.0] * len(self.parameters)
        before = [p.grad for p in self.parameters]
        for numbers in samples:
            for p, grad in zip(self.parameters, before, strict=True):
                p.grad = grad  # which the function may read
            try:
                root = self.sample(numbers)
            except EAGER:
                return None
            for p in self.parameters:
                p.grad = 0.0
            root.backward()
            loss += root.data
            totals = [t + p.grad for t, p in zip(totals, self.parameters, strict=True)]
        for p, grad in zip(self.parameters, before, strict=True):
            p.grad = grad
        n = len(samples) if self.reduction == "mean" else 1
        return loss / n, [t / n for t in totals]

    # -- comparison --

    def expect(self, what, got, want, again):
        """got and want: flat lists. again(): want, computed with noise in every step."""
        if len(got) != len(want):
            raise Finding(f"{what}: {len(got)} numbers, expected {len(want)}")
        if all(map(alike, got, want)):
            return
        spread = [0.0] * len(want)
        for k in range(5):
            self.fn.noise = random.Random(k)
            try:
                noisy = again()
            except EAGER:
                noisy = None
            finally:
                self.fn.noise = None
            if noisy is None:
                self.counts["ill-conditioned"] += 1
                return
            spread = [
                max(s, abs(a - b))
                if math.isfinite(a) and math.isfinite(b)
                else (s if alike(a, b) else math.inf)
                for s, a, b in zip(spread, noisy, want, strict=True)
            ]
        for k, (a, b) in enumerate(zip(got, want, strict=True)):
            if not alike(a, b, 1e4 * spread[k]):
                raise Finding(f"{what}, number {k}: {a!r}, expected {b!r} (spread {spread[k]:.1e})")
        self.counts["ill-conditioned"] += 1

    def refusal(self, what, call):
        """What the compiled side raises where eager code does not is a finding."""
        try:
            return call()
        except Finding:
            raise
        except Exception as error:
            raise Finding(f"{what} raised {type(error).__name__}: {error}") from error

    def show(self, text):
        if self.verbose:
            print("   ", text, flush=True)

    # -- the calls --

    def evaluate(self, r):
        chance = random.Random(r)
        arguments, samples = self.arrays(chance)
        self.show(f"f{arguments!r}"[:300])
        self.check_outputs("outputs", self.compiled, arguments, samples)

    def check_outputs(self, what, call, arguments, samples):
        want = self.eager_outputs(samples)
        if any(row is None for row in want[:1]):
            with contextlib.suppress(*EAGER):  # as recording may refuse them, too
                call(*arguments)
            self.counts["refused"] += 1
            return
        got = np.asarray(self.refusal(what, lambda: call(*arguments)))
        n = self.fn.n_outputs
        shape = (len(samples),) if n < 0 else (len(samples), n)
        if got.shape != shape:
            raise Finding(f"{what}: shape {got.shape}, expected {shape}")
        rows = got.reshape(len(samples), abs(n))
        for k, row in enumerate(want):
            if row is not None:
                self.expect(
                    f"{what}, sample {k}",
                    rows[k].tolist(),
                    row,
                    lambda k=k: self.eager_outputs([samples[k]])[0],
                )
        self.counts["outputs"] += got.size

    def gradient(self, r):
        if self.fn.n_outputs > 0:
            return self.evaluate(r)
        arguments, samples = self.arrays(random.Random(r))
        self.show(f"value_and_grad{arguments!r}"[:300])
        return self.check_gradients("value_and_grad", self.compiled, arguments, samples)

    def check_gradients(self, what, compiled, arguments, samples):
        if not samples:
            with contextlib.suppress(ValueError, ZeroDivisionError):
                compiled.value_and_grad(*arguments)
            return
        want = self.eager_gradients(samples)
        if want is None:
            with contextlib.suppress(*EAGER):
                compiled.value_and_grad(*arguments)
            self.counts["refused"] += 1
            return
        before = [p.grad for p in self.parameters]
        loss = self.refusal(what, lambda: compiled.value_and_grad(*arguments))
        grads = [p.grad for p in self.parameters]
        unread = set(range(len(grads))) - self.read_parameters(samples[0])
        for k in unread:
            grads[k] = want[1][k] = 0.0
        for p, grad in zip(self.parameters, before, strict=True):
            p.grad = grad if self.fn.reads else 0.0

        def again():
            noisy = self.eager_gradients(samples)
            if noisy is None:
                return None
            for k in unread:
                noisy[1][k] = 0.0
            return [noisy[0], *noisy[1]]

        got, want = [loss, *grads], [want[0], *want[1]]
        if compiled is self.compiled:
            self.allow_fewer_nans(what, arguments, samples, got, want)
        self.expect(what, got, want, again)
        self.counts["gradients"] += 1

    def allow_fewer_nans(self, what, arguments, samples, got, want):
        """Where nodes are dropped or merged, their 0 * inf is gone: NaN eagerly, a number compiled.

        Passes may do that, and choices, of which only what is chosen has an adjoint to hand on. So
        without passes and without choices, NaN has to be NaN.
        """
        fewer = [k for k in range(1, len(want)) if math.isnan(want[k]) and not math.isnan(got[k])]
        choices = {"where", "condition", "take", "decided_where", "decided_take", "no_grad", "detach"}
        chooses = any(name in choices for name, _ in self.fn.steps)
        if fewer and not chooses and set(self.skip) != set(PASSES):
            plain = mc.compile(self.fn, reduction=self.reduction, skip=PASSES)
            self.check_gradients(f"{what} without passes", plain, arguments, samples)
        if fewer and (chooses or set(self.skip) != set(PASSES)):
            for k in fewer:
                want[k] = got[k]
            self.counts["fewer NaN"] += 1

    def read_parameters(self, numbers):
        """Of which the function's value depends; what value_and_grad sets."""
        root = self.sample(numbers)
        nodes = set(map(id, mc.topological_sort(root)))
        return {k for k, p in enumerate(self.parameters) if id(p) in nodes}

    def assign(self, r):
        chance = random.Random(r)
        changes = chance.choice([0.0, 0.5, 1.0])
        for p in self.fn.parameters:
            if chance.random() < changes:
                p.data = round(chance.uniform(-2, 2), 2)
            if chance.random() < 0.5:
                p.grad = chance.choice([0.0, 1.0])
        if chance.random() < 0.4:  # of 0.0, the other zero
            self.fn.parameters[0].data = -self.fn.parameters[0].data
        self.fn.position.data = float(chance.randrange(-3, 3))

    def level(self, r):
        _core.set_level(LEVELS[r % len(LEVELS)])

    def call_in_threads(self, r):
        """All of one function, or each of its own, which it records while others do."""
        chance = random.Random(r)
        rounds = [self.arrays(chance) for _ in range(3)]
        if any(None in self.eager_outputs(samples[:1]) for _, samples in rounds):
            return
        compiled, scale = [self.compiled] * len(rounds), None
        if chance.random() < 0.5:
            compiled = [mc.compile(copy.copy(self.fn), threads=self.threads) for _ in rounds]
            scale = self.fn.scale = Scale()
            scale.data_of = self.parameters[0]
            compiled[0].__wrapped__.scale = compiled[1].__wrapped__.scale = scale
        else:
            self.compiled(*rounds[0][0])  # recorded here: a Function runs once at a time
        results = [None] * len(rounds)

        def run(k):
            if k == 0 and scale is not None:
                scale([0.5, 1.5])  # what the others call while they record
            for _ in range(3):
                results[k] = np.array(compiled[k](*rounds[k][0]))

        self.in_threads(run, len(rounds))
        for (arguments, samples), result in zip(rounds, results, strict=True):
            self.check_outputs(
                "outputs in a thread", lambda *_, result=result: result, arguments, samples
            )
        self.counts["threads"] += 1

    def in_threads(self, run, count):
        errors = []

        def attempt(k):
            try:
                run(k)
            except Exception as error:
                errors.append(error)

        workers = [threading.Thread(target=attempt, args=(k,), daemon=True) for k in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(20)
        if any(worker.is_alive() for worker in workers):
            raise Finding("threads that wait for each other")
        if errors:
            raise Finding(f"in a thread: {type(errors[0]).__name__}: {errors[0]}") from errors[0]

    def fits_in_threads(self, r):
        """Two fits at a time whose callbacks evaluate each other's function."""
        if self.fn.n_outputs > 0 or self.fn.reads:
            return
        chance = random.Random(r)
        arguments, samples = self.arrays(chance, 3)
        if self.eager_gradients(samples) is None:
            return
        functions = [self.fn, copy.copy(self.fn)]
        compiled = [mc.compile(fn, threads=1) for fn in functions]
        start = [p.data for p in self.parameters]
        for f in compiled:
            f(*arguments)
            f.value_and_grad(*arguments)
        meet = threading.Barrier(2)

        def run(k):
            def callback(step, loss):
                if step == 0:
                    meet.wait(10)
                compiled[1 - k](*arguments)

            optimizer = mc.optim.SGD(self.fn.parameters, lr=0.0)
            compiled[k].fit(*arguments, optimizer=optimizer, steps=3, callback=callback)

        self.in_threads(run, 2)
        if not all(map(alike, start, [p.data for p in self.parameters])):
            raise Finding("fits in two threads, of learning rate 0, changed parameters")
        self.put(start)

    def call_in_handler(self, r):
        """What a handler computes is right, or refused; what it interrupts is right."""
        if self.fn.n_outputs > 0 or self.fn.reads or not hasattr(signal, "setitimer"):
            return
        chance = random.Random(r)
        arguments, samples = self.arrays(chance, 200)
        others, other_samples = self.arrays(chance, 20)
        refused = None in self.eager_outputs(samples + other_samples)
        if refused or self.eager_gradients(samples) is None:
            return
        if chance.random() < 0.5:  # so many that signals are looked for on the way
            arguments = [np.resize(a, (100_000, *np.shape(a)[1:])) for a in arguments]
        start = [p.data for p in self.parameters]
        outside = self.train_for_a_while(arguments)
        self.put(start)
        results, calls = [], []

        def handler(*_):
            calls.append(None)
            if len(calls) == 30:  # on a busy machine, handlers could leave no time to train
                signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                if r & 1:
                    self.compiled.value_and_grad(*others)
                else:
                    results.append(np.array(self.compiled(*others)))
            except RuntimeError:
                self.counts["handlers refused"] += 1

        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)
            inside = self.train_for_a_while(arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        self.put(start)
        if not all(map(alike, inside, outside)):
            raise Finding(f"training that handlers interrupt: {inside}, expected {outside}")
        self.counts["handlers"] += len(results)

    def call_in_child(self, r):
        """What a child computes is right, whatever the threads were doing that it does not have."""
        if self.fn.reads or not hasattr(os, "fork"):
            return
        arguments, samples = self.arrays(random.Random(r), 64)
        if not self.fn.steps or None in self.eager_outputs(samples):
            return
        want = self.refusal("outputs", lambda: np.array(self.compiled(*arguments)))
        stop = threading.Event()

        def keep_running():
            while not stop.is_set():
                self.compiled(*arguments)

        runner = threading.Thread(target=keep_running)
        runner.start()
        try:
            for _ in range(3):
                process = os.fork()
                if process == 0:
                    self.be_child(arguments, want)
                status = os.waitpid(process, 0)[1]
                if status:
                    raise Finding(f"a forked child that calls the function ends with {status}")
        finally:
            stop.set()
            runner.join()
        self.counts["children"] += 3

    def be_child(self, arguments, want):
        status = 1
        try:
            signal.alarm(15)
            got = np.array(self.compiled(*arguments))
            again = np.array(mc.compile(self.fn)(*arguments))
            if np.array_equal(got, want, equal_nan=True) and again.shape == want.shape:
                status = 0
        finally:
            os._exit(status)

    def train_for_a_while(self, arguments):
        """Losses and parameters of some 10 ms of training."""
        size = len(arguments[0])
        optimizer = mc.optim.SGD(self.fn.parameters, lr=1e-4)
        losses = self.compiled.fit(
            *arguments, optimizer=optimizer, steps=3 if size > 1000 else 300, batch_size=None
        )
        return [*losses, *[p.data for p in self.parameters]]

    def misuse(self, r):
        """Nothing that would bake in one sample's number gets through."""
        names = list(MISUSE) + (list(COMPARISONS) if "comparisons" in self.features else [])
        name = names[r % len(names)]
        arguments, samples = self.arrays(random.Random(r >> 8), 4)
        if not self.fn.steps or self.eager_outputs(samples[:1]) == [None]:
            return
        self.fn.mark = ((r >> 16) % len(self.fn.steps), name, r >> 40 & 1)
        before = [p.data for p in self.parameters]
        call = mc.compile(self.fn)
        if "garbage" in self.features:
            for _ in range(3):
                leaf = Value(1.0)
                leaf.itself = [leaf]
                del leaf
        try:
            call(*arguments)
        except TraceError:
            self.counts["misuse"] += 1
            return
        except Exception as error:
            raise Finding(f"misuse {name!r}: {type(error).__name__}: {error}") from error
        finally:
            self.fn.mark = None
            if [p.data for p in self.parameters] != before:
                raise Finding(f"misuse {name!r} changed parameters")
        raise Finding(f"misuse {name!r}: nothing was raised")

    # -- fits --

    def fit(self, r, callback=False):
        if self.fn.n_outputs > 0:
            return self.evaluate(r)
        chance = random.Random(r)
        arguments, samples = self.arrays(chance, chance.choice([1, 3, 4, 10, 17]))
        steps, n = chance.randint(0, 6), len(samples)
        batch_size = chance.choice([None, 1, 2, 3, 8, n])
        shuffle, seed = chance.random() < 0.5, chance.getrandbits(20)
        trained = [p for p in self.fn.parameters if chance.random() < 0.8] or self.fn.parameters[:1]
        rule_seed = chance.getrandbits(32)
        self.show(f"fit{arguments!r}"[:200] + f" {steps=} {batch_size=} {shuffle=}")
        is_split = batch_size is not None and batch_size < n
        order = self.order(n, steps, seed) if shuffle and is_split else lambda _: list(range(n))
        chosen = batches(order, n, batch_size, steps)
        start = [p.data for p in self.parameters]
        want = None
        if self.eager_outputs(samples[:1]) != [None]:  # as when it is recorded
            want = self.loop(trained, rule_seed, samples, chosen)
        self.put(start)
        options = {"steps": steps, "batch_size": batch_size, "shuffle": shuffle, "seed": seed}
        optimizer = Rule(random.Random(rule_seed), len(trained)).optimizer(trained)
        if want is None:
            with contextlib.suppress(*EAGER, TraceError):
                self.compiled.fit(*arguments, optimizer=optimizer, **options)
            self.put(start)
            self.counts["refused"] += 1
            return None
        if callback:
            options["callback"] = self.make_callback(chance, arguments, samples)
        try:
            losses = self.compiled.fit(*arguments, optimizer=optimizer, **options)
        except TraceError as error:
            self.put(start)
            if self.fn.reads:
                return None
            raise Finding(f"fit raised TraceError: {error}") from error
        except Exception as error:
            self.put(start)
            raise Finding(f"fit raised {type(error).__name__}: {error}") from error
        got = [*losses, *[p.data for p in self.parameters]]
        self.put(start)

        def again():
            noisy = self.loop(trained, rule_seed, samples, chosen)
            self.put(start)
            return noisy

        self.expect(f"fit by {optimizer}", got, want, again)
        self.counts["fits"] += 1
        return None

    def fit_with_callback(self, r):
        self.fit(r, callback=True)

    def make_callback(self, chance, arguments, samples):
        """Evaluates the function that trains, or another one, and sets what is already so."""
        other = mc.compile(self.fn)
        which = chance.randrange(3)
        some = random.Random(chance.getrandbits(32))

        def callback(step, loss):
            if which == 0:
                self.check_outputs("outputs in a callback", self.compiled, arguments, samples)
            elif which == 1:
                self.check_outputs("outputs of another in a callback", other, arguments, samples)
            else:
                self.check_outputs("outputs in a callback", self.compiled, *self.arrays(some))
            for p in self.parameters:
                p.data = p.data
            return False

        return callback

    def order(self, n, steps, seed):
        """The order of samples in each epoch: what a fit in batches of one with this seed meets."""
        one = Value(1.0)
        numbers = np.arange(float(n))
        which = mc.compile(lambda i: i * one)
        losses = (
            which.fit(
                numbers,
                optimizer=mc.optim.SGD([one], lr=0.0),
                steps=n * (steps + 2),
                batch_size=1,
                shuffle=True,
                seed=seed,
            )
            if n > 1
            else [0.0] * (steps + 2)
        )
        epochs = [[int(x) for x in losses[k : k + n]] for k in range(0, len(losses), n)]
        for epoch in epochs:
            if sorted(epoch) != list(range(n)):
                raise Finding(f"an epoch of a shuffled fit meets samples {epoch}")
        return lambda k: epochs[k]

    def loop(self, trained, rule_seed, samples, chosen):
        """Losses and the parameters afterwards, by a loop in Python; None where it is refused."""
        rule = Rule(random.Random(rule_seed), len(trained))
        at = [k for p in trained for k, q in enumerate(self.parameters) if p is q]
        losses = []
        for batch in chosen:
            result = self.eager_gradients([samples[k] for k in batch])
            if result is None:
                return None
            loss, grads = result
            losses.append(loss)
            with np.errstate(all="ignore"):
                try:
                    numbers = rule.step([p.data for p in trained], [grads[k] for k in at])
                except EAGER:
                    return None
            for p, number in zip(trained, numbers, strict=True):
                p.data = number
        return [*losses, *[p.data for p in self.parameters]]

    def put(self, numbers):
        for p, number in zip(self.parameters, numbers, strict=True):
            p.data, p.grad = number, 0.0


def alike(a, b, tolerance=0.0):
    if a == b or (a != a and b != b) or tolerance == math.inf:
        return True
    if not (math.isfinite(a) and math.isfinite(b)):
        return False
    return abs(a - b) <= DIFFERENCE * max(abs(a), abs(b)) + max(tolerance, 1e-12)


class Programs:
    __doc__ = __doc__
    unit = "programs"
    features = FEATURES

    def generate(self, seed, features):
        chance = random.Random(seed)
        chosen = {name for name in sorted(features) if chance.random() < 0.75}
        operations = [name for name, (_, needs) in OPERATIONS.items() if needs in chosen]
        operations = operations or ["binary", "number"]
        weights = [OPERATIONS[name][0] * chance.choice([0.3, 1, 1, 4]) for name in operations]
        count = chance.choice([3, 8, 15, 30, 60])
        calls = [name for name, (_, needs) in CALLS.items() if needs is None or needs in chosen]
        call_weights = [CALLS[name][0] for name in calls]
        steps = [("features", frozenset(chosen))]
        for name in chance.choices(operations, weights, k=count):
            steps.append((name, chance.getrandbits(64)))
        for name in chance.choices(calls, call_weights, k=chance.randint(2, 5)):
            steps.append((f"call {name}", chance.getrandbits(64)))
        return steps

    def run(self, seed, steps, features, counts, verbose):
        chosen = features
        if steps[0][0] == "features":
            chosen, steps = steps[0][1], steps[1:]
        operations = [(name, r) for name, r in steps if not name.startswith("call ")]
        case = Case(seed, operations, chosen, counts, verbose)
        gc.collect()
        thresholds = [(700, 10, 10)]
        if "garbage" in chosen:
            thresholds += [(seed % 300 + 1, 10, 10), (seed % 20 + 1, 2, 50)]
        gc.set_threshold(*thresholds[seed % len(thresholds)])
        if verbose:
            print("  operations", " ".join(f"{name}({r})" for name, r in operations))
        try:
            for name, r in steps:
                if name.startswith("call "):
                    if verbose:
                        print(f"  {name} {r}", flush=True)
                    getattr(case, name[5:])(r)
                    counts[name] += 1
            if verbose:
                with contextlib.suppress(Exception):
                    print(case.compiled)
        finally:
            gc.set_threshold(700, 10, 10)
            _core.set_level(None)
        for name, _ in operations:
            counts[name] += 1
        return 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(harness.main(Programs()))
