# SPDX-License-Identifier: MIT
"""Loops by scan beside JAX's: values and gradients, warm, the same work and numbers on both sides.

A character network of 64 names a batch, an equation of 1,000 steps for one sample, and an Asian
option whose random numbers each side makes for itself. One thread on our side.
"""

import itertools

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

import micrograd_c
from micrograd_c import Value, random, scan
from micrograd_c.losses import cross_entropy

from . import asian, gpt
from .asian import MARKET, PATHS, STEPS, STRIKE, YEARS
from .measure import agree, compare

jax.config.update("jax_enable_x64", True)

HIDDEN, NAMES, LENGTH = 32, 64, 12  # letters of a name, with the dots that fill it up
LETTERS = ".abcdefghijklmnopqrstuvwxyz"
ODE_STEPS, SPAN = 1000, 0.01
RATES, START = (2.0, 0.3), (1.0, 0.5)
ROUNDING = {"float64": 1e-8, "float32": 1e-4}
NOTES = {"float64": "", "float32": ", float32"}


def beside(title, theirs, ours, weights, settings, rel_tol):
    """A row, if losses and gradients are the same. theirs(): both; ours(): the loss."""
    loss, gradients = theirs()
    agree(title, [float(loss)], [ours()], rel_tol)
    flat = np.concatenate([np.ravel(g) for g in jax.tree.leaves(gradients)])
    mine = np.array([w.grad for w in weights])
    agree(title, [1.0], [1.0 + float(abs(flat - mine).max() / abs(flat).max())], rel_tol)
    return compare(title, lambda: jax.block_until_ready(theirs()), ours, settings)


# -- a character network -----------------------------------------------------------------------


def matrices():
    """Of letters, of the state, biases, of the output, biases."""
    rng, letters = np.random.default_rng(0), len(LETTERS)
    shapes = (HIDDEN, letters), (HIDDEN, HIDDEN), (HIDDEN,), (letters, HIDDEN), (letters,)
    return [rng.normal(0, 0.3, shape) for shape in shapes]


def names():
    """A row of letters for each: a dot before, and dots behind."""
    short = [name for name in gpt.read_names() if len(name) < LENGTH][:NAMES]
    rows = [f".{name}".ljust(LENGTH + 1, ".") for name in short]
    return np.array([[LETTERS.index(letter) for letter in row] for row in rows])


def spelling(weights):
    """Our loss of one name: the mean cross-entropy of each letter that follows."""
    columns, state, biases, output, output_biases = weights

    def body(h, pair):
        letter, following = pair
        h = [
            micrograd_c.dot(row, h, micrograd_c.take(column, letter) + b).tanh()
            for row, column, b in zip(state, columns, biases, strict=True)
        ]
        scores = [micrograd_c.dot(row, h, b) for row, b in zip(output, output_biases, strict=True)]
        return h, cross_entropy(scores, following)

    def loss(name):
        _, losses = scan(body, [0.0] * HIDDEN, list(itertools.pairwise(name)))
        return micrograd_c.sum(list(losses)) / LENGTH

    return loss


def jax_spelling(weights, letters):
    columns, state, biases, output, output_biases = weights

    def body(h, pair):
        letter, following = pair
        h = jnp.tanh(h @ state.T + columns[:, letter].T + biases)
        chances = jax.nn.log_softmax(h @ output.T + output_biases)
        return h, -jnp.take_along_axis(chances, following[:, None], 1)[:, 0]

    start = jnp.zeros((NAMES, HIDDEN), state.dtype)
    return lax.scan(body, start, (letters[:-1], letters[1:]))[1].mean()


def spelling_row(dtype, settings):
    """The loss of 64 names and its gradient by 2,811 weights."""
    arrays = matrices()
    weights = [
        [[Value(x) for x in row] for row in a] if a.ndim == 2 else [Value(x) for x in a]
        for a in arrays
    ]
    flat = [w for a in weights for row in a for w in (row if isinstance(row, list) else [row])]
    f = micrograd_c.compile(spelling(weights), threads=1, dtype=dtype)
    letters = names()
    numbers, columns = letters.astype(dtype), jnp.array(letters.T)
    theirs, given = jax.jit(jax.value_and_grad(jax_spelling)), [jnp.array(a, dtype) for a in arrays]
    return beside(
        f"char RNN, JAX scan{NOTES[dtype]}",
        lambda: theirs(given, columns),
        lambda: f.value_and_grad(numbers),
        flat,
        settings,
        ROUNDING[dtype],
    )


# -- an equation -------------------------------------------------------------------------------


def orbit(rates, start, scan):
    """Lotka and Volterra's equations by Runge and Kutta's method; a number of where they end."""
    a, b = rates

    def slope(x, y):
        return a * x - b * x * y, b * x * y - y

    def body(carry, _):
        x, y = carry
        k1 = slope(x, y)
        k2 = slope(x + SPAN / 2 * k1[0], y + SPAN / 2 * k1[1])
        k3 = slope(x + SPAN / 2 * k2[0], y + SPAN / 2 * k2[1])
        k4 = slope(x + SPAN * k3[0], y + SPAN * k3[1])
        x, y = (
            v + SPAN / 6 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]) for i, v in enumerate((x, y))
        )
        return (x, y), None

    (x, y), _ = scan(body, start, None, length=ODE_STEPS)
    return x * x + y


def orbit_row(dtype, settings):
    """Where one orbit ends, and its gradient by the two rates."""
    rates = [Value(rate) for rate in RATES]
    f = micrograd_c.compile(lambda x, y: orbit(rates, (x, y), scan), threads=1, dtype=dtype)
    x, y = (np.array([number], dtype) for number in START)
    theirs = jax.jit(jax.value_and_grad(lambda p, x, y: orbit(p, (x, y), lax.scan)))
    given, start = jnp.array(RATES, dtype), [jnp.array(number, dtype) for number in START]
    return beside(
        f"ODE of {ODE_STEPS:,}, JAX scan{NOTES[dtype]}",
        lambda: theirs(given, *start),
        lambda: f.value_and_grad(x, y),
        rates,
        settings,
        10 * ROUNDING[dtype],
    )


# -- an option ---------------------------------------------------------------------------------


def payoff(market):
    """The discounted payoff of one path; its steps draw their own normals."""
    share, volatility, rate = market
    span = YEARS / STEPS
    drift, spread = (rate - volatility * volatility / 2) * span, volatility * span**0.5

    def step(carry, _):
        price, total = carry
        price = price * (drift + spread * random.normal()).exp()
        return (price, total + price), None

    (_, total), _ = scan(step, (share, 0.0), length=STEPS)
    return (-rate * YEARS).exp() * (total / STEPS - STRIKE).relu()


def jax_price(market, key):
    """The same, the mean over all paths."""
    share, volatility, rate = market
    span = YEARS / STEPS
    drift, spread = (rate - volatility * volatility / 2) * span, volatility * span**0.5

    def step(carry, key):
        price, total = carry
        price = price * jnp.exp(drift + spread * jax.random.normal(key, (PATHS,)))
        return (price, total + price), None

    start = jnp.full(PATHS, share), jnp.zeros(PATHS)
    (_, total), _ = lax.scan(step, start, jax.random.split(key, STEPS))
    return (jnp.exp(-rate * YEARS) * jnp.maximum(total / STEPS - STRIKE, 0.0)).mean()


def written_out(market):
    """The same path without a loop."""
    return asian.payoff(market, [random.normal() for _ in range(STEPS)])


def option_row(title, path, settings):
    """Price and three Greeks; other random numbers on either side, and so the same within noise."""
    market = [Value(number) for number in MARKET]
    ours = micrograd_c.compile(lambda: path(market), threads=1)
    theirs, numbers = jax.jit(jax.value_and_grad(jax_price)), jnp.array(MARKET)
    key = jax.random.PRNGKey(1)
    price, greeks = theirs(numbers, key)
    agree(title, [float(price)], [ours.value_and_grad(samples=PATHS, seed=1)], rel_tol=0.03)
    agree(title, greeks.tolist(), [value.grad for value in market], rel_tol=0.03)
    return compare(
        title,
        lambda: jax.block_until_ready(theirs(numbers, key)),
        lambda: ours.value_and_grad(samples=PATHS, seed=1),
        settings,
        first_calls=1,
        second_calls=1,
    )


def rows(settings):
    loops = spelling_row, orbit_row
    found = [row(dtype, settings) for row in loops for dtype in ROUNDING]
    found.append(option_row("Asian, own normals, JAX scan", payoff, settings))
    return [*found, option_row("  our steps written out", written_out, settings)]
