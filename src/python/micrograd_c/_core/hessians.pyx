# SPDX-License-Identifier: MIT
# Hessians of compiled functions: forward over reverse mode, with directions as lanes.
cimport cython
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from headers.program cimport *
from .arguments cimport Arguments
from .outputs cimport Outputs
from .program cimport Recorded, place_outputs
from .runs cimport check_run, new_batch

@cython.final
cdef class Products:
    """The Hessian of a sample's loss, found by its products with directions.

    program: recorded with directions, n of them; its results are the loss and the n numbers of the Hessian times
    a direction. Entries that are always 0 are known, and share directions as sparsity.h says.
    """
    cdef readonly Recorded program
    cdef readonly Py_ssize_t n
    cdef readonly Py_ssize_t count      # of entries in the upper triangle
    cdef readonly tuple costs           # operations: once a sample; for all directions; for all entries one by one
    cdef Arguments directions
    cdef Entry *entries

    def __init__(self, Recorded program):
        cdef Sparsity found
        cdef Outputs directions
        cdef uint32_t k
        if self.program is not None or program.graph.n_roots != program.graph.n_inputs + 1:
            raise TypeError('Products: expected a function recorded with directions')
        try:
            if graph_sparsity(&program.graph, 1, &found) != SPARSITY_FOUND:
                raise MemoryError
            self.entries = <Entry *>malloc((<size_t>found.n_entries + 1) * sizeof(Entry))
            if self.entries == NULL:
                raise MemoryError
            if found.n_entries:
                memcpy(self.entries, found.entries, found.n_entries * sizeof(Entry))
            directions = Outputs(found.n_colours, (found.n,))
            memset(directions.numbers, 0, <size_t>found.n_colours * found.n * sizeof(double))
            for k in range(found.n):
                directions.numbers[<size_t>found.colours[k] * found.n + k] = 1.0
        finally:
            arena_rest(program.graph.scratch)
        self.program = program
        self.n = found.n
        self.count = found.n_entries
        self.costs = found.once, found.direction * found.n_colours, found.symbolic
        self.directions = Arguments((directions,), str)

    def __dealloc__(self):
        free(self.entries)

    @property
    def n_directions(self):
        return self.directions.size

    def places(self):
        """Row and column of each entry, as bytes of uint32, one entry after the other."""
        cdef bytes places = bytes(2 * sizeof(uint32_t) * <size_t>self.count)
        cdef uint32_t *to = <uint32_t *><char *>places
        cdef Py_ssize_t k
        for k in range(self.count):
            to[2 * k] = self.entries[k].row
            to[2 * k + 1] = self.entries[k].column
        return places

    cdef int run(self, Arguments samples, Arguments numbers, int threads, Outputs to, bint is_sum) except -1:
        """Each sample's entries: their sum, or for each a matrix."""
        cdef Recorded program = self.program
        program.note_reads()
        program.check_numbers(numbers)
        cdef size_t n = <size_t>self.n, stride = n + 1, row, column
        cdef Py_ssize_t k, sample, n_runs = samples.size
        cdef Outputs found = Outputs(self.directions.size, (<Py_ssize_t>stride,))
        cdef list places = [(place, of_sample) for place, of_sample in enumerate(program.point) if of_sample is not None]
        cdef Program *made = program.take(False)
        cdef Batch batch = new_batch(self.directions.columns, self.directions.size, True, threads)
        cdef Target *targets = <Target *>malloc(stride * sizeof(Target))
        cdef RunStatus status
        cdef double *matrix
        cdef double entry
        cdef double *p
        try:
            if targets == NULL:
                raise MemoryError
            place_outputs([found], targets)
            batch.targets = targets
            program.load(made, numbers)
            if is_sum and not places:
                n_runs = min(n_runs, 1)
            for sample in range(n_runs):
                for k, of_sample in places:
                    p = program_parameter(made, <uint32_t>k)
                    if p != NULL:
                        p[0] = samples.number(of_sample, sample)
                if places or sample == 0:       # else it is the same for all
                    status = program.evaluate_with(made, &batch)
                    if status == RUN_BAD_INDEX and places:
                        batch.bad_sample = <size_t>sample
                    check_run(status, &batch)
                matrix = to.numbers + (0 if is_sum else <size_t>sample * n * n)
                for k in range(self.count):
                    entry = found.numbers[self.entries[k].colour * stride + 1 + self.entries[k].at]
                    if is_sum:
                        matrix[k] += entry
                        continue
                    row, column = self.entries[k].row, self.entries[k].column
                    matrix[row * n + column] = matrix[column * n + row] = entry
            for k in range(self.count if is_sum and not places else 0):
                to.numbers[k] *= <double>samples.size
        finally:
            free(targets)
            program.give_back(made, False)
        return 0

    def sums(self, Arguments samples, Arguments numbers, int threads):
        """The entries, each summed over the samples: Outputs of shape (count,).

        numbers: for the program's parameters, in place of their own.
        """
        cdef Outputs to = Outputs(self.count, ())
        memset(to.numbers, 0, <size_t>self.count * sizeof(double))
        self.run(samples, numbers, threads, to, True)
        return to

    def matrices(self, Arguments samples, Arguments numbers, int threads):
        """Each sample's Hessian: Outputs of shape (B, n, n). numbers: as for sums, or None."""
        cdef Outputs to = Outputs(samples.size, (self.n, self.n))
        memset(to.numbers, 0, <size_t>samples.size * <size_t>self.n * <size_t>self.n * sizeof(double))
        self.run(samples, numbers, threads, to, False)
        return to
