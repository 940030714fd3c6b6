# SPDX-License-Identifier: MIT
# What Python objects are to the engine, for other units; numbers.pyx says more.
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from headers.tape cimport Verdict

cdef str kind(object value)
cdef int refuse_foreign(int op, object left, object right) except -1
cdef bint as_number(object value, double *number) except -1
cdef bint is_number(object value) except -1
cdef bint is_numpy_number(object value) except -1
cpdef bint is_bool(object value) except -1
cdef bint as_real(object value, double *number) except -1
cpdef int expect_value(object value, str what) except -1
cdef double real(object value, str what) except? -1
cdef object expect_operand(object operand, str what)
cdef int refuse(int op, double x, double y, Verdict verdict) except -1

cdef inline uint64_t mixed(uint64_t mark, double number) noexcept:
    """A hash of what came before and of this number's bits: FNV-1a by words (Fowler, Noll and Vo)."""
    cdef uint64_t bits
    memcpy(&bits, &number, sizeof(bits))
    mark = (mark ^ bits) * <uint64_t>0x100000001B3
    return mark ^ (mark >> 29)
