# SPDX-License-Identifier: MIT
"""Parameters are a subclass, with a name and a momentum of their own."""
import random


class Value(object):
    def __init__(self, data, _children=(), _op='', label=''):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op
        self.label = label

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), '+')
        def _backward():
            self.grad += 1.0 * out.grad
            other.grad += 1.0 * out.grad
        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), '*')
        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad
        out._backward = _backward
        return out

    def __rmul__(self, other): return self * other
    def __radd__(self, other): return self + other
    def __neg__(self): return self * -1
    def __sub__(self, other): return self + (-other)

    def backward(self):
        topo, visited = [], set()
        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                topo.append(v)
        build(self)
        self.grad = 1.0
        for node in reversed(topo):
            node._backward()


class Parameter(Value):
    count = 0

    def __init__(self, data, name, frozen=False):
        super().__init__(data, label=name)
        self.frozen = frozen
        self.velocity = 0.0
        Parameter.count += 1

    def update(self, lr):
        if not self.frozen:
            self.velocity = 0.9 * self.velocity - lr * self.grad
            self.data += self.velocity
        self.grad = 0.0

    def __str__(self):
        return f'{self.label}={self.data:.8f}' + (' (frozen)' if self.frozen else '')


random.seed(1)
w = [Parameter(random.uniform(-1, 1), f'w{i}') for i in range(3)]
b = Parameter(0.5, 'b', frozen=True)
points = [([1.0, 2.0, -1.0], 3.0), ([0.5, -1.0, 2.0], -1.0), ([2.0, 0.1, 0.3], 1.0)]
for step in range(40):
    loss = Value(0.0)
    for x, y in points:
        error = sum((wi * xi for wi, xi in zip(w, x)), b) - y
        loss = loss + error * error
    loss.backward()
    for p in w + [b]:
        p.update(0.01)
print(f'{loss.data:.8f}', *w, b, Parameter.count)
print(isinstance(w[0], Value), isinstance(w[0] * 2, Parameter), type(b).__name__)
