# SPDX-License-Identifier: MIT
# Batches of numbers that go in, for other units; see arguments.pyx.
cimport cython
from libc.stdint cimport uint32_t, uint64_t

from headers.program cimport Column

cdef double *room_for(Py_ssize_t rows, Py_ssize_t n) except NULL

# Arrays that need no copy, of one call: what of Arguments lives no longer than it.
cdef enum:
    MOST_VIEWS = 4
    MOST_VIEWED = 64    # columns

cdef struct Views:
    Py_buffer[MOST_VIEWS] buffers
    int n_buffers
    Column[MOST_VIEWED] columns
    Py_ssize_t size

cdef bint view(Views *views, tuple arrays, tuple structure) except -1
cdef void release_views(Views *views) noexcept

@cython.final
cdef class Arguments:
    cdef Column *columns
    cdef uint32_t n_columns
    cdef readonly Py_ssize_t size       # B
    cdef Py_ssize_t samples             # B as the call says it; -1: it does not
    cdef bint is_seeded
    cdef uint64_t chosen                # the seed, once there is one
    cdef public uint32_t first_sample   # among those of all ranks, the number of the first one here
    cdef readonly tuple structure       # an argument's n; -1: of shape (B,)
    cdef Py_buffer *buffers
    cdef int n_buffers
    cdef double **copies
    cdef int n_copies
    cdef object name_of

    cdef str name(self, int k)
    cdef int add(self, array, int k) except -1
    cdef int add_buffer(self, array, int k) except -1
    cdef int add_swapped(self, int k, const char *data, int ndim, Py_ssize_t *shape, Py_ssize_t *strides, bint is_float32) except -1
    cdef double *new_copy(self, Py_ssize_t rows, Py_ssize_t n) except NULL
    cdef int refuse_shape(self, int k, tuple shape) except -1
    cdef tuple shape_of(self, int k, list rows)
    cdef int add_rows(self, int k, list rows, tuple shape) except -1
    cdef int add_columns(self, int k, const char *data, int ndim, Py_ssize_t *shape, Py_ssize_t *strides, bint is_float32) except -1
    cdef double number(self, uint32_t column, Py_ssize_t sample) noexcept
