# SPDX-License-Identifier: MIT
"""An object for each operation, that holds its operands."""
import math
class Value:
    def __init__(self, data, parents=(), op=None):
        self.data=data; self.grad=0.0; self.parents=parents; self.op=op
    def __add__(self,o): return Add()(self,o)
    def __mul__(self,o): return Mul()(self,o)
    def backward(self):
        order=[];seen=set()
        def go(v):
            if id(v) in seen: return
            seen.add(id(v))
            for p in v.parents: go(p)
            order.append(v)
        go(self)
        self.grad=1.0
        for v in reversed(order):
            if v.op: v.op.backward(v.grad)
class Function:
    def __call__(self,*xs):
        self.xs=xs
        return Value(self.forward(*[x.data for x in xs]), xs, self)
class Add(Function):
    def forward(self,a,b): return a+b
    def backward(self,g):
        self.xs[0].grad+=g; self.xs[1].grad+=g
class Mul(Function):
    def forward(self,a,b): return a*b
    def backward(self,g):
        self.xs[0].grad+=g*self.xs[1].data; self.xs[1].grad+=g*self.xs[0].data
a=Value(2.0);b=Value(3.0)
c=a*b+a
c.backward()
print(a.grad,b.grad,c.data)
