# SPDX-License-Identifier: MIT
"""Operands and local derivatives in pairs."""
import math


class Value:
    def __init__(self, data, inputs=()):
        self.data = data
        self.inputs = inputs
        self.grad = 0.0

    def __add__(self, o):
        return Value(self.data + o.data, [(self, 1.0), (o, 1.0)])

    def __mul__(self, o):
        return Value(self.data * o.data, [(self, o.data), (o, self.data)])

    def sine(self):
        return Value(math.sin(self.data), [(self, math.cos(self.data))])

    def backward(self):
        order, seen = [], set()
        def visit(v):
            if v not in seen:
                seen.add(v)
                for x, _ in v.inputs:
                    visit(x)
                order.append(v)
        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            for x, slope in v.inputs:
                x.grad += slope * v.grad


x, y = Value(2.0), Value(0.5)
z = (x * y).sine() * x + x
z.backward()
print(f'{z.data:.9f} {x.grad:.9f} {y.grad:.9f}')
