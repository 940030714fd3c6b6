# SPDX-License-Identifier: MIT
"""Checks of the numbers that optim's schedulers and functions get; `what` names the caller."""

import math
import operator
from typing import Any

from .._core import Value


def as_float(what: str, name: str, number: Any) -> float:
    """Any real number, as a float."""
    try:
        return Value(number).data
    except TypeError:
        got = type(number).__name__
        raise TypeError(f"{what}: expected a number as {name}, got {got}") from None


def at_least_zero(what: str, name: str, number: Any) -> float:
    """Infinity is one."""
    found = as_float(what, name, number)
    if not found >= 0:
        raise ValueError(f"{what}: expected {name} of at least 0, got {number!r}")
    return found


def finite(what: str, name: str, number: Any) -> float:
    """At least 0, and not infinite."""
    found = at_least_zero(what, name, number)
    if found == math.inf:
        raise ValueError(f"{what}: expected a finite {name}, got {number!r}")
    return found


def positive(what: str, name: str, number: Any) -> float:
    """Above 0; infinity is."""
    found = at_least_zero(what, name, number)
    if found == 0:
        raise ValueError(f"{what}: expected {name} above 0, got {number!r}")
    return found


def whole(what: str, name: str, number: Any, at_least: int | None = None) -> int:
    """A whole number, at least so large where a bound is given."""
    try:
        found = operator.index(number)
    except TypeError:
        raise TypeError(f"{what}: expected a whole number as {name}, got {number!r}") from None
    if at_least is not None and found < at_least:
        raise ValueError(f"{what}: expected {name} of at least {at_least}, got {number!r}")
    return found
