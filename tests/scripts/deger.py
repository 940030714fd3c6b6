# SPDX-License-Identifier: MIT
"""The whole engine in Turkish: class Deger, with .veri, .turev and ._onceki."""
import math, random
class Deger:
    def __init__(self, data, _children=(), _op='', label=''):
        self.veri = data
        self.turev = 0.0
        self._geri = lambda: None
        self._onceki = set(_children)
        self._op = _op
        self.etiket = label
    def __repr__(self):
        return f"Deger(veri={self.veri})"
    def __add__(self, other):
        other = other if isinstance(other, Deger) else Deger(other)
        out = Deger(self.veri + other.veri, (self, other), '+')
        def _geri():
            self.turev += out.turev
            other.turev += out.turev
        out._geri = _geri
        return out
    def __mul__(self, other):
        other = other if isinstance(other, Deger) else Deger(other)
        out = Deger(self.veri * other.veri, (self, other), '*')
        def _geri():
            self.turev += other.veri * out.turev
            other.turev += self.veri * out.turev
        out._geri = _geri
        return out
    def __pow__(self, other):
        assert isinstance(other, (int, float)), "only supporting int/float powers for now"
        out = Deger(self.veri**other, (self,), f'**{other}')
        def _geri():
            self.turev += (other * self.veri**(other-1)) * out.turev
        out._geri = _geri
        return out
    def relu(self):
        out = Deger(0 if self.veri < 0 else self.veri, (self,), 'ReLU')
        def _geri():
            self.turev += (out.veri > 0) * out.turev
        out._geri = _geri
        return out
    def tanh(self):
        x = self.veri
        t = (math.exp(2*x) - 1)/(math.exp(2*x) + 1)
        out = Deger(t, (self,), 'tanh')
        def _geri():
            self.turev += (1 - t**2) * out.turev
        out._geri = _geri
        return out
    def exp(self):
        x = self.veri
        out = Deger(math.exp(x), (self,), 'exp')
        def _geri():
            self.turev += out.veri * out.turev
        out._geri = _geri
        return out
    def backward(self):
        topo = []
        visited = set()
        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._onceki:
                    build_topo(child)
                topo.append(v)
        build_topo(self)
        self.turev = 1.0
        for v in reversed(topo):
            v._geri()
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
            for c in v._onceki:
                edges.add((c, v)); build(c)
    build(root)
    return nodes, edges
a = Deger(-4.0, label='a'); b = Deger(2.0, label='b')
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
print(f'{g.veri:.4f}')
g.backward()
print(f'{a.turev:.4f} {b.turev:.4f}')
n, ed = trace(g)
print(len(n), len(ed), sorted(x._op for x in n), sorted(x.etiket for x in n)[-3:])
random.seed(5)
w = [Deger(random.uniform(-1,1)) for _ in range(4)]; bb = Deger(0.1)
for k in range(15):
    loss = Deger(0.0)
    for i in range(4):
        x = [random.gauss(0,1) for _ in range(4)]
        y = 1.0 if sum(x) > 0 else -1.0
        act = sum((wi*xi for wi,xi in zip(w,x)), bb)
        p = act.tanh()
        loss = loss + (p - y)**2
    for p in w+[bb]: p.turev = 0.0
    loss.backward()
    for p in w+[bb]: p.veri += -0.05 * p.turev
    print(k, round(loss.veri, 8), [round(p.turev, 8) for p in w])
h = (a*b).exp() if abs(a.veri*b.veri) < 50 else a
h.backward(); h.backward()
print(round(a.turev,8), round(b.turev,8), h)
