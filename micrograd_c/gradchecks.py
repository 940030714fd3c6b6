# SPDX-License-Identifier: MIT
"""Comparing derivatives by the engine with central differences."""

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from ._core import recorded
from ._types import Operand
from .engine import Value, no_grad
from .transforms import grad, hessian

__all__ = ["GradcheckError", "gradcheck"]


class GradcheckError(RuntimeError):
    """A derivative by the engine and its central difference disagree."""


def gradcheck(
    fn: Callable[..., Value],
    inputs: Iterable[Operand],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    order: int = 1,
    raise_exception: bool = True,
) -> bool:
    """Whether the engine's gradient of fn agrees with central differences.

    fn: takes as many Values as there are inputs, returns one Value.
    inputs: Values or numbers; only their data is read, and their data and grad stay as they are.
    eps: the step to either side; the numerical derivative is (f(x + eps) - f(x - eps)) / (2 eps).
    atol, rtol: they agree where abs(analytical - numerical) <= atol + rtol * abs(numerical).
    order: 2 compares the second derivatives, too, with central differences of the first.
    raise_exception: raise GradcheckError at the first disagreement; otherwise return False.

    What fn draws from Python's random, micrograd_c.random's numbers included, is the same in each
    call.

    TypeError if fn returns anything but a Value; ValueError if order is neither 1 nor 2, or eps not
    above 0. no_grad() around it changes nothing.
    """
    if not eps > 0:
        raise ValueError(f"gradcheck: expected eps above 0, got {eps!r}")
    if order not in (1, 2):
        raise ValueError(f"gradcheck: expected order 1 or 2, got {order!r}")
    points = [x.data if isinstance(x, Value) else Value(x).data for x in inputs]
    fn = _with_the_same_draws(fn)
    found = _first_order(fn, points, eps)
    if order == 2 and points:
        found = itertools.chain(found, _second_order(fn, points, eps))
    for what, point, analytical, numerical in found:
        if not _agree(analytical, numerical, atol, rtol):
            if raise_exception:
                raise GradcheckError(
                    f"{what} at {point!r}:\nanalytical: {analytical!r}\nnumerical:  {numerical!r}"
                )
            return False
    return True


# What is compared, the point, the engine's derivative, the central difference.
_Pairs: TypeAlias = Iterator[tuple[str, float, float, float]]


def _first_order(fn: Callable[..., Value], points: list[float], eps: float) -> _Pairs:
    leaves = [Value(point) for point in points]
    recorded(lambda: _evaluate(fn, leaves).backward(accumulate=False))
    for index, (point, leaf) in enumerate(zip(points, leaves, strict=True)):
        with no_grad():
            ahead, behind = (_evaluate(fn, at).data for at in _beside(points, index, eps))
        yield (
            f"gradient mismatch for input {index}",
            point,
            leaf.grad,
            (ahead - behind) / (2 * eps),
        )


def _second_order(fn: Callable[..., Value], points: list[float], eps: float) -> _Pairs:
    every = tuple(range(len(points)))
    rows = hessian(fn, every)(*points)
    for index, point in enumerate(points):
        ahead, behind = (grad(fn, every)(*at) for at in _beside(points, index, eps))
        for other in every:
            yield (
                f"second derivative mismatch for inputs {other} and {index}: input {index}",
                point,
                rows[other][index].data,
                (ahead[other].data - behind[other].data) / (2 * eps),
            )


def _with_the_same_draws(fn: Callable[..., Value]) -> Callable[..., Value]:
    state = random.getstate()

    @functools.wraps(fn, updated=())
    def repeated(*args: Any) -> Value:
        random.setstate(state)
        return fn(*args)

    return repeated


def _beside(points: list[float], index: int, eps: float) -> list[list[float]]:
    """The points with one of them moved to either side."""
    return [[*points[:index], points[index] + step, *points[index + 1 :]] for step in (eps, -eps)]


def _evaluate(fn: Callable[..., Value], points: Sequence[Operand]) -> Value:
    result: Any = fn(*[x if isinstance(x, Value) else Value(x) for x in points])
    if not isinstance(result, Value):
        raise TypeError(f"gradcheck: expected fn to return a Value, got {type(result).__name__}")
    return result


def _agree(analytical: float, numerical: float, atol: float, rtol: float) -> bool:
    if math.isnan(analytical) or math.isnan(numerical):
        return False
    return analytical == numerical or abs(analytical - numerical) <= atol + rtol * abs(numerical)
