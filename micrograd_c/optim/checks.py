# SPDX-License-Identifier: MIT
"""Checks of the numbers that optim's schedulers and functions get; `what` names the caller."""

import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

from .._core import Value

T = TypeVar("T")


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


def one_each(
    what: str, name: str, number: Any, count: int, check: Callable[[str, str, Any], T]
) -> list[T]:
    """For so many parameter groups: a list of as many numbers, or one number for all of them."""
    numbers = list(number) if isinstance(number, list | tuple) else [number] * count
    if len(numbers) != count:
        raise ValueError(
            f"{what}: expected one {name} for each parameter group, {count} of them, "
            f"got {len(numbers)}"
        )
    return [check(what, name, each) for each in numbers]


def whole(what: str, name: str, number: Any, at_least: int | None = None) -> int:
    """A whole number, at least so large where a bound is given."""
    try:
        found = operator.index(number)
    except TypeError:
        raise TypeError(f"{what}: expected a whole number as {name}, got {number!r}") from None
    if at_least is not None and found < at_least:
        raise ValueError(f"{what}: expected {name} of at least {at_least}, got {number!r}")
    return found
