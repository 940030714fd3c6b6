# SPDX-License-Identifier: MIT
"""Values that compare by their numbers, a label that is text from the start, operands as a list."""
import math
import random


def lift(x):
    return x if isinstance(x, Value) else Value(x)


class Value:
    def __init__(self, data, _children=(), _op='', label='None'):
        self.data, self.grad = data, 0.0
        self._prev, self._op = list(_children), _op
        self.label = label
        self._backward = lambda: None

    def __str__(self):
        return f'{self.label}: {self.data:.6f}'

    def __eq__(self, other):
        return self.data == lift(other).data

    def __lt__(self, other):
        return self.data < lift(other).data

    def __gt__(self, other):
        return self.data > lift(other).data

    def __hash__(self):
        return id(self)

    def _node(self, data, others, op, *slopes):
        node = Value(data, [self, *others], op)
        def spread():
            for operand, slope in zip(node._prev, slopes):
                operand.grad += slope * node.grad
        node._backward = spread
        return node

    def __add__(self, other):
        other = lift(other)
        return self._node(self.data + other.data, [other], '+', 1.0, 1.0)

    def __mul__(self, other):
        other = lift(other)
        return self._node(self.data * other.data, [other], '*', other.data, self.data)

    def tanh(self):
        squashed = math.copysign(1.0, self.data) if abs(self.data) > 300 else math.tanh(self.data)
        return self._node(squashed, [], 'tanh', 1 - squashed ** 2)

    def below(self):
        """This node and all that it depends on, operands first."""
        found, seen = [], set()
        def walk(node):
            if node not in seen:
                seen.add(node)
                for operand in node._prev:
                    walk(operand)
                found.append(node)
        walk(self)
        return found

    def backward(self):
        self.grad = 1.0
        for node in reversed(self.below()):
            node._backward()

    def zero_grad(self):
        for node in self.below():
            node.grad = 0.0


random.seed(3)
weights = [Value(random.uniform(-1, 1), label=f'w{i}') for i in range(5)]
outs = [(w * 2.5 + 0.25).tanh() for w in weights]
print(outs.index(max(outs)), min(outs) < 0, Value(1.0) == Value(1.0), Value(1.0) != 2.0)
print(weights[0], outs[0].label, outs[1], sep=' | ')
total = outs[0]
for out in outs[1:]:
    total = total + out
total.backward()
print([round(w.grad, 9) for w in weights])
again = total * 2
again.zero_grad()
print([w.grad for w in weights], len(total.below()))
again.backward()
print([round(w.grad, 9) for w in weights])
