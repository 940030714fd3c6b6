# SPDX-License-Identifier: MIT
"""An Asian call by Monte Carlo: one path in plain Value code beside JAX's scan.

Price, delta, vega and rho. The random numbers are made before and handed to both: 200 MB.
"""

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

import micrograd_c
from micrograd_c import Value

from .measure import agree, compare

STEPS, PATHS = 252, 100_000
STRIKE, YEARS = 100.0, 1.0
MARKET = (100.0, 0.2, 0.03)  # the share's price, its volatility, the rate of interest

jax.config.update("jax_enable_x64", True)


def payoff(market, draws):
    """The discounted payoff of one path: the mean of the prices of all days, less the strike."""
    share, volatility, rate = market
    span = YEARS / len(draws)
    drift, spread = (rate - volatility * volatility / 2) * span, volatility * span**0.5
    price, prices = share, []
    for draw in draws:
        price = price * (drift + spread * draw).exp()
        prices.append(price)
    mean = micrograd_c.sum(prices) / len(prices)
    return (-rate * YEARS).exp() * (mean - STRIKE).relu()


def jax_price(market, draws):
    """The mean over all paths; draws: a row of paths for each step."""
    share, volatility, rate = market
    span = YEARS / len(draws)
    drift, spread = (rate - volatility * volatility / 2) * span, volatility * span**0.5

    def step(carry, draw):
        price, total = carry
        price = price * jnp.exp(drift + spread * draw)
        return (price, total + price), None

    start = jnp.full(draws.shape[1], share), jnp.zeros(draws.shape[1])
    (_, total), _ = lax.scan(step, start, draws)
    mean = total / len(draws)
    return (jnp.exp(-rate * YEARS) * jnp.maximum(mean - STRIKE, 0.0)).mean()


def row(settings):
    """Price and three Greeks; JAX has all its threads, we one."""
    draws = np.random.default_rng(1).standard_normal((PATHS, STEPS))
    market = [Value(number) for number in MARKET]
    ours = micrograd_c.compile(lambda draws: payoff(market, draws), threads=1)
    theirs = jax.jit(jax.value_and_grad(jax_price))
    numbers, columns = jnp.array(MARKET), jnp.array(draws.T)
    price, greeks = theirs(numbers, columns)
    title = f"Asian option, {PATHS // 1000}k paths, JAX scan"
    agree(title, [ours.value_and_grad(draws)], [float(price)])
    agree(title, [value.grad for value in market], greeks.tolist())
    return compare(
        title,
        lambda: jax.block_until_ready(theirs(numbers, columns)),
        lambda: ours.value_and_grad(draws),
        settings,
        first_calls=1,
        second_calls=1,
    )
