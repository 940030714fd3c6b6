# SPDX-License-Identifier: MIT
# %% [markdown]
# # Backpropagation, one number at a time
#
# A `Value` holds one number and remembers which operation made it. That is all that is needed to
# train a neural network: this is the way from one expression to a network of 41 parameters.

# %%
import random

from micrograd_c import Value, gradcheck, topological_sort
from micrograd_c.nn import MLP

a = Value(2.0, label="a")
b = Value(-3.0, label="b")
c = Value(10.0, label="c")
d = a + b
y = d * c
print(y, y._op, y._prev == {d, c})

# %% [markdown]
# `backward()` walks from `y` back to `a`, `b` and `c`. Each operation multiplies what arrives by
# its own derivative and hands it on: that is the chain rule.

# %%
y.backward()
for value in topological_sort(y):
    print(f"{value.label or value._op:>3}  data {value.data:+6.1f}  grad {value.grad:+6.1f}")

# %% [markdown]
# Are the gradients right? Move each input a little and look how far the result moves.

# %%
print("gradients agree:", gradcheck(lambda a, b, c: (a + b) * c, [a, b, c]))

# %% [markdown]
# A neuron is a weighted sum and a `tanh`; a layer is a few neurons; a network is a few layers.

# %%
xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]

random.seed(42)
model = MLP(3, [4, 4, 1])
print(len(model.parameters()), "parameters")

losses, said = [], []
for step in range(50):
    predictions = [model(x) for x in xs]
    loss = sum((p - y) ** 2 for p, y in zip(predictions, ys, strict=True))
    losses.append(loss.data)
    said.append([p.data for p in predictions])
    loss.backward()
    for p in model.parameters():
        p.data -= 0.05 * p.grad
    if step % 10 == 0 or step == 49:
        print(f"step {step:2d}: loss {loss.data:.6f}")

for x, y in zip(xs, ys, strict=True):
    print(f"said {model(x).data:+.3f}, wanted {y:+.1f}")

assert loss.data < 0.05

# %% [markdown]
# The loss falls, and the four answers move to what is wanted of them, 1 or -1.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.4), layout="constrained")
    left.semilogy(losses, color="#0072B2")
    left.set_ylabel("loss")
    for sample, wanted in zip(zip(*said, strict=True), ys, strict=True):
        right.plot(sample, color="#E69F00" if wanted > 0 else "#0072B2")
    right.set_ylabel("what the network says")
    for axes in (left, right):
        axes.set_xlabel("step")
    figure.savefig("lesson.png", dpi=100)
