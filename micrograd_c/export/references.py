# SPDX-License-Identifier: MIT
"""Blocks, of which a program of vectors is made, and references to their elements.

A *block* is one statement: nodes that are computed alike, one beside the other. The arguments and
the arrays of parameters are blocks, too. A *reference* says where operands are: a number; an
element of a block; elements of one at even distances; or rows of a matrix.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._core import ProgramNode
from . import cells

if TYPE_CHECKING:
    from .loop import Loop

CONSTANT, ONCE, SAMPLE, BATCH = range(4)  # stages: see graph.h

Shape = tuple[int, ...]


@dataclass(eq=False)
class Block:
    """kind: 'argument', 'parameter' or 'numbers'; 'map' (a row of the table), 'gain' (of a row),
    'sum' (of references and pairs, which are products): one number for each element; 'dot', 'total'
    and 'extreme': of a vector's elements; 'batch': a total over the batch; 'product', 'transposed',
    'outer', 'take', 'scatter': as nodes; 'collected', 'seed'; 'normal' and 'uniform': draws. Of
    loops: see loops.py.
    """

    kind: str
    shape: Shape
    operands: list[Any] = field(default_factory=list)
    node: ProgramNode | None = None  # one of those that it stands for
    stage: int = CONSTANT  # at least that of the operands
    name: str = ""  # arguments', parameters' and draws'
    numbers: list[float] = field(default_factory=list)  # of draws, which of the function's
    cell: cells.Tree = None  # a gain's, and what the operands are called in it
    names: list[str] = field(default_factory=list)
    uses: int = 0
    partly: bool = False  # whether somebody uses a part of it
    loop: "Loop | None" = None  # a scan's

    def __post_init__(self) -> None:
        self.stage = max([self.stage, *[ref.stage for ref in references(self)]])

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size


@dataclass(frozen=True)
class Ref:
    """Elements of a block: the one at `start`, or `count` of them, `step` apart; or a number."""

    block: Block | None
    start: int = 0
    step: int = 1
    count: int | None = None
    number: float = 0.0

    @property
    def stage(self) -> int:
        return self.block.stage if self.block else CONSTANT

    @property
    def shape(self) -> Shape:
        return () if self.count is None else (self.count,)

    @property
    def is_whole(self) -> bool:
        if self.block is None or self.start or self.step != 1:
            return False
        return self.count == self.block.size if self.block.shape else self.count is None


@dataclass(frozen=True)
class Matrix:
    """Rows of a block of two dimensions; or the block, turned."""

    block: Block
    first: int
    rows: int
    turned: bool = False

    @property
    def stage(self) -> int:
        return self.block.stage


def references(block: Block) -> Iterable[Ref | Matrix]:
    """All of a block's, each as often as its text has it."""
    for operand in block.operands:
        if isinstance(operand, tuple):
            yield from operand
        elif operand is not None:
            yield operand


def behind_operands(
    refs: Iterable[Ref | Matrix], among: Container[int] | None = None
) -> list[Block]:
    """The blocks that these depend on, each behind its operands. among: ids of those to look at."""
    ordered: list[Block] = []
    begun: set[int] = set()

    def blocks_of(refs: Iterable[Ref | Matrix]) -> list[tuple[Block, bool]]:
        blocks = [ref.block for ref in refs if ref.block is not None]
        return [(each, False) for each in reversed(blocks) if among is None or id(each) in among]

    stack = blocks_of(refs)
    while stack:
        block, is_done = stack.pop()
        if is_done:
            ordered.append(block)
        elif id(block) not in begun:
            begun.add(id(block))
            stack.append((block, True))
            stack += blocks_of(references(block))
    return ordered


def in_order(refs: Iterable[Ref | Matrix], among: Container[int] | None = None) -> list[Block]:
    """The same; counts their uses."""

    def use(ref: Ref | Matrix, times: int = 1) -> None:
        if ref.block is not None and (among is None or id(ref.block) in among):
            ref.block.uses += times
            ref.block.partly |= isinstance(ref, Matrix) or not ref.is_whole

    refs = list(refs)
    ordered = behind_operands(refs, among)
    for ref in refs:
        use(ref)
    for block in ordered:
        counts = cells.names_in(block.cell)
        times = [counts[name] for name in block.names]
        for k, ref in enumerate(references(block)):
            use(ref, times[k] if times else 1)
    return ordered
