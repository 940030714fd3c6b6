# SPDX-License-Identifier: MIT
# What a compiled function is called with: batches of numbers.
cimport cython
from cpython.buffer cimport (PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_CheckBuffer,
                             PyObject_GetBuffer)
from cpython.long cimport PyLong_AsSsize_t
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from headers.objects cimport PY_SSIZE_T_MAX
from .handles cimport is_handle, new_leaf
from .numbers cimport as_real, is_number, is_numpy_number, kind

import operator
import sys

cdef list integer_rows(view, bint is_little, bint is_signed):
    """The integers of a buffer whose format Python's own memoryview does not read."""
    cdef bytes data = view.tobytes()
    order = 'little' if is_little else 'big'
    numbers = [int.from_bytes(data[at:at + view.itemsize], order, signed=is_signed)
               for at in range(0, len(data), view.itemsize)]
    if view.ndim == 1:
        return numbers
    return [numbers[row * view.shape[1]:(row + 1) * view.shape[1]] for row in range(view.shape[0])]

cdef Py_ssize_t whole_number(number, str what) except? -1:
    if not hasattr(type(number), '__index__'):
        raise TypeError(f'{what}: expected a whole number, got {kind(number)}')
    return min(max(operator.index(number), -1), PY_SSIZE_T_MAX)

cdef double *room_for(Py_ssize_t rows, Py_ssize_t n) except NULL:
    """Room for rows of n numbers, and for one number more, so that there always is some."""
    cdef double *room = NULL
    if rows >= 0 and n >= 0 and (n == 0 or rows < PY_SSIZE_T_MAX // <Py_ssize_t>sizeof(double) // n):
        room = <double *>malloc(<size_t>(rows * n + 1) * sizeof(double))
    if room == NULL:
        raise MemoryError
    return room

cdef inline bint is_plain_float(const Py_buffer *buffer) noexcept:
    return buffer.format != NULL and buffer.format[0] in (c'd', c'f') and buffer.format[1] == 0

cdef bint view(Views *views, tuple arrays, tuple structure) except -1:
    """Whether these are arrays of floats that stand in memory as Python's own, of this structure, and few: then
    their columns. Any other arguments are for Arguments. views.n_buffers is 0 before; the caller releases."""
    cdef Py_ssize_t k, c, n, at = 0, count = PyTuple_GET_SIZE(arrays)
    cdef Py_buffer *buffer
    if count != PyTuple_GET_SIZE(structure) or not 0 < count <= MOST_VIEWS:
        return False
    for k in range(count):
        array = <object>PyTuple_GET_ITEM(arrays, k)
        if not PyObject_CheckBuffer(array) or isinstance(array, (bytes, bytearray)):
            return False
        buffer = &views.buffers[k]
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDED_RO | PyBUF_FORMAT)
        views.n_buffers += 1
        n = PyLong_AsSsize_t(<object>PyTuple_GET_ITEM(structure, k))
        if (not is_plain_float(buffer) or buffer.shape == NULL or buffer.strides == NULL
                or buffer.ndim != (1 if n < 0 else 2) or (n >= 0 and buffer.shape[1] != n)
                or (k and buffer.shape[0] != views.size) or <size_t>buffer.shape[0] >= 0xFFFFFFFFu):
            return False
        views.size = buffer.shape[0]
        n = 1 if n < 0 else n
        if at + n > MOST_VIEWED:
            return False
        for c in range(n):
            views.columns[at].data = <const char *>buffer.buf + (c * buffer.strides[1] if buffer.ndim == 2 else 0)
            views.columns[at].stride = buffer.strides[0]
            views.columns[at].is_float32 = buffer.format[0] == c'f'
            at += 1
    return True

cdef void release_views(Views *views) noexcept:
    cdef int k
    for k in range(views.n_buffers):
        PyBuffer_Release(&views.buffers[k])

@cython.final
cdef class Arguments:
    """The arguments of one call, as columns of numbers.

    arrays: float32 or float64 buffers, which are read where they are unless their bytes are in the
    other order; other buffers of numbers, what gives a NumPy array by __array__, or nested sequences,
    which are copied; of shape (B,) or (B, n), all of one B, else ValueError.
    name_of: a function that gives argument k's name for messages. samples: B, which has to agree with the
    arrays, if there are any. seed: of the draws; None: one that is chosen when it is needed.
    """

    def __init__(self, tuple arrays, name_of, samples=None, seed=None):
        cdef int k, count = <int>len(arrays)
        if self.buffers != NULL or not (arrays or samples is not None):
            raise TypeError('a compiled function needs an array for each argument, or, if it has none, samples=; '
                            'got neither')
        self.samples = -1 if samples is None else whole_number(samples, 'samples')
        if samples is not None and not 0 <= self.samples < 0xFFFFFFFF:
            raise ValueError(f'samples: expected a number from 0 to {0xFFFFFFFE}, got {samples}')
        if seed is not None:
            self.seed = seed
        self.buffers = <Py_buffer *>calloc(<size_t>count + 1, sizeof(Py_buffer))
        self.copies = <double **>calloc(<size_t>count + 1, sizeof(double *))
        if self.buffers == NULL or self.copies == NULL:
            raise MemoryError
        self.name_of = name_of
        self.structure = ()
        self.size = -1 if arrays else self.samples
        for k in range(count):
            self.add(arrays[k], k)

    def __dealloc__(self):
        cdef int k
        for k in range(self.n_buffers):
            PyBuffer_Release(&self.buffers[k])
        for k in range(self.n_copies):
            free(self.copies[k])
        free(self.buffers)
        free(self.copies)
        free(self.columns)

    @property
    def seed(self):
        """Of the draws: a number from 0 to 2**64 - 1; None: there is none yet. Any whole number can be assigned."""
        return self.chosen if self.is_seeded else None

    @seed.setter
    def seed(self, seed):
        if not hasattr(type(seed), '__index__'):
            raise TypeError(f'seed: expected a whole number, got {kind(seed)}')
        self.chosen = <uint64_t>(operator.index(seed) % 2**64)
        self.is_seeded = True

    cdef str name(self, int k):
        return f'argument {self.name_of(k)!r}'

    cdef int add(self, array, int k) except -1:
        if isinstance(array, (str, bytes, bytearray, dict, set, frozenset)) or is_handle(array):
            raise TypeError(f'{self.name(k)}: expected an array of numbers, got {kind(array)}')
        if PyObject_CheckBuffer(array):
            return self.add_buffer(array, k)
        numpy = sys.modules.get('numpy')
        if numpy is not None and hasattr(type(array), '__array__'):
            return self.add_buffer(numpy.asarray(array), k)
        try:
            rows = list(array)
        except TypeError:
            if is_number(array) or is_numpy_number(array):
                self.refuse_shape(k, ())
            raise TypeError(f'{self.name(k)}: expected an array of numbers, got {kind(array)}') from None
        return self.add_rows(k, rows, self.shape_of(k, rows))

    cdef int add_buffer(self, array, int k) except -1:
        cdef Py_buffer *buffer = &self.buffers[self.n_buffers]
        cdef Py_ssize_t[2] shape
        cdef Py_ssize_t[2] strides
        cdef bytes code
        cdef int d
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDED_RO | PyBUF_FORMAT)
        self.n_buffers += 1
        if buffer.ndim not in (1, 2):
            self.refuse_shape(k, tuple([buffer.shape[d] for d in range(buffer.ndim if buffer.shape != NULL else 0)]))
        # Some exporters, such as ctypes' arrays, leave out what they were asked for.
        if buffer.shape == NULL:
            shape[0] = buffer.len // buffer.itemsize
        else:
            for d in range(buffer.ndim):
                shape[d] = buffer.shape[d]
        if buffer.strides == NULL:
            strides[buffer.ndim - 1] = buffer.itemsize
            if buffer.ndim == 2:
                strides[0] = buffer.itemsize * shape[1]
        else:
            for d in range(buffer.ndim):
                strides[d] = buffer.strides[d]
        code = buffer.format if buffer.format != NULL else b'B'
        swapped = code.startswith((b'>', b'!') if sys.byteorder == 'little' else (b'<',))
        code = code.lstrip(b'@=<>!')
        if (code, buffer.itemsize) in ((b'd', 8), (b'f', 4)):
            if swapped:
                return self.add_swapped(k, <const char *>buffer.buf, buffer.ndim, shape, strides, code == b'f')
            return self.add_columns(k, <const char *>buffer.buf, buffer.ndim, shape, strides, code == b'f')
        try:
            rows = memoryview(array).tolist()
        except NotImplementedError:
            if code not in (b'b', b'B', b'h', b'H', b'i', b'I', b'l', b'L', b'q', b'Q', b'?'):
                raise TypeError(f'{self.name(k)}: expected numbers, got a buffer of format '
                                f'{buffer.format.decode()!r}') from None
            rows = integer_rows(memoryview(array), (sys.byteorder == 'little') != swapped, code.islower())
        return self.add_rows(k, rows, tuple([shape[d] for d in range(buffer.ndim)]))

    cdef int add_swapped(self, int k, const char *data, int ndim, Py_ssize_t *shape, Py_ssize_t *strides,
                         bint is_float32) except -1:
        """Copies floats whose bytes are in the other order."""
        cdef Py_ssize_t n = shape[1] if ndim == 2 else 1, row, c, b, size = 4 if is_float32 else 8
        cdef Py_ssize_t[2] copied
        cdef char *to = <char *>self.new_copy(shape[0], n)
        cdef const char *number
        copied[0], copied[1] = n * size, size
        for row in range(shape[0]):
            for c in range(n):
                number = data + row * strides[0] + (c * strides[1] if ndim == 2 else 0)
                for b in range(size):
                    to[row * copied[0] + c * size + b] = number[size - 1 - b]
        return self.add_columns(k, to, ndim, shape, copied, is_float32)

    cdef double *new_copy(self, Py_ssize_t rows, Py_ssize_t n) except NULL:
        cdef double *copy = room_for(rows, n)
        self.copies[self.n_copies] = copy
        self.n_copies += 1
        return copy

    cdef int refuse_shape(self, int k, tuple shape) except -1:
        raise ValueError(f'{self.name(k)}: expected shape (B,) or (B, n), got {shape}')

    cdef tuple shape_of(self, int k, list rows):
        """The shape of nested sequences, whose numbers are looked at later."""
        cdef tuple shape = ()
        for j, row in enumerate(rows):
            if isinstance(row, (str, bytes, bytearray, dict, set, frozenset)) or is_handle(row):
                raise TypeError(f'{self.name(k)}: expected numbers, got {kind(row)}')
            length = None if not hasattr(row, '__len__') or is_numpy_number(row) else len(row)
            if j == 0:
                shape = () if length is None else (length,)
            elif (() if length is None else (length,)) != shape:
                raise ValueError(f'{self.name(k)}: expected rows of one length, got row 0 of shape {shape} '
                                 f'and row {j} of shape {() if length is None else (length,)}')
        return (len(rows), *shape)

    cdef int add_rows(self, int k, list rows, tuple shape) except -1:
        """Copies numbers: a list of them, or of sequences of them."""
        cdef Py_ssize_t n = shape[1] if len(shape) == 2 else 1, at = 0, in_row
        cdef Py_ssize_t[2] sizes
        cdef Py_ssize_t[2] strides
        cdef double *copy
        cdef double value = 0
        sizes[0] = shape[0]
        sizes[1] = n
        copy = self.new_copy(sizes[0], n)
        for j, row in enumerate(rows):
            in_row = 0
            for number in (row if len(shape) == 2 else (row,)):
                if not as_real(number, &value):
                    if hasattr(number, '__len__'):
                        self.refuse_shape(k, (*shape, len(number)))
                    raise TypeError(f'{self.name(k)}: expected a real number, got {kind(number)}')
                if in_row == n:     # not counted to the end: it may have none
                    raise ValueError(f'{self.name(k)}: row {j} has a length of {n}, and gives more numbers')
                copy[at + in_row] = value
                in_row += 1
            if in_row < n:
                raise ValueError(f'{self.name(k)}: row {j} has a length of {n}, and gives '
                                 f'{in_row} numbers')
            at += n
        strides[0] = sizes[1] * <Py_ssize_t>sizeof(double)
        strides[1] = sizeof(double)
        return self.add_columns(k, <const char *>copy, <int>len(shape), sizes, strides, False)

    cdef int add_columns(self, int k, const char *data, int ndim, Py_ssize_t *shape, Py_ssize_t *strides,
                         bint is_float32) except -1:
        cdef Py_ssize_t n = 1, c
        cdef Column *columns
        if self.size < 0:
            self.size = shape[0]
            if <size_t>shape[0] >= 0xFFFFFFFFu:
                raise ValueError(f'{self.name(k)}: {shape[0]} samples are more than a batch can hold')
            if self.samples >= 0 and self.size != self.samples:
                raise ValueError(f'samples: {self.samples} disagrees with {self.name(k)}, which has '
                                 f'{self.size} samples')
        elif shape[0] != self.size:
            expected = f'({self.size}, {shape[1]})' if ndim == 2 else f'({self.size},)'
            raise ValueError(f'{self.name(k)}: expected shape {expected}, as {self.name(0)} has '
                             f'{self.size} samples; got {tuple([shape[c] for c in range(ndim)])}')
        if ndim == 2:
            n = shape[1]
        if n >= 0xFFFFFFFF - <Py_ssize_t>self.n_columns:
            raise ValueError(f'{self.name(k)}: {n} columns are more than a function can take')
        self.structure += (n if ndim == 2 else -1,)
        columns = <Column *>realloc(self.columns, <size_t>(self.n_columns + n + 1) * sizeof(Column))
        if columns == NULL:
            raise MemoryError
        self.columns = columns
        for c in range(n):
            columns[self.n_columns].data = data + (c * strides[1] if ndim == 2 else 0)
            columns[self.n_columns].stride = strides[0]
            columns[self.n_columns].is_float32 = is_float32
            self.n_columns += 1
        return 0

    cdef double number(self, uint32_t column, Py_ssize_t sample) noexcept:
        cdef const char *data = self.columns[column].data + sample * self.columns[column].stride
        cdef double number
        cdef float single
        if self.columns[column].is_float32:     # copied: it may stand at any address
            memcpy(&single, data, sizeof(single))
            return single
        memcpy(&number, data, sizeof(number))
        return number

    def inputs(self):
        """New leaves for the function: for each argument one, or a list of them. They have the numbers of
        the first sample; where there is none, a number inside most domains."""
        cdef uint32_t column = 0
        cdef list values = []
        for n in self.structure:
            leaves = []
            for _ in range(n if n >= 0 else 1):
                leaves.append(new_leaf(self.number(column, 0) if self.size else 0.5))
                column += 1
            values.append(leaves if n >= 0 else leaves[0])
        return values
