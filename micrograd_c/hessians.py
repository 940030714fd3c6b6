# SPDX-License-Identifier: MIT
"""Hessians of compiled functions: which of two ways is quicker.

By products with directions, which are the lanes of the program: what depends on the point alone is
computed once, and all entries of the Hessian by few directions where most of them are always 0. Or
each entry by itself, with samples as lanes: for small functions of many samples.
"""

from typing import TYPE_CHECKING, Any

from ._core import Arguments, Outputs, Products, Value

if TYPE_CHECKING:
    from .compiled import CompiledFunction

# In the time that an operation takes on one of many lanes (measured):
RUN = 3000  # the start of a run
LANES = 8  # fewer take as long as so many
OF_ENTRY = 2  # operations that add an entry to the batch's
ONE_BY_ONE = 2  # times as long takes an operation where neighbours have different operands
RECORDED = 50  # to record and plan an operation, shared by the calls of a Hessian that is used
MOST_SYMBOLIC = 500_000  # operations: memory


def is_quicker_one_by_one(products: Products, samples: int) -> bool:
    """Whether it takes less to compute each entry by itself, for so many samples."""
    once, directions, symbolic = products.costs
    least = max(1.0, LANES / max(products.n_directions, 1))  # lanes over directions
    by_products = samples * (RUN + LANES * once + least * directions)
    entries = once + symbolic + OF_ENTRY * products.count
    one_by_one = RUN + ONE_BY_ONE * max(samples, LANES) * entries + RECORDED * symbolic
    return symbolic <= MOST_SYMBOLIC and one_by_one < by_products


class SampleHessians:
    """What hessian(fn) gives for each sample, by products: a program of a compiled function."""

    def __init__(self, products: Products) -> None:
        self._products = products
        self._program = products.program
        self.structure = self._program.structure
        self.layout: Any = None
        self.shapes: list[tuple[int, ...]] = [(products.n, products.n)]
        self.parameters = self._program.parameters
        self.draws = self._program.draws
        self.still_holds = self._program.still_holds
        self.check_movable = self._program.check_movable
        self.stats = self._program.stats
        self.listing = self._program.listing
        self._suits = -1, False  # samples that were asked about last, and the answer

    def suits(self, samples: int) -> bool:
        """Whether it is the quicker way for so many samples."""
        if self._suits[0] != samples:
            self._suits = samples, not is_quicker_one_by_one(self._products, samples)
        return self._suits[1]

    def evaluate(
        self, arguments: Arguments, threads: int, numbers: Arguments | None = None
    ) -> list[Outputs]:
        """As of a recorded function."""
        return [self._products.matrices(arguments, numbers, threads)]


class LossHessian:
    """The Hessian of a loss by n parameters, of a batch of so many samples."""

    def __init__(self, numpy: Any, products: Products, samples: int) -> None:
        self.products = products
        self.is_symbolic = is_quicker_one_by_one(products, samples)
        # The other way: the weights of the entries, and the function whose slopes by them they are.
        self.symbolic: tuple[list[Value], CompiledFunction] | None = None
        places = numpy.frombuffer(products.places(), dtype=numpy.uint32).reshape(-1, 2)
        self.rows, self.columns = places.astype(numpy.intp).T
        self._numpy = numpy
        self._n = products.n
        upper, lower = self.rows * self._n + self.columns, self.columns * self._n + self.rows
        self._places = numpy.stack([upper, lower])
        self._sparse: Any = None

    def dense(self, entries: Any) -> Any:
        """The matrix of these entries."""
        matrix = self._numpy.zeros(self._n * self._n)
        matrix[self._places] = entries
        return matrix.reshape(self._n, self._n)

    def sparse(self, matrices: Any, entries: Any) -> Any:
        """The matrix of these entries, as a csr_matrix."""
        numpy = self._numpy
        if self._sparse is None:
            below = self.rows != self.columns  # the diagonal stands in the upper triangle
            places = numpy.concatenate([self._places[0], self._places[1][below]])
            order = numpy.argsort(places)
            counts = numpy.bincount(places // self._n, minlength=self._n)
            starts = numpy.concatenate([[0], numpy.cumsum(counts)])
            sources = numpy.concatenate([numpy.arange(len(entries)), numpy.flatnonzero(below)])
            self._sparse = sources[order], (places % self._n)[order], starts
        sources, columns, starts = self._sparse
        return matrices.csr_matrix((entries[sources], columns, starts), shape=(self._n, self._n))
