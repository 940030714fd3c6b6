# SPDX-License-Identifier: MIT
# Compiled functions, for other units; see program.pyx.
cimport cython
from libc.stdint cimport uint32_t

from headers.program cimport Arena, Batch, Executor, Graph, MakeStatus, Program, RunStatus
from .arguments cimport Arguments
from .handles cimport Places
from .ranks cimport Exchange

cdef enum:
    MOST_IDLE = 8           # programs kept of a kind: as many runs at once need not plan anew

@cython.final
cdef class Recorded:
    cdef object __weakref__
    cdef Arena raw          # of the graph as recorded
    cdef Arena arena        # of the optimised graph
    cdef Arena gradient_arena
    cdef Graph graph
    cdef Graph gradient     # the gradient graph, from when it is first needed
    cdef const Executor *wanted     # by name, or NULL
    cdef const Executor *used       # last
    cdef Program *idle[2][MOST_IDLE]    # that nobody uses: without gradients, and with them
    cdef int n_idle[2]
    cdef uint32_t lanes, rows   # of the last run
    cdef readonly list parameters
    cdef Places places          # theirs
    cdef readonly tuple structure   # of the arguments
    cdef bint is_loss           # it gives one Value
    cdef list guards            # (Value, is it the grad, the number that the function has read)
    cdef list point             # of each parameter that is an input which no lane changes its column, else None
    cdef readonly list shapes   # of a sample's results, one after the other: (), (n,) or (m, n)
    cdef list drawn             # of each parameter that is a draw which no lane changes: (place, which draw, its kind)
    cdef readonly object layout     # of the structure that they stand in

    cdef int note_reads(self) except -1
    cdef Graph *gradient_graph(self) except NULL
    cdef Program *take(self, bint gradients) except NULL
    cdef const Executor *executor_in_use(self)
    cdef str reason_for(self, const Executor *executor)
    cdef void give_back(self, Program *program, bint gradients) noexcept
    cdef void load(self, Program *program, Arguments numbers=*) noexcept
    cdef void store_grads(self, Program *program) noexcept
    cdef double loss_and_grads(self, Batch *batch, Exchange exchange=*) except? -1
    cdef int check_numbers(self, Arguments numbers) except -1
    cdef RunStatus evaluate_with(self, Program *program, Batch *batch) noexcept
    cdef RunStatus gradients(self, Program *program, Batch *batch) noexcept
