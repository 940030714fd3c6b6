# SPDX-License-Identifier: MIT
"""A constructor in other words and another order, and names that the script's own code reads."""


class Value:
    created_by = 'a student'

    def __init__(self, value, name='', operation=None, parents=None, *, trainable=True):
        self.value = value
        self.name = name or ''
        self.operation = operation
        self.parents = set(parents or ())
        self.trainable = trainable
        self.gradient = 0.0
        self.momentum = 0.0
        self.spread = lambda: None

    def __add__(self, other):
        if not isinstance(other, Value):
            other = Value(other)
        out = Value(self.value + other.value, operation='+', parents=(self, other))
        def run():
            self.gradient += out.gradient
            other.gradient += out.gradient
        out.spread = run
        return out

    def __mul__(self, other):
        if not isinstance(other, Value):
            other = Value(other)
        out = Value(self.value * other.value, operation='*', parents=(self, other))
        def run():
            self.gradient += other.value * out.gradient
            other.gradient += self.value * out.gradient
        out.spread = run
        return out

    def clamp(self, low, high):
        out = Value(min(max(self.value, low), high), '', 'clamp', (self,))
        def run():
            self.gradient += out.gradient * (low < self.value < high)
        out.spread = run
        return out

    def ancestors(self):
        return 1 + sum(parent.ancestors() for parent in self.parents)

    def backward(self):
        order = []
        def visit(node):
            if node not in order:
                for parent in node.parents:
                    visit(parent)
                order.append(node)
        visit(self)
        zero(order)
        self.gradient = 1.0
        for node in reversed(order):
            node.spread()


def zero(nodes):
    for node in nodes:
        node.gradient = 0.0


w = Value(0.3, 'w')
b = Value(0.1, name='b', trainable=False)
for step in range(5):
    out = (w * 2.0 + b).clamp(-1, 1) + w * w
    out.backward()
    for p in (w, b):
        if p.trainable:
            p.momentum = 0.5 * p.momentum + p.gradient
            p.value -= 0.1 * p.momentum
    print(f'{step} {out.value:.9f} {w.gradient:.9f} {w.momentum:.9f} {b.momentum:.1f}')
print(w.name, b.name, repr(out.name), out.operation, out.trainable, b.trainable, Value.created_by)
print(sorted(parent.operation for parent in out.parents), out.ancestors())
