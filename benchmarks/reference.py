# SPDX-License-Identifier: MIT
# ruff: noqa: B905, RUF005 (the lesson writes it so)
"""The lesson's engine and network in pure Python: the baseline of every ratio, the tests' oracle.

One closure and one set per node, a recursive depth-first order, zeroing, then the reverse sweep.
Speed is not the point: this is what a student has at the end of the lesson.
"""

import math
import random
import sys
import threading


class Value:
    """A scalar that remembers the values it was computed from."""

    def __init__(self, data, _children=(), _op=""):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op

    def __repr__(self):
        return f"Value(data={self.data}, grad={self.grad})"

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += out.grad * 1.0
            other.grad += out.grad * 1.0

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += out.grad * other.data
            other.grad += out.grad * self.data

        out._backward = _backward
        return out

    def __pow__(self, other):
        assert isinstance(other, (int, float)), "only int/float pow"
        out = Value(self.data**other, (self,), f"**{other}")

        def _backward():
            self.grad += out.grad * (other * self.data ** (other - 1))

        out._backward = _backward
        return out

    def tanh(self):
        x = self.data
        t = (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1)
        out = Value(t, (self,), "tanh")

        def _backward():
            self.grad += out.grad * (1 - t**2)

        out._backward = _backward
        return out

    def exp(self):
        out = Value(math.exp(self.data), (self,), "exp")

        def _backward():
            self.grad += out.grad * out.data

        out._backward = _backward
        return out

    def log(self):
        out = Value(math.log(self.data), (self,), "log")

        def _backward():
            self.grad += out.grad / self.data

        out._backward = _backward
        return out

    def relu(self):
        out = Value(0.0 if self.data < 0 else self.data, (self,), "relu")

        def _backward():
            self.grad += out.grad * (1 if self.data > 0 else 0)

        out._backward = _backward
        return out

    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return (-self) + other

    def __truediv__(self, other):
        return self * (other**-1)

    def __rtruediv__(self, other):
        return (self**-1) * other

    def backward(self):
        topo = topological_sort(self)
        for v in topo:
            v.grad = 0.0
        self.grad = 1.0
        for node in reversed(topo):
            node._backward()


def topological_sort(root):
    """The nodes `root` depends on, operands first; the order among operands is the set's."""
    topo = []
    visited = set()

    def build(v):
        if v in visited:
            return
        visited.add(v)
        for child in v._prev:
            build(child)
        topo.append(v)

    build(root)
    return topo


def lesson_classes(Value, activation="tanh", output_activation=None):
    """The lesson's (Neuron, Layer, MLP) on any Value class; `output_activation` None: as hidden."""

    class Neuron:
        def __init__(self, n_in):
            self.w = [Value(random.uniform(-1, 1)) for _ in range(n_in)]
            self.b = Value(0.0)

        def __call__(self, x):
            act = sum((wi * xi for wi, xi in zip(self.w, x)), self.b)
            return act.tanh()

        def parameters(self):
            return self.w + [self.b]

    # Whole methods, not a switch inside one: no engine pays for a choice the lesson doesn't make.
    class ReluNeuron(Neuron):
        def __call__(self, x):
            act = sum((wi * xi for wi, xi in zip(self.w, x)), self.b)
            return act.relu()

    class LinearNeuron(Neuron):
        def __call__(self, x):
            return sum((wi * xi for wi, xi in zip(self.w, x)), self.b)

    kinds = {"tanh": Neuron, "relu": ReluNeuron, "linear": LinearNeuron}
    hidden = kinds[activation]
    last = kinds[output_activation or activation]

    class Layer:
        def __init__(self, n_in, n_out, neuron=hidden):
            self.neurons = [neuron(n_in) for _ in range(n_out)]

        def __call__(self, x):
            outs = [n(x) for n in self.neurons]
            return outs[0] if len(outs) == 1 else outs

        def parameters(self):
            return [p for n in self.neurons for p in n.parameters()]

    class MLP:
        def __init__(self, n_in, layer_sizes):
            sizes = [n_in] + layer_sizes
            kinds = [hidden] * (len(layer_sizes) - 1) + [last]
            self.layers = [Layer(sizes[i], sizes[i + 1], kinds[i]) for i in range(len(layer_sizes))]

        def __call__(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

        def parameters(self):
            return [p for layer in self.layers for p in layer.parameters()]

    return hidden, Layer, MLP


STACK_BYTES = 512 << 20


def with_deep_stack(fn, *args):
    """Return `fn(*args)`, run in a thread where the recursive sort may go a million nodes deep."""
    result = []
    failure = []

    def run():
        try:
            result.append(fn(*args))
        except BaseException as error:  # also SystemExit: it belongs to the caller's thread
            failure.append(error)

    # Both settings are the process's, not the thread's, so they are put back whatever happens.
    old_limit = sys.getrecursionlimit()
    old_stack = threading.stack_size(STACK_BYTES)
    try:
        sys.setrecursionlimit(max(old_limit, 10_000_000))
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threading.stack_size(old_stack)
        thread.join()
    finally:
        threading.stack_size(old_stack)
        sys.setrecursionlimit(old_limit)
    if failure:
        raise failure[0]
    return result[0]
