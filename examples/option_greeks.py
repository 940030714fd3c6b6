# SPDX-License-Identifier: MIT
# %% [markdown]
# # What an option's price depends on
#
# A European call on a share that moves as Black and Scholes assume. Its price is the mean over many
# simulated futures; its sensitivities (delta, vega, rho) are the gradient of that mean, all of them
# from one backward pass. Here the closed form is known, so that we can compare.

# %%
import math
import statistics

from micrograd_c import Value, compile, gradients, random, scan

STRIKE, YEARS, PATHS, BATCHES = 105.0, 1.0, 200_000, 20
share, volatility, rate = Value(100.0), Value(0.2), Value(0.03)
inputs = (share, volatility, rate)


def payoff():
    """Today's value of the call, for one future."""
    z = random.normal()
    drift = (rate - volatility * volatility / 2) * YEARS
    final = share * (drift + volatility * math.sqrt(YEARS) * z).exp()
    return (-rate * YEARS).exp() * (final - STRIKE).relu()


# %% [markdown]
# The function is written for one future. The core replays it for 10,000 at a time, each with a
# random number of its own, and the spread between 20 such batches gives the standard errors.


# %%
def estimate(payoff):
    """Price, delta, vega and rho, from each batch."""
    f = compile(payoff)
    estimates = []
    for batch in range(BATCHES):
        price = f.value_and_grad(samples=PATHS // BATCHES, seed=batch)
        estimates.append((price, *(value.grad for value in inputs)))
    return estimates


estimates = estimate(payoff)

# %% [markdown]
# A call on the mean of every day's price depends on the whole path. That is a loop, in whose body
# each day draws a number of its own. Of the geometric mean there is a closed form, too (Kemna and
# Vorst, 1990); its derivatives are the core's.

# %%
DAYS = 252


def moves():
    """What the logarithm of the price gains in all days: its mean and its deviation."""
    return (rate - volatility * volatility / 2) * YEARS, volatility * math.sqrt(YEARS)


def asian_payoff():
    """Today's value of the call on the geometric mean, for one path."""
    drift, spread = moves()

    def day(carry, _):
        x, total = carry  # the logarithm of the price, and the sum of these
        x = x + drift / DAYS + spread / math.sqrt(DAYS) * random.normal()
        return (x, total + x), None

    (_, total), _ = scan(day, (share.log(), 0.0), length=DAYS)
    return (-rate * YEARS).exp() * ((total / DAYS).exp() - STRIKE).relu()


columns = [*zip(*estimate(asian_payoff), strict=True)]
means = [statistics.fmean(column) for column in columns]
errors = [statistics.stdev(column) / math.sqrt(BATCHES) for column in columns]

# The logarithm of the mean is a normal number, like that of a price.
drift, spread = moves()
middle = share.log() + drift * (DAYS + 1) / (2 * DAYS)
width = spread * math.sqrt((DAYS + 1) * (2 * DAYS + 1) / 6) / DAYS
d = (middle - math.log(STRIKE)) / width
forward = (middle + width * width / 2).exp()
call = forward * (d + width).normal_cdf() - STRIKE * d.normal_cdf()
exact = (-rate * YEARS).exp() * call
expected = [exact, *gradients(exact, inputs)]
for mean, error, true in zip(means, errors, expected, strict=True):
    print(f"on the mean: {mean:10.3f} {error:8.3f} {true.data:9.3f}")
    assert abs(mean - true.data) < 4 * error

# %% [markdown]
# The closed form, by Black and Scholes (1973).

# %%


def normal_cdf(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


s, v, r, root = share.data, volatility.data, rate.data, math.sqrt(YEARS)
d1 = (math.log(s / STRIKE) + (r + v * v / 2) * YEARS) / (v * root)
d2 = d1 - v * root
discounted = STRIKE * math.exp(-r * YEARS)
exact = {
    "price": s * normal_cdf(d1) - discounted * normal_cdf(d2),
    "delta": normal_cdf(d1),
    "vega": s * root * math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi),
    "rho": YEARS * discounted * normal_cdf(d2),
}
print(f"{'':6} {'simulated':>10} {'error':>8} {'exact':>9}")
for (name, true), column in zip(exact.items(), zip(*estimates, strict=True), strict=True):
    mean = statistics.fmean(column)
    error = statistics.stdev(column) / math.sqrt(BATCHES)
    print(f"{name:6} {mean:10.3f} {error:8.3f} {true:9.3f}")
    assert abs(mean - true) < 4 * error

# %% [markdown]
# The 20 batches, as strokes, and their mean with two standard errors.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    figure, axes = plt.subplots(figsize=(7.0, 3.2), layout="constrained")
    for k, true in enumerate(exact.values()):
        off = [100 * (estimate[k] / true - 1) for estimate in estimates]
        mean, error = statistics.fmean(off), statistics.stdev(off) / math.sqrt(BATCHES)
        axes.plot(off, [k] * BATCHES, "|", color="#0072B2")
        axes.errorbar(mean, k + 0.25, xerr=2 * error, fmt="o", color="#D55E00")
    axes.axvline(0.0, color="#888888", linewidth=0.8)
    axes.set_yticks(range(len(exact)), exact)
    axes.set_xlabel("difference to the closed form, per cent")
    figure.savefig("option_greeks.png", dpi=100)
