# SPDX-License-Identifier: MIT
# Hessians of compiled functions: forward over reverse mode, with directions as lanes.
cimport cython
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from headers.program cimport *
from .arguments cimport Arguments, room_for
from .outputs cimport Outputs
from .program cimport Recorded
from .runs cimport batch_of, check_run, new_batch

cdef struct Given:          # a number of a sample that no direction changes
    uint32_t parameter, column

cdef struct Move:           # an entry: where it is found, and its two places in a matrix
    size_t source, place, mirror

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
    cdef Move *moves
    cdef Given *given
    cdef size_t n_given

    def __init__(self, Recorded program):
        cdef Sparsity found
        cdef Outputs directions
        cdef uint32_t k
        cdef size_t n, row, column
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
            self.moves = <Move *>malloc((<size_t>found.n_entries + 1) * sizeof(Move))
            self.given = <Given *>malloc((<size_t>len(program.point) + 1) * sizeof(Given))
            if self.moves == NULL or self.given == NULL:
                raise MemoryError
            directions = Outputs(found.n_colours, (found.n,))
            memset(directions.numbers, 0, <size_t>found.n_colours * found.n * sizeof(double))
            self.directions = Arguments((directions,), str)
            for k in range(found.n):    # a component's numbers side by side: a row of the program's
                directions.numbers[<size_t>k * found.n_colours + found.colours[k]] = 1.0
                self.directions.columns[k].data = <const char *>(directions.numbers + <size_t>k * found.n_colours)
                self.directions.columns[k].stride = sizeof(double)
        finally:
            arena_rest(program.graph.scratch)
        self.program = program
        self.n = found.n
        self.count = found.n_entries
        self.costs = found.once, found.direction * found.n_colours, found.symbolic
        n = found.n
        for k in range(found.n_entries):
            row, column = self.entries[k].row, self.entries[k].column
            self.moves[k].source = (<size_t>self.entries[k].at + 1) * found.n_colours + self.entries[k].colour
            self.moves[k].place = row * n + column
            self.moves[k].mirror = column * n + row
        for parameter, of_sample in enumerate(program.point):
            if of_sample is not None:
                self.given[self.n_given].parameter = parameter
                self.given[self.n_given].column = of_sample
                self.n_given += 1

    def __dealloc__(self):
        free(self.entries)
        free(self.moves)
        free(self.given)

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
        cdef size_t n = <size_t>self.n, k
        cdef Py_ssize_t sample, n_runs = samples.size
        # A row for each result, the numbers of all directions side by side.
        cdef double *found = room_for(self.n + 1, self.directions.size)
        cdef Program *made = NULL
        cdef Batch batch = new_batch(self.directions.columns, self.directions.size, True, threads)
        cdef Target *targets = <Target *>malloc((n + 1) * sizeof(Target))
        cdef uint32_t place, draw
        cdef DrawKind kind
        cdef bint is_same       # for all samples
        cdef RunStatus status
        cdef double *matrix
        cdef double *p
        cdef const Move *move
        try:
            if targets == NULL:
                raise MemoryError
            made = program.take(False)
            for k in range(n + 1):
                targets[k].data = found + k * <size_t>self.directions.size
                targets[k].stride = 1
            batch.targets = targets
            batch.stream = batch_of(samples, True, threads).stream      # of the draws, which directions share
            batch.is_one_sample = True
            program.load(made, numbers)
            is_same = self.n_given == 0 and not program.draws
            if is_sum and is_same:
                n_runs = min(n_runs, 1)
            for sample in range(n_runs):
                batch.first_sample = samples.first_sample + <uint32_t>sample
                for k in range(self.n_given):
                    p = program_parameter(made, self.given[k].parameter)
                    if p != NULL:
                        p[0] = samples.number(self.given[k].column, sample)
                for place, draw, kind in program.drawn:
                    p = program_parameter(made, place)
                    if p != NULL:
                        p[0] = draw_one(&batch.stream, batch.first_sample, draw, kind, program.graph.is_float32)
                if not is_same or sample == 0:
                    status = program.evaluate_with(made, &batch)
                    if status == RUN_BAD_INDEX and not is_same:
                        batch.bad_sample = <size_t>sample
                    check_run(status, &batch)
                matrix = to.numbers + (0 if is_sum else <size_t>sample * n * n)
                for k in range(<size_t>self.count):
                    move = &self.moves[k]
                    if is_sum:
                        matrix[k] += found[move.source]
                    else:
                        matrix[move.place] = matrix[move.mirror] = found[move.source]
            for k in range(<size_t>self.count if is_sum and is_same else 0):
                to.numbers[k] *= <double>samples.size
        finally:
            free(targets)
            free(found)
            if made != NULL:
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
        if self.count < self.n * (self.n + 1) // 2:
            memset(to.numbers, 0, <size_t>samples.size * <size_t>self.n * <size_t>self.n * sizeof(double))
        self.run(samples, numbers, threads, to, False)
        return to
