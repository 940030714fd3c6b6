# SPDX-License-Identifier: MIT
"""A program of scalars as a program of vectors: what a person would have written.

A matrix-vector product is a block, or one for each array that its rows come from; and nodes of one
level (the longest way from the leaves) that do the same to successive elements of the same blocks
are one. What is alike with nothing is a block of its own. Operands that stand in no order are first
collected, in a block of their own.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._core import ProgramNode
from . import cells
from .extremes import extremes_in
from .loops import Loops
from .references import BATCH, ONCE, SAMPLE, Block, Matrix, Ref, Shape, references
from .scopes import Body

MOST_TERMS = 40  # of a sum in one statement


class Blocks(Loops):
    """The blocks of a program, made by add()."""

    def add(self, roots: Iterable[int], refuse: Callable[[ProgramNode], None]) -> None:
        """Makes blocks of all that the roots depend on; leaves have theirs.

        refuse(node) is called for a kind of node that there is no block for.
        """
        self._refuse = refuse
        every = [self.real(root) for root in roots]
        for body in self.bodies.values():
            every += map(self.real, [*body.following, *body.made])
        for i in range(len(self.nodes)):
            every += self.operands(i)
        for i in every:
            self._uses[i] += 1
        self._fold_extremes()
        self._add_scope(roots, None)

    def _add_scope(self, roots: Iterable[int], scope: Body | None) -> None:
        """Of one scope; those around it have theirs."""
        reached = {self.real(root) for root in roots}
        levels: dict[int, list[int]] = {}
        for i in range(len(self.nodes) - 1, -1, -1):
            if i in reached and self.scopes[i] is scope:
                reached.update(self.operands(i))
        level = [0] * len(self.nodes)
        for i in sorted(reached):
            if self.scopes[i] is not scope:
                continue
            operands = self.operands(i)
            if i not in self._place and self.nodes[i].kind != "number":
                level[i] = 1 + max((level[k] for k in operands), default=0)
                levels.setdefault(level[i], []).append(i)
        parts: dict[int, dict[int, int]] = {}
        for i in reached:
            if self.nodes[i].kind == "sequence":
                self._asked.setdefault(self.operands(i)[0], {})[self.nodes[i].at] = i
            if self.nodes[i].kind == "total":
                self._totals[self.operands(i)[0]] = i
            if self.nodes[i].kind == "part":
                parts.setdefault(self.nodes[i].operands[0], {})[self.nodes[i].at] = i
        for depth in sorted(levels):
            alike: dict[Any, list[int]] = {}
            for i in levels[depth]:
                kind = self.nodes[i].kind
                if i in self._place:
                    continue  # with what it is made of
                if kind in _RECORDS:
                    _RECORDS[kind](self, i, parts.get(i, {}))
                elif kind == "take" or _maker_of(kind):
                    alike.setdefault(self._likeness(i), []).append(i)
                else:
                    self._refuse(self.nodes[i])
            for nodes in alike.values():
                if self.nodes[nodes[0]].kind == "take":
                    self._takes(nodes)
                else:
                    self._put_alike(nodes)

    def _likeness(self, i: int) -> tuple[Any, ...]:
        """What nodes have in common that may be one block."""
        node = self.nodes[i]
        if node.kind == "take":
            return node.kind, self.operands(i)[0]
        n_pairs = node.at if node.kind == "sum" else 0
        number = repr(node.number)  # 0.0 is not -0.0, and NaN is itself
        return node.kind, node.of, node.which, number, node.stage, n_pairs, *self._classes(i)

    def _put_alike(self, nodes: list[int]) -> None:
        """Makes blocks of nodes alike."""
        make = _maker_of(self.nodes[nodes[0]].kind)
        for group in self._groups(nodes):
            is_sum = make is Blocks._sum
            rows = self._rows(group) if is_sum and len(group) > 1 else None
            if rows is not None:
                self.put(rows, group)
                continue
            is_long = is_sum and len(group) < len(self.operands(group[0]))
            if is_long and self._has_runs(group[0]):
                for i in group:
                    self.put(self._sum([i]), [i])
                continue
            block = make(self, group)
            if block is not None:
                self.put(block, group)

    def _fold_extremes(self) -> None:
        """Makes one node of a maximum of maxima that nobody else asks for, and so of minima."""
        folded = extremes_in(self.nodes, self.operands, lambda i: self._uses[i] != 1)
        for i, operands in folded.items():
            if len(operands) > 2:
                kind = f"{self.nodes[i].kind} of all"
                self.nodes[i] = self.nodes[i]._replace(kind=kind, operands=tuple(operands))

    def _extreme(self, i: int, parts: dict[int, int]) -> None:
        elements = self.vector(self.operands(i))
        self.put(Block("extreme", (), [elements], self.nodes[i]), [i])

    def _classes(self, i: int) -> list[int | None]:
        """Which blocks its operands are in."""
        placed = [self._place.get(k) for k in self.operands(i)]
        return [id(place[0]) if place else None for place in placed]

    def _groups(self, nodes: list[int]) -> Iterable[list[int]]:
        """Nodes alike, cut where their operands do not advance by even steps."""
        if len(nodes) == 1:
            return [nodes]
        at = {i: [self._place.get(k, (None, 0))[1] for k in self.operands(i)] for i in nodes}
        nodes = sorted(nodes, key=at.__getitem__)
        blocks = [self._place[k][0] for k in self.operands(nodes[0]) if k in self._place]
        widest = min((block.size for block in blocks if block.size > 1), default=0)
        groups, first = [], 0
        while first < len(nodes):
            end = first + 1
            steps: list[int] = []
            while end < len(nodes):
                pairs = zip(at[nodes[end - 1]], at[nodes[end]], strict=True)
                found = [after - before for before, after in pairs]
                if min(found, default=0) < 0 or not any(found) or (steps and found != steps):
                    break
                end, steps = end + 1, found
            if end - first < min(3, widest) or (end - first == 2 and max(steps) > 1):
                end = first + 1
            groups.append(nodes[first:end])
            first = end
        return groups

    def _shaped(self, kind: str, group: list[int], operands: list[Any]) -> Block:
        """A block with an element for each node of the group: a matrix where whole matrices are its
        only vectors."""
        node = self.nodes[group[0]]
        shape: Shape = () if len(group) == 1 else (len(group),)
        block = Block(kind, shape, operands, node)
        shapes: set[Shape] = set()
        for ref in references(block):
            if isinstance(ref, Ref) and ref.block and ref.shape:
                shapes.add(ref.block.shape if ref.is_whole else ())
        if block.stage != SAMPLE and len(shapes) == 1 and len(next(iter(shapes))) == 2:
            block.shape = next(iter(shapes))
        return block

    def _refs(self, group: list[int]) -> list[Ref]:
        columns = zip(*[self.operands(i) for i in group], strict=True)
        return [self.ref(column) for column in columns]

    def _decided(self, group: list[int], cell: cells.Tree, refs: dict[str, Ref]) -> cells.Tree:
        """What is left of a cell where operands are numbers. If that is a number or an operand, so
        are the nodes from now on."""
        node = self.nodes[group[0]]
        numbers = {name: ref.number for name, ref in refs.items() if ref.block is None}
        if cells.ROWS[node.of or node.kind]["shape"] == "scaled":
            numbers["y"] = node.number
        cell = cells.with_numbers(cell, numbers)
        for i in group:
            if isinstance(cell, float):
                self.nodes[i] = node._replace(kind="number", number=cell, operands=())
            elif isinstance(cell, str):
                self._same[i] = self.operands(i)[list(refs).index(cell)]
        return cell

    def _mapped(self, group: list[int]) -> Block | None:
        """None: a choice is made, or an operation on numbers done."""
        kind, refs = self.nodes[group[0]].kind, self._refs(group)
        if any(ref.block is None for ref in refs) and kind not in ("same", "detach"):
            names = dict(zip(cells.NAMES, refs, strict=False))
            if not isinstance(self._decided(group, cells.tree_of(kind), names), tuple):
                return None
        return self._shaped("map", group, refs)

    def _gain(self, group: list[int]) -> Block | None:
        """None: the gains are numbers, or what they are made of."""
        node = self.nodes[group[0]]
        refs = dict(zip(cells.gain_names(node.of, node.which), self._refs(group), strict=True))
        cell = self._decided(group, cells.tree_of(node.of, node.which), refs)
        if not isinstance(cell, tuple):
            return None
        read = cells.names_in(cell)
        names = [name for name in refs if name in read]
        block = self._shaped("gain", group, [refs[name] for name in names])
        block.cell, block.names = cell, names
        return block

    def _batch(self, group: list[int]) -> Block:
        block = self._shaped("batch", group, self._refs(group))
        block.stage = BATCH
        return block

    # -- sums --------------------------------------------------------------------------------------

    def _terms(self, i: int) -> tuple[list[tuple[int, int]], list[int]]:
        """Pairs and addends of a sum, those of a block one after the other."""
        operands, n = self.operands(i), 2 * self.nodes[i].at if self.nodes[i].kind == "sum" else 0
        first: dict[int, int] = {}

        def place(k: int) -> tuple[int, int]:
            block, index = self._place.get(k, (None, 0))
            return first.setdefault(id(block), len(first)), index

        pairs = list(zip(operands[0:n:2], operands[1:n:2], strict=True))
        pairs.sort(key=lambda pair: (*place(pair[0]), *place(pair[1])))
        return pairs, sorted(operands[n:], key=place)

    def _long(self, run: Sequence[int]) -> bool:
        """Whether it is worth a sum over elements."""
        return len(run) > 2 or (len(run) == 2 and self._place[run[0]][0].size == 2)

    def _pair_runs(self, pairs: list[tuple[int, int]]) -> Iterable[list[tuple[int, int]]]:
        left = [len(run) for run in self._runs([a for a, _ in pairs])]
        right = [len(run) for run in self._runs([b for _, b in pairs])]
        cuts = sorted({*itertools.accumulate(left), *itertools.accumulate(right)})
        for start, end in itertools.pairwise([0, *cuts]):
            yield pairs[start:end]

    def _has_runs(self, i: int) -> bool:
        pairs, addends = self._terms(i)
        return any(len(run) > 1 and self._long(run) for run in self._runs(addends)) or any(
            len(run) > 1 and self._long([a for a, _ in run]) for run in self._pair_runs(pairs)
        )

    def _sum(self, group: list[int]) -> Block:
        pairs, addends = self._terms(group[0])
        terms: list[Any] = []
        if len(group) > 1:
            refs = self._refs(group)
            n = 2 * len(pairs)
            terms = [*zip(refs[0:n:2], refs[1:n:2], strict=True), *refs[n:]]
        else:
            for run in self._pair_runs(pairs):
                if len(run) > 1 and self._long([a for a, _ in run]):
                    both = self.ref([a for a, _ in run]), self.ref([b for _, b in run])
                    terms.append(Ref(Block("dot", (), [*both])))
                else:
                    terms += [(self._element(a), self._element(b)) for a, b in run]
            for part in self._runs(addends):
                if len(part) > 1 and self._long(part):
                    ref = self.ref(part)
                    terms.append(Ref(Block("total", (), [ref])))
                else:
                    terms += [self._element(k) for k in part]
        while len(terms) > MOST_TERMS:
            parts = [terms[k : k + MOST_TERMS] for k in range(0, len(terms), MOST_TERMS)]
            blocks = [self._shaped("sum", group, part) for part in parts]
            terms = [Ref(block, count=block.size if block.shape else None) for block in blocks]
        if len(terms) == 1 and isinstance(terms[0], Ref) and terms[0].is_whole:
            block = terms[0].block
            if block is not None and block.kind in ("dot", "total"):
                return block
        return self._shaped("sum", group, terms)

    def _rows(self, group: list[int]) -> Block | None:
        """Sums that are rows of matrix-vector products; None: they are not."""
        rows = [self._terms(i) for i in group]
        pairs = list(zip(*[pairs for pairs, _ in rows], strict=True))  # row by row, of each place
        factors: dict[Any, list[Any]] = {}
        for at, row in enumerate(pairs):
            blocks = [self._place.get(one, (None, 0))[0] for one in row[0]]
            factors.setdefault(tuple(map(id, blocks)) if all(blocks) else at, []).append(row)
        if max(map(len, factors.values()), default=0) < 2:
            return None
        terms: list[Any] = []
        for part in factors.values():
            sides = [
                [[pair[side] for pair in row] for row in zip(*part, strict=True)] for side in (0, 1)
            ]
            if len(part) == 1:
                terms.append(tuple(self.ref([one for (one,) in side]) for side in sides))
                continue
            matrix, inputs = sides if sides[1].count(sides[1][0]) == len(group) else sides[::-1]
            table = self._table(matrix) if inputs.count(inputs[0]) == len(group) else None
            if table is None:
                return None
            product = Block("product", (len(group),), [table, self.vector(inputs[0])])
            terms.append(Ref(product, count=len(group)))
        terms += [self.ref(column) for column in zip(*[more for _, more in rows], strict=True)]
        if len(terms) == 1 and isinstance(terms[0], Ref):
            return terms[0].block
        return self._shaped("sum", group, terms) if len(terms) <= MOST_TERMS else None

    def _table(self, rows: list[list[int]]) -> Matrix | None:
        """Rows of weights as a matrix; None: samples have weights of their own."""
        block, start = self._place[rows[0][0]]
        if block.stage == SAMPLE:
            return None
        if len(block.shape) == 2:
            (m, n), refs = block.shape, [self._along(row) for row in rows]
            is_aligned = start % n == 0
            if is_aligned and refs == [Ref(block, start + k * n, 1, n) for k in range(len(rows))]:
                return Matrix(block, start // n, len(rows))
            if len(rows) == n and refs == [Ref(block, k, n, m) for k in range(n)]:
                return Matrix(block, 0, n, turned=True)
        return self._matrix(None, rows, len(rows[0]))

    # -- choices by an index -----------------------------------------------------------------------

    def _takes(self, nodes: list[int]) -> None:
        """Of one index: those that choose in successive rows of an array, or in all of its columns,
        are one."""
        index = self._element(self.operands(nodes[0])[0])
        elements = {i: self.vector(self.operands(i)[1:]) for i in nodes}
        tables: dict[tuple[int, bool], dict[int, int]] = {}
        for i, ref in elements.items():
            shape = ref.block.shape if ref.block else ()
            if len(shape) == 2 and ref.count in (shape[1], shape[0]) and ref.stage <= ONCE:
                is_row = ref.step == 1 and ref.count == shape[1] and ref.start % shape[1] == 0
                is_column = ref.step == shape[1] and ref.count == shape[0]
                if is_row or is_column:
                    at = ref.start // shape[1] if is_row else ref.start
                    tables.setdefault((id(ref.block), is_row), {}).setdefault(at, i)
        for (_, is_row), rows in tables.items():
            block = elements[next(iter(rows.values()))].block
            assert block is not None
            for first, end in _successive(sorted(rows)):
                if end - first > 1 and (is_row or end - first == block.shape[1]):
                    table = Matrix(block, first, end - first, turned=not is_row)
                    group = [rows[k] for k in range(first, end)]
                    self.put(Block("take", (len(group),), [index, table]), group)
        for i in nodes:
            if i not in self._place:
                self.put(Block("take", (), [index, elements[i]]), [i])

    def _scatter(self, i: int, parts: dict[int, int]) -> None:
        take, adjoint = self.operands(i)
        index, *elements = self.operands(take)
        operands = [self._element(index), self._element(adjoint)]
        block = Block("scatter", (len(elements),), operands)
        self.put(block, [parts.get(k) for k in range(len(elements))])

    def _part(self, i: int, parts: dict[int, int]) -> None:
        """Placed with its record."""

    def _seed(self, i: int, parts: dict[int, int]) -> None:
        self.put(Block("seed", (), stage=self.nodes[i].stage), [i])


# What makes blocks of a kind of nodes, besides rows with cells and takes; others are refused.
# Of nodes alike ...
_ALIKE: dict[str, Any] = {
    "sum": Blocks._sum,
    "adjoint": Blocks._sum,
    "gain": Blocks._gain,
    "total": Blocks._batch,
}
# ... or of a node by itself, with its parts.
_RECORDS: dict[str, Any] = {
    "part": Blocks._part,
    "matrix product": Blocks._product,
    "transposed product": Blocks._transposed,
    "outer product": Blocks._outer,
    "scatter": Blocks._scatter,
    "scan": Blocks._scan,
    "sequence": Blocks._sequence,
    "list": Blocks._list,
    "seed": Blocks._seed,
    "maximum of all": Blocks._extreme,
    "minimum of all": Blocks._extreme,
}


def _maker_of(kind: str) -> Any:
    has_cell = kind in cells.ROWS and cells.tree_of(kind) is not None
    return Blocks._mapped if has_cell else _ALIKE.get(kind)


def _successive(numbers: Sequence[int]) -> Iterable[tuple[int, int]]:
    """The numbers, in order, as ranges."""
    first = 0
    for k in range(1, len(numbers) + 1):
        if k == len(numbers) or numbers[k] != numbers[k - 1] + 1:
            yield numbers[first], numbers[k - 1] + 1
            first = k
