# SPDX-License-Identifier: MIT
"""Operations that students add: in the class, after it, and beside it."""
import math


class Value:
    """Stores a single scalar and its gradient."""

    def __init__(self, data, _children=(), _op=''):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), '+')
        def _backward():
            self.grad += out.grad
            other.grad += out.grad
        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), '*')
        def _backward():
            self.grad += out.grad * other.data
            other.grad += out.grad * self.data
        out._backward = _backward
        return out

    def __rmul__(self, other): return self * other
    def __radd__(self, other): return self + other

    def square(self):
        out = Value(self.data ** 2, (self,), 'square')
        def _backward():
            self.grad += out.grad * 2 * self.data
        out._backward = _backward
        return out

    def hypotenuse(self, other):
        return (self.square() + other.square()).root()

    def root(self):
        r = math.sqrt(self.data)
        out = Value(r, (self,), 'root')
        out._backward = lambda: setattr(self, 'grad', self.grad + out.grad / (2 * r))
        return out

    def gelu(self):
        """The tanh formula, which is not quite the exact one."""
        c = math.sqrt(2 / math.pi)
        x = self.data
        t = math.tanh(c * (x + 0.044715 * x ** 3))
        out = Value(0.5 * x * (1 + t), (self,), 'gelu')
        def _backward():
            slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
            self.grad += slope * out.grad
        out._backward = _backward
        return out

    def leaky_relu(self, alpha=0.2):
        out = Value(self.data if self.data > 0 else alpha * self.data, (self,), 'leaky')
        def _backward():
            self.grad += (1 if self.data > 0 else alpha) * out.grad
        out._backward = _backward
        return out

    def __matmul__(self, other):
        return self * other

    def __float__(self):
        return float(self.data)

    def backward(self):
        topo, visited = [], set()
        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                topo.append(v)
        build(self)
        for v in topo:
            v.grad = 0.0
        self.grad = 1.0
        for node in reversed(topo):
            node._backward()


def softsign(self):
    out = Value(self.data / (1 + abs(self.data)), (self,), 'softsign')
    def _backward():
        self.grad += out.grad / (1 + abs(self.data)) ** 2
    out._backward = _backward
    return out


def product(values):
    out = Value(math.prod(v.data for v in values), values, 'product')
    def _backward():
        for v in values:
            v.grad += out.grad * out.data / v.data
    out._backward = _backward
    return out


Value.softsign = softsign

a, b, c = Value(3.0), Value(4.0), Value(-0.5)
result = product([a.hypotenuse(b), c.softsign(), a @ b]) + c.gelu() + c.leaky_relu() * a
result.backward()
for name, v in dict(a=a, b=b, c=c, result=result).items():
    print(name, f'{v.data:.9f} {v.grad:.9f}')
print(c.leaky_relu(alpha=0.5).data, float(a), math.hypot(a, b))
print(sorted(v._op for v in [a.square(), c.softsign(), product([a])]))
