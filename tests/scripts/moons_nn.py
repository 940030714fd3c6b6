# SPDX-License-Identifier: MIT
"""micrograd's demo on half circles that need no library."""
import math
import random

import micrograd.nn
from micrograd.engine import Value
from micrograd.nn import MLP

random.seed(1337)
X, y = [], []
for i in range(40):
    angle = math.pi * (i // 2) / 19
    px, py = math.cos(angle), math.sin(angle)
    X.append([px, py] if i % 2 == 0 else [1 - px, 0.5 - py])
    y.append(-1 if i % 2 == 0 else 1)

model = MLP(2, [8, 8, 1])
print('number of parameters', len(model.parameters()))


def loss():
    inputs = [list(map(Value, row)) for row in X]
    scores = list(map(model, inputs))
    losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores)]
    data_loss = sum(losses) * (1.0 / len(losses))
    reg_loss = 1e-4 * sum((p * p for p in model.parameters()))
    accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores)]
    return data_loss + reg_loss, sum(accuracy) / len(accuracy)


for k in range(50):
    total_loss, acc = loss()
    model.zero_grad()
    total_loss.backward()
    learning_rate = 1.0 - 0.9 * k / 50
    for p in model.parameters():
        p.data -= learning_rate * p.grad
    if k % 10 == 9:
        print(f'step {k} loss {total_loss.data:.6f}, accuracy {acc * 100}%')
print(isinstance(model, micrograd.nn.Module), model.layers[-1])
