# SPDX-License-Identifier: MIT
# Recording, for other units; see record.pyx.
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

from headers.objects cimport TYPE_OF
from headers.state cimport *
from headers.tape cimport *
from .handles cimport HEAVY, anchor_of, attach, pop_handle

cdef inline object record_binary(int op, object left, object right):
    cdef PyObject *l = <PyObject *>left
    cdef PyObject *r = <PyObject *>right
    cdef uint32_t a, b
    cdef double x, y, z
    if (TYPE_OF(l) == ValueType and TYPE_OF(r) == ValueType
            and not (anchor_of(l).flags | anchor_of(r).flags) & HEAVY | special
            and tape.size < tape.limit and free_handles != NULL):
        a = anchor_of(l).index
        b = anchor_of(r).index
        x = tape.value[a]
        y = tape.value[b]
        z = op_value(op, x, y, 0)
        if op_verdict(op, x, y, z) == ACCEPTED:
            return attach(pop_handle(), tape_append(&tape, <uint8_t>op, z, a, b, 0))
    return record_binary_number(op, left, right)

cdef object record_binary_number(int op, object left, object right)
cdef object record_binary_call(object self, object other, int op)
cdef object record_ternary_call(object self, object others, int op)
cdef object record_unary(object self, int op)
cdef object record_scaled(int op, object self, double y, bint literal_int)
cdef object record_power(object base, object exponent)
cdef object written_number(uint32_t leaf)

cdef int expect_order(object values, str what) except -1
cdef list operand_list(object values, str what)
cdef object record_variadic(int op, list operands, object data=*)

cdef inline uint32_t place(PyObject *operand) noexcept:
    """The node of an operand of a list made by operand_list; a number becomes a leaf."""
    if PyFloat_CheckExact(<object>operand):
        return tape_append(&tape, OP_leaf, PyFloat_AS_DOUBLE(<object>operand), 0, 0, 0)
    return anchor_of(operand).index
