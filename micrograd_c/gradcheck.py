# SPDX-License-Identifier: MIT
"""Comparing derivatives by the engine with central differences."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ._types import Operand
from .engine import Value, no_grad

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
    raise_exception: bool = True,
) -> bool:
    """Whether the engine's gradient of fn agrees with central differences.

    fn: takes as many Values as there are inputs, returns one Value.
    inputs: Values or numbers; only their data is read, and their data and grad stay as they are.
    eps: the step to either side; the numerical derivative is (f(x + eps) - f(x - eps)) / (2 eps).
    atol, rtol: they agree where abs(analytical - numerical) <= atol + rtol * abs(numerical).
    raise_exception: raise GradcheckError at the first disagreement; otherwise return False.

    TypeError if fn returns anything but a Value.
    """
    points = [x.data if isinstance(x, Value) else Value(x).data for x in inputs]
    leaves = [Value(point) for point in points]
    _evaluate(fn, leaves).backward(accumulate=False)
    for index, (point, leaf) in enumerate(zip(points, leaves, strict=True)):
        with no_grad():
            ahead, behind = (
                _evaluate(fn, [*points[:index], point + step, *points[index + 1 :]]).data
                for step in (eps, -eps)
            )
        numerical = (ahead - behind) / (2 * eps)
        if not _agree(leaf.grad, numerical, atol, rtol):
            if raise_exception:
                raise GradcheckError(
                    f"gradient mismatch for input {index} at {point!r}:\n"
                    f"analytical: {leaf.grad!r}\nnumerical:  {numerical!r}"
                )
            return False
    return True


def _evaluate(fn: Callable[..., Value], points: Sequence[Operand]) -> Value:
    result: Any = fn(*[x if isinstance(x, Value) else Value(x) for x in points])
    if not isinstance(result, Value):
        raise TypeError(f"gradcheck: expected fn to return a Value, got {type(result).__name__}")
    return result


def _agree(analytical: float, numerical: float, atol: float, rtol: float) -> bool:
    if math.isnan(analytical) or math.isnan(numerical):
        return False
    return analytical == numerical or abs(analytical - numerical) <= atol + rtol * abs(numerical)
