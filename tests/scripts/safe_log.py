# SPDX-License-Identifier: MIT
"""A log that never fails, flags and counters that only the class looks at, None for nothing."""
import math
class Value:
    count = 0
    registry = {}
    EPS = 1e-9
    def __init__(self, data, prev=None, op=None, requires_grad=True):
        self.data, self.grad = data, 0
        self.prev = set(prev) if prev is not None else set()
        self.op = op
        self.requires_grad = requires_grad
        self._backward = lambda: None
        self.id = Value.count
        Value.count += 1
    def __add__(self, o):
        o = o if isinstance(o, Value) else Value(o)
        out = Value(self.data + o.data, (self, o), '+')
        def b():
            if self.requires_grad: self.grad += out.grad
            if o.requires_grad: o.grad += out.grad
        out._backward = b
        return out
    def log(self):
        out = Value(math.log(self.data + Value.EPS), (self,), 'log')
        def b():
            self.grad += out.grad / (self.data + Value.EPS)
        out._backward = b
        return out
    def backward(self, retain=False):
        t = []; s = set()
        def f(v):
            if v not in s:
                s.add(v)
                for c in v.prev: f(c)
                t.append(v)
        f(self)
        for v in t: v.grad = 0
        self.grad = 1.0
        for v in reversed(t): v._backward()
a = Value(2.0)
z = Value(0.0)
c = (a + 3).log() + z.log()
c.backward()
print(round(c.data,6), a.grad, c.op, a.op, len(c.prev), Value.EPS)
