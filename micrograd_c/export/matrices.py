# SPDX-License-Identifier: MIT
"""Blocks of matrix-vector products, and of what their operands gain."""

from collections.abc import Iterable
from typing import Any

from .places import Places, Segment
from .references import BATCH, SAMPLE, Block, Matrix, Ref


class Matrices(Places):
    """Products are cut where their rows come from another array: each array is one factor."""

    def segments(self, product: int) -> list[Segment]:
        """A product's rows, cut where another array begins."""
        if product not in self._segments:
            node, operands = self.nodes[product], self.operands(product)
            n_in = node.at
            n_out = (len(operands) - n_in) // (n_in + node.which)
            rows = [operands[n_in * (r + 1) : n_in * (r + 2)] for r in range(n_out)]
            kinds = [self._row_of(row) for row in rows]
            found, first = [], 0
            while first < n_out:
                end, kind = first + 1, kinds[first]
                while end < n_out and (
                    kinds[end] is kind is None
                    or (kind and kinds[end] == (kind[0], kind[1] + end - first))
                ):
                    end += 1
                part = rows[first:end]
                found.append((self._matrix(kind, part, n_in), first, end - first, part))
                first = end
            self._segments[product] = found
        return self._segments[product]

    def _row_of(self, row: list[int]) -> tuple[Block, int] | None:
        """Which row of which array it is."""
        block, index = self._place.get(row[0], (None, 0))
        if block is None or len(block.shape) != 2 or index % block.shape[1]:
            return None
        n = block.shape[1]
        is_row = len(row) == n and (n == 1 or self._run(row) == Ref(block, index, 1, n))
        return (block, index // n) if is_row else None

    def _matrix(
        self, kind: tuple[Block, int] | None, rows: list[list[int]], n_in: int
    ) -> Matrix | None:
        if len(rows) == 1 or n_in == 1:
            return None
        if kind:
            return Matrix(kind[0], kind[1], len(rows))
        turned = [list(column) for column in zip(*rows, strict=True)]
        block = self._place.get(rows[0][0], (None, 0))[0]
        if block and block.shape == (n_in, len(rows)):
            wanted = Ref(block, 0, 1, block.size)
            if self._run([i for row in turned for i in row]) == wanted:
                return Matrix(block, 0, len(rows), turned=True)
        refs = [self.vector(row) for row in rows]
        key = ("matrix", *[i for row in rows for i in row])
        made = self._collected.setdefault(key, Block("collected", (len(rows), n_in), [*refs]))
        return Matrix(made, 0, len(rows))

    def _product(self, i: int, parts: dict[int, int]) -> None:
        node, operands = self.nodes[i], self.operands(i)
        inputs = operands[: node.at]
        for matrix, first, n, rows in self.segments(i):
            biases = operands[-self._n_out(i) :][first : first + n] if node.which else []
            bias = [self.ref(biases)] if biases else []
            if matrix:
                product = Block("product", (n,), [matrix, self.vector(inputs)], node)
                if bias:
                    terms: list[Any] = [Ref(product, count=n), *bias]
                    product = Block("sum", (n,), terms, node)
            elif node.at == 1:
                weights = self.ref([row[0] for row in rows])
                pair = weights, self._element(inputs[0])
                product = Block("sum", () if n == 1 else (n,), [pair, *bias], node)
            else:
                product = Block("dot", (), [self.vector(inputs), self.vector(rows[0])], node)
                if bias:
                    product = Block("sum", (), [Ref(product), *bias], node)
            self.put(product, [parts.get(first + r) for r in range(n)])

    def _n_out(self, product: int) -> int:
        return sum(n for _, _, n, _ in self.segments(product))

    def _of_segments(self, i: int) -> Iterable[tuple[Matrix | None, list[int], int, list[Any]]]:
        """What of each segment the adjoints of a record concern: its matrix's rows, the adjoints,
        the first row, its weights."""
        node = self.nodes[i]
        product, *adjoints = self.operands(i)
        for matrix, first, n, rows in self.segments(product):
            low, high = max(first, node.at), min(first + n, node.at + len(adjoints))
            if low < high:
                if matrix and not matrix.turned:
                    matrix = Matrix(matrix.block, matrix.first + low - first, high - low)
                elif matrix and (low, high) != (first, first + n):
                    matrix = self._matrix(
                        None, rows[low - first : high - first], matrix.block.shape[0]
                    )
                yield (
                    matrix,
                    adjoints[low - node.at : high - node.at],
                    low,
                    rows[low - first : high - first],
                )

    def _transposed(self, i: int, parts: dict[int, int]) -> None:
        n_in = self.nodes[self.nodes[i].operands[0]].at
        terms: list[Any] = []
        for matrix, adjoints, _, rows in self._of_segments(i):
            if matrix and matrix.rows == len(adjoints) > 1:
                operands = [matrix, self.vector(adjoints)]
                terms.append(Ref(Block("transposed", (n_in,), operands, stage=SAMPLE), count=n_in))
            elif n_in == 1:
                for adjoint, row in zip(adjoints, rows, strict=True):
                    terms.append((self._element(adjoint), self._element(row[0])))
            else:
                for adjoint, row in zip(adjoints, rows, strict=True):
                    terms.append((self._element(adjoint), self.vector(row)))
        shape = (n_in,) if n_in > 1 else ()
        whole = terms[0].block if len(terms) == 1 and isinstance(terms[0], Ref) else None
        block = whole or Block("sum", shape, terms, self.nodes[i])
        self.put(block, [parts.get(k) for k in range(n_in)])

    def _outer(self, i: int, parts: dict[int, int]) -> None:
        product = self.nodes[i].operands[0]
        n_in = self.nodes[product].at
        inputs = self.operands(product)[:n_in]
        n_weights = n_in * self._n_out(product)
        for _, adjoints, first, _ in self._of_segments(i):
            n = len(adjoints)
            adjoint = self.ref(adjoints) if n == 1 else self.vector(adjoints)
            weights = [parts.get((first + r) * n_in + k) for r in range(n) for k in range(n_in)]
            if any(part is not None for part in weights):
                x = self.vector(inputs) if n_in > 1 else self._element(inputs[0])
                shape = tuple(size for size in (n, n_in) if size > 1)
                self.put(Block("outer", shape, [adjoint, x], stage=BATCH), weights)
            biases = [parts.get(n_weights + first + r) for r in range(n)]
            if any(part is not None for part in biases):
                self.put(Block("batch", adjoint.shape, [adjoint], stage=BATCH), biases)
