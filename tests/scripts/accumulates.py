# SPDX-License-Identifier: MIT
"""A backward that zeroes nothing: gradients of several samples add up until zero_grad."""


class Value:
    def __init__(self, data, children=(), op=''):
        self.data = data
        self.grad = 0
        self._backward = lambda: None
        self._prev = set(children)
        self.op = op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, children=(self, other), op='+')
        def _backward():
            self.grad += out.grad
            other.grad += out.grad
        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, children=(self, other), op='*')
        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad
        out._backward = _backward
        return out

    def half(self):
        out = Value(self.data / 2, children=(self,), op='half')
        def _backward():
            self.grad += out.grad / 2
        out._backward = _backward
        return out

    def backward(self):
        topo = []
        visited = set()
        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build_topo(child)
                topo.append(v)
        build_topo(self)
        self.grad = 1
        for v in reversed(topo):
            v._backward()


def zero_grad(params):
    for p in params:
        p.grad = 0


w, b = Value(0.5), Value(-0.25)
for epoch in range(3):
    zero_grad([w, b])
    for x, y in [(1.0, 2.0), (2.0, 3.0), (-1.0, 0.5)]:
        error = w * x + b + -y
        (error * error).half().backward()
    print(f'{w.grad:.6f} {b.grad:.6f}')
    w.data -= 0.1 * w.grad
    b.data -= 0.1 * b.grad
print((w * b).op, w.half().op, repr(w.op))
