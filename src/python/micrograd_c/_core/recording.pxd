# SPDX-License-Identifier: MIT
# What differs from thread to thread, and what compile() records, for other units; see recording.pyx.
cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from headers.program cimport RecordedDraw

@cython.final
cdef class Context:
    cdef uint32_t pauses        # depth of no_grad()
    cdef Recording recording    # the innermost: a function that is being compiled may compile another

cdef struct Draws:
    RecordedDraw *items     # ascending
    uint32_t size

@cython.final
cdef class Body:
    cdef list leaves        # its carries and elements, and its draws
    cdef Draws draws
    cdef object steps       # how many there are, counted through all loops around it

@cython.final
cdef class Recording:
    cdef Context context
    cdef Recording outer
    cdef object marker          # a leaf below all that is recorded
    cdef list leaves            # the inputs, ascending; behind them the draws
    cdef uint32_t mark          # the marker's node; nodes stay where they are while the tape is busy
    cdef uint32_t *inputs       # the nodes of all of them
    cdef uint32_t n_inputs
    cdef Draws draws            # outside of loops
    cdef uint32_t next_in_body  # number of the next draw in the body of a loop
    cdef uint32_t pauses        # of no_grad() around it: it records whatever they say
    cdef Body body              # of the innermost loop that is being recorded; None: of none
    cdef dict guards            # (id, is it the grad) -> (Value, is it the grad, the number that was read)

    cdef int begin(self, list leaves) except -1
    cdef object new_input(self, double number)
    cdef object draw(self, int kind)
    cdef int end(self) except -1
    cdef void let_go(self) noexcept
    cdef int watch(self, object value, bint is_grad) except -1
    cdef int guard(self, value, bint is_grad, double number) except -1
    cdef list lasting_guards(self)

cdef class Unread:
    cdef object node            # a Value: 1 or 0
    cdef Recording recording    # in which it is good

cdef Context here()
cdef int set_pauses(Context context, uint32_t pauses) except -1
cdef bint is_paused() except -1
cdef bint gives_leaf(PyObject *const *operands, Py_ssize_t n) except -1
cdef bint is_traced(object handle) except -1
cdef Recording recording_of(object handle)
cdef Recording inner_of(Recording one, Recording other)
cdef bint is_good(Unread thing) except -1
cdef int refuse_traced(object handle, str what) except -1
cdef int refuse_condition(str what) except -1
cdef int refuse_leaked(str what) except -1
cdef int check_read(object value, str what, bint is_grad=*) except -1
cdef int check_write(object value, str what) except -1
cdef int check_change(str what) except -1
cdef int refuse_rule() except -1
