# SPDX-License-Identifier: MIT
"""Imports a micrograd that is the user's own, with another network."""
import random

from micrograd.engine import Value
from micrograd.nn import MLP

random.seed(1)
model = MLP(3, 2)
out = model([1.0, 2.0, -3.0])
loss = out[0] * out[1] + out[0]
loss.backward()
print(model, f'{loss.data:.9f}', [round(w.grad, 9) for row in model.w for w in row])
print(Value.__module__, Value.__base__ is object)
