# SPDX-License-Identifier: MIT
"""Calls that the ranks of a communicator make together: mpi4py's, or what answers like it.

A rank is a process that has its own part of the samples. Before anything is computed, the ranks
tell each other what they are about to do: a rank that fails, or that does something else, is heard
of by all, and none waits for it. What follows, step by step, is the core's (`Exchange`).
"""

import contextlib
import operator
from collections.abc import Iterator
from typing import Any

from ._core import Arguments, described

__all__ = ["Ranks"]

_ROOM = 2048  # bytes that a rank has to say what it is about to do
_busy: set[int] = set()  # communicators in use, by id


class Ranks:
    """One call that all ranks of a communicator make.

    comm: with `Allgather(send, receive)` of buffers, and `Get_size()` and `Get_rank()`, or `size`
    and `rank`. TypeError for what has not; RuntimeError where it is in use by a call that is under
    way.
    """

    def __init__(self, comm: Any, call: str) -> None:
        self.comm, self.call = comm, call
        if not callable(getattr(comm, "Allgather", None)):
            raise self._no_communicator("Allgather")
        self.size = self._number("Get_size", "size")
        self.rank = self._number("Get_rank", "rank")
        # What the ranks have given, in their order: see together().
        self.counts: list[int] = []
        self.held_out: list[int] = []
        self.seeds: list[int | None] = []

    def _number(self, method: str, attribute: str) -> int:
        if callable(getattr(self.comm, method, None)):
            return operator.index(getattr(self.comm, method)())
        if not hasattr(type(getattr(self.comm, attribute, None)), "__index__"):
            raise self._no_communicator(method)
        return operator.index(getattr(self.comm, attribute))

    def _no_communicator(self, name: str) -> TypeError:
        return TypeError(
            f"{self.call}: expected a communicator of mpi4py as comm, got "
            f"{type(self.comm).__name__}, which has no {name}()"
        )

    @contextlib.contextmanager
    def together(self) -> Iterator[dict[str, Any]]:
        """For what a rank does by itself before the common work, the checks above all.

        Gives a dict for facts that have to be the same on every rank, by name, and for numbers that
        need not be: `count` and `held_out`, of samples, and `seed`, of draws. At the end the ranks
        compare them, and all raise ValueError where they differ; where a rank has failed, the
        others raise RuntimeError with its message.
        """
        if id(self.comm) in _busy:
            raise RuntimeError(f"{self.call}: comm is in use by a call that has not ended")
        _busy.add(id(self.comm))
        try:
            facts: dict[str, Any] = {}
            try:
                yield facts
            except BaseException as error:
                self._pass_round({"failed": described(error)[: _ROOM // 8]})
                raise
            texts = {name: _short(fact) for name, fact in facts.items() if isinstance(fact, str)}
            self._compare(self._pass_round({"call": self.call, **facts, **texts}))
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Others may use the communicator again."""
        _busy.discard(id(self.comm))

    def share_draws(self, arguments: Arguments, counts: list[int]) -> None:
        """Of samples that stand behind those of the ranks before, `counts` of each: their draws are
        those that they would have if rank 0 had all samples. ValueError, on all ranks, where these
        are more than there are numbers for."""
        if self.seeds[0] is None:
            return  # nothing is drawn
        if sum(counts) > 2**32:
            raise ValueError(f"{self.call}: {sum(counts)} samples are more than draws tell apart")
        arguments.first_sample = sum(counts[: self.rank])
        arguments.seed = self.seeds[0]

    def _pass_round(self, said: dict[str, Any]) -> list[dict[str, Any]]:
        sent = bytearray(_encoded(said).ljust(_ROOM))
        heard = bytearray(_ROOM * self.size)
        self.comm.Allgather(memoryview(sent), memoryview(heard))
        return [_decoded(heard[k : k + _ROOM]) for k in range(0, len(heard), _ROOM)]

    def _compare(self, said: list[dict[str, Any]]) -> None:
        for rank, theirs in enumerate(said):
            if "failed" in theirs:
                raise RuntimeError(f"rank {rank}: {theirs['failed']}")
        self.counts = [theirs.pop("count", 0) for theirs in said]
        self.held_out = [theirs.pop("held_out", 0) for theirs in said]
        self.seeds = [theirs.pop("seed", None) for theirs in said]
        first = said[0]
        for rank, theirs in enumerate(said):
            if theirs == first:
                continue
            name = next(name for name in {**first, **theirs} if first.get(name) != theirs.get(name))
            raise ValueError(
                f"{self.call}: the ranks do not do the same: {name} is {first.get(name)} on rank 0,"
                f" {theirs.get(name)} on rank {rank}"
            )


def _encoded(said: object) -> bytes:
    """As JSON, of which a character takes six bytes at most."""
    import json  # for those alone who have ranks

    return json.dumps(said, ensure_ascii=False).encode(errors="replace")


def _decoded(heard: bytearray) -> dict[str, Any]:
    import json

    said: dict[str, Any] = json.loads(heard)
    return said


def _short(text: str) -> str:
    """The text; of one that is too long, how it begins and what tells it from others."""
    if len(_encoded(text)) <= _ROOM // 6:
        return text
    import hashlib

    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return f"{text[: _ROOM // 48]}... ({digest[:16]})"
