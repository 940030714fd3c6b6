# SPDX-License-Identifier: MIT
"""The class stands in a package beside the script."""
import random

from lib import Neuron, Value

random.seed(1)
neuron = Neuron(3)
for step in range(5):
    loss = (neuron([1.0, 2.0, -1.0]) - 0.3) ** 2
    for w in neuron.w:
        w.grad = 0.0
    loss.backward()
    for w in neuron.w:
        w.data -= 0.1 * w.grad
    print(f'{step} {loss.data:.9f}', [round(w.grad, 9) for w in neuron.w])
print(Value.__module__, Value.__base__ is object)
