# SPDX-License-Identifier: MIT
# Recording: one node on the tape for one call from Python.
#
# Light operands, a handle in the free list and room on the tape: then no Python code can run meanwhile,
# and the node is made at once (record_binary, record_binary_number, record_unary, record_scaled). All else
# goes through a Draft, whatever the operation.
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

from headers.objects cimport INT_AS_DOUBLE, LIST_ITEMS, PyErr_Clear, PyErr_Occurred, TYPE_OF
from headers.state cimport *
from headers.tape cimport *
from .handles cimport *
from .numbers cimport as_number, expect_operand, kind, refuse, refuse_foreign
from .recording cimport gives_leaf, here, is_paused, is_traced, refuse_leaked

# -- drafts ---------------------------------------------------------------------------------------

cdef struct Draft:      # a node that is about to be recorded
    PyObject *handle
    PyAnnex *annex      # NULL: no operand is heavy
    bint leaf           # no_grad() makes a leaf of it

cdef bint any_heavy(PyObject *const *operands, Py_ssize_t n) noexcept:
    """Or has leaked. operands: handles, and numbers among them."""
    cdef Py_ssize_t k
    cdef PyObject *operand
    for k in range(n):
        operand = operands[k]
        if TYPE_OF(operand) == ValueType:
            if anchor_of(operand).flags & HEAVY:
                return True
        elif not PyFloat_CheckExact(<object>operand) and (
                is_handle(<object>operand) and anchor_of(operand).flags & HEAVY or has_leaked(<object>operand)):
            return True
    return False

cdef bint any_leaked(PyObject *const *operands, Py_ssize_t n) noexcept:
    cdef Py_ssize_t k
    for k in range(n):
        if has_leaked(<object>operands[k]):
            return True
    return False

cdef PyAnnex *annex_for_heavy(PyObject *const *operands, Py_ssize_t n) except NULL:
    """An annex that holds the operands' handles."""
    cdef Py_ssize_t k
    if any_leaked(operands, n):
        refuse_leaked('use')
    held = tuple([<object>operands[k] for k in range(n) if is_handle(<object>operands[k])])
    cdef PyAnnex *annex = make_annex()
    replace(&annex.operands, held)
    annex.base.weight = SETTLED
    return annex

cdef int draft(Draft *new, PyObject *const *operands, Py_ssize_t n, uint32_t nodes, uint32_t args,
               bint leaf) except -1:
    """A handle, room on the tape, and an annex if an operand is heavy. Until the next call, indices stay
    as they are.

    Getting them may run the collector, before which what is late is settled: what was light may be heavy
    by then; and other threads, in which a recording may end: what was a Value may have leaked. So this
    looks again, and no recorder has to.
    """
    cdef uint32_t before
    new.leaf = leaf
    new.annex = NULL
    while True:
        if not leaf and any_heavy(operands, n):
            new.annex = annex_for_heavy(operands, n)
        before = disturbances
        new.handle = prepare(nodes, args, new.annex)
        if disturbances == before and not leaf:
            return 0
        if (leaf or new.annex != NULL) and any_leaked(operands, n):
            abandon(new.handle, new.annex)
            refuse_leaked('use')
        if leaf or new.annex != NULL or not any_heavy(operands, n):
            return 0
        discard(new.handle)

cdef object finish(Draft *new, int op, double value, uint32_t a, uint32_t b):
    """The node of a draft, behind one that stops the gradient where no_grad() says so."""
    if new.leaf:
        return attach(new.handle, tape_append(&tape, OP_leaf, value, 0, 0, 0))
    recorded = attach(new.handle, tape_append(&tape, <uint8_t>op, value, a, b, 0))
    if new.annex != NULL:
        attach_annex(new.handle, new.annex)
    if is_recording and op != OP_detach and is_paused() and here().recording is not None:
        return record_unary(recorded, OP_detach)
    return recorded

# -- one or two operands --------------------------------------------------------------------------

cdef inline bint is_simple_number(PyObject *value, double *number) noexcept:
    """Whether it is a float or an int; an int that is too large is left to as_number."""
    if PyFloat_CheckExact(<object>value):
        number[0] = PyFloat_AS_DOUBLE(<object>value)
        return True
    if PyLong_CheckExact(<object>value):
        number[0] = INT_AS_DOUBLE(value)
        if number[0] != -1.0 or PyErr_Occurred() == NULL:
            return True
        PyErr_Clear()
    return False

cdef object record_binary_number(int op, object left, object right):
    """With a number on one side, which becomes a leaf; whatever needs more care goes on."""
    cdef PyObject *l = <PyObject *>left
    cdef PyObject *r = <PyObject *>right
    cdef uint32_t a = 0, b = 0
    cdef double x = 0, y = 0, z
    cdef bint on_left = is_plain(l), on_right = is_plain(r)
    if (not special and (on_left or is_simple_number(l, &x)) and (on_right or is_simple_number(r, &y))
            and tape.limit - tape.size >= 2 and free_handles != NULL):
        if on_left:
            a = anchor_of(l).index
            x = tape.value[a]
        if on_right:
            b = anchor_of(r).index
            y = tape.value[b]
        z = op_value(op, x, y, 0)
        if op_verdict(op, x, y, z) == ACCEPTED:
            if not on_left:
                a = tape_append(&tape, OP_leaf, x, 0, 0, 0)
            elif not on_right:
                b = tape_append(&tape, OP_leaf, y, 0, 0, 0)
            return attach(pop_handle(), tape_append(&tape, <uint8_t>op, z, a, b, 0))
    cdef bint is_left = is_handle(left), is_right = is_handle(right)
    if not (is_left or as_number(left, &x)) or not (is_right or as_number(right, &y)):
        refuse_foreign(op, left, right)
        return NotImplemented
    return record_map(op, l if is_left else NULL, x, r if is_right else NULL, y)

cdef object record_map(int op, PyObject *left, double x, PyObject *right, double y, uint32_t literal=0):
    """op(x, y), of handles, or of numbers where these are NULL. literal: marks y's leaf."""
    cdef Draft new
    cdef PyObject *operands[2]
    cdef Py_ssize_t n = 0
    cdef uint32_t a = 0, b = 0
    cdef double z
    cdef Verdict verdict
    cdef bint has_second = op_info[op].shape in (SCALED, BINARY)
    if left != NULL:
        operands[0] = left
        n = 1
    if right != NULL:
        operands[n] = right
        n += 1
    cdef bint leaf = special != 0 and gives_leaf(operands, n)
    draft(&new, operands, n, 3, 0, leaf)
    if left != NULL:
        a = anchor_of(left).index
        x = tape.value[a]
    if right != NULL:
        b = anchor_of(right).index
        y = tape.value[b]
    z = op_value(op, x, y, 0)
    verdict = op_verdict(op, x, y, z)
    if verdict != ACCEPTED and not (is_recording and (left != NULL and is_traced(<object>left)
                                                      or right != NULL and is_traced(<object>right))):
        abandon(new.handle, new.annex)
        refuse(op, x, y, verdict)
    if not leaf and left == NULL:
        a = tape_append(&tape, OP_leaf, x, 0, 0, 0)
    if not leaf and right == NULL and has_second:
        b = tape_append(&tape, OP_leaf, y, literal, 0, 0)
    return finish(&new, op, z, a, b)

cdef object record_binary_call(object self, object other, int op):
    """A method of Value with an operand."""
    return record_binary(op, self, expect_operand(other, op_info[op].name.decode()))

cdef object record_unary(object self, int op):
    cdef uint32_t a
    cdef double x, z
    if (not anchor_of(<PyObject *>self).flags & HEAVY | special and tape.size < tape.limit
            and free_handles != NULL):
        a = anchor_of(<PyObject *>self).index
        x = tape.value[a]
        z = op_value(op, x, 0, 0)
        if op_verdict(op, x, 0, z) == ACCEPTED:
            return attach(pop_handle(), tape_append(&tape, <uint8_t>op, z, a, 0, 0))
    return record_map(op, <PyObject *>self, 0, NULL, 0)

cdef object record_scaled(int op, object self, double y, bint literal_int):
    """An operation on one Value and a number that is no operand."""
    cdef uint32_t a, b, literal = LITERAL_INT if literal_int else 0
    cdef double x, z
    if (not anchor_of(<PyObject *>self).flags & HEAVY | special and tape.limit - tape.size >= 2
            and free_handles != NULL):
        a = anchor_of(<PyObject *>self).index
        x = tape.value[a]
        z = op_value(op, x, y, 0)
        if op_verdict(op, x, y, z) == ACCEPTED:
            b = tape_append(&tape, OP_leaf, y, literal, 0, 0)
            return attach(pop_handle(), tape_append(&tape, <uint8_t>op, z, a, b, 0))
    return record_map(op, <PyObject *>self, 0, NULL, y, literal)

cdef object record_power(object base, object exponent):
    cdef double y = 0
    if not as_number(exponent, &y):
        refuse_foreign(OP_pow, base, exponent)
        return NotImplemented
    cdef bint literal_int = type(exponent) is int and <object>y == exponent
    power = record_scaled(OP_pow_number, base, y, literal_int)
    if not literal_int and not PyFloat_Check(exponent) and not is_paused():
        power._op = f'**{exponent}'
    return power

cdef object written_number(uint32_t leaf):
    cdef double number = tape.value[leaf]
    return int(number) if tape.operands[leaf].a == LITERAL_INT else number

# -- any number of operands -------------------------------------------------------------------------

cdef int expect_order(object values, str what) except -1:
    if isinstance(values, (set, frozenset, dict)):
        raise TypeError(f'{what}: expected a sequence, got {kind(values)}, whose elements have no places')
    return 0

cdef list operand_list(object values, str what):
    """The values as a list of Values and floats; itself, if it is one."""
    cdef list operands
    cdef Py_ssize_t k
    if type(values) is list:
        for value in <list>values:
            if TYPE_OF(<PyObject *>value) != ValueType and not PyFloat_CheckExact(value):
                break
        else:
            return values
    expect_order(values, what)
    operands = list(values)
    for k in range(len(operands)):
        value = operands[k]
        if TYPE_OF(<PyObject *>value) == ValueType or PyFloat_CheckExact(value):
            continue
        operands[k] = expect_operand(value, what)
    return operands

cdef object record_variadic(int op, list operands, object data=None):
    """A node on all the operands. data: its value, where the operation does not compute one.

    operands: of operand_list, but nobody else's, since Python code that runs meanwhile may change it.
    """
    # The data of custom() is Python's number: a leaf, also where a function is being compiled.
    cdef uint32_t k, count = <uint32_t>PyList_GET_SIZE(operands), size, args
    cdef bint leaf = special != 0 and (gives_leaf(LIST_ITEMS(operands), count) if data is None else is_paused())
    cdef Draft new
    cdef double value = 0 if data is None else data
    draft(&new, LIST_ITEMS(operands), count, count + 1, count, leaf)
    size = tape.size
    args = tape.args_size
    for k in range(count):
        tape.args[args + k] = place(PyList_GET_ITEM(operands, k))
    if data is None:
        value = tape_listed_value(&tape, op, tape.args + args, count)
    if leaf:
        tape.size = size
    else:
        tape.args_size += count
    return finish(&new, op, value, args, count)

cdef object record_ternary_call(object self, object others, int op):
    """A method of Value with two operands."""
    cdef str name = op_info[op].name.decode()
    cdef double x, y, z
    cdef Verdict verdict
    if len(others) != 2:
        raise TypeError(f'{name}: expected 2 operands beside this value, got {len(others)}')
    cdef list operands = operand_list((self, *others), name)
    x, y = number_at(operands, 0), number_at(operands, 1)
    z = op_value(op, x, y, number_at(operands, 2))
    verdict = op_verdict(op, x, y, z)
    if verdict != ACCEPTED and not any([is_handle(v) and is_traced(v) for v in operands]):
        refuse(op, x, y, verdict)
    return record_variadic(op, operands)

cdef inline double number_at(list operands, Py_ssize_t k) except? -1:
    value = operands[k]
    return tape.value[anchor_of(<PyObject *>value).index] if is_handle(value) else value
