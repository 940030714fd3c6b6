# SPDX-License-Identifier: MIT
# %% [markdown]
# # Options on a share whose volatility moves
#
# Heston (1993): dS = r S dt + sqrt(v) S dW, dv = kappa (theta - v) dt + xi sqrt(v) dZ, where W and
# Z correlate by rho. An Asian call pays on the mean of the share's price, a barrier call only where
# the price never falls to a level. Prices are means over simulated paths. Their sensitivities are
# derivatives of these means: delta and vega of first order, gamma and vanna of second.
#
# The path is a loop of one node (`scan`), each day draws its own random numbers (`random.normal`),
# and all derivatives come from the one function below, by forward mode over reverse mode.

# %%
import math
import time

import numpy as np
from scipy import integrate

from micrograd_c import (
    Value,
    compile,
    grad,
    gradients,
    jvp,
    random,
    scan,
    value_and_grad,
    where,
)

RATE, RHO = 0.05, -0.6
STRIKE, BARRIER, YEARS, DAYS = 100.0, 85.0, 1.0, 252
STEP = YEARS / DAYS
# How fast the variance returns, where to, and how much it moves.
kappa, theta, xi = Value(2.0), Value(0.04), Value(0.3)


def last_day(s, strike, variance):
    """The mean of what a call pays when the price still has a day to go: Black and Scholes.

    So the last day is integrated, not drawn: the payoff has no kink, where the second derivative
    of a path would be lost.
    """
    spread = (variance * STEP).sqrt()
    forward = s * math.exp(RATE * STEP)
    d = (forward / strike).log() / spread + spread / 2
    return forward * d.normal_cdf() - strike * (d - spread).normal_cdf()


def day(state, _):
    """One step of Euler's method for ln s and v, where a negative v counts as 0."""
    x, v, total, alive = state
    z, independent = random.normal(), random.normal()
    other = RHO * z + math.sqrt(1 - RHO * RHO) * independent
    variance = v.maximum(1e-8)
    after = x + (RATE - variance / 2) * STEP + (variance * STEP).sqrt() * z
    v = v + kappa * (theta - variance) * STEP + xi * (variance * STEP).sqrt() * other
    # Of paths from x to `after`, so many stay above the barrier in between (a Brownian bridge).
    low = math.log(BARRIER)
    above = 1 - (-2 * (x - low).relu() * (after - low).relu() / (variance * STEP)).exp()
    return (after, v, total + after.exp(), alive * above), None


def payoffs(s, v):
    """Today's value of three calls on one path: European, Asian, down-and-out."""
    (x, v, total, alive), _ = scan(day, (s.log(), v, s / 2, 1.0), length=DAYS - 1)
    last, variance = x.exp(), v.maximum(1e-8)
    european = last_day(last, STRIKE, variance)
    # The mean is the trapezoidal rule's: the last price counts by half. It lies above the strike
    # where that price is above twice what is missing.
    missing = 2 * (DAYS * STRIKE - total)
    forward = last * math.exp(RATE * STEP)
    asian = where(missing > 0.0, last_day(last, missing.maximum(1e-8), variance), forward - missing)
    discount = math.exp(-RATE * YEARS)
    return [discount * european, discount * asian / (2 * DAYS), discount * european * alive]


# %% [markdown]
# Price, delta and vega by reverse mode; their changes with s, gamma and vanna, by forward mode over
# it. Vega is by the variance v, as is usual for this model.

# %%
CALLS, NAMES = ("European", "Asian", "down-and-out"), ("price", "delta", "vega", "gamma", "vanna")


def greeks(s, v):
    found = []
    for call in range(len(CALLS)):
        first = value_and_grad(lambda s, v, call=call: payoffs(s, v)[call], (0, 1))
        (price, (delta, vega)), (_, (gamma, vanna)) = jvp(first, (s, v), (1.0, 0.0))
        found.append([price, delta, vega, gamma, vanna])
    return found


f = compile(greeks)


def simulate(s, v, paths=10_000, batches=10):
    """Means and standard errors, of shape (calls, greeks)."""
    means = []
    for seed in range(batches):
        sample = f(np.full(paths, s), np.full(paths, v), seed=seed)
        means.append(sample.mean(axis=0))
    return np.mean(means, axis=0), np.std(means, axis=0, ddof=1) / math.sqrt(batches)


def show(means, errors, exact=None):
    print(f"{'':13}" + "".join(f"{name:>18}" for name in NAMES))
    for k, call in enumerate(CALLS):
        cells = zip(means[k], errors[k], strict=True)
        print(f"{call:13}" + "".join(f"{mean:9.3f} ± {error:6.3f}" for mean, error in cells))
        if exact and call in exact:
            print(f"{'  exactly':13}" + "".join(f"{x:9.3f}{'':9}" for x in exact[call]))
            for mean, error, x in zip(means[k], errors[k], exact[call], strict=False):
                assert abs(mean - x) < 4 * error, (call, mean, error, x)


start = time.perf_counter()
f(np.full(8, 100.0), np.full(8, 0.04), seed=0)
ready = time.perf_counter()
means, errors = simulate(100.0, 0.04)
done = time.perf_counter()
print(f"ready in {1e3 * (ready - start):.0f} ms; 100,000 paths in {done - ready:.1f} s")

# %% [markdown]
# The European call has a closed form up to one integral (Heston, 1993; in the form of Albrecher,
# Mayer, Schoutens and Tistaert, "The little Heston trap", 2007). Its Greeks by differences.

# %%


def heston_call(s, v):
    k, t, x, r = kappa.data, theta.data, xi.data, RATE

    def characteristic(u):
        d = np.sqrt((RHO * x * 1j * u - k) ** 2 + x * x * (1j * u + u * u))
        g = (k - RHO * x * 1j * u - d) / (k - RHO * x * 1j * u + d)
        decay = np.exp(-d * YEARS)
        root = k - RHO * x * 1j * u - d
        level = r * 1j * u * YEARS
        level += k * t / x**2 * (root * YEARS - 2 * np.log((1 - g * decay) / (1 - g)))
        return np.exp(level + root / x**2 * (1 - decay) / (1 - g * decay) * v + 1j * u * np.log(s))

    def chance(shift):
        scale = characteristic(-1j) if shift else 1.0

        def integrand(u):
            turned = np.exp(-1j * u * math.log(STRIKE)) * characteristic(u - 1j * shift)
            return (turned / (1j * u * scale)).real

        return 0.5 + integrate.quad(integrand, 1e-9, 200, limit=500, epsabs=1e-12)[0] / math.pi

    return s * chance(1) - STRIKE * math.exp(-r * YEARS) * chance(0)


def by_differences(price, s, v, h=0.5, k=1e-3):
    up, down = price(s + h, v), price(s - h, v)
    vega = (price(s, v + k) - price(s, v - k)) / (2 * k)
    twist = price(s + h, v + k) - price(s - h, v + k) - price(s + h, v - k) + price(s - h, v - k)
    middle, delta = price(s, v), (up - down) / (2 * h)
    return [middle, delta, vega, (up - 2 * middle + down) / h**2, twist / (4 * h * k)]


show(means, errors, {"European": by_differences(heston_call, 100.0, 0.04)})

# %% [markdown]
# Where the variance does not move, the model is that of Black and Scholes. There the barrier call
# has a closed form (Merton, 1973), whose Greeks `grad` gives; and the Asian call's price is
# published: 12.3208 for a volatility of 0.5 (the test case of Geman and Yor with r = 0.05 and one
# year, scaled; Linetsky, "Spectral expansions for Asian options", 2004, table 3).

# %%
kappa.data, theta.data, xi.data = 0.0, 0.25, 0.0


def barrier_call(s, v):
    """Down-and-out, where the barrier is below the strike."""
    root, discount = v.sqrt(), math.exp(-RATE * YEARS)
    power = 2 * RATE / v

    def call(s):
        d = ((s / STRIKE).log() + (RATE + v / 2) * YEARS) / root
        return s * d.normal_cdf() - STRIKE * discount * (d - root).normal_cdf()

    return call(s) - ((BARRIER / s).log() * (power - 1)).exp() * call(BARRIER * BARRIER / s)


s, v = Value(100.0), Value(0.25)
delta, vega = grad(barrier_call, (0, 1))(s, v)
exact = [barrier_call(s, v), delta, vega, *gradients(delta, [s, v])]
means, errors = simulate(100.0, 0.25)
show(means, errors, {"down-and-out": [x.data for x in exact], "Asian": [12.3208]})

# %% [markdown]
# Price, delta and vega of the three calls, by the price of the share.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    kappa.data, theta.data, xi.data = 2.0, 0.04, 0.3
    prices = np.arange(88.0, 124.0, 4.0)
    curves = np.array([simulate(s, 0.04, paths=4_000, batches=3)[0] for s in prices])
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.2), layout="constrained")
    for k, name in enumerate(("price", "delta", "vega")):
        for call, colour in zip(range(3), ("#0072B2", "#D55E00", "#009E73"), strict=True):
            axes[k].plot(prices, curves[:, call, k], color=colour, label=CALLS[call])
        axes[k].set_title(name)
        axes[k].set_xlabel("price of the share")
    axes[0].legend(frameon=False)
    figure.savefig("heston.png", dpi=100)
