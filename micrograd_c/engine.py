# SPDX-License-Identifier: MIT
"""The engine as its users meet it: Value, and the functions that work on Values.

What happens inside is in the compiled module `_core`; its source is `src/`.
"""

from __future__ import annotations

from contextlib import ContextDecorator

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

TYPE_CHECKING = False  # typing's own would have to import it
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, Literal, TypeVar

    from typing_extensions import Self

    from ._core import Pause

    _Function = TypeVar("_Function", bound=Callable[..., Any])

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

    A context manager, `with no_grad():`, and a decorator, `@no_grad()`: of functions, and of
    generators, of which it is what their own code does. TypeError for an async function: between
    its steps others run in the same thread. In a function that is being compiled, results are nodes
    that follow the numbers and stop the gradient.
    """

    def __init__(self) -> None:
        self._pauses: list[Pause] = []  # one for each time that it is entered

    def __call__(self, func: _Function) -> _Function:
        import functools
        import inspect  # which takes as long as all that `import micrograd_c` loads

        if inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(
                "no_grad: an async function cannot be decorated, since others run while it waits; "
                "write `with no_grad():` inside it, around code without await and yield"
            )
        if not inspect.isgeneratorfunction(func):
            return super().__call__(func)

        @functools.wraps(func)
        def paused(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = func(*args, **kwargs)
            step, given = generator.send, None
            while True:
                try:
                    with self:
                        result = step(given)
                except StopIteration as end:
                    return end.value
                try:
                    step, given = generator.send, (yield result)
                except GeneratorExit:
                    with self:
                        generator.close()
                    raise
                except BaseException as error:
                    step, given = generator.throw, error

        return paused  # type: ignore[return-value]

    def __enter__(self) -> Self:
        """Nothing is recorded in this thread from here on."""
        pause_recording(self._pauses)
        return self

    def __exit__(self, *exc_info: object) -> Literal[False]:
        """Recording is as before; exceptions pass through."""
        resume_recording(self._pauses)
        return False
