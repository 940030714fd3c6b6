# SPDX-License-Identifier: MIT
# What a compiled function gives back: batches of numbers.
cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free
from libc.string cimport memcpy

from .arguments cimport room_for

import operator

cdef enum:
    MOST_SHOWN = 20     # rows, and numbers of a row, that a repr shows all of
    AT_EACH_END = 3     # ... and else

@cython.final
cdef class Outputs:
    """One result of a compiled function: a buffer of float64 of shape (B,), (B, n) or (B, m, n).

    numpy.asarray() takes it without a copy. Without NumPy: len, indexing (a number, or rows as lists),
    iteration, tolist().
    """

    def __cinit__(self, Py_ssize_t size, tuple of_sample):
        cdef Py_ssize_t n
        cdef int d
        self.shape = (size, *of_sample)
        self.ndim = <int>len(self.shape)
        if self.ndim > 3:
            raise ValueError(f'Outputs: expected up to 3 dimensions, got {self.ndim}')
        n = 1
        for count in of_sample:
            n = count * (<object>n)     # OverflowError, where a Py_ssize_t would wrap
        self.numbers = room_for(size, n)
        n = 1
        for d in reversed(range(self.ndim)):
            self.sizes[d] = self.shape[d]
            self.strides[d] = n * <Py_ssize_t>sizeof(double)
            n *= self.sizes[d]

    def __dealloc__(self):
        free(self.numbers)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        buffer.buf = <void *>self.numbers
        buffer.obj = self
        buffer.len = self.sizes[0] * self.strides[0]
        buffer.itemsize = sizeof(double)
        buffer.readonly = 0
        buffer.ndim = self.ndim
        buffer.format = b'd'
        buffer.shape = self.sizes
        buffer.strides = self.strides
        buffer.suboffsets = NULL
        buffer.internal = NULL

    cdef object part(self, Py_ssize_t first, int dimension):
        """From this number on, what has the dimensions from this one on: a number, or nested lists."""
        cdef Py_ssize_t k, n, count = 1
        cdef int d
        cdef list items
        if dimension == self.ndim:
            return self.numbers[first]
        for d in range(dimension, self.ndim):
            count *= self.sizes[d]
        items = [self.numbers[first + k] for k in range(count)]
        for d in range(self.ndim - 1, dimension, -1):
            n = self.sizes[d]
            items = [items[k:k + n] for k in range(0, len(items), n)]
        return items

    def __len__(self):
        return self.sizes[0]

    def __getitem__(self, index):
        """outputs[k], outputs[k, j], ..., also by slices: numbers, or nested lists of them."""
        cdef Py_ssize_t k
        if isinstance(index, slice):
            return self.tolist()[index]
        if isinstance(index, tuple):
            if not 1 <= len(index) <= self.ndim:
                raise IndexError(f'expected up to {self.ndim} indices, got {len(index)}')
            return picked(self, index, 0)
        place = operator.index(index)
        if not -self.sizes[0] <= place < self.sizes[0]:
            raise IndexError(f'index {index} is out of range for {self.sizes[0]} samples')
        k = place if place >= 0 else place + self.sizes[0]
        return self.part(k * (self.strides[0] // <Py_ssize_t>sizeof(double)), 1)

    def __iter__(self):
        return iter(self.tolist())

    def tolist(self):
        """As a list of floats, or nested lists of floats."""
        return self.part(0, 0)

    def __reduce__(self):
        return Outputs, (self.shape[0], self.shape[1:]), PyBytes_FromStringAndSize(
            <const char *>self.numbers, self.sizes[0] * self.strides[0])

    def __setstate__(self, bytes numbers):
        if <Py_ssize_t>len(numbers) != self.sizes[0] * self.strides[0]:
            raise ValueError(f'Outputs: expected {self.sizes[0] * self.strides[0]} bytes, got {len(numbers)}')
        memcpy(self.numbers, <const char *>numbers, <size_t>len(numbers))

    def __repr__(self):
        rows = [shown(self[k]) if k is not None else '...' for k in shown_places(self.sizes[0])]
        whole = max(self.shape) <= MOST_SHOWN
        return f'Outputs([{", ".join(rows)}]{"" if whole else f", shape={self.shape}"})'

cdef object picked(nested, tuple indices, Py_ssize_t place):
    """Of nested lists, what NumPy gives for these indices from this place on."""
    if place == len(indices):
        return nested
    found = nested[indices[place]]
    if isinstance(indices[place], slice):
        return [picked(item, indices, place + 1) for item in found]
    return picked(found, indices, place + 1)

cdef list shown_places(Py_ssize_t count):
    """Which of so many things a repr shows; None: a gap."""
    if count <= MOST_SHOWN:
        return list(range(count))
    return [*range(AT_EACH_END), None, *range(count - AT_EACH_END, count)]

cdef str shown(number_or_rows):
    if not isinstance(number_or_rows, list):
        return repr(number_or_rows)
    places = shown_places(len(number_or_rows))
    return f'[{", ".join([shown(number_or_rows[k]) if k is not None else "..." for k in places])}]'
