# SPDX-License-Identifier: MIT
"""Where nodes are: references to those of a list, in the order of the list."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from . import cells
from .references import Block, Matrix, Ref
from .scopes import Scopes

# Rows of a product: (their matrix, the first of them, how many, their weights). No matrix: of a
# single row, or of a single input.
Segment = tuple[Matrix | None, int, int, list[list[int]]]


class Places:
    """The nodes of a program, and which elements of which blocks they are."""

    def __init__(self, scopes: Scopes, kept: frozenset[str] = frozenset()) -> None:
        """kept: rows that stay although they give what they get."""
        self.nodes = nodes = scopes.nodes
        self.scopes = scopes.scopes
        self.bodies = scopes.bodies
        self._place: dict[int, tuple[Block, int]] = {}
        self._collected: dict[tuple[Any, ...], Block] = {}
        self._segments: dict[int, list[Segment]] = {}
        self._same = list(range(len(nodes)))  # of each node, the one whose number it has
        known: dict[tuple[str, int, int], int] = {}
        for i, node in enumerate(nodes):
            if len(node.operands) == 1 and (
                node.kind == "adjoint"
                or (node.kind in ("same", "detach") and node.kind not in kept)
                or (node.kind == "gain" and cells.tree_of(node.of, node.which) == "g")
            ):
                self._same[i] = self._same[node.operands[0]]
            elif node.kind == "part" and nodes[node.operands[0]].kind == "list":
                self._same[i] = self._same[nodes[node.operands[0]].operands[node.at]]
            elif node.kind in ("part", "sequence"):
                key = node.kind, self._same[node.operands[0]], node.at
                self._same[i] = known.setdefault(key, i)

    def put(self, block: Block, nodes: Iterable[int | None]) -> Block:
        """Says that the block's elements are these nodes."""
        for index, node in enumerate(nodes):
            if node is not None:
                self._place[node] = block, index
        return block

    def real(self, i: int) -> int:
        """The node that has node i's number."""
        while self._same[i] != i:
            self._same[i] = i = self._same[self._same[i]]
        return i

    def operands(self, i: int) -> list[int]:
        return [self.real(k) for k in self.nodes[i].operands]

    # -- references --------------------------------------------------------------------------------

    def ref(self, nodes: Sequence[int]) -> Ref:
        """Where the nodes are; a single one is no vector."""
        nodes = [self.real(i) for i in nodes]
        first = self.nodes[nodes[0]]
        if len(set(nodes)) == 1:
            return self._element(nodes[0])
        if all(self.nodes[i].kind == "number" for i in nodes):
            numbers = [self.nodes[i].number for i in nodes]
            if len({repr(number) for number in numbers}) == 1:
                return Ref(None, number=first.number)
            block = Block("numbers", (len(nodes),), numbers=numbers)
            known = self._collected.setdefault(("numbers", *map(repr, numbers)), block)
            return Ref(known, count=len(nodes))
        run = self._run(nodes)
        return run if run is not None else self._collect(nodes)

    def vector(self, nodes: Sequence[int]) -> Ref:
        """Where the nodes are, as a vector of so many elements, although they may be the same."""
        found = self.ref(nodes)
        return found if found.count is not None else self._collect([self.real(i) for i in nodes])

    def _element(self, i: int) -> Ref:
        if self.nodes[i].kind == "number":
            return Ref(None, number=self.nodes[i].number)
        block, index = self._place[i]
        return Ref(block, index)

    def _run(self, nodes: Sequence[int]) -> Ref | None:
        """Elements of one block at even distances."""
        places = [self._place.get(i) for i in nodes]
        block, start = places[0] or (None, 0)
        if block is None or len(places) < 2 or places[1] is None or places[1][1] <= start:
            return None
        step = places[1][1] - start
        if places != [(block, start + k * step) for k in range(len(nodes))]:
            return None
        return Ref(block, start, step, len(nodes))

    def _collect(self, nodes: Sequence[int]) -> Ref:
        key = ("collected", *nodes)
        if key not in self._collected:
            found = [self._run(run) or self._element(run[0]) for run in self._runs(nodes)]
            pieces = _equal_numbers_together(found)
            self._collected[key] = Block("collected", (len(nodes),), [*pieces])
        return Ref(self._collected[key], count=len(nodes))

    def _runs(self, nodes: Sequence[int]) -> Iterable[Sequence[int]]:
        """The nodes in order, cut where one is not its block's next element."""
        at = 0
        while at < len(nodes):
            length = 1
            block, index = self._place.get(nodes[at], (None, 0))
            while (
                block is not None
                and at + length < len(nodes)
                and self._place.get(nodes[at + length]) == (block, index + length)
            ):
                length += 1
            yield nodes[at : at + length]
            at += length


def _equal_numbers_together(pieces: Iterable[Ref]) -> Iterable[Ref]:
    """The pieces of a vector, with one for many equal numbers."""
    for (is_number, _), group in itertools.groupby(pieces, key=_number_of):
        alike = list(group)
        if is_number and len(alike) > 2:
            yield Ref(None, count=len(alike), number=alike[0].number)
        else:
            yield from alike


def _number_of(piece: Ref) -> tuple[bool, str]:
    return piece.block is None, repr(piece.number)
