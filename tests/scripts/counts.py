# SPDX-License-Identifier: MIT
"""Every node has a number and a name that nobody reads."""
import itertools


class Value:
    ids = itertools.count()
    made = 0
    alive = []

    def __init__(self, data, children=(), op=''):
        self.data, self.grad = data, 0.0
        self.id = next(Value.ids)
        Value.made += 1
        Value.alive.append(self)
        self.name = f'v{self.id}'
        self.children, self.op = children, op
        self.run = None

    def __add__(self, other):
        out = Value(self.data + other.data, (self, other), '+')
        def run():
            self.grad += out.grad
            other.grad += out.grad
        out.run = run
        return out

    def __mul__(self, other):
        out = Value(self.data * other.data, (self, other), '*')
        def run():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad
        out.run = run
        return out

    def backward(self):
        order, seen = [], set()
        def visit(v):
            if v not in seen:
                seen.add(v)
                for child in v.children:
                    visit(child)
                order.append(v)
        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            if v.run:
                v.run()


a, b = Value(1.5), Value(-0.75)
a.name = 'a'
c = a * b + a
c.backward()
print(a.name, a.grad, b.grad, c.data, [child.op for child in c.children])
