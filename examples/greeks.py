# SPDX-License-Identifier: MIT
# %% [markdown]
# # Gamma and vanna of forty thousand options
#
# How does an option's delta change when the price of the share changes (gamma), and when the
# volatility does (vanna)? Both are second derivatives of the option's price. The price is a page
# of scalar formulas, here that of Black and Scholes (1973). The derivatives are asked for, and
# computed for a whole grid of options at once.

# %%
import time

import numpy as np

from micrograd_c import compile, gradients

STRIKE, RATE, YEARS = 100.0, 0.03, 0.5


def call(share, volatility):
    """The price of a call, for one option."""
    spread = volatility * YEARS**0.5
    d1 = ((share / STRIKE).log() + (RATE + volatility**2 / 2) * YEARS) / spread
    d2 = d1 - spread
    return share * d1.normal_cdf() - STRIKE * np.exp(-RATE * YEARS) * d2.normal_cdf()


# %% [markdown]
# The first derivatives are a graph like any other, so they can be differentiated again. What all of
# them have in common is computed once.


# %%
def greeks(share, volatility):
    price = call(share, volatility)
    delta, vega = gradients(price, [share, volatility])
    gamma, vanna = gradients(delta, [share, volatility])
    return {"price": price, "delta": delta, "vega": vega, "gamma": gamma, "vanna": vanna}


shares, volatilities = np.linspace(60, 150, 200), np.linspace(0.1, 0.6, 200)
grid = np.meshgrid(shares, volatilities)
share, volatility = (each.ravel() for each in grid)

start = time.perf_counter()
f = compile(greeks)
f(share[:1], volatility[:1])
recorded = time.perf_counter()
found = f(share, volatility)
done = time.perf_counter()
print(f"recorded in {1e3 * (recorded - start):.1f} ms, {len(share):,} options in", end=" ")
print(f"{1e3 * (done - recorded):.1f} ms")

# %% [markdown]
# For this formula, the closed forms are known (Hull, Options, Futures, and Other Derivatives). If a
# line of `call` changes, they have to be derived anew; the derivatives above follow by themselves.

# %%
root = np.sqrt(YEARS)
d1 = (np.log(share / STRIKE) + (RATE + volatility**2 / 2) * YEARS) / (volatility * root)
density = np.exp(-d1 * d1 / 2) / np.sqrt(2 * np.pi)
exact = {
    "vega": share * density * root,
    "gamma": density / (share * volatility * root),
    "vanna": -density * (d1 - volatility * root) / volatility,
}
for name, true in exact.items():
    error = np.abs(found[name] - true).max()
    print(f"{name:5} from {true.min():6.3f} to {true.max():6.3f}, worst error {error:.0e}")
    assert error < 1e-10

# %% [markdown]
# Gamma is largest for calm shares near the strike; vanna changes its sign there.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: it needs matplotlib (python -m pip install matplotlib)")
else:
    figure, both = plt.subplots(1, 2, figsize=(9.6, 4.0), sharey=True, layout="constrained")
    for axes, name, shades in zip(both, ("gamma", "vanna"), ("Blues", "RdBu"), strict=True):
        heights = found[name].reshape(grid[0].shape)
        most = np.abs(heights).max()
        lowest = 0 if name == "gamma" else -most
        drawn = axes.pcolormesh(*grid, heights, cmap=shades, vmin=lowest, vmax=most)
        axes.axvline(STRIKE, color="#888888", linewidth=0.8)
        figure.colorbar(drawn, ax=axes)
        axes.set_title(name)
        axes.set_xlabel("price of the share")
    both[0].set_ylabel("volatility")
    figure.savefig("greeks.png", dpi=100)
