# SPDX-License-Identifier: MIT
"""Operands in two attributes, and a backward that calls itself."""
class Value:
    def __init__(self,data,left=None,right=None,op=''):
        self.data=data;self.grad=0;self.left=left;self.right=right;self.op=op
    def __add__(self,o): return Value(self.data+o.data,self,o,'+')
    def __mul__(self,o): return Value(self.data*o.data,self,o,'*')
    def square(self): return self*self
    def backward(self,g=1.0):
        self.grad+=g
        if self.op=='+': self.left.backward(g); self.right.backward(g)
        elif self.op=='*':
            self.left.backward(g*self.right.data); self.right.backward(g*self.left.data)
    def show(self,d=0):
        print(' '*d,self.op or 'leaf',self.data,self.grad)
        for k in (self.left,self.right):
            if k: k.show(d+1)
a=Value(2.5);b=Value(-3.25)
c=(a*b+a).square()
c.backward()
print(a.grad,b.grad)
c.show()
print(a.left,c.left.op)
