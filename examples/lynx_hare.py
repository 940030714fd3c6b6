# SPDX-License-Identifier: MIT
# %% [markdown]
# # Hares and lynxes: a differential equation and its error bars
#
# From 1900 to 1920 the Hudson's Bay Company counted the pelts that it bought. Lotka and Volterra's
# equations, hares u' = (a - b v) u and lynxes v' = (c u - d) v, explain them by four rates and the
# numbers at the start. A loop of 400 Runge-Kutta steps is one node of the graph (`scan`), so that
# value, gradient and Hessian take microseconds; the Hessian gives the error bars.

# %%
import csv
import math
from importlib.resources import files

import numpy as np
from scipy import optimize

from micrograd_c import Value, compile, scan

DAYS = 20  # steps a year
table = (files("micrograd_c.benchmarks") / "data" / "lynx_hare.csv").read_text().splitlines()
rows = list(csv.DictReader(line for line in table if line[0] != "#"))
years = [int(row["year"]) for row in rows]
hares, lynxes = ([float(row[name]) for row in rows] for name in ("hare", "lynx"))

# %% [markdown]
# What is found are logarithms: rates and numbers of animals are positive.

# %%
NAMES = ["a", "b", "c", "d", "hares in 1900", "lynxes in 1900"]
START = [0.5, 0.03, 0.02, 0.8, hares[0], lynxes[0]]
unknown = [Value(math.log(number), label=name) for name, number in zip(NAMES, START, strict=True)]


def slope(u, v, rates):
    a, b, c, d = rates
    return (a - b * v) * u, (c * u - d) * v


def step(state, rates, h=1 / DAYS):
    """One step of the classical method of Runge (1895) and Kutta (1901), of fourth order."""
    u, v = state
    u1, v1 = slope(u, v, rates)
    u2, v2 = slope(u + h / 2 * u1, v + h / 2 * v1, rates)
    u3, v3 = slope(u + h / 2 * u2, v + h / 2 * v2, rates)
    u4, v4 = slope(u + h * u3, v + h * v3, rates)
    return (
        u + h / 6 * (u1 + 2 * u2 + 2 * u3 + u4),
        v + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4),
    )


def trajectory():
    """Hares and lynxes at the start of each year: a loop over years of loops over steps."""
    *rates, u, v = [number.exp() for number in unknown]

    def year(state, _):
        after, _ = scan(lambda state, _: (step(state, rates), None), state, length=DAYS)
        return after, after

    _, after = scan(year, (u, v), length=len(years) - 1)
    return [(u, v), *after]


def misfit(hares, lynxes):
    """The sum of squared differences of logarithms: one sample is the whole series."""
    errors = []
    for (u, v), hare, lynx in zip(trajectory(), hares, lynxes, strict=True):
        errors += [(u / hare).log(), (v / lynx).log()]
    return sum(error * error for error in errors)


# %%
problem = compile(misfit).objective([hares], [lynxes], params=unknown)
found = optimize.minimize(
    problem.fun, problem.x0, jac=problem.jac, hess=problem.hess, method="trust-exact"
)
problem.assign(found.x)
print(found.message)

# %% [markdown]
# The errors' variance is that of the residuals; the unknowns' covariance is 2 s² times the inverse
# of the Hessian (Seber and Wild, Nonlinear Regression, 1989, chapter 2). A logarithm's standard
# error is a relative one. For comparison, the means of Carpenter's Bayesian analysis of the same
# table ("Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan", 2018).

# %%
n, BAYES = 2 * len(years), [0.55, 0.028, 0.024, 0.80, 33.96, 5.95]
variance = found.fun / (n - len(unknown))
errors = np.sqrt(np.diag(2 * variance * np.linalg.inv(problem.hess(found.x))))
print(f"noise of the logarithms: {math.sqrt(variance):.2f} (Carpenter: 0.25)")
for name, log, error, mean in zip(NAMES, found.x, errors, BAYES, strict=True):
    number = math.exp(log)
    print(f"{name:15} {number:7.3f} ± {number * error:.3f} (Carpenter: {mean})")
    assert abs(math.log(number / mean)) < error

# %% [markdown]
# Points are the counts, lines the equations with what was found.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    fitted = np.array([[value.data for value in pair] for pair in trajectory()])
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    for column, name, counts, colour in (
        (0, "hares", hares, "#0072B2"),
        (1, "lynxes", lynxes, "#D55E00"),
    ):
        axes.plot(years, counts, "o", color=colour, markersize=4)
        axes.plot(years, fitted[:, column], color=colour, label=name)
    axes.set_ylabel("pelts, thousands")
    axes.set_xticks(range(1900, 1921, 5))
    axes.legend(frameon=False)
    figure.savefig("lynx_hare.png", dpi=100)
