# SPDX-License-Identifier: MIT
# Batches of numbers that come out, for other units; see outputs.pyx.
cimport cython

@cython.final
cdef class Outputs:
    cdef double *numbers
    cdef readonly tuple shape
    cdef Py_ssize_t[3] sizes
    cdef Py_ssize_t[3] strides
    cdef int ndim

    cdef object part(self, Py_ssize_t first, int dimension)
