# SPDX-License-Identifier: MIT
"""A progress bar: tqdm's where it is installed, else a plain line."""

import contextlib
import importlib
import sys
import time
from collections.abc import Iterator
from typing import Any


class _Bar:
    """Is called with the steps done and the last loss; says how many to do until the next call."""

    SECONDS = 0.1  # between two calls

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.piece = 1
        self.last = time.perf_counter()

    def share(self, left: int) -> int:
        """So many steps that about SECONDS pass, given how long the last ones took."""
        now = time.perf_counter()
        elapsed, self.last = now - self.last, now
        factor = min(2.0, max(0.25, self.SECONDS / max(elapsed, 1e-9)))
        self.piece = max(1, round(self.piece * factor))
        return min(left, self.piece)

    def __call__(self, done: int, loss: float) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to close."""


class _Line(_Bar):
    """One line on standard error, which is written over; where that cannot be, as in the file of a
    log, a line now and then."""

    WIDTH = 30
    BETWEEN_LINES = 10.0  # seconds, in a log

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        # A notebook's output is no terminal, but goes back to the start of a line as one does.
        is_notebook = type(sys.stderr).__module__.startswith("ipykernel")
        self.rewrites = is_notebook or getattr(sys.stderr, "isatty", bool)()
        self.shown = 0.0 if self.rewrites else time.perf_counter()

    def __call__(self, done: int, loss: float) -> None:
        now = time.perf_counter()
        if done < self.steps and now - self.shown < (
            self.SECONDS if self.rewrites else self.BETWEEN_LINES
        ):
            return
        self.shown = now
        line = f"step {done}/{self.steps} ({100 * done // self.steps} %), loss {loss:.6g}"
        if self.rewrites:
            filled = "#" * (self.WIDTH * done // self.steps)
            sys.stderr.write(f"\r[{filled:<{self.WIDTH}}] {line:<46}")
        else:
            sys.stderr.write(f"{line}\n")
        getattr(sys.stderr, "flush", bool)()  # a stream has to write, and nothing else

    def close(self) -> None:
        if self.rewrites:
            sys.stderr.write("\n")


class _Tqdm(_Bar):
    def __init__(self, steps: int, tqdm: Any) -> None:
        super().__init__(steps)
        self.bar = tqdm(total=steps, unit="step")

    def __call__(self, done: int, loss: float) -> None:
        self.bar.set_postfix(loss=f"{loss:.6g}", refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        self.bar.close()


@contextlib.contextmanager
def progress_bar(steps: int | None) -> Iterator[_Bar]:
    """A bar over so many steps; None: one that shows nothing."""
    bar = _Bar(steps or 0)
    # Programs without a console have no standard error.
    if steps is not None and sys.stderr is not None:
        try:
            tqdm = importlib.import_module("tqdm.auto").tqdm
        except ImportError:
            bar = _Line(steps)
        else:
            bar = _Tqdm(steps, tqdm)
    try:
        yield bar
    finally:
        bar.close()
