# SPDX-License-Identifier: MIT
# Handles, as other units use them; handles.pyx says what they are.
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint32_t, uint64_t

from headers.objects cimport Py_REFCNT, Py_SET_REFCNT, PyType_IsSubtype, TYPE_OF, visitproc
from headers.state cimport *
from headers.tape cimport *

cdef enum:              # Anchor.flags
    ANNEXED = 1         # the node has an annex
    HEAVY = 2           # it is LATE or SETTLED: what is recorded on it refers to its handle; or it has leaked

cdef struct PyAnnex:    # an Annex and the Python objects behind it, all of them owned
    Annex base
    PyObject *attributes    # dict
    PyObject *label
    PyObject *op            # str, where the operation's own symbol will not do
    PyObject *rule          # the chain rule written in Python
    PyObject *operands      # tuple of handles

# -- what a handle is ---------------------------------------------------------------------------

cdef inline Anchor *anchor_of(PyObject *handle) noexcept:
    return &(<HandleObject *>handle).anchor

cdef inline bint is_plain(PyObject *value) noexcept:
    """A light Value, and no instance of a subclass."""
    return TYPE_OF(value) == ValueType and not anchor_of(value).flags & HEAVY

cdef inline bint is_handle(object value) noexcept:
    return TYPE_OF(<PyObject *>value) == ValueType or PyType_IsSubtype(TYPE_OF(<PyObject *>value), ValueType)

cdef inline PyObject *handle_at(uint32_t i) noexcept:
    """The handle of node i, or NULL."""
    cdef Anchor *anchor = owner_anchor(tape.owner[i])
    return NULL if anchor == NULL or Py_REFCNT(HANDLE_OF(anchor)) == 0 else HANDLE_OF(anchor)

cdef inline bint has_leaked(object value) noexcept:
    """Whether it was a Value until its recording ended; then it is none: leaked.pyx."""
    return TYPE_OF(<PyObject *>value) == LeakedType

cdef struct Places:         # where the numbers of a list of Values stand, for loops over many of them
    Span *spans             # room for as many
    size_t n_spans
    const uint32_t *elsewhere
    uint64_t moves          # the tape's when they were looked up; 0: they are to be looked up again

cdef inline void find_places(Places *places, list values, const uint32_t *elsewhere) noexcept:
    """elsewhere: the second place of each; NULL: its index in the list."""
    if places.moves != tape.moves or places.elsewhere != elsewhere:
        look_up(places, values, elsewhere)

cdef void look_up(Places *places, list values, const uint32_t *elsewhere) noexcept
cdef object value_at(uint32_t i)
cdef list operand_values(uint32_t i)

# -- a new one ----------------------------------------------------------------------------------

cdef inline object steal(PyObject *owned):
    result = <object>owned
    Py_DECREF(result)
    return result

cdef inline PyObject *pop_handle() noexcept:
    """One from the free list, which is not empty."""
    global free_handles, free_count
    cdef PyObject *handle = free_handles
    free_handles = (<HandleObject *>handle).weakrefs
    free_count -= 1
    (<HandleObject *>handle).weakrefs = NULL
    Py_SET_REFCNT(handle, 1)
    return handle

cdef inline object attach(PyObject *handle, uint32_t i):
    """Gives the node just appended its handle; takes the reference over."""
    anchor_of(handle).index = i
    tape.owner[i] = <Owner>anchor_of(handle)
    return steal(handle)

cdef inline PyObject *prepare(uint32_t nodes, uint32_t args, PyAnnex *annex=NULL) except NULL:
    """A new handle and room on the tape. Until the next call, indices stay as they are.

    annex: what else there is to give back if there is no memory.
    """
    cdef PyObject *handle = pop_handle() if free_handles != NULL else make_handle()
    if handle == NULL or ((tape.limit - tape.size < nodes or args) and not has_room(nodes, args)):
        abandon(handle, annex)
        return NULL
    return handle

cdef PyObject *make_handle() noexcept
cdef void discard(PyObject *handle) noexcept
cdef void abandon(PyObject *handle, PyAnnex *annex) noexcept
cdef bint has_room(uint32_t nodes, uint32_t args) noexcept
cdef int reserve(uint32_t nodes, uint32_t args) except -1
cdef object new_leaf(double value)
cdef void value_dealloc(PyObject *self) noexcept
cdef void become_leaked(Anchor *anchor) noexcept

# -- annexes ------------------------------------------------------------------------------------

cdef inline PyAnnex *annex_of(PyObject *handle) noexcept:
    return <PyAnnex *>owner_annex(tape.owner[anchor_of(handle).index])

cdef PyAnnex *make_annex() except NULL
cdef PyAnnex *need_annex(PyObject *handle) except NULL
cdef void attach_annex(PyObject *handle, PyAnnex *annex) noexcept
cdef void clear_annex(PyAnnex *annex) noexcept
cdef void replace(PyObject **slot, object value)
cdef bint may_form_cycle(object value)
cdef void make_heavy(PyObject *handle) noexcept
cdef int settle() except -1
cdef int settle_these() except -1
cdef void release_orphans() noexcept
cdef int value_traverse(PyObject *self, visitproc visit, void *arg) noexcept
cdef int value_clear(PyObject *self) noexcept
cdef inline int reraise() except -1:
    return -1       # the exception is set
