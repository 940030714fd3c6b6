# SPDX-License-Identifier: MIT
"""Blocks of loops: a scan is a block, and so is each vector of carries.

Which carries are a vector is not known: those that become neighbours in a block are. So all of them
are taken for one vector at first, and this is cut where what they become has no order.

Kinds of blocks: 'scan'; in its body 'carry', what a step begins with, and 'element', of a sequence;
around it 'last', the carry behind the last step, 'steps', a sequence, of which only scans can use
the whole, and 'unrolled', its elements one after the other; and 'summed', a carry that steps only
add to. Where nobody asks for more than the total of these sums over the batch, that is what is
summed up, 'totalled', so that a matrix of derivatives is a product in every step.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from .draws import Stream
from .loop import Loop, Sum
from .matrices import Matrices
from .references import BATCH, CONSTANT, SAMPLE, Block, Ref, behind_operands, references
from .scopes import Body, Scopes


class Loops(Matrices):
    """Makes blocks of scans and sequences."""

    def __init__(self, scopes: Scopes, kept: frozenset[str] = frozenset()) -> None:
        super().__init__(scopes, kept)
        self._asked: dict[int, dict[int, int]] = {}  # of each scan, the sequences by number
        self._steps: dict[int, tuple[Block, int]] = {}  # where each sequence is
        self._unrolled: dict[int, Block] = {}  # of a block of steps, by its id
        self._uses = [0] * len(self.nodes)
        self._totals: dict[int, int] = {}  # of nodes over the batch
        self._drawn: dict[int, Stream] = {}  # of blocks of draws, by their ids
        self._changing: dict[int, Body] = {}  # ids of blocks that a body computes anew in each step

    def _add_scope(self, roots: Iterable[int], scope: Body | None) -> None:
        """Makes blocks of what the roots depend on in this scope."""
        raise NotImplementedError

    def _scan(self, i: int, parts: dict[int, int]) -> None:
        """parts: the carries behind the last step that somebody asks for."""
        body = self.bodies[i]
        asked = sorted(self._asked.get(i, {}))
        made = [self._root_of(body, number) for number in asked]
        sums = self._sums_of(body, asked)
        added = [sums[k] for k in parts if k in sums]
        roots = [*made, *added, *[body.following[k] for k in parts if k not in sums]]
        live = self._live(body, roots)
        groups = [
            [k for k, c in enumerate(body.carries) if k not in sums and (k in parts or c in live)]
        ]
        following = [body.following[k] for k in groups[0]]
        stage = self._stage_of_scan(i)
        state = self._state()
        before = [dict(each) for each in state]
        while True:
            carries = [self._carry(body, group, stage) for group in groups]
            elements, taken = self._elements(body, live)
            self._add_scope([*following, *made, *added], body)
            pieces = [piece for group in groups for piece in self._cut(body, group)]
            if len(pieces) == len(groups):
                break
            groups = pieces
            for each, old in zip(state, before, strict=True):
                each.clear()
                each.update(old)
        loop = Loop(
            body.scan.length,
            body.scan.is_reverse,
            carries,
            [self._together([body.first[k] for k in group]) for group in groups],
            [self._together([body.following[k] for k in group]) for group in groups],
            [],
            elements,
            taken,
            *self._sequences(i, carries, groups),
            self._sums(body, parts),
            body,
            [],
            set(),
        )
        self._put_scan(i, loop, groups, stage, parts)

    def _state(self) -> list[dict[Any, Any]]:
        """All that making blocks changes, but for what is found out about nodes."""
        return [
            self._place,
            self._collected,
            self._segments,
            self._asked,
            self._steps,
            self._unrolled,
            self._changing,
        ]

    @staticmethod
    def _root_of(body: Body, number: int) -> int:
        """What a sequence consists of."""
        roots = [*body.made, *body.carries, *body.following]
        return roots[number]

    def _live(self, body: Body, roots: Iterable[int]) -> set[int]:
        """The nodes of the body that the roots depend on, in whatever step."""
        following = dict(zip(body.carries, body.following, strict=True))
        live: set[int] = set()
        rest = [self.real(root) for root in roots]
        while rest:
            i = rest.pop()
            if i in live or self.scopes[i] is not body:
                continue
            live.add(i)
            rest += self.operands(i)
            if i in following:
                rest.append(self.real(following[i]))
        return live

    def _stage_of_scan(self, i: int) -> int:
        stages = [SAMPLE if self.bodies[i].draws else CONSTANT]
        rest = self.operands(i)
        while rest:
            k = rest.pop()
            if k in self._steps:
                stages.append(self._steps[k][0].stage)
            elif k in self._place:
                stages.append(self._place[k][0].stage)
            elif self.nodes[k].kind == "list":
                rest += self.operands(k)
        return max(stages)

    def put_drawn(self, body: Body, streams: Iterable[Stream]) -> None:
        """Makes blocks of what the body draws."""
        nodes = {(self.nodes[i].of, self.nodes[i].at): i for i in body.drawn}
        for stream in streams:
            own = [nodes.get((stream.kind, number)) for number in stream.numbers]
            if any(i is not None for i in own):
                shape = (len(own),) if len(own) > 1 else ()
                block = self.put(Block(stream.kind, shape, stage=SAMPLE), own)
                self._drawn[id(block)], self._changing[id(block)] = stream, body

    # -- carries -----------------------------------------------------------------------------------

    def _carry(self, body: Body, group: Sequence[int], stage: int) -> Block:
        block = Block("carry", (len(group),) if len(group) > 1 else (), stage=stage)
        return self.put(block, [body.carries[k] for k in group])

    def _cut(self, body: Body, group: list[int]) -> Iterable[list[int]]:
        """The carries of a vector, cut where what they become is no vector's next element."""
        at = 0
        for run in self._runs([self.real(body.following[k]) for k in group]):
            yield group[at : at + len(run)]
            at += len(run)

    def _together(self, nodes: Sequence[int]) -> Ref:
        """A number, or a vector if there are many nodes."""
        found = self.ref(nodes)
        return found if found.block is None or len(nodes) == 1 else self.vector(nodes)

    # -- sequences ---------------------------------------------------------------------------------

    def _elements(self, body: Body, live: set[int]) -> tuple[list[Block], list[Ref]]:
        """Blocks of the sequences' elements, and where the sequences are: successive columns of an
        array are one."""
        blocks: dict[int, Block] = {}  # by the steps that they are of
        taken: list[Ref] = []
        made: list[Block] = []
        columns: list[tuple[int, Ref]] = []
        for element, sequence in zip(body.elements, map(self.real, body.taken), strict=True):
            if element not in live:
                continue
            if sequence not in self._steps:
                columns.append((element, self.vector(self.operands(sequence))))
                continue
            steps, at = self._steps[sequence]
            if id(steps) not in blocks:
                blocks[id(steps)] = Block("element", steps.shape, stage=steps.stage)
                made.append(blocks[id(steps)])
                taken.append(Ref(steps, count=steps.size if steps.shape else None))
            self._place[element] = blocks[id(steps)], at
        while columns:
            n, ref = _columns([ref for _, ref in columns])
            block = Block("element", (n,) if n > 1 else (), stage=ref.stage)
            made.append(self.put(block, [element for element, _ in columns[:n]]))
            taken.append(ref)
            del columns[:n]
        return made, taken

    def _sequences(
        self, i: int, carries: list[Block], groups: list[list[int]]
    ) -> tuple[list[Ref], list[Block]]:
        """What steps make, and the blocks of these sequences."""
        body, asked = self.bodies[i], self._asked.get(i, {})
        n_made, n = len(body.made), len(body.carries)
        made: list[Ref] = []
        steps: list[Block] = []

        def add(ref: Ref, numbers: Sequence[int]) -> None:
            block = Block("steps", (len(numbers),) if len(numbers) > 1 else ())
            made.append(ref)
            steps.append(block)
            for at, number in enumerate(numbers):
                if number in asked:
                    self._steps[asked[number]] = block, at

        for carry, group in zip(carries, groups, strict=True):
            begun = [n_made + k for k in group]
            if any(number in asked for number in begun):
                add(Ref(carry, count=carry.size if carry.shape else None), begun)
        others = [k for k in sorted(asked) if not n_made <= k < n_made + n]
        roots = [self.real(self._root_of(body, number)) for number in others]
        for run in self._runs(roots):
            add(self._together(run), [others.pop(0) for _ in run])
        return made, steps

    # -- sums --------------------------------------------------------------------------------------

    def _sums_of(self, body: Body, asked: Iterable[int]) -> dict[int, int]:
        """Which carries nobody reads but the sum that they become, and what is added to them; from
        now on, that is what they become."""
        if body.sums is not None:
            return body.sums
        body.sums = {}
        n_made, n = len(body.made), len(body.carries)
        read = {(number - n_made) % n for number in asked if number >= n_made}
        for k, (carry, root) in enumerate(zip(body.carries, body.following, strict=True)):
            i = self.real(root)
            node, operands = self.nodes[i], self.operands(i)
            n_factors = 2 * node.at if node.kind == "sum" else 0
            if (
                k in read
                or node.kind not in ("add", "sum")
                or len(operands) < 2
                or carry not in operands[n_factors:]
                or self._uses[carry] > 1
                or self._uses[i] > 1
            ):
                continue
            operands.remove(carry)
            if node.kind == "add":
                self._same[i] = operands[0]
            else:
                self.nodes[i] = node._replace(operands=tuple(operands))
            body.sums[k] = self.real(i)
        return body.sums

    def _sums(self, body: Body, parts: dict[int, int]) -> list[Sum]:
        """parts: as of _scan()."""
        assert body.sums is not None
        left = {k: self.real(added) for k, added in body.sums.items() if k in parts}
        totals = {k: self._totals[parts[k]] for k in left if self._is_total(body, k, parts[k])}
        sums: list[Sum] = []
        for adjoint, inputs, numbers in self._grids({k: left[k] for k in totals}):
            shape = tuple(ref.count for ref in (adjoint, inputs) if ref.count)
            block = self.put(Block("totalled", shape, stage=BATCH), [totals[k] for k in numbers])
            sums.append(Sum(block, Ref(None), Block("outer", shape, [adjoint, inputs])))
            for k in numbers:
                del left[k]
        first_of: dict[int, int] = {}
        order: dict[int, tuple[bool, int, int]] = {}
        same: dict[int, list[int]] = {}  # of totals: carries by what is added to them
        for k in [k for k in left if k in totals]:
            same.setdefault(left[k], []).append(k)
        for alike in same.values():
            for k in alike[1:]:
                del left[k]
        for k, i in left.items():
            where, at = self._place.get(i, (None, 0))
            order[k] = k in totals, first_of.setdefault(id(where), k) if where else k, at
        numbers = sorted(left, key=order.__getitem__)
        n_plain = len([k for k in numbers if k not in totals])
        for part in (numbers[:n_plain], numbers[n_plain:]):
            for run in self._runs([left[k] for k in part]):
                group, part = part[: len(run)], part[len(run) :]
                shape = (len(run),) if len(run) > 1 else ()
                first = self._together([body.first[k] for k in group])
                added: Ref | Block = self._together(run)
                if group[0] in totals:
                    block = Block("totalled", shape, stage=BATCH)
                    for at, k in enumerate(group):
                        for one in same[left[k]]:
                            self._place[totals[one]] = block, at
                    added = Block("batch", shape, [added])
                else:
                    block = Block("summed", shape, stage=max(added.stage, first.stage))
                    self.put(block, map(parts.get, group))
                sums.append(Sum(block, first, added))
        return sums

    def _is_total(self, body: Body, k: int, last: int) -> bool:
        """Whether nobody asks for the carry behind the last step but its total over the batch."""
        first = self.nodes[self.real(body.first[k])]
        is_zero = first.kind == "number" and first.number == 0.0
        return is_zero and last in self._totals and self._uses[last] == 1

    def _grids(self, added: dict[int, int]) -> Iterable[tuple[Ref, Ref, list[int]]]:
        """Of the carries with what is added to them, those that are all products of an element of
        one vector and one of another: the vectors, and the carries row by row."""
        grids: dict[tuple[int, int], dict[tuple[int, int], tuple[int, int, int]]] = {}
        for k, i in added.items():
            node, operands = self.nodes[i], self.operands(i)
            if node.kind != "mul" and not (node.kind == "sum" and node.at == 1):
                continue
            if len(operands) == 2 and all(place in self._place for place in operands):
                (a, row), (b, column) = (self._place[place] for place in operands)
                if a.stage == b.stage == SAMPLE:
                    grid = grids.setdefault((id(a), id(b)), {})
                    grid.setdefault((row, column), (k, operands[0], operands[1]))
        for grid in grids.values():
            rows, columns = (sorted({place[axis] for place in grid}) for axis in (0, 1))
            if len(grid) == 1 or len(grid) != len(rows) * len(columns):
                continue
            left = self._along([grid[row, columns[0]][1] for row in rows])
            right = self._along([grid[rows[0], column][2] for column in columns])
            if left is None or right is None:
                continue
            by_row = [grid[row, column][0] for row in rows for column in columns]
            by_column = [grid[row, column][0] for column in columns for row in rows]
            if by_column == sorted(by_column):
                yield right, left, by_column
            else:
                yield left, right, by_row

    def _along(self, nodes: Sequence[int]) -> Ref | None:
        return self._element(nodes[0]) if len(nodes) == 1 else self._run(nodes)

    def _put_scan(
        self, i: int, loop: Loop, groups: list[list[int]], stage: int, parts: dict[int, int]
    ) -> None:
        leaves = {id(block) for block in (*loop.carries, *loop.elements)}
        for block in behind_operands(loop.roots):
            is_inside = id(block) in leaves or self._changing.get(id(block)) is loop.body
            if is_inside or any(id(ref.block) in loop.inside for ref in references(block)):
                loop.inside.add(id(block))
                if id(block) in self._drawn:
                    loop.draws.append((block, self._drawn[id(block)]))
        scan = Block("scan", (), loop.operands(), stage=stage, loop=loop)
        scope = self.scopes[i]
        if scope is not None:
            self._changing[id(scan)] = scope
        for group, carry in zip(groups, loop.carries, strict=True):
            last = Block("last", carry.shape, [Ref(scan)])
            loop.last.append(self.put(last, [parts.get(k) for k in group]))
        for block in loop.steps:
            block.operands, block.stage = [Ref(scan)], scan.stage
        for each in loop.sums:
            each.block.operands = [Ref(scan)]

    def _sequence(self, i: int, parts: dict[int, int]) -> None:
        """parts: the elements that somebody asks for one by one."""
        steps, at = self._steps[i]
        length = self.bodies[self.operands(i)[0]].scan.length
        whole = Ref(steps, count=steps.size if steps.shape else None)
        if parts and id(steps) not in self._unrolled:
            self._unrolled[id(steps)] = Block("unrolled", (length * steps.size,), [whole])
        for k, node in parts.items():
            self._place[node] = self._unrolled[id(steps)], k * steps.size + at

    def _list(self, i: int, parts: dict[int, int]) -> None:
        """Who takes it looks for its elements."""


def _columns(refs: Sequence[Ref]) -> tuple[int, Ref]:
    """How many of these, from the first on, are the columns of one array, and this array."""
    first = refs[0]
    n = first.step
    columns = [Ref(first.block, first.start + k, n, first.count) for k in range(n)]
    if n == 1 or first.count is None or list(refs[:n]) != columns:
        return 1, first
    return n, Ref(first.block, first.start, 1, first.count * n)
