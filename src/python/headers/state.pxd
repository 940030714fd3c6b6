# SPDX-License-Identifier: MIT
# What Cython has to know of state.h; the header is the documentation.
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t

from headers.tape cimport Anchor, Tape

cdef extern from "python/state.h":
    ctypedef struct HandleObject:
        Anchor anchor
        PyObject *weakrefs
    PyObject *HANDLE_OF(Anchor *anchor)
    Tape tape
    PyTypeObject *ValueType
    PyTypeObject *LeakedType
    PyObject *free_handles
    Py_ssize_t free_count
    uint32_t disturbances
    uint32_t special
    bint is_recording
