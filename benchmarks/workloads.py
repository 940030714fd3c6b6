# SPDX-License-Identifier: MIT
# ruff: noqa: B905 (plain zip, as users write it)
"""What is measured, each written once and run on every engine.

Nothing here imports an engine: the Value class, or a network class built on one, is an argument.
"""

import math
import random

CHAIN_START = (0.5, 0.999, 0.001)  # x, a, b: tends to 1 and stays far from overflow and denormals

LESSON_X = ((2.0, 3.0, -1.0), (3.0, -1.0, 0.5), (0.5, 1.0, 1.0), (1.0, 1.0, -1.0))
LESSON_Y = (1.0, -1.0, -1.0, 1.0)

LEAVES = 32
BLOCK = 1000
PLUS, MINUS, TIMES, TANH = range(4)


def chain(x, a, b, operations):
    """`x*a + b` over and over; for Values and, as the floor, for plain floats."""
    for _ in range(operations // 2):
        x = x * a + b
    return x


def kept_chain(x, a, b, kept):
    """The same chain, each result stored in the list `kept` (its length is the count)."""
    for i in range(0, len(kept), 2):
        x = x * a
        kept[i] = x
        x = x + b
        kept[i + 1] = x
    return x


def random_plan(operations, seed=1):
    """Leaf values and blocks of (operation, slot, slot), the same for every engine.

    A result replaces its first operand among the `LEAVES` most recent values, so that every
    operation counts in the end; each block starts at the leaves anew, as samples of a data set
    do, so that adjoints neither explode nor vanish over a million operations.
    """
    rng = random.Random(seed)
    leaves = [rng.uniform(-1.0, 1.0) for _ in range(LEAVES)]
    shared = {}  # equal triples are one object: the plan stays small beside the graph
    blocks = []
    for start in range(0, operations, BLOCK):
        # Adding the slots to the total takes LEAVES operations out of each block's share.
        size = min(BLOCK, operations - start) - LEAVES
        values = leaves.copy()
        block = []
        for step in range(size):
            i, j = step % LEAVES, rng.randrange(LEAVES)
            a, b = values[i], values[j]
            operation = rng.choice((PLUS, MINUS, TIMES, TANH))
            result = (a + b, a - b, a * b, math.tanh(a))[operation]
            if abs(result) > 2.0:
                operation, result = TANH, math.tanh(a)
            values[i] = result
            triple = (operation, i, j)
            block.append(shared.setdefault(triple, triple))
        blocks.append(block)
    return leaves, blocks


def random_graph(Value, plan):
    """Record the plan's operations; return (root, leaves)."""
    starts, blocks = plan
    leaves = [Value(start) for start in starts]
    total = Value(0.0)
    for block in blocks:
        recent = leaves.copy()
        for operation, i, j in block:
            if operation == PLUS:
                recent[i] = recent[i] + recent[j]
            elif operation == MINUS:
                recent[i] = recent[i] - recent[j]
            elif operation == TIMES:
                recent[i] = recent[i] * recent[j]
            else:
                recent[i] = recent[i].tanh()
        for value in recent:
            total = total + value
    return total, leaves


def two_moons(samples=100, noise=0.1, seed=7):
    """Points of two interleaved half circles and their labels, +1 and -1 in turn."""
    rng = random.Random(seed)
    points, labels = [], []
    for k in range(samples):
        angle = math.pi * (k // 2) / max(1, samples // 2 - 1)
        upper = k % 2 == 0
        x = math.cos(angle) if upper else 1.0 - math.cos(angle)
        y = math.sin(angle) if upper else 0.5 - math.sin(angle)
        points.append((x + rng.gauss(0.0, noise), y + rng.gauss(0.0, noise)))
        labels.append(1.0 if upper else -1.0)
    return points, labels


def descend(loss, parameters, lr):
    """The lesson's lines after the loss: zero, backward, one step downhill."""
    for p in parameters:
        p.grad = 0.0
    loss.backward()
    for p in parameters:
        p.data -= lr * p.grad


class LessonTraining:
    """The lesson's run: 4 samples, 3-4-4-1 network (41 parameters), tanh, squared errors."""

    def __init__(self, Value, MLP, seed=42):
        random.seed(seed)
        self.model = MLP(3, [4, 4, 1])
        self.xs = [[Value(number) for number in row] for row in LESSON_X]

    def loss(self):
        mlp = self.model
        preds = [mlp(x) for x in self.xs]
        return sum((p - y) ** 2 for p, y in zip(preds, LESSON_Y))

    def step(self):
        loss = self.loss()
        descend(loss, self.model.parameters(), 0.05)
        return loss.data


class MoonsTraining:
    """micrograd's demo: 100 points, 2-16-16-1 network (337 parameters), hinge loss and L2.

    `MLP` must be made for relu hidden layers and a linear output.
    """

    def __init__(self, Value, MLP, seed=42, samples=100):
        random.seed(seed)
        self.model = MLP(2, [16, 16, 1])
        points, self.ys = two_moons(samples)
        self.xs = [[Value(number) for number in point] for point in points]

    def loss(self):
        mlp = self.model
        scores = [mlp(x) for x in self.xs]
        losses = [(1 + -yi * score).relu() for yi, score in zip(self.ys, scores)]
        data_loss = sum(losses) * (1.0 / len(losses))
        return data_loss + 1e-4 * sum(p * p for p in mlp.parameters())

    def step(self):
        loss = self.loss()
        descend(loss, self.model.parameters(), 0.1)
        return loss.data

    def accuracy(self):
        """The share of points on the right side."""
        right = sum(y * self.model(x).data > 0 for x, y in zip(self.xs, self.ys))
        return right / len(self.ys)
