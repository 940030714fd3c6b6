# SPDX-License-Identifier: MIT
"""Random programs of vectors as text: slices, matrices, softmax, tables, against the scalar
executor. What is printed as one statement there is many nodes here."""

import functools
import random

import numpy as np
import pytest
from languages import check_gradients, check_outputs, compiled, each_language, need

import micrograd_c as mc
from micrograd_c import Value, dot, nn, take, where
from micrograd_c.losses import softmax

SKIPS = [(), (), ("matrices",), ("sums",), ("subexpressions",), ("constants", "identities")]
# Programs that were printed wrongly: a derivative that is another node's, in two steps; and results
# that no sample changes once a choice is made, which were said to be a sample's.
SEEDS = [211, 425, 552]
CUTS = [
    lambda v: v,
    lambda v: v[1:] or v,
    lambda v: v[:-1] or v,
    lambda v: v[::2],
    lambda v: v[::-1],
    lambda v: v[:1] * 2 + v[1:],
]


class Vectors:
    """A function of a vector, a number and an index; its steps are methods that give a vector."""

    def __init__(self, seed):
        chance = random.Random(seed)
        random.seed(seed)
        self.n = chance.choice([1, 2, 3, 4, 6])
        sizes = [1, 2, 3, self.n]
        self.matrices = [self.matrix(chance.choice(sizes), chance.choice(sizes)) for _ in range(3)]
        self.vectors = [self.matrix(1, chance.choice(sizes))[0] for _ in range(3)]
        self.numbers = self.matrix(1, 2)[0]
        activation = chance.choice(["tanh", "relu", "sigmoid"])
        self.layer_ = nn.Layer(chance.choice(sizes), chance.choice([1, 2, 3]), activation)
        count = chance.choice([2, 4, 8, 12])
        names = [name for name in vars(Vectors) if name.startswith(("a_", "an_"))]
        self.steps = [(chance.choice(names), chance.getrandbits(64)) for _ in range(count)]
        self.n_results = chance.choice([0, 0, 1, 2, 4])
        self.reduction, self.skip = chance.choice(["mean", "sum"]), chance.choice(SKIPS)

    @staticmethod
    def matrix(rows, columns):
        return [[Value(random.uniform(-1, 1)) for _ in range(columns)] for _ in range(rows)]

    def __call__(self, x, y, k):
        self.index = k
        self.pool = [x, [x[0], y], *self.vectors, *[row for m in self.matrices for row in m]]
        self.scalars = [y, *self.numbers, x[-1]]
        first = len(self.pool)
        for name, bits in self.steps:
            self.bits = random.Random(bits)
            found = getattr(self, name)(self.pick(), self.pick())
            self.pool.append([v.sin() for v in found] if self.bits.random() < 0.3 else found)
        results = [v for vector in [x, *self.pool[first:]][-4:] for v in vector][-6:]
        results += self.scalars[-2:]
        if self.n_results:
            return (results * 4)[: self.n_results]
        return mc.sum([v.tanh() for v in results])

    def pick(self):
        recent = self.bits.random() < 0.5
        vector = self.bits.choice(self.pool[-6:] if recent else self.pool)
        return self.bits.choice(CUTS)(vector)

    def scalar(self):
        return self.bits.choice(self.scalars[-5:])

    # -- steps --

    def a_sum(self, a, b):
        return [p + q for p, q in zip(a, b, strict=False)]

    def a_product(self, a, b):
        return [p * q for p, q in zip(a, b, strict=False)]

    def a_scaling(self, a, b):
        s = self.scalar()
        return [s - p * s for p in a]

    def a_shift_by_numbers(self, a, b):
        return [(p - 0.5 * k).tanh() for k, p in enumerate(a)]

    def an_activation(self, a, b):
        return [getattr(p, self.bits.choice(["relu", "sigmoid", "softplus"]))() for p in a]

    def a_matrix_product(self, a, b):
        m = self.bits.choice(self.matrices)
        return [dot(row[: len(a)], a[: len(row)]) for row in m]

    def a_product_by_columns(self, a, b):
        m = self.bits.choice(self.matrices)
        columns = list(zip(*m, strict=True))
        return [dot(column[: len(a)], a[: len(column)], self.numbers[0]) for column in columns]

    def a_dot(self, a, b):
        n = min(len(a), len(b))
        self.scalars.append(dot(a[:n], b[:n]))
        return a

    def a_total(self, a, b):
        self.scalars.append(mc.sum(a) * 0.3)
        return b

    def a_softmax(self, a, b):
        return softmax([p.tanh() for p in a])

    def a_take(self, a, b):
        if len(a) > 1:
            self.scalars.append(take(a, where(self.index < float(len(a)), self.index, 0.0)))
        return b

    def a_row_of_a_table(self, a, b):
        table = self.bits.choice(self.matrices)
        index = where(self.index < float(len(table)), self.index, 0.0)
        return [take(column, index) for column in map(list, zip(*table, strict=True))]

    def a_choice(self, a, b):
        s = self.scalar()
        return [where(p > s, q, p * 0.5) for p, q in zip(a, b, strict=False)]

    def a_maximum(self, a, b):
        self.scalars.append(functools.reduce(Value.maximum, a))
        return [p.minimum(q) for p, q in zip(a, b, strict=False)]

    def a_layer(self, a, b):
        n = len(self.layer_.neurons[0].w)
        found = self.layer_((a * n)[:n])
        return found if isinstance(found, list) else [found]


@each_language
@pytest.mark.parametrize("seed", [*range(60), *SEEDS])
def test_random_programs_of_vectors(seed, language):
    need(language)
    fn = Vectors(seed)
    draw = np.random.default_rng(seed)
    size = random.Random(seed).choice([1, 3, 5, fn.n])  # as many samples as elements, too
    arrays = [draw.normal(size=(size, fn.n)), draw.normal(size=size)]
    arrays.append(draw.integers(0, 3, size=size).astype(float))
    f = compiled(fn, reduction=fn.reduction, skip=fn.skip)
    f(*arrays)
    check_outputs(f, language, arrays, f._last.shapes, rtol=1e-8, atol=1e-10)
    if language in ("c", "numpy") and f._last.shapes == [()] and f._last.parameters:
        check_gradients(f, language, arrays, rtol=1e-7, atol=1e-9)
