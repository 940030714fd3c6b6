# SPDX-License-Identifier: MIT
"""The function of one sample that a case compiles: written down as steps, each a method."""

import copy
import itertools
import math
import operator
import random

import micrograd_c as mc
from micrograd_c import Value, _core, nn

NUMBERS = [0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 3.0, -0.5, 0.25, 1, 2, -1, 0, 3]
INNER = mc.compile(lambda a, b: (a * b).tanh() + a)
OF_A_RUN = {"index", "once", "pool", "inputs", "outer", "depends", "keep", "drawn", "in_bodies"}
SEED = 20_111  # of the draws of every call

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
        self.sample = 0  # which one a plain call is of
        self.is_float32 = False
        self.draws = any(name in ("draw", "drawing_loop") for name, _ in steps)
        self.reads = any(name in ("read", "grad_read", "inner_number") for name, _ in steps)

    def __call__(self, *arguments):
        if self.has_index:
            *arguments, self.index = arguments
        inputs = [v for a in arguments for v in (a if isinstance(a, list) else [a])]
        self.depends = {id(v) for v in inputs}
        self.keep = []  # so that ids are not used again
        self.drawn = self.in_bodies = 0
        self.once = list(self.parameters)
        self.once = self.blurred(self.once)
        self.inputs = self.blurred(inputs)
        self.pool = [*self.once, *self.inputs]
        self.outer = len(self.pool)
        marked = None
        for k, (name, r) in enumerate(self.steps):
            before = len(self.pool)
            getattr(self, name)(r)
            self.pool[before:] = self.blurred(self.pool[before:])
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

    def blurred(self, values):
        """A list of them; with noise, others, which depend on what they did."""
        if self.noise is None:
            return list(values)
        results = [self.noise(v) for v in values]
        self.keep += [*values, *results]
        others = {id(v): b for v, b in zip(values, results, strict=True)}
        self.once = [others.get(id(v), v) for v in self.once]
        self.depends |= {
            id(b) for v, b in zip(values, results, strict=True) if id(v) in self.depends
        }
        return results

    def summed(self, total, terms):
        """With noise: a sum whose terms are added in another order, or are products that nobody
        rounds. What cancels exactly as it is written, leaves the rounding of its terms there."""
        if self.noise is not None:
            for term in filter(lambda term: math.isfinite(term.data), terms):
                total = total + (self.noise(term) - term)
        return total

    def __getstate__(self):
        """For copies: without what a run has left."""
        return {name: value for name, value in vars(self).items() if name not in OF_A_RUN}

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

    def rounded(self, r):
        """What is left of a division, or what is not."""
        x, y = self.any(r), self.any(r >> 20)
        how = (r >> 40) % 5
        (positive,) = self.blurred([y * y + 0.5])  # a jump follows at once
        divisor = positive if how < 3 else (2, -0.75)[how - 3]
        operation = (operator.mod, operator.floordiv, Value.fmod)[(r >> 44) % 3]
        reversed_ = r >> 48 & 1 and operation is not Value.fmod and how >= 3
        out = operation(divisor, positive) if reversed_ else operation(x, divisor)
        self.push(out, x, y)

    def polar(self, r):
        """Off the cut of atan2, where a zero's sign decides: sums may give the other one."""
        x, y = self.any(r), self.any(r >> 20)
        if r >> 40 & 1:
            y = y if r >> 44 & 3 else (0.5, -1, 2.0)[(r >> 46) % 3]
            if isinstance(y, Value) and not {id(x), id(y)} & self.depends:
                y = y * y + 0.5  # of parameters alone, no slope at 0 and 0: a limit of choices
            out = x.hypot(y)
        elif r >> 44 & 3:
            out = x.atan2(y * y + 0.5)
        else:
            out = (x * x + 0.3).atan2((y, -1)[r >> 46 & 1])
        self.push(out, *[v for v in (x, y) if isinstance(v, Value)])

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
        self.push(self.summed(out, values), *values)

    def total(self, r):
        values = self.several(r, 1 + r % 9)
        start = (None, 0.5, values[0])[(r >> 20) % 3]
        weights = [v * (0.5 + k) for k, v in enumerate(values)] if r >> 30 & 1 else values
        self.push(self.summed(mc.sum(weights, start), weights), *values)

    def dot(self, r):
        n = 1 + r % 5
        ws, xs = self.several(r, n), self.several(r >> 7, n)
        bias = (None, 1.5, self.any(r >> 30))[(r >> 20) % 3]
        if r >> 40 & 1:
            xs[0] = 2.0
        terms = [w * x for w, x in zip(ws, xs, strict=True)] if self.noise else []
        out = self.summed(mc.dot(ws, xs, bias), terms)
        self.push(out, *ws, *[x for x in xs if isinstance(x, Value)], *self.inputs)

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
            row_xs = xs if k or not r >> 51 & 1 else xs[::-1]
            terms = [w * x for w, x in zip(ws, row_xs, strict=True)] if self.noise else []
            row = self.summed(mc.dot(ws, row_xs, bias), terms)
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

    # -- random numbers --

    def draw(self, r):
        """What a compiled function would draw."""
        value = self.drawn_value(("uniform", "normal")[r & 1], self.drawn)
        self.drawn += 1
        self.push(value, *self.inputs)

    def drawn_value(self, kind, which, step=0):
        value = _core.draw(kind)
        if value is None:
            value = Value(_core.drawn(kind, SEED, self.sample, which, 0, self.is_float32, step))
        return value

    # -- loops --

    def loop(self, r, kinds=()):
        """A body that reads what stands outside of it and, of these kinds, what it draws."""
        x, y = self.any(r), self.any(r >> 20)
        n, checkpoint = (1, 2, 3, 5, 34)[(r >> 40) % 5], (1, 1, 2, 3)[r >> 44 & 3]
        xs = self.several(r >> 8, n) if r >> 46 & 1 else None
        is_nested, first, steps = r >> 47 & 1, self.in_bodies, itertools.count()
        n_inner = 2 if is_nested else 0

        def step(c, z, drawn, k):
            how = (r >> 48 + 2 * k) % 4
            if how == 0:
                c = c * 0.5 + self.tame(x, 2) * drawn
            elif how == 1:
                c = (c + y.sin() * drawn * 0.3).tanh()
            elif how == 2:
                c = mc.where(drawn - 0.4, c * 0.9, (z if z is not None else x).tanh())
            else:
                c = c.maximum((drawn * 0.5).sin()) * 0.7 + self.tame(y, 4)
            return c if self.noise is None else self.noise(c)

        def body(c, z):
            t = next(steps)
            numbers = [self.drawn_value(kind, first + k, 1 + t) for k, kind in enumerate(kinds)]
            for k, drawn in enumerate(numbers or [c]):
                c = step(c, z, drawn, k)
            if is_nested:
                inner = itertools.count(n_inner * t)

                def again(c, _):
                    drawn = c
                    for kind in kinds[:1]:
                        drawn = self.drawn_value(kind, first + len(kinds), 1 + next(inner))
                    return step(c, z, drawn, 3), None

                c, _ = mc.scan(again, c, length=n_inner)
            return c, c * (numbers[-1] if numbers else 0.5)

        last, ys = mc.scan(body, y.tanh(), xs, None if xs else n, checkpoint)
        self.in_bodies += len(kinds) + bool(is_nested and kinds)
        self.push(last + ys[n // 2] * 0.5, *self.inputs)

    def drawing_loop(self, r):
        self.loop(r, (("uniform",), ("normal", "uniform"), ("normal",) * 3)[(r >> 60) % 3])


MISUSE_ALL = {**MISUSE, **COMPARISONS}


class Scale:
    """A compiled function of a number, times a parameter."""

    data_of = None

    def __init__(self):
        self.compiled = {}

    def __getstate__(self):
        return {"data_of": self.data_of, "compiled": {}}

    def __call__(self, numbers):
        p = self.data_of
        if id(p) not in self.compiled:
            self.compiled[id(p)] = mc.compile(lambda x: x * p)
        return self.compiled[id(p)](numbers)
