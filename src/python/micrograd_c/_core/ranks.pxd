# SPDX-License-Identifier: MIT
# What ranks tell each other, for other units; see ranks.pyx.
cimport cython

from headers.program cimport Batch, Program, RunStatus
from .outputs cimport Outputs

@cython.final
cdef class Exchange:
    cdef object comm
    cdef readonly int size          # ranks in all
    cdef Py_ssize_t n, stride       # parameters; doubles that a rank sends
    cdef Outputs sent               # what this rank sends
    cdef Outputs all                # ... and all of them, in their order
    cdef readonly bint is_over      # all ranks know that no exchange follows
    cdef readonly bint is_undone    # ... and that all has to be as before
    cdef int teller                 # who has said so
    cdef object error               # what has ended it, to be raised here

    cdef int pass_round(self, int state, str message) except -1
    cdef void take_over(self, Program *program) noexcept
    cdef size_t total(self) noexcept
    cdef double share(self, int rank, size_t total) noexcept
    cdef double whole_loss(self, bint is_mean) noexcept
    cdef void put_together(self, Program *program, Batch *batch) noexcept
    cdef RunStatus meet(self, Program *program, Batch *batch, RunStatus status) noexcept
    cdef int check(self) except -1

cdef RunStatus meet_ranks(void *exchange, Program *program, Batch *batch, RunStatus status) noexcept nogil
