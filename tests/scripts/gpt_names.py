# SPDX-License-Identifier: MIT
"""A small language model: local gradients under short names, in slots, and Adam by hand."""
import math, random
random.seed(3)
class Value:
    __slots__ = ('data', 'grad', '_ch', '_lg')
    def __init__(self, data, _ch=(), _lg=()):
        self.data = data
        self.grad = 0
        self._ch = _ch
        self._lg = _lg
    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1, 1))
    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))
    def __pow__(self, other): return Value(self.data**other, (self,), (other * self.data**(other-1),))
    def log(self): return Value(math.log(self.data), (self,), (1/self.data,))
    def exp(self): return Value(math.exp(self.data), (self,), (math.exp(self.data),))
    def relu(self): return Value(max(0, self.data), (self,), (float(self.data > 0),))
    def __neg__(self): return self * -1
    def __radd__(self, other): return self + other
    def __sub__(self, other): return self + (-other)
    def __rsub__(self, other): return other + (-self)
    def __rmul__(self, other): return self * other
    def __truediv__(self, other): return self * other**-1
    def __rtruediv__(self, other): return other * self**-1
    def backward(self):
        topo = []
        visited = set()
        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._ch:
                    build_topo(child)
                topo.append(v)
        build_topo(self)
        self.grad = 1
        for v in reversed(topo):
            for child, local_grad in zip(v._ch, v._lg):
                child.grad += local_grad * v.grad
n_embd=4; vocab=5
matrix = lambda nout, nin, std=0.08: [[Value(random.gauss(0, std)) for _ in range(nin)] for _ in range(nout)]
sd = {'wte': matrix(vocab, n_embd), 'lm': matrix(vocab, n_embd), 'fc': matrix(n_embd*2, n_embd), 'fo': matrix(n_embd, n_embd*2)}
params = [p for mat in sd.values() for row in mat for p in row]
def linear(x, w): return [sum(wi * xi for wi, xi in zip(wo, x)) for wo in w]
def softmax(logits):
    max_val = max(val.data for val in logits)
    exps = [(val - max_val).exp() for val in logits]
    total = sum(exps)
    return [e / total for e in exps]
def rmsnorm(x):
    ms = sum(xi * xi for xi in x) / len(x)
    scale = (ms + 1e-5) ** -0.5
    return [xi * scale for xi in x]
m=[0.0]*len(params); v=[0.0]*len(params)
for step in range(12):
    losses=[]
    for t,tt in [(0,1),(1,2),(2,3),(3,4)]:
        x = rmsnorm(sd['wte'][t])
        h = [xi.relu() for xi in linear(x, sd['fc'])]
        x = [a+b for a,b in zip(x, linear(h, sd['fo']))]
        probs = softmax(linear(x, sd['lm']))
        losses.append(-probs[tt].log())
    loss = (1/4) * sum(losses)
    loss.backward()
    for i,p in enumerate(params):
        m[i] = 0.9*m[i]+0.1*p.grad
        v[i] = 0.99*v[i]+0.01*p.grad**2
        p.data -= 0.05 * (m[i]/(1-0.9**(step+1))) / ((v[i]/(1-0.99**(step+1)))**0.5+1e-8)
        p.grad = 0
    print(f"step {step} loss {loss.data:.6f}")
print([len(c._ch) for c in loss._ch])
