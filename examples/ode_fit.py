# SPDX-License-Identifier: MIT
# %% [markdown]
# # The parameters of a differential equation
#
# Prey and predators after Lotka and Volterra: x' = a x - b x y, y' = c x y - d y. From noisy
# counts at 24 times, which a, b, c and d made them? The equation is integrated with Runge and
# Kutta's method in Values, and the gradient goes back through every step of it.

# %%
import random

from micrograd_c import Value, optim

TRUE = (1.1, 0.4, 0.1, 0.4)
STEP, STEPS, EVERY = 0.05, 240, 10  # integrate to t = 12, look every half


def slope(x, y, a, b, c, d):
    return a * x - b * x * y, c * x * y - d * y


def solve(parameters, x=10.0, y=5.0):
    """(x, y) at each time that was looked at; classical fourth-order steps."""
    seen, h = [], STEP
    for step in range(1, STEPS + 1):
        x1, y1 = slope(x, y, *parameters)
        x2, y2 = slope(x + h / 2 * x1, y + h / 2 * y1, *parameters)
        x3, y3 = slope(x + h / 2 * x2, y + h / 2 * y2, *parameters)
        x4, y4 = slope(x + h * x3, y + h * y3, *parameters)
        x = x + h / 6 * (x1 + 2 * x2 + 2 * x3 + x4)
        y = y + h / 6 * (y1 + 2 * y2 + 2 * y3 + y4)
        if step % EVERY == 0:
            seen.append((x, y))
    return seen


# %% [markdown]
# The same function runs on plain numbers: so the data are made.

# %%
random.seed(3)
counts = [tuple(v * random.gauss(1, 0.03) for v in pair) for pair in solve(TRUE)]

# %% [markdown]
# And on Values: so they are explained. Each error is taken relative to the count.

# %%
parameters = [Value(v) for v in (0.9, 0.5, 0.13, 0.5)]
adam = optim.Adam(parameters, lr=0.01)
for iteration in range(1500):
    loss = sum(
        ((x - m) / m) ** 2 + ((y - n) / n) ** 2
        for (x, y), (m, n) in zip(solve(parameters), counts, strict=True)
    ) / (2 * len(counts))
    loss.backward()
    adam.step()
    if iteration % 300 == 0 or iteration == 1499:
        print(f"{iteration:4d}: mean squared relative error {loss.data:.5f}")

for name, found, true in zip("abcd", parameters, TRUE, strict=True):
    print(f"{name} = {found.data:.3f} (true: {true})")

assert all(abs(p.data / true - 1) < 0.05 for p, true in zip(parameters, TRUE, strict=True))

# %% [markdown]
# Points are the counts, lines the equation with the parameters found.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    times = [STEP * EVERY * (k + 1) for k in range(len(counts))]
    fitted = [(x.data, y.data) for x, y in solve(parameters)]
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    for k, (name, colour) in enumerate((("prey", "#0072B2"), ("predators", "#D55E00"))):
        axes.plot(times, [pair[k] for pair in counts], "o", color=colour, markersize=4)
        axes.plot(times, [pair[k] for pair in fitted], color=colour, label=name)
    axes.set_xlabel("time")
    axes.legend(frameon=False)
    figure.savefig("ode_fit.png", dpi=100)
