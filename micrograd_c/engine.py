# SPDX-License-Identifier: MIT
"""The engine as its users meet it: Value, and the functions that work on Values.

What happens inside is in the compiled module `_core`; its source is `src/`.
"""

from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Literal

from ._core import (
    Condition,
    TapeStats,
    Value,
    accumulate_grads,
    clip,
    custom,
    dot,
    logical_and,
    logical_not,
    logical_or,
    pause_recording,
    resume_recording,
    take,
    tape_stats,
    topological_sort,
    where,
)
from ._core import sum as sum

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._core import Pause

__all__ = [
    "Condition",
    "TapeStats",
    "Value",
    "accumulate_grads",
    "clip",
    "custom",
    "dot",
    "logical_and",
    "logical_not",
    "logical_or",
    "no_grad",
    "take",
    "tape_stats",
    "topological_sort",
    "where",
]


class no_grad(ContextDecorator):
    """Inside it, results are leaves: nothing is recorded in this thread.

    A context manager, `with no_grad():`, and a decorator, `@no_grad()`. In a function that is being
    compiled, results are nodes that follow the numbers and stop the gradient.
    """

    def __init__(self) -> None:
        self._pauses: list[Pause] = []  # one for each time that it is entered

    def __enter__(self) -> "Self":
        """Nothing is recorded in this thread from here on."""
        pause_recording(self._pauses)
        return self

    def __exit__(self, *exc_info: object) -> Literal[False]:
        """Recording is as before; exceptions pass through."""
        resume_recording(self._pauses)
        return False
