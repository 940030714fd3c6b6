# SPDX-License-Identifier: MIT
"""What a scan is, as blocks: see loops.py for their kinds."""

import itertools
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from .draws import Stream
from .references import Block, Matrix, Ref, behind_operands, references
from .scopes import Body


@dataclass(eq=False)
class Sum:
    """What steps add to. added: of what is totalled, a block 'batch' or 'outer'."""

    block: Block
    first: Ref
    added: Ref | Block

    @property
    def refs(self) -> list[Ref]:
        return self.added.operands if isinstance(self.added, Block) else [self.added]


@dataclass(eq=False)
class Loop:
    """Vectors have a reference with a count, or to a number."""

    length: int
    is_reverse: bool
    carries: list[Block]
    first: list[Ref]
    following: list[Ref]
    last: list[Block]  # beside each carry
    elements: list[Block]
    taken: list[Ref]  # beside each element: the whole sequence, a list's or 'steps'
    made: list[Ref]
    steps: list[Block]  # beside what is made
    sums: list[Sum]
    body: Body
    draws: list[tuple[Block, Stream]]
    inside: set[int]  # ids of the body's blocks

    @property
    def roots(self) -> list[Ref]:
        """What the body computes."""
        return [*self.following, *self.made, *[ref for each in self.sums for ref in each.refs]]

    def operands(self) -> list[Ref | Matrix]:
        """What the scan takes, and what its body reads besides."""
        inner = behind_operands(self.roots, self.inside)
        read = [*self.roots, *[ref for block in inner for ref in references(block)]]
        outer = [ref for ref in read if ref.block is not None and id(ref.block) not in self.inside]
        return [*self.first, *[each.first for each in self.sums], *self.taken, *outer]

    def number_of(self, step: str, outer: str) -> str:
        """The number of a step for draws, where `outer` is that of the loop around it."""
        span, first, stride = self.body.scan.numbering
        parts = [f"{span} * ({outer})" if " " in outer else f"{span} * {outer}"] if outer else []
        parts += [f"{first}"] if first else []
        parts.append(step if stride == 1 else f"{stride} * {step}")
        return " + ".join(parts)

    def drop_but(self, used: Container[int]) -> bool:
        """Drops what nobody reads, and says whether it did: of blocks around it, those are used
        whose ids are given."""
        read = {id(block) for block in behind_operands(self.roots, self.inside)}
        before = self._size()
        self.steps, self.made = _those(self.steps, self.made, used)
        self.elements, self.taken = _those(self.elements, self.taken, read)
        self.sums = [each for each in self.sums if id(each.block) in used]
        self.draws = [each for each in self.draws if id(each[0]) in read]
        kept = [
            id(carry) in read or id(last) in used
            for carry, last in zip(self.carries, self.last, strict=True)
        ]
        for name in ("carries", "first", "following", "last"):
            setattr(self, name, list(itertools.compress(getattr(self, name), kept)))
        return self._size() < before

    def _size(self) -> int:
        own = len(self.sums) + len(self.draws)
        return own + len(self.steps) + len(self.elements) + len(self.carries)


def _those(
    blocks: list[Block], refs: list[Ref], used: Container[int]
) -> tuple[list[Block], list[Ref]]:
    kept = [id(block) in used for block in blocks]
    return list(itertools.compress(blocks, kept)), list(itertools.compress(refs, kept))


def drop_unused(refs: Iterable[Ref | Matrix], among: Container[int] | None = None) -> bool:
    """Drops from loops what these do not depend on, and says whether there was any.

    among: ids of the blocks to look at.
    """
    refs, any_dropped, dropped = list(refs), False, True
    while dropped:
        dropped = False
        blocks = behind_operands(refs, among)
        used = {id(block) for block in blocks}
        for block in blocks:
            if block.loop:
                dropped |= block.loop.drop_but(used)
                dropped |= drop_unused(block.loop.roots, block.loop.inside)
                block.operands = block.loop.operands()
        any_dropped |= dropped
    return any_dropped


_words = re.compile(r"\w+").findall


def read_by_others(names: Sequence[str], texts: Sequence[str]) -> list[bool]:
    """Of each carry, whether what another one becomes is made of it: it has to wait for that."""
    words = [set(_words(text)) for text in texts]
    return [
        any(name in each for each in [*words[:k], *words[k + 1 :]]) for k, name in enumerate(names)
    ]
