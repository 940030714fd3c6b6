# SPDX-License-Identifier: MIT
"""The class is a dataclass."""
from dataclasses import dataclass, field
@dataclass(eq=False)
class Value:
    data: float
    _children: tuple = ()
    _op: str = ''
    grad: float = field(default=0.0)
    def __post_init__(self):
        self._prev = set(self._children)
        self._backward = lambda: None
    def __add__(self, o):
        out = Value(self.data + o.data, (self, o), '+')
        def b():
            self.grad += out.grad; o.grad += out.grad
        out._backward = b
        return out
    def __mul__(self, o):
        out = Value(self.data * o.data, (self, o), '*')
        def b():
            self.grad += out.grad*o.data; o.grad += out.grad*self.data
        out._backward = b
        return out
    def backward(self):
        t = []; s = set()
        def f(v):
            if v not in s:
                s.add(v)
                for c in v._prev: f(c)
                t.append(v)
        f(self)
        self.grad = 1.0
        for v in reversed(t): v._backward()
a, b = Value(2.0), Value(data=3.0)
c = a*b + a
c.backward()
print(a.grad, b.grad, c.data)
