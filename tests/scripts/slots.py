# SPDX-License-Identifier: MIT
"""A class with __slots__, type hints, a classmethod, a property and a gradient check."""
from __future__ import annotations

import math
from typing import Callable, Iterable


class Value:
    __slots__ = ('data', 'grad', '_backward', '_prev', '_op')

    def __init__(self, data: float, _children: Iterable[Value] = (), _op: str = '') -> None:
        self.data = float(data)
        self.grad = 0.0
        self._backward: Callable[[], None] = lambda: None
        self._prev = frozenset(_children)
        self._op = _op

    @classmethod
    def zeros(cls, n: int) -> list[Value]:
        return [cls(0.0) for _ in range(n)]

    @property
    def is_leaf(self) -> bool:
        return not self._prev

    def __add__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), '+')

        def rule():
            self.grad += out.grad
            other.grad += out.grad
        out._backward = rule
        return out

    __radd__ = __add__

    def __mul__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), '*')

        def rule():
            self.grad += out.grad * other.data
            other.grad += out.grad * self.data
        out._backward = rule
        return out

    __rmul__ = __mul__

    def __sub__(self, other): return self + -1 * other

    def exp(self) -> Value:
        out = Value(math.exp(self.data), (self,), 'exp')

        def rule():
            self.grad += out.grad * out.data
        out._backward = rule
        return out

    def backward(self) -> None:
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((child, False) for child in node._prev)
        for node in order:
            node.grad = 0
        self.grad = 1
        for node in order[::-1]:
            node._backward()


def f(a, b):
    return (a * b).exp() * a + a * a - b


a, b = Value(0.7), Value(-1.3)
out = f(a, b)
out.backward()
print(f'{out.data:.12f} {a.grad:.12f} {b.grad:.12f}', a.is_leaf, out.is_leaf)
h = 1e-6
print(f'{(f(Value(0.7 + h), b).data - f(Value(0.7 - h), b).data) / (2 * h):.5f}')
print(sum(Value.zeros(3), Value(1)).data)
