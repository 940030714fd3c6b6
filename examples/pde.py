# SPDX-License-Identifier: MIT
# %% [markdown]
# # A network that solves a differential equation
#
# Wanted is u with u'' = -u, u(0) = 0 and u'(0) = 1, from 0 to 2π. The answer is the sine, so we can
# compare. But the network never sees the answer. It only sees how far it is from obeying the
# equation (Lagaris, Likas and Fotiadis, 1998).

# %%
import math
import random
import time

from scipy.optimize import least_squares

from micrograd_c import compile, grad, optim
from micrograd_c.nn import MLP

random.seed(0)
model = MLP(1, [8, 8, 1], output_activation="linear")
END, POINTS = 2 * math.pi, 101
xs = [END * k / (POINTS - 1) for k in range(POINTS)]

# %% [markdown]
# Both conditions at 0 are built in: x + x² N(x) has the value 0 and the slope 1 there, whatever the
# network N says. What is left is the equation. `grad(grad(u))` gives u'' as a graph, so what should
# be 0 holds a second derivative, and training takes one more derivative, by the weights.


# %%
def u(x):
    return x + x * x * model([x / math.pi - 1])


def bend(x):
    return grad(grad(u))(x)


def residual(x):
    return bend(x) + u(x)


solve = compile(lambda x: {"u": u(x), "bend": bend(x)})


def report(name, seconds):
    found = solve(xs)
    errors = [value - math.sin(x) for x, value in zip(xs, found["u"], strict=True)]
    bends = [value + math.sin(x) for x, value in zip(xs, found["bend"], strict=True)]
    worst, worst_bend = max(map(abs, errors)), max(map(abs, bends))
    print(f"{name:13} {seconds:.2f} s, worst error of u {worst:.0e}, of u'' {worst_bend:.0e}")
    return found, errors, worst, worst_bend


# %% [markdown]
# First as networks are trained. The loss is recorded once, for one x, and replayed for all 101 in
# each of 3,000 steps of Adam.

# %%
start = time.perf_counter()
loss = compile(lambda x: residual(x) ** 2)
losses = loss.fit(xs, optimizer=optim.Adam(model.parameters(), lr=0.02), steps=3000)
by_adam = report("Adam", time.perf_counter() - start)

# %% [markdown]
# Then as sums of squares are minimised, by Levenberg and Marquardt's method. It asks for the
# residuals of all points and for their derivatives by all weights; `residuals` gives both. Two
# hundred such calls get much further than Adam.

# %%
start = time.perf_counter()
residuals = compile(lambda x: [residual(x)]).residuals(xs)
best = least_squares(residuals.fun, residuals.x0, jac=residuals.jac, method="lm", max_nfev=200)
residuals.assign(best.x)
by_squares = report("least_squares", time.perf_counter() - start)

# %% [markdown]
# The network, its second derivative, and how far u is from the sine after either training.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    found = by_squares[0]
    figure, (above, below) = plt.subplots(2, figsize=(6.4, 5.4), sharex=True, layout="constrained")
    above.plot(xs, [math.sin(x) for x in xs], color="#bbbbbb", linewidth=5, label="sine")
    above.plot(xs, found["u"], label="u, the network")
    above.plot(xs, found["bend"], linestyle="--", label="u'', its second derivative")
    above.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    for label, errors in (("Adam", by_adam[1]), ("least_squares", by_squares[1])):
        below.semilogy(xs[1:], [abs(error) for error in errors[1:]], label=label)
    below.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    below.set_ylabel("error of u")
    below.set_xlabel("x")
    figure.savefig("pde.png", dpi=100)

assert by_adam[2] < 0.1 and by_squares[2] < 1e-3 and by_squares[3] < 1e-2
