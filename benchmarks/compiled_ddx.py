# SPDX-License-Identifier: MIT
"""Values and gradients of random scalar functions beside ddx-ad, which compiles by LLVM."""

import random

import ddx
import numpy as np

import micrograd_c
from micrograd_c import Value

from . import irregular
from .measure import agree, compare

SAMPLES = 4096
SIZES = (300, 2_000, 10_000)  # operations
MIXES = {
    "+ - *": {"calls": (), "mix": "+-*"},
    "1/5 tanh exp sin": {"calls": ("tanh", "exp", "sin"), "mix": "++++----****"},
}


def theirs(function, calls, numbers, batch):
    """(what makes it ready anew; its value and gradient of the batch, already compiled)."""

    def make():
        @ddx.equation
        def equation():
            xs = [ddx.var(f"x{k}") for k in range(irregular.INPUTS)]
            return function(xs, numbers, *(getattr(ddx, name) for name in calls))

        equation.compile(points=SAMPLES, cache_dir="")
        return equation.buffer(batch)

    return make, make()


def ours(function, calls, numbers, batch):
    """The same of ours."""
    methods = [getattr(Value, name) for name in calls]

    def make():
        fn = micrograd_c.value_and_grad(lambda xs: function(xs, numbers, *methods))
        compiled = micrograd_c.compile(fn, threads=1)
        compiled(batch[:1])
        return compiled

    return make, make()


def rows(settings):
    """Values and gradients of all samples, and getting ready, for each size and mix."""
    result = []
    rng = random.Random(7)
    numbers = [rng.uniform(-1.0, 1.0) for _ in range(irregular.PARAMETERS)]
    batch = np.random.default_rng(8).uniform(-1.0, 1.0, (SAMPLES, irregular.INPUTS))
    for title, choice in MIXES.items():
        for operations in SIZES:
            function = irregular.function(operations, squashing=(), **choice)
            make_theirs, call = theirs(function, choice["calls"], numbers, batch.T.copy())
            make_ours, compiled = ours(function, choice["calls"], numbers, batch)
            call()
            values, slopes = compiled(batch)
            name = f"{operations:,} operations, {title}"
            agree(name, call.value, values)
            for k in range(irregular.INPUTS):
                agree(name, call.jacobian[k], slopes[:, k], rel_tol=1e-7)
            result.append(compare(name, call, lambda f=compiled: f(batch), settings))
            if operations < SIZES[-1]:
                once = {"first_calls": 1, "second_calls": 10}
                result.append(compare(f"{name}, ready", make_theirs, make_ours, settings, **once))
    return result
