# SPDX-License-Identifier: MIT
"""Local gradients kept in tuples instead of closures, and an Adam loop in plain Python."""
import math
import random


class Value:
    __slots__ = ('data', 'grad', '_children', '_local_grads')

    def __init__(self, data, children=(), local_grads=()):
        self.data, self.grad = data, 0
        self._children, self._local_grads = children, local_grads

    def __add__(self, other):
        if not isinstance(other, Value):
            other = Value(other)
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        if not isinstance(other, Value):
            other = Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n):
        return Value(self.data ** n, (self,), (n * self.data ** (n - 1),))

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def exp(self):
        e = math.exp(self.data)
        return Value(e, (self,), (e,))

    def relu(self):
        positive = self.data > 0
        return Value(self.data if positive else 0, (self,), (int(positive),))

    def cubed(self):
        return Value(self.data ** 3, (self,), (3 * self.data ** 2,))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        return self * other ** -1

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        order, seen = [], set()
        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for child in node._children:
                    visit(child)
                order.append(node)
        visit(self)
        self.grad = 1
        while order:
            node = order.pop()
            for child, slope in zip(node._children, node._local_grads):
                child.grad += slope * node.grad


def softmax(logits):
    largest = max(x.data for x in logits)
    powers = [(x - largest).exp() for x in logits]
    total = sum(powers)
    return [power / total for power in powers]


def mean(values):
    """An operation outside the class, in the class's own way."""
    n = len(values)
    return Value(sum(v.data for v in values) / n, tuple(values), (1 / n,) * n)


random.seed(7)
table = [[Value(random.gauss(0, 0.5)) for _ in range(4)] for _ in range(4)]
scale = Value(0.9)
params = [p for row in table for p in row] + [scale]
first, second = [0.0] * len(params), [0.0] * len(params)
text = [0, 1, 2, 3, 1, 2, 0, 3, 3, 1, 2]
for step in range(1, 31):
    losses = []
    for before, after in zip(text, text[1:]):
        probabilities = softmax([x * scale for x in table[before]])
        losses.append(-probabilities[after].log())
    loss = mean(losses) + 0.001 * scale.cubed() + 0.01 * sum(p.relu() for p in params)
    loss.backward()
    for i, p in enumerate(params):
        first[i] += 0.15 * (p.grad - first[i])
        second[i] += 0.01 * (p.grad ** 2 - second[i])
        size = (second[i] / (1 - 0.99 ** step)) ** 0.5 + 1e-8
        p.data -= 0.05 * first[i] / (1 - 0.85 ** step) / size
        p.grad = 0
    if step % 5 == 0:
        print(f'step {step:2d} loss {loss.data:.9f}')
print(' '.join(f'{p.data:.6f}' for p in params))
