# SPDX-License-Identifier: MIT
"""The class grows as in the lesson: a skeleton, then operators, then backward from outside."""


class Value:
    def __init__(self, data, _children=(), _op=''):
        self.data = data
        self._prev = set(_children)
        self._op = _op

    def __repr__(self):
        return f'Value(data={self.data})'


print(Value(2.0))

try:
    import a_module_that_nobody_has
except ImportError:
    class Value:
        def __init__(self, data, _children=(), _op='', label=''):
            self.data = data
            self.grad = 0.0
            self._backward = lambda: None
            self._prev = set(_children)
            self._op = _op
            self.label = label

        def __repr__(self):
            return f'<{self.label or "?"}: {self.data:.4f} | {self.grad:.4f}>'

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

a = Value(2.0, label='a')
b = Value(-3.0, label='b')
c = Value(10.0, label='c')
e = a * b
e.label = 'e'
d = e + c
d.label = 'd'
print(a, b, c, d, e)

# by hand, node by node
d.grad = 1.0
d._backward()
e._backward()
print(a, b, c, d, e)


def topological_sort(root):
    topo, visited = [], set()
    def build(v):
        if v in visited:
            return
        visited.add(v)
        for child in sorted(v._prev, key=lambda child: child.label):
            build(child)
        topo.append(v)
    build(root)
    return topo


def backward(self):
    topo = topological_sort(self)
    for node in topo:
        node.grad = 0.0
    self.grad = 1.0
    for node in reversed(topo):
        node._backward()


Value.backward = backward
d.backward()
print([v.label for v in topological_sort(d)])
print(*((v.label, v._op, round(v.grad, 9)) for v in topological_sort(d)))
