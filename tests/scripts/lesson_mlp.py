# SPDX-License-Identifier: MIT
"""What a reader of the lesson has at its end: an engine, a network, a training run."""
import math
import random


class Value:
    def __init__(self, data, _children=(), _op=''):
        self.data = data
        self.grad = 0.0
        self._prev = set(_children)
        self._op = _op
        self._backward = lambda: None

    def __repr__(self):
        return f'Value(data={self.data}, grad={self.grad})'

    def __add__(self, other):
        if not isinstance(other, Value):
            other = Value(other)
        total = Value(self.data + other.data, (self, other), '+')

        def pass_on():
            self.grad += total.grad
            other.grad += total.grad
        total._backward = pass_on
        return total

    def __mul__(self, other):
        if not isinstance(other, Value):
            other = Value(other)
        product = Value(self.data * other.data, (self, other), '*')

        def pass_on():
            self.grad += other.data * product.grad
            other.grad += self.data * product.grad
        product._backward = pass_on
        return product

    def __pow__(self, n):
        assert isinstance(n, (int, float))
        power = Value(self.data ** n, (self,), f'**{n}')

        def pass_on():
            self.grad += n * self.data ** (n - 1) * power.grad
        power._backward = pass_on
        return power

    def tanh(self):
        e = math.exp(2 * self.data)
        t = (e - 1) / (e + 1)
        squashed = Value(t, (self,), 'tanh')

        def pass_on():
            self.grad += (1 - t * t) * squashed.grad
        squashed._backward = pass_on
        return squashed

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        return self * other ** -1

    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for operand in node._prev:
                    visit(operand)
                order.append(node)

        visit(self)
        for node in order:
            node.grad = 0.0
        self.grad = 1.0
        for node in reversed(order):
            node._backward()


class Neuron:
    def __init__(self, n_in):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(n_in)]
        self.b = Value(0.0)

    def __call__(self, x):
        return sum((w * xi for w, xi in zip(self.w, x)), self.b).tanh()

    def parameters(self):
        return self.w + [self.b]


class Layer:
    def __init__(self, n_in, n_out):
        self.neurons = [Neuron(n_in) for _ in range(n_out)]

    def __call__(self, x):
        outs = [neuron(x) for neuron in self.neurons]
        return outs if len(outs) > 1 else outs[0]

    def parameters(self):
        return [p for neuron in self.neurons for p in neuron.parameters()]


class MLP:
    def __init__(self, n_in, sizes):
        self.layers = [Layer(a, b) for a, b in zip([n_in] + sizes, sizes)]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]


a, b, c = Value(2.0), Value(-3.0), Value(10.0)
y = (a + b) * c
y.backward()
print(a, b, c, y, sep='\n')

samples = [([2.0, 3.0, -1.0], 1.0), ([3.0, -1.0, 0.5], -1.0),
           ([0.5, 1.0, 1.0], -1.0), ([1.0, 1.0, -1.0], 1.0)]
samples = [([Value(xi) for xi in x], y) for x, y in samples]
random.seed(42)
mlp = MLP(3, [4, 4, 1])
print('parameters:', len(mlp.parameters()))

for step in range(50):
    loss = sum((mlp(x) - y) ** 2 for x, y in samples)
    for p in mlp.parameters():
        p.grad = 0.0
    loss.backward()
    for p in mlp.parameters():
        p.data -= 0.05 * p.grad
    if step % 10 == 0 or step == 49:
        print(f'step {step:2d}: loss = {loss.data:.6f}')

for x, y in samples:
    print(f'  {mlp(x).data:+.3f} should be {y:+.1f}')
