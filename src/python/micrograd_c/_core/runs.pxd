# SPDX-License-Identifier: MIT
# One run of a program, for other units; see runs.pyx.
from headers.program cimport Batch, Column, RunStatus
from .arguments cimport Arguments

cdef Batch new_batch(const Column *columns, Py_ssize_t size, bint is_mean, int threads)
cdef Batch batch_of(Arguments arguments, bint is_mean, int threads)
cdef int check_run(RunStatus status, Batch *batch) except -1
