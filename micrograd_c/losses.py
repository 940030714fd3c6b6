# SPDX-License-Identifier: MIT
"""Losses of Values, for eager and compiled code alike; no logit is too large for them.

Those that compare element by element take a Value (or a number) on each side, or two sequences of
one length; of sequences they give the mean, as PyTorch does. Inside `compile` they are written for
one sample, like everything there, and the batch is averaged by the compiled function.
"""

import functools
import operator
from collections.abc import Callable, Collection, Iterable
from typing import Any, SupportsIndex, TypeGuard

from ._types import Operand, Operands
from .engine import Value, dot, take, where
from .engine import sum as sum_values

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge_loss",
    "l1_loss",
    "log_softmax",
    "mse_loss",
    "softmax",
]

# One cannot say which of their elements belongs to which number.
UNORDERED = (set, frozenset, dict)


def mse_loss(predictions: Operand | Operands, targets: Operand | Operands) -> Value:
    """The mean of (prediction - target)**2.

    `predictions`, `targets`: Values or numbers, or two sequences of them of one length.
    ValueError for different lengths, or none at all; TypeError for one side alone being a sequence.
    """
    return mean_of_pairs("mse_loss", lambda p, t: (p - t) ** 2, predictions, targets)


def l1_loss(predictions: Operand | Operands, targets: Operand | Operands) -> Value:
    """The mean of abs(prediction - target); its derivative is 0 where they meet, as in PyTorch.

    Arguments and errors as for `mse_loss`.
    """
    return mean_of_pairs("l1_loss", lambda p, t: abs(p - t), predictions, targets)


def hinge_loss(scores: Operand | Operands, labels: Operand | Operands) -> Value:
    """The mean of max(0, 1 - label * score), for labels of -1 and 1 (Cortes and Vapnik, 1995).

    Arguments and errors as for `mse_loss`.
    """
    return mean_of_pairs("hinge_loss", lambda s, y: (1 - y * s).relu(), scores, labels)


def binary_cross_entropy_with_logits(
    logits: Operand | Operands, targets: Operand | Operands
) -> Value:
    """The mean of -t log s(z) - (1 - t) log(1 - s(z)), s the sigmoid, for targets t from 0 to 1.

    Computed as softplus(z) - t z, which is the same and overflows for no z. Arguments and errors
    as for `mse_loss`.
    """
    return mean_of_pairs(
        "binary_cross_entropy_with_logits", lambda z, t: z.softplus() - t * z, logits, targets
    )


def softmax(logits: Operands) -> list[Value]:
    """exp(z_k) / sum of exp(z_i), as a list of Values: positive, and 1 in sum.

    `logits`: a sequence of Values or numbers; ValueError if there are none.
    """
    powers = [z.exp() for z in shifted("softmax", logits)]
    total = sum_values(powers)
    return [power / total for power in powers]


def log_softmax(logits: Operands) -> list[Value]:
    """The logarithms of `softmax(logits)`, as a list of Values, also where that would round to 0.

    `logits`: a sequence of Values or numbers; ValueError if there are none.
    """
    zs = shifted("log_softmax", logits)
    total = log_of_sum_of_exps(zs)
    return [z - total for z in zs]


def cross_entropy(logits: Operands, target: SupportsIndex | Value | Operands) -> Value:
    """-log softmax(logits)[target], or, for probabilities, -sum of p_k log softmax(logits)_k.

    `logits`: a sequence of Values or numbers, one a class. `target`: the class's index, in a
    compiled function also an input that holds it; or a sequence of each class's probability.
    IndexError for an index that no class has, TypeError for what is none; ValueError for another
    number of probabilities than of classes, or no class at all.
    """
    zs = shifted("cross_entropy", logits)
    if is_sequence(target):
        probabilities = list(target)
        expect_length("cross_entropy", "probabilities", len(zs), len(probabilities))
        total = log_of_sum_of_exps(zs)
        return -dot(probabilities, [z - total for z in zs])
    index: int | Value
    if isinstance(target, Value):
        # take would count -1 from the end: what is below 0 is moved out of its range.
        index = where(-target, target - len(zs), target)
    else:
        index = class_index(target)
        if not 0 <= index < len(zs):
            raise IndexError(
                f"cross_entropy: expected a class from 0 to {len(zs) - 1} as target, got {target!r}"
            )
    return log_of_sum_of_exps(zs) - take(zs, index)


def class_index(target: Any) -> int:
    try:
        return operator.index(target)
    except TypeError:
        raise TypeError(
            "cross_entropy: expected a class's index or a sequence of probabilities as target, "
            f"got {type(target).__name__}"
        ) from None


def shifted(name: str, logits: Any) -> list[Value]:
    """The logits less the largest, which changes no probability and keeps exp from overflowing.

    The largest is a node, not a number, so that a compiled function finds it anew for each sample;
    what it passes back adds up to 0.
    """
    if not is_sequence(logits):
        raise TypeError(f"{name}: expected a sequence of logits, got {type(logits).__name__}")
    logits = [as_value(name, z) for z in logits]
    if not logits:
        raise ValueError(f"{name}: expected at least one logit, got none")
    largest = functools.reduce(lambda a, b: a.maximum(b), logits)
    return [z - largest for z in logits]


def log_of_sum_of_exps(zs: Iterable[Value]) -> Value:
    return sum_values([z.exp() for z in zs]).log()


def mean_of_pairs(
    name: str, loss: Callable[[Value, Any], Value], predictions: Any, targets: Any
) -> Value:
    """The loss of a pair, or the mean over two sequences."""
    if is_sequence(predictions) != is_sequence(targets):
        kinds = type(predictions).__name__, type(targets).__name__
        raise TypeError(
            f"{name}: expected two sequences or two numbers, got {kinds[0]}, {kinds[1]}"
        )
    if not is_sequence(predictions):
        return loss(as_value(name, predictions), as_operand(name, targets))
    predictions, targets = list(predictions), list(targets)
    expect_length(name, "targets", len(predictions), len(targets))
    if not predictions:
        raise ValueError(f"{name}: expected at least one prediction, got none")
    losses = [
        loss(as_value(name, p), as_operand(name, t))
        for p, t in zip(predictions, targets, strict=True)
    ]
    return sum_values(losses) / len(losses)


def is_sequence(what: Any) -> TypeGuard[Collection[Any]]:
    """Whether it has elements, each in its place; a Value and NumPy's 0-d arrays are numbers."""
    no_sequence = isinstance(what, (Value, str, *UNORDERED))
    return hasattr(what, "__iter__") and not no_sequence and bool(shape_of(what))


def shape_of(what: Any) -> Any:
    return getattr(what, "shape", True)


def as_operand(name: str, number: Any) -> Any:
    """The number, or TypeError: a batch, say, where one sample is expected."""
    if isinstance(number, (str, *UNORDERED)) or is_sequence(number):
        raise TypeError(f"{name}: expected numbers of one sample, got {type(number).__name__}")
    return number


def as_value(name: str, number: Any) -> Value:
    return number if isinstance(number, Value) else Value(as_operand(name, number))


def expect_length(name: str, what: str, expected: int, got: int) -> None:
    if expected != got:
        raise ValueError(f"{name}: expected {expected} {what}, got {got}")
