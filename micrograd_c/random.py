# SPDX-License-Identifier: MIT
"""Random numbers as Values: drawn in a plain call, and for each sample of a compiled function.

In a plain call, numbers come from Python's own `random` module. In a function that is being
compiled, a draw is recorded, and becomes another number for each sample of each call, and in the
body of a scan for each step: a function of the call's seed, the sample, the place of the draw in
the function and the step, so the same whatever number of threads, vector level or executor
computes it.
"""

import random
from collections.abc import Callable

from ._core import Value, draw, operand, where
from ._types import Operand

__all__ = ["bernoulli", "normal", "uniform"]


def normal(mean: Operand = 0.0, std: Operand = 1.0) -> Value:
    """A normal number. mean, std: Values, which get gradients, or numbers.

    ValueError for a number below 0 as std.
    """
    mean, std = operand(mean, "normal: mean"), operand(std, "normal: std")
    if not isinstance(std, Value) and std < 0:
        raise ValueError(f"normal: expected a std of at least 0, got {std}")
    return _moved(_standard("normal", lambda: random.gauss(0.0, 1.0)), mean, std)


def uniform(low: Operand = 0.0, high: Operand = 1.0) -> Value:
    """A number from low to high. low, high: Values, which get gradients, or numbers.

    From 0 to 1, it is below 1.
    """
    low, high = operand(low, "uniform: low"), operand(high, "uniform: high")
    return _moved(_standard("uniform", random.random), low, high - low)


def bernoulli(p: Operand) -> Value:
    """1 with probability p, else 0. p: a number or a Value, which gets no gradient.

    ValueError where p is known and not from 0 to 1.
    """
    p = operand(p, "bernoulli: p")
    number = draw("uniform")
    known = p if not isinstance(p, Value) else 0.0 if number is not None else p.data
    if not 0 <= known <= 1:
        raise ValueError(f"bernoulli: expected a p from 0 to 1, got {known}")
    if number is None:
        return Value(1.0 if random.random() < known else 0.0)
    return where(number < p, 1.0, 0.0)


def _standard(kind: str, from_python: Callable[[], float]) -> Value:
    value = draw(kind)
    return Value(from_python()) if value is None else value


def _moved(number: Value, by: Value | float, scale: Value | float) -> Value:
    """number * scale + by, without what changes nothing."""
    if isinstance(scale, Value) or scale != 1.0:
        number = number * scale
    return number + by if isinstance(by, Value) or by != 0.0 else number
