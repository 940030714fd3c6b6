# SPDX-License-Identifier: MIT
from micrograd.engine import *
from micrograd.nn import *

random.seed(3)
model = MLP(3, [4, 4, 1])
print(model)
print(len(model.parameters()), Neuron(2), Neuron(16, nonlin=False), Layer(2, 2, nonlin=False))
x = [Value(1.0), -2.0, 0.5]
out = model(x)
out.backward()
print(f'{out.data:.10f} {x[0].grad:.10f}')
model.zero_grad()
print(all(p.grad == 0 for p in model.parameters()), isinstance(model, Module))
