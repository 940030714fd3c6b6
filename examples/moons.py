# SPDX-License-Identifier: MIT
# %% [markdown]
# # Two moons
#
# micrograd's demo: 100 points on two half circles, a network of 337 parameters that tells them
# apart, the hinge loss of a support vector machine and a small penalty on large weights.

# %%
import math
import random
import time

from micrograd_c import compile, optim
from micrograd_c.nn import MLP

random.seed(1337)
points, labels = [], []
for k in range(100):
    angle = math.pi * (k // 2) / 49
    x, y = math.cos(angle), math.sin(angle)
    if k % 2:
        x, y = 1 - x, 0.5 - y
    points.append([x + random.gauss(0, 0.1), y + random.gauss(0, 0.1)])
    labels.append(1.0 if k % 2 else -1.0)


def new_model():
    random.seed(1)
    return MLP(2, [16, 16, 1], activation="relu", output_activation="linear")


# %% [markdown]
# First as micrograd does it: the whole graph is built anew, in Python, in each step.

# %%
model = new_model()
start = time.perf_counter()
for step in range(100):
    scores = [model(point) for point in points]
    margins = [(1 - label * score).relu() for label, score in zip(labels, scores, strict=True)]
    loss = sum(margins) / len(margins) + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= (1.0 - 0.9 * step / 100) * p.grad
eager_seconds = (time.perf_counter() - start) / 100
right = sum((model(p) > 0) == (t > 0) for p, t in zip(points, labels, strict=True))
print(f"eager: loss {loss.data:.4f}, {right} of 100 points right")

# %% [markdown]
# Then compiled: the loss of ONE point, recorded once, replayed for all points in each step.

# %%
model = new_model()
weights = model.parameters()


def point_loss(point, label):
    return (1 - label * model(point)).relu() + 1e-4 * sum(p * p for p in weights)


f = compile(point_loss)
sgd = optim.SGD(weights, lr=1.0)


def slow_down(step, loss):
    sgd.lr = 1.0 - 0.9 * step / 100


start = time.perf_counter()
losses = f.fit(points, labels, optimizer=sgd, steps=100, callback=slow_down)
compiled_seconds = (time.perf_counter() - start) / 100
scores = compile(model)(points)
right = sum((s > 0) == (t > 0) for s, t in zip(scores, labels, strict=True))
print(f"compiled: loss {losses[-1]:.4f}, {right} of 100 points right")
print(f"a step is {eager_seconds / compiled_seconds:.0f} times faster, recording included")

# %% [markdown]
# What it has learnt, as a map: `*` where it says 1, `.` where it says -1.

# %%
spots = [[-1.5 + 4 * i / 59, 1.5 - 2.5 * j / 15] for j in range(16) for i in range(60)]
said = compile(model)(spots)
for j in range(16):
    print("".join("*" if said[60 * j + i] > 0 else "." for i in range(60)))

assert right == 100

# %% [markdown]
# The points and the line that the network draws between them, beside the loss of each step.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    from micrograd_c.viz import plot_decision_boundary, plot_losses

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
    plot_decision_boundary(model, points, labels, ax=left)
    plot_losses(losses, ax=right, log=True)
    figure.savefig("moons.png", dpi=100)
