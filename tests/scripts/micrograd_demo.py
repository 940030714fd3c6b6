# SPDX-License-Identifier: MIT
"""micrograd's engine with the lecture's extras: labels, exp, tanh, a graph that is walked."""
import math, random
class Value:
    def __init__(self, data, _children=(), _op='', label=''):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op
        self.label = label
    def __repr__(self):
        return f"Value(data={self.data})"
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
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad
        out._backward = _backward
        return out
    def __pow__(self, other):
        assert isinstance(other, (int, float)), "only supporting int/float powers for now"
        out = Value(self.data**other, (self,), f'**{other}')
        def _backward():
            self.grad += (other * self.data**(other-1)) * out.grad
        out._backward = _backward
        return out
    def relu(self):
        out = Value(0 if self.data < 0 else self.data, (self,), 'ReLU')
        def _backward():
            self.grad += (out.data > 0) * out.grad
        out._backward = _backward
        return out
    def tanh(self):
        x = self.data
        t = (math.exp(2*x) - 1)/(math.exp(2*x) + 1)
        out = Value(t, (self,), 'tanh')
        def _backward():
            self.grad += (1 - t**2) * out.grad
        out._backward = _backward
        return out
    def exp(self):
        x = self.data
        out = Value(math.exp(x), (self,), 'exp')
        def _backward():
            self.grad += out.data * out.grad
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
        self.grad = 1.0
        for v in reversed(topo):
            v._backward()
    def __neg__(self): return self * -1
    def __radd__(self, other): return self + other
    def __sub__(self, other): return self + (-other)
    def __rsub__(self, other): return other + (-self)
    def __rmul__(self, other): return self * other
    def __truediv__(self, other): return self * other**-1
    def __rtruediv__(self, other): return other * self**-1

def trace(root):
    nodes, edges = set(), set()
    def build(v):
        if v not in nodes:
            nodes.add(v)
            for c in v._prev:
                edges.add((c, v)); build(c)
    build(root)
    return nodes, edges
# an expression of every operation
a = Value(-4.0, label='a'); b = Value(2.0, label='b')
c = a + b
d = a * b + b**3
c += c + 1
c += 1 + c + (-a)
d += d * 2 + (b + a).relu()
d += 3 * d + (b - a).relu()
e = c - d
f = e**2
g = f / 2.0
g += 10.0 / f
print(f'{g.data:.4f}')
g.backward()
print(f'{a.grad:.4f} {b.grad:.4f}')
n, ed = trace(g)
print(len(n), len(ed), sorted(x._op for x in n), sorted(x.label for x in n)[-3:])
random.seed(5)
w = [Value(random.uniform(-1,1)) for _ in range(4)]; bb = Value(0.1)
for k in range(15):
    loss = Value(0.0)
    for i in range(4):
        x = [random.gauss(0,1) for _ in range(4)]
        y = 1.0 if sum(x) > 0 else -1.0
        act = sum((wi*xi for wi,xi in zip(w,x)), bb)
        p = act.tanh()
        loss = loss + (p - y)**2
    for p in w+[bb]: p.grad = 0.0
    loss.backward()
    for p in w+[bb]: p.data += -0.05 * p.grad
    print(k, round(loss.data, 8), [round(p.grad, 8) for p in w])
h = (a*b).exp() if abs(a.data*b.data) < 50 else a
h.backward(); h.backward()
print(round(a.grad,8), round(b.grad,8), h)
