# SPDX-License-Identifier: MIT
# What Python objects are to the engine, for other units; numbers.pyx says more.
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
