# SPDX-License-Identifier: MIT
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: c_api_binop_methods=True, cdivision=True
"""The Python boundary of the tape: arguments, errors, lifetimes, handles.

A Value is a handle: the index of a node, and nothing else. What the node is stands on the tape.
Handles are made and dropped at every operation, so they come from a free list and are invisible to
Python's cyclic collector until they refer to Python objects:

* A *light* node, the usual kind, is numbers on the tape. Its graph keeps it alive there, whether or
  not a handle to it exists.
* A *heavy* node refers to Python objects that may refer back to it: a chain rule written in Python,
  attributes that hold containers, an instance of a subclass. Handles of heavy nodes, and of all nodes
  recorded on top of them, hold references to their operands' handles, as in the lesson, and the
  collector sees them.

Three rules keep indices valid. Allocating a handle may run the collector, and with it any Python
code: allocate first. Reserving room may compact the tape: reserve next. Only then read indices, and
append.
"""
cimport cython
from cpython.object cimport PyObject, PyTypeObject, PyObject_RichCompare, Py_EQ, Py_NE
from cpython.ref cimport Py_INCREF, Py_DECREF, Py_XDECREF
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsDouble, PyLong_Check, PyLong_CheckExact
from libc.stdint cimport uint8_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, free

from tape cimport *

import collections
import copyreg
import gc
import numbers
import threading

cdef extern from "Python.h":
    PyObject *_PyObject_GC_New(PyTypeObject *type)
    void PyObject_GC_Del(void *object)
    void PyObject_GC_Track(PyObject *object)
    void PyObject_GC_UnTrack(PyObject *object)
    void PyObject_ClearWeakRefs(PyObject *object)
    void Py_SET_REFCNT(PyObject *object, Py_ssize_t count)
    bint PyObject_GC_IsTracked(PyObject *object)
    bint PyObject_IS_GC(PyObject *object)
    PyObject *PyObject_GenericGetAttr(PyObject *object, PyObject *name) noexcept
    PyObject *PyErr_Occurred() noexcept
    void PyErr_Clear() noexcept
    PyObject *PyErr_NoMemory() noexcept
    double INT_AS_DOUBLE "PyLong_AsDouble" (PyObject *value) noexcept
    ctypedef PyObject *(*getattrofunc)(PyObject *object, PyObject *name) noexcept
    void PyType_Modified(PyTypeObject *type)
    int PyObject_GenericSetAttr(PyObject *object, PyObject *name, PyObject *value) except -1
    PyObject *PyDict_GetItemWithError(PyObject *dict, PyObject *key)
    ctypedef int (*visitproc)(PyObject *object, void *arg) noexcept
    PyObject *_PyType_Lookup(PyTypeObject *type, PyObject *name)
    ctypedef struct PyType_Slot:
        int slot
        void *pfunc
    ctypedef struct PyType_Spec:
        const char *name
        int basicsize
        int itemsize
        unsigned int flags
        PyType_Slot *slots
    object PyType_FromSpecWithBases(PyType_Spec *spec, object bases)
    int Py_tp_dealloc, Py_tp_traverse, Py_tp_clear, Py_tp_new, Py_tp_setattro
    int Py_tp_methods, Py_tp_doc
    unsigned int Py_TPFLAGS_DEFAULT, Py_TPFLAGS_BASETYPE, Py_TPFLAGS_HAVE_GC
    ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)

cdef extern from *:
    """
    /* Fields and macros that Cython's own declarations leave out. */
    #define SET_VECTORCALL(type, function) ((type)->tp_vectorcall = (function))
    #define TYPE_INIT(type) ((void *)(type)->tp_init)
    #define TYPE_ALLOC(type) ((type)->tp_alloc(type, 0))
    #define TYPE_FREE(object) (Py_TYPE(object)->tp_free(object))
    #define TYPE_OF(object) (Py_TYPE(object))
    #define HAS_DICT(type) ((type)->tp_dictoffset != 0)
    #define GETATTRO(type) ((type)->tp_getattro)
    #define SET_GETATTRO(type, function) ((type)->tp_getattro = (function))
    #define DESCRIPTOR_SET(object) (Py_TYPE(object)->tp_descr_set)

    /* What class Handle below lays out, for code that touches no reference count. */
    typedef struct {
        PyObject_HEAD
        Anchor anchor;
        PyObject *weakrefs;
    } HandleObject;
    #define HANDLE_OF(anchor_) ((PyObject *)((char *)(anchor_) - offsetof(HandleObject, anchor)))
    """
    ctypedef int (*descrsetfunc)(PyObject *descriptor, PyObject *self, PyObject *value) except -1
    ctypedef struct HandleObject:
        Anchor anchor
        PyObject *weakrefs      # of a dropped handle: the next in the free list
    PyObject *HANDLE_OF(Anchor *anchor)
    void SET_VECTORCALL(PyTypeObject *type, vectorcallfunc function)
    void *TYPE_INIT(PyTypeObject *type)
    PyObject *TYPE_ALLOC(PyTypeObject *type)
    void TYPE_FREE(PyObject *object)
    PyTypeObject *TYPE_OF(PyObject *object)
    bint HAS_DICT(PyTypeObject *type)
    getattrofunc GETATTRO(PyTypeObject *type)
    void SET_GETATTRO(PyTypeObject *type, getattrofunc function)
    descrsetfunc DESCRIPTOR_SET(PyObject *descriptor)

cdef extern from "methods.h":
    ctypedef PyObject *(*RecordUnary)(PyObject *self, int op)
    RecordUnary record_unary_method
    void *unary_methods

# -- the tape and its handles ---------------------------------------------------------------------

cdef Tape tape
tape_init(&tape)

cdef enum:              # Anchor.flags
    ANNEXED = 1         # the node has an annex
    HEAVY = 2           # nodes recorded on this one hold a reference to its handle
    BORN_HEAVY = 4      # and all of them do: when the handle dies, nothing needs the node

cdef struct PyAnnex:    # an Annex and the Python objects behind it, all of them owned
    Annex base
    PyObject *attributes    # dict
    PyObject *label
    PyObject *op            # str, where the operation's own symbol will not do
    PyObject *rule          # the chain rule written in Python
    PyObject *operands      # tuple of handles
    bint heavy

cdef class Handle:
    """What Value inherits. It cannot be made by itself."""
    cdef Anchor anchor
    cdef object __weakref__

    def __cinit__(self):
        raise TypeError('make a Value instead')

    def __init__(self, data, _children=(), _op='', label=''):
        initialise(self, data, _children, _op, label)

    # -- the node's fields --

    @property
    def data(self):
        """The number; assignable."""
        return tape.value[self.anchor.index]

    @data.setter
    def data(self, data):
        cdef double value
        if PyFloat_CheckExact(data):
            value = PyFloat_AS_DOUBLE(data)
        else:
            value = real(data, 'Value.data')
        tape.value[self.anchor.index] = value

    @property
    def grad(self):
        """The adjoint: the derivative of the last root by this node; assignable."""
        return tape_adjoint(&tape, self.anchor.index)

    @grad.setter
    def grad(self, grad):
        cdef double adjoint
        if PyFloat_CheckExact(grad):
            adjoint = PyFloat_AS_DOUBLE(grad)
        else:
            adjoint = real(grad, 'Value.grad')
        tape_set_adjoint(&tape, self.anchor.index, adjoint)

    @property
    def label(self):
        """A name for people and pictures; '' at first."""
        cdef PyAnnex *annex = annex_of(self)
        return <object>annex.label if annex != NULL and annex.label != NULL else ''

    @label.setter
    def label(self, label):
        cdef PyAnnex *annex = need_annex(self)
        replace(&annex.label, label)
        if may_form_cycle(label):
            make_heavy(self)

    @property
    def _op(self):
        """The operation that recorded the node; '' for a leaf."""
        cdef PyAnnex *annex = annex_of(self)
        cdef uint32_t i = self.anchor.index
        cdef int op = tape.op[i] & ~OP_CLOSURE
        if annex != NULL and annex.op != NULL:
            return <object>annex.op
        if op == OP_pow_number:
            return f'**{written_number(tape.operands[i].b)}'
        return op_info[op].symbol.decode()

    @_op.setter
    def _op(self, op):
        cdef PyAnnex *annex = need_annex(self)
        replace(&annex.op, str(op))

    @property
    def _prev(self):
        """The operands, as a set; the same objects while they are alive."""
        return set(operand_values(self.anchor.index))

    @property
    def _backward(self):
        """Applies this node's chain rule once: adds to its operands' grads. Assignable."""
        cdef PyAnnex *annex = annex_of(self)
        return <object>annex.rule if annex != NULL and annex.rule != NULL else self._apply_rule

    @_backward.setter
    def _backward(self, rule):
        if not callable(rule):
            raise TypeError(f'Value._backward: expected a callable, got {kind(rule)}')
        cdef PyAnnex *annex = need_annex(self)
        if not tape.op[self.anchor.index] & OP_CLOSURE:
            tape.op[self.anchor.index] |= <uint8_t>OP_CLOSURE
            tape.closures += 1
        replace(&annex.rule, rule)
        make_heavy(self)

    def _apply_rule(self):
        tape_apply_rule(&tape, self.anchor.index)

    @property
    def __dict__(self):
        attributes = attributes_of(self)
        make_heavy(self)    # whoever holds the dict may put anything into it
        return attributes

    # -- operators --

    def __add__(left, right):
        return record_binary(OP_add, left, right)

    def __sub__(left, right):
        return record_binary(OP_sub, left, right)

    def __mul__(left, right):
        return record_binary(OP_mul, left, right)

    def __truediv__(left, right):
        return record_binary(OP_truediv, left, right)

    def __pow__(left, right, modulo):
        if modulo is not None:
            return NotImplemented
        if isinstance(left, Handle) and not isinstance(right, Handle):
            return record_power(left, right)
        return record_binary(OP_pow, left, right)

    def __neg__(self):
        return record_unary(self, OP_neg)

    def __pos__(self):
        return self

    def __abs__(self):
        return record_unary(self, OP_abs)

    def __richcmp__(self, other, int comparison):
        cdef double number = 0
        if comparison == Py_EQ or comparison == Py_NE:
            return NotImplemented
        if isinstance(other, Handle):
            other = tape.value[(<Handle>other).anchor.index]
        elif not as_number(other, &number):
            return NotImplemented
        return PyObject_RichCompare(tape.value[self.anchor.index], other, comparison)

    def __hash__(self):
        return <Py_hash_t>(<uintptr_t><void *>self >> 4)

    # -- operations with an argument --

    def leaky_relu(self, slope=0.01):
        """x where x > 0, else slope * x."""
        return record_scaled(OP_leaky_relu, self, real(slope, 'leaky_relu'), False)

    def maximum(self, other):
        """The larger of this and other; NaN if either is."""
        return expect_operand(record_binary(OP_maximum, self, other), 'maximum', other)

    def minimum(self, other):
        """The smaller of this and other; NaN if either is."""
        return expect_operand(record_binary(OP_minimum, self, other), 'minimum', other)

    # -- the graph --

    def backward(self, *, accumulate=None):
        """Sets the grad of every node that this one depends on.

        Every grad of the graph starts at 0, this node's at 1, and one reverse sweep applies the
        chain rule. With accumulate, leaves add to the grad that they had. None: what
        accumulate_grads() last set.
        """
        cdef bint adding = accumulates if accumulate is None else accumulate
        cdef SweepStatus status = tape_sweep(&tape, self.anchor.index, adding, run_rule)
        if status == SWEEP_NO_MEMORY:
            raise MemoryError
        if status == SWEEP_STOPPED:
            reraise()

    def detach(self):
        """A new leaf with the same data."""
        return new_leaf(tape.value[self.anchor.index])

    def item(self):
        """The data, as PyTorch calls it."""
        return tape.value[self.anchor.index]

    # -- as an object --

    def __repr__(self):
        return f'Value(data={self.data}, grad={self.grad})'

    def __format__(self, specification):
        return format(self.data, specification) if specification else str(self)

    def __reduce_ex__(self, protocol):
        if tape.op[self.anchor.index] != OP_leaf:
            raise TypeError(f'cannot copy or pickle a node that {self._op!r} recorded, only a leaf; '
                            f'detach() makes one')
        cdef PyAnnex *annex = annex_of(self)
        if HAS_DICT(TYPE_OF(<PyObject *>self)):
            attributes = getattr(self, '__dict__')
        else:
            attributes = <object>annex.attributes if annex != NULL and annex.attributes != NULL else {}
        return copyreg.__newobj__, (type(self),), (self.data, self.grad, self.label, attributes)

    def __setstate__(self, state):
        self.data, self.grad, label, attributes = state
        if label != '':
            self.label = label
        for name, value in attributes.items():
            setattr(self, name, value)



cdef PyTypeObject *ValueType = NULL     # the class Value, made at the end of this file
cdef void *value_init = NULL            # its __init__, to notice when somebody replaces it
cdef bint accumulates = False           # what accumulate_grads() last set
cdef dict paused = {}                   # thread -> depth of no_grad()
cdef uint32_t special = 0               # not 0: recording takes the long way in some thread

# -- handles --------------------------------------------------------------------------------------

cdef enum:
    FREE_HANDLES = 1024         # at most, 48 KB: what a step of a small training loop drops
    LARGE_TAPE = 65536          # nodes: worth the looks for garbage that smaller tapes do without

cdef PyObject *free_handles = NULL
cdef Py_ssize_t free_count = 0
cdef Py_ssize_t made_handles = 0        # in the free list or in use
cdef Py_ssize_t most_handles = 0        # in use at once, since the last look for garbage
cdef Py_ssize_t free_stop = FREE_HANDLES

cdef inline Anchor *anchor_of(PyObject *handle) noexcept:
    return &(<HandleObject *>handle).anchor

cdef inline bint is_plain(PyObject *value) noexcept:
    """A light Value, and no instance of a subclass."""
    return TYPE_OF(value) == ValueType and not anchor_of(value).flags & HEAVY

cdef inline bint is_handle(object value) noexcept:
    return TYPE_OF(<PyObject *>value) == ValueType or isinstance(value, Handle)

cdef inline object steal(PyObject *owned):
    result = <object>owned
    Py_DECREF(result)
    return result

cdef inline PyObject *pop_handle() noexcept:
    global free_handles, free_count
    cdef PyObject *handle = free_handles
    free_handles = (<HandleObject *>handle).weakrefs
    free_count -= 1
    (<HandleObject *>handle).weakrefs = NULL
    Py_SET_REFCNT(handle, 1)
    return handle

cdef PyObject *make_handle() noexcept:
    """A handle to no node yet, or NULL with MemoryError set. May run the collector."""
    global made_handles, most_handles
    if free_handles != NULL:
        return pop_handle()
    cdef PyObject *handle = _PyObject_GC_New(ValueType)
    if handle == NULL:
        return NULL
    (<HandleObject *>handle).weakrefs = NULL
    anchor_of(handle).flags = 0
    made_handles += 1
    if made_handles - free_count > most_handles:
        most_handles = made_handles - free_count
        set_free_stop()
    return handle

cdef inline object attach(PyObject *handle, uint32_t i):
    """Gives the node just appended its handle; takes the reference over."""
    anchor_of(handle).index = i
    tape.owner[i] = <Owner>anchor_of(handle)
    return steal(handle)

cdef void set_free_stop() noexcept:
    """When half of a large tape's handles are dropped, it is worth looking for garbage."""
    global free_stop
    free_stop = FREE_HANDLES
    if tape.size > LARGE_TAPE and made_handles - most_handles // 2 < FREE_HANDLES:
        free_stop = made_handles - most_handles // 2

cdef void value_dealloc(PyObject *self) noexcept:
    global free_handles, free_count
    cdef uint32_t i = anchor_of(self).index
    if (anchor_of(self).flags or TYPE_OF(self) != ValueType
            or (<HandleObject *>self).weakrefs != NULL or free_count >= free_stop):
        dealloc_slowly(self)
        return
    tape.owner[i] = 0
    (<HandleObject *>self).weakrefs = free_handles
    free_handles = self     # keeps its reference to the class
    free_count += 1
    if i + 1 == tape.size:
        tape_pop(&tape)
        if tape.orphans != NULL:
            release_orphans()

cdef void dealloc_slowly(PyObject *self) noexcept:
    global made_handles, most_handles
    cdef PyTypeObject *type = TYPE_OF(self)
    cdef Anchor *anchor = anchor_of(self)
    cdef Annex *annex
    PyObject_GC_UnTrack(self)
    if (<HandleObject *>self).weakrefs != NULL:
        PyObject_ClearWeakRefs(self)
    if anchor.flags & ANNEXED:
        annex = owner_annex(tape.owner[anchor.index])
        annex.anchor = NULL
        if anchor.flags & BORN_HEAVY:
            tape.owner[anchor.index] = 0
            annex.next = tape.orphans
            tape.orphans = annex
    elif type == ValueType:     # of a subclass: one that was never placed on the tape
        tape.owner[anchor.index] = 0
    if anchor.index + 1 == tape.size:
        tape_pop(&tape)
    PyObject_GC_Del(self)
    Py_DECREF(<object>type)
    if type == ValueType:
        made_handles -= 1
        if tape.size > LARGE_TAPE and (made_handles - free_count) * 2 <= most_handles:
            most_handles = made_handles - free_count
            tape_compact(&tape, 0)
            tape_trim(&tape, 1)
        set_free_stop()
    if tape.orphans != NULL:
        release_orphans()

cdef void discard(PyObject *handle) noexcept:
    """Drops a handle that refers to no node yet."""
    global made_handles
    PyObject_GC_Del(handle)
    Py_DECREF(<object>ValueType)
    made_handles -= 1

cdef bint has_room(uint32_t nodes, uint32_t args) noexcept:
    """Makes room; False, with MemoryError set, if there is none."""
    while tape_reserve(&tape, nodes, args) == 0:
        if tape.orphans == NULL:
            return True
        set_free_stop()
        release_orphans()   # may run Python code, which may use the room up
    PyErr_NoMemory()
    return False

cdef int reserve(uint32_t nodes, uint32_t args) except -1:
    return 0 if has_room(nodes, args) else -1

cdef inline PyObject *prepare(uint32_t nodes, uint32_t args, PyAnnex *annex=NULL) except NULL:
    """A new handle and room on the tape. Until the next call, indices stay as they are.

    annex: what else there is to give back if there is no memory.
    """
    cdef PyObject *handle = make_handle()
    if handle == NULL or ((tape.limit - tape.size < nodes or args) and not has_room(nodes, args)):
        abandon(handle, annex)
        return NULL
    return handle

cdef void abandon(PyObject *handle, PyAnnex *annex) noexcept:
    """Drops what was prepared for a node that is not to be."""
    if handle != NULL:
        discard(handle)
    if annex != NULL:
        clear_annex(annex)
        free(annex)

cdef object new_leaf(double value):
    cdef PyObject *handle = prepare(1, 0)
    return attach(handle, tape_append(&tape, OP_leaf, value, 0, 0, 0))

cdef object value_at(uint32_t i):
    """The Value of node i: the one there is, or a new one. Only while the tape is busy."""
    cdef Anchor *anchor = owner_anchor(tape.owner[i])
    if anchor != NULL:
        return <object>HANDLE_OF(anchor)
    cdef PyObject *handle = make_handle()
    if handle == NULL:
        reraise()
    anchor = owner_anchor(tape.owner[i])
    if anchor != NULL:      # the collector ran code that has asked for it, too
        discard(handle)
        return <object>HANDLE_OF(anchor)
    cdef PyAnnex *annex = <PyAnnex *>owner_annex(tape.owner[i])
    if annex == NULL:
        return attach(handle, i)
    anchor_of(handle).index = i
    annex.base.anchor = anchor_of(handle)
    anchor_of(handle).flags = ANNEXED
    if annex.heavy:
        anchor_of(handle).flags |= HEAVY
        PyObject_GC_Track(handle)
    return steal(handle)

cdef list operand_values(uint32_t i):
    cdef uint32_t k, count
    cdef list values = []
    tape.busy += 1
    try:
        tape_operands(&tape, i, &count)
        for k in range(count):      # asked for anew each time: args move when they grow
            values.append(value_at(tape_operands(&tape, i, &count)[k]))
    finally:
        tape.busy -= 1
    return values

# -- annexes --------------------------------------------------------------------------------------

cdef PyAnnex *annex_of(Handle self) noexcept:
    return <PyAnnex *>owner_annex(tape.owner[self.anchor.index])

cdef PyAnnex *make_annex() except NULL:
    cdef PyAnnex *annex = <PyAnnex *>calloc(1, sizeof(PyAnnex))
    if annex == NULL:
        raise MemoryError
    return annex

cdef void attach_annex(PyObject *handle, PyAnnex *annex) noexcept:
    annex.base.anchor = anchor_of(handle)
    tape.owner[anchor_of(handle).index] = <Owner>annex | 1
    anchor_of(handle).flags |= ANNEXED

cdef PyAnnex *need_annex(Handle self) except NULL:
    cdef PyAnnex *annex = annex_of(self)
    if annex == NULL:
        annex = make_annex()
        attach_annex(<PyObject *>self, annex)
    return annex

cdef void replace(PyObject **slot, object value):
    cdef PyObject *old = slot[0]
    Py_INCREF(value)
    slot[0] = <PyObject *>value
    Py_XDECREF(old)

cdef void make_heavy(Handle self) noexcept:
    """From now on, what is recorded on this node holds a reference to its handle."""
    self.anchor.flags |= HEAVY
    if self.anchor.index + 1 == tape.size:      # nothing has been recorded on it
        self.anchor.flags |= BORN_HEAVY
    annex_of(self).heavy = True
    if not PyObject_GC_IsTracked(<PyObject *>self):
        PyObject_GC_Track(<PyObject *>self)

cdef bint may_form_cycle(object value):
    if isinstance(value, tuple):
        for item in value:
            if may_form_cycle(item):
                return True
        return False
    return PyObject_IS_GC(<PyObject *>value)

cdef bint releasing = False

cdef void release_orphans() noexcept:
    """Lets go of what dead nodes referred to. A chain of heavy nodes dies here one by one, since the
    deallocations that this causes only add to the list."""
    global releasing
    cdef PyAnnex *annex
    if releasing:
        return
    releasing = True
    while tape.orphans != NULL:
        annex = <PyAnnex *>tape.orphans
        tape.orphans = annex.base.next
        clear_annex(annex)
        Py_XDECREF(annex.op)
        free(annex)
    releasing = False

cdef void clear_annex(PyAnnex *annex) noexcept:
    cdef PyObject *attributes = annex.attributes
    cdef PyObject *label = annex.label
    cdef PyObject *rule = annex.rule
    cdef PyObject *operands = annex.operands
    annex.attributes = annex.label = annex.rule = annex.operands = NULL
    Py_XDECREF(attributes)
    Py_XDECREF(label)
    Py_XDECREF(rule)
    Py_XDECREF(operands)

# -- numbers and errors ---------------------------------------------------------------------------

cdef str kind(object value):
    return type(value).__name__

cdef bint as_number(object value, double *number) except -1:
    """Whether value is a real number or a NumPy scalar, and which."""
    if PyFloat_Check(value):
        number[0] = PyFloat_AS_DOUBLE(value)
    elif PyLong_Check(value):
        number[0] = PyLong_AsDouble(value)
        if number[0] == -1.0:
            number[0] = float(value)    # raises what is to be raised
    elif isinstance(value, Handle):
        return False
    elif isinstance(value, numbers.Real):
        number[0] = float(value)
    elif is_numpy_number(value) and not hasattr(type(value), '__setitem__'):
        number[0] = float(value)
    else:
        return False
    return True

cdef bint is_numpy_number(object value):
    """A NumPy scalar or 0-d array of a real type, told by its shape: NumPy need not be there."""
    return (getattr(value, 'ndim', None) == 0
            and getattr(getattr(value, 'dtype', None), 'kind', '') in ('b', 'i', 'u', 'f'))

cdef double real(object value, str what) except? -1:
    cdef double number = 0
    if as_number(value, &number):
        return number
    if is_numpy_number(value):
        return float(value)
    raise TypeError(f'{what}: expected a real number, got {kind(value)}')

cdef object expect_operand(object result, str what, object operand):
    if result is NotImplemented:
        raise TypeError(f'{what}: expected a Value or a real number, got {kind(operand)}')
    return result

cdef int refuse(int op, double x, double y, Verdict verdict) except -1:
    cdef str name = op_info[op].name.decode(), symbol = op_info[op].symbol.decode()
    if op_info[op].shape == UNARY:
        call = f'{name}({x!r})'
    else:
        call = f'{x!r} {symbol} {y!r}'
    if verdict == ZERO_DIVISION_ERROR:
        reason = 'division by zero' if op == OP_truediv else 'zero to a negative power'
        raise ZeroDivisionError(f'{call}: {reason}')
    if verdict == OVERFLOW_ERROR:
        raise OverflowError(f'{call}: the result is too large for a float')
    if op_info[op].shape == UNARY:
        raise ValueError(f'{call}: outside the domain of {name}')
    raise ValueError(f'{call}: the result would be complex')

cdef int reraise() except -1:
    return -1       # the exception is set

# -- recording ------------------------------------------------------------------------------------

cdef bint is_paused():
    return special != 0 and threading.get_ident() in paused

cdef PyAnnex *annex_for_heavy(list operands) except? NULL:
    """An annex that holds the operands' handles if one of them is heavy, else NULL."""
    cdef PyAnnex *annex
    for operand in operands:
        if is_handle(operand) and anchor_of(<PyObject *>operand).flags & HEAVY:
            handles = tuple([operand for operand in operands if is_handle(operand)])
            annex = make_annex()
            replace(&annex.operands, handles)
            annex.heavy = True
            return annex
    return NULL

cdef object attach_heavy(PyObject *handle, uint32_t i, PyAnnex *annex):
    """Like attach, with the annex that annex_for_heavy has made, if any."""
    value = attach(handle, i)
    if annex != NULL:
        attach_annex(handle, annex)
        anchor_of(handle).flags |= HEAVY | BORN_HEAVY
        PyObject_GC_Track(handle)
    return value

cdef inline object record_binary(int op, object left, object right):
    cdef PyObject *l = <PyObject *>left
    cdef PyObject *r = <PyObject *>right
    cdef PyObject *handle
    cdef uint32_t a, b
    cdef double x, y, z
    if (TYPE_OF(l) == ValueType and TYPE_OF(r) == ValueType
            and not (anchor_of(l).flags | anchor_of(r).flags) & HEAVY | special
            and tape.size < tape.limit and free_handles != NULL):
        a = anchor_of(l).index
        b = anchor_of(r).index
        x = tape.value[a]
        y = tape.value[b]
        z = op_value(op, x, y)
        if op_verdict(op, x, y, z) == ACCEPTED:
            handle = pop_handle()
            return attach(handle, tape_append(&tape, <uint8_t>op, z, a, b, 0))
    return record_binary_number(op, left, right)

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
    cdef PyObject *handle
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
        z = op_value(op, x, y)
        if op_verdict(op, x, y, z) == ACCEPTED:
            if not on_left:
                a = tape_append(&tape, OP_leaf, x, 0, 0, 0)
            elif not on_right:
                b = tape_append(&tape, OP_leaf, y, 0, 0, 0)
            handle = pop_handle()
            return attach(handle, tape_append(&tape, <uint8_t>op, z, a, b, 0))
    return record_binary_slowly(op, left, right)

cdef object record_binary_slowly(int op, object left, object right):
    cdef bint l = is_handle(left), r = is_handle(right), leaf = is_paused()
    cdef uint32_t a = 0, b = 0
    cdef double x = 0, y = 0, z
    cdef PyAnnex *annex
    if not (l or as_number(left, &x)) or not (r or as_number(right, &y)):
        return NotImplemented
    annex = NULL if leaf else annex_for_heavy([left, right])
    cdef PyObject *handle = prepare(3, 0, annex)
    if l:
        a = anchor_of(<PyObject *>left).index
        x = tape.value[a]
    if r:
        b = anchor_of(<PyObject *>right).index
        y = tape.value[b]
    z = op_value(op, x, y)
    cdef Verdict verdict = op_verdict(op, x, y, z)
    if verdict != ACCEPTED:
        abandon(handle, annex)
        refuse(op, x, y, verdict)
    if leaf:
        return attach(handle, tape_append(&tape, OP_leaf, z, 0, 0, 0))
    if not l:
        a = tape_append(&tape, OP_leaf, x, 0, 0, 0)
    if not r:
        b = tape_append(&tape, OP_leaf, y, 0, 0, 0)
    return attach_heavy(handle, tape_append(&tape, <uint8_t>op, z, a, b, 0), annex)

cdef object record_unary(object self, int op):
    cdef PyObject *handle
    cdef uint32_t a
    cdef bint leaf = False
    cdef PyAnnex *annex = NULL
    if anchor_of(<PyObject *>self).flags & HEAVY | special:
        leaf = is_paused()
        annex = NULL if leaf else annex_for_heavy([self])
    handle = prepare(1, 0, annex)
    a = anchor_of(<PyObject *>self).index
    cdef double x = tape.value[a]
    cdef double z = op_value(op, x, 0)
    cdef Verdict verdict = op_verdict(op, x, 0, z)
    if verdict != ACCEPTED:
        abandon(handle, annex)
        refuse(op, x, 0, verdict)
    if leaf:
        return attach(handle, tape_append(&tape, OP_leaf, z, 0, 0, 0))
    return attach_heavy(handle, tape_append(&tape, <uint8_t>op, z, a, 0, 0), annex)

cdef object record_scaled(int op, object self, double y, bint literal_int):
    """An operation on one Value and a number that is no operand."""
    cdef bint leaf = False
    cdef PyAnnex *annex = NULL
    if anchor_of(<PyObject *>self).flags & HEAVY | special:
        leaf = is_paused()
        annex = NULL if leaf else annex_for_heavy([self])
    cdef PyObject *handle = prepare(2, 0, annex)
    cdef uint32_t a = anchor_of(<PyObject *>self).index, b
    cdef double x = tape.value[a]
    cdef double z = op_value(op, x, y)
    cdef Verdict verdict = op_verdict(op, x, y, z)
    if verdict != ACCEPTED:
        abandon(handle, annex)
        refuse(op, x, y, verdict)
    if leaf:
        return attach(handle, tape_append(&tape, OP_leaf, z, 0, 0, 0))
    b = tape_append(&tape, OP_leaf, y, LITERAL_INT if literal_int else 0, 0, 0)
    return attach_heavy(handle, tape_append(&tape, <uint8_t>op, z, a, b, 0), annex)

cdef object record_power(object base, object exponent):
    cdef double y = 0
    if not as_number(exponent, &y):
        return NotImplemented
    cdef bint literal_int = type(exponent) is int and -2.0**53 <= y <= 2.0**53
    power = record_scaled(OP_pow_number, base, y, literal_int)
    if not literal_int and not PyFloat_Check(exponent):
        power._op = f'**{exponent}'
    return power

cdef object written_number(uint32_t leaf):
    cdef double number = tape.value[leaf]
    return int(number) if tape.operands[leaf].a == LITERAL_INT else number

# -- operations of any number of operands ---------------------------------------------------------

def operations():
    """The operation table: for each row its name, symbol, shape and a tested interval."""
    shapes = {UNARY: 'unary', SCALED: 'scaled', BINARY: 'binary', VARIADIC: 'variadic'}
    return [{'name': op_info[op].name.decode(), 'symbol': op_info[op].symbol.decode(),
             'shape': shapes[op_info[op].shape], 'interval': (op_info[op].low, op_info[op].high)}
            for op in range(OP_leaf + 1, OP_COUNT)]

cdef list operand_list(object values, str what):
    """The values as a list of Values and floats; itself, if it is one."""
    cdef list operands
    cdef double number = 0
    cdef Py_ssize_t k
    if type(values) is list:
        for value in <list>values:
            if TYPE_OF(<PyObject *>value) != ValueType and not PyFloat_CheckExact(value):
                break
        else:
            return values
    operands = list(values)
    for k in range(len(operands)):
        value = operands[k]
        if TYPE_OF(<PyObject *>value) == ValueType or PyFloat_CheckExact(value):
            continue
        if as_number(value, &number):
            operands[k] = number
        elif not isinstance(value, Handle):
            raise TypeError(f'{what}: expected Values or real numbers, got {kind(value)}')
    return operands

cdef inline uint32_t place(PyObject *operand) noexcept:
    """The node of an operand of a list made by operand_list; a number becomes a leaf."""
    if PyFloat_CheckExact(<object>operand):
        return tape_append(&tape, OP_leaf, PyFloat_AS_DOUBLE(<object>operand), 0, 0, 0)
    return anchor_of(operand).index

cdef object record_variadic(int op, list operands, object data=None):
    """A node on all the operands. data: its value, where the operation does not compute one."""
    cdef bint leaf = is_paused()
    cdef PyAnnex *annex = NULL if leaf else annex_for_heavy(operands)
    cdef double value = 0 if data is None else data
    cdef uint32_t k, count = <uint32_t>PyList_GET_SIZE(operands), size, args
    cdef PyObject *handle = prepare(count + 1, count, annex)
    size = tape.size
    args = tape.args_size
    for k in range(count):
        tape.args[args + k] = place(<PyObject *>PyList_GET_ITEM(operands, k))
    if data is None:
        value = tape_variadic_value(&tape, op, tape.args + args, count)
    if leaf:
        tape.size = size
        return attach(handle, tape_append(&tape, OP_leaf, value, 0, 0, 0))
    tape.args_size += count
    return attach_heavy(handle, tape_append(&tape, <uint8_t>op, value, args, count, 0), annex)

def sum(values, start=None):
    """The sum of values (Values or numbers), one node.

    start: what to add first, as in Python's own sum.
    """
    cdef list operands = operand_list(values, 'sum')
    if start is not None:
        operands = operand_list([start], 'sum') + operands
    return record_variadic(OP_sum, operands) if operands else new_leaf(0.0)

def dot(ws, xs, bias=None):
    """bias + ws[0] * xs[0] + ws[1] * xs[1] + ..., one node.

    ws, xs: of one length, else ValueError; Values or numbers, as is bias.
    """
    cdef list w = operand_list(ws, 'dot'), x = operand_list(xs, 'dot')
    cdef list operands
    if len(w) != len(x):
        raise ValueError(f'dot: expected two sequences of one length, got {len(w)} and {len(x)}')
    operands = [None] * (2 * len(w))
    operands[::2] = w
    operands[1::2] = x
    if bias is not None:
        operands += operand_list([bias], 'dot')
    return record_variadic(OP_dot, operands) if operands else new_leaf(0.0)

def where(condition, a, b):
    """a if condition, else b. condition: a bool, or a Value, taken as true when > 0."""
    if not is_handle(condition):
        condition = 1.0 if condition else 0.0
    return record_variadic(OP_where, operand_list((condition, a, b), 'where'))

def clip(v, low=None, high=None):
    """v, but not below low nor above high; None: no such bound.

    Inside and on the bounds, the derivative by v is 1.
    """
    low = float('-inf') if low is None else low
    high = float('inf') if high is None else high
    return record_variadic(OP_clip, operand_list((v, low, high), 'clip'))

def take(values, index):
    """values[index]. index: an int, or a Value that holds a whole number.

    IndexError out of range. An adjoint goes to the element that was taken.
    """
    if not is_handle(index):
        return values[index]
    cdef list operands = operand_list(values, 'take')
    position = index.data
    if position != position // 1:
        raise TypeError(f'take: expected a whole number as index, got {position!r}')
    if not -len(operands) <= position < len(operands):
        raise IndexError(f'take: index {position:.0f} is out of range for {len(operands)} values')
    return record_variadic(OP_take, [index] + operands)

def custom(data, operands, partials, op='custom'):
    """A node with a given value and given local derivatives.

    data: the value. operands: Values or numbers. partials: d(data)/d(operand), a number for each.
    op: what _op shows.
    """
    cdef double value = real(data, 'custom')
    cdef list all_operands = operand_list(operands, 'custom')
    cdef list derivatives = [real(partial, 'custom') for partial in partials]
    if len(all_operands) != len(derivatives):
        raise ValueError(f'custom: expected a partial for each of {len(all_operands)} operands, '
                         f'got {len(derivatives)}')
    node = record_variadic(OP_custom, all_operands + derivatives, value)
    if op != 'custom':
        node._op = op
    return node

def layer(list neurons, x, neuron_call):
    """The outputs of a layer's neurons for the input x: activation(w . x + b) of each, as a list.

    neurons: with fields w (list of Values), b (Value) and activation (a name in activations).
    neuron_call: what calling such a neuron does in Python, which this does for all of them at once.
    None where it takes Python after all: neurons that are called otherwise, fields that are not
    plain Values, a thread in no_grad(). ValueError where x has another length than w.
    """
    cdef list inputs = operand_list(x, 'Layer'), outputs = [], w
    cdef Py_ssize_t n_in = PyList_GET_SIZE(inputs), n_out = PyList_GET_SIZE(neurons), k
    cdef uint32_t n_args = <uint32_t>(2 * n_in + 1), first = 0, args, node
    cdef uint32_t *to
    cdef int op = OP_leaf
    cdef double total
    cdef PyObject *handle
    cdef PyTypeObject *checked = NULL
    activation = None
    if special:
        return None
    for k in range(n_in):
        if not (PyFloat_CheckExact(inputs[k]) or is_plain(<PyObject *>PyList_GET_ITEM(inputs, k))):
            return None
    reserve(<uint32_t>(n_in + 2 * n_out), <uint32_t>(n_args * n_out))
    tape.busy += 1      # so that the leaves of numbers in x keep their indices
    try:
        for neuron in neurons:
            if TYPE_OF(<PyObject *>neuron) != checked:
                checked = TYPE_OF(<PyObject *>neuron)
                if _PyType_Lookup(checked, <PyObject *>CALL) != <PyObject *>neuron_call:
                    return None
            w = neuron.w
            bias = neuron.b
            if activation is not neuron.activation:
                activation = neuron.activation
                op = activations[activation]
            if PyList_GET_SIZE(w) != n_in:
                raise ValueError(f'Layer: expected an input of length {len(w)}, got {n_in}')
            if not is_plain(<PyObject *>bias):
                return None
            for k in range(n_in):
                if not is_plain(<PyObject *>PyList_GET_ITEM(w, k)):
                    return None
            handle = prepare(<uint32_t>(n_in + 2), n_args)
            args = tape.args_size
            to = tape.args + args
            if not outputs:
                first = args
                for k in range(n_in):
                    to[2 * k + 1] = place(<PyObject *>PyList_GET_ITEM(inputs, k))
            else:
                for k in range(n_in):
                    to[2 * k + 1] = tape.args[first + 2 * k + 1]
            for k in range(n_in):
                to[2 * k] = anchor_of(<PyObject *>PyList_GET_ITEM(w, k)).index
            to[2 * n_in] = anchor_of(<PyObject *>bias).index
            total = tape_variadic_value(&tape, OP_dot, to, n_args)
            tape.args_size += n_args
            node = tape_append(&tape, OP_dot, total, args, n_args, 0)
            if op != OP_leaf:
                node = tape_append(&tape, <uint8_t>op, op_value(op, total, 0), node, 0, 0)
            outputs.append(attach(handle, node))
            if op != OP_leaf:
                check_finite(op, total, tape.value[node])
    finally:
        tape.busy -= 1
    return outputs

cdef int check_finite(int op, double x, double z) except -1:
    cdef Verdict verdict = op_verdict(op, x, 0, z)
    if verdict != ACCEPTED:
        refuse(op, x, 0, verdict)
    return 0

# The operations that layer() can apply to a neuron's sum, by name.
activations = {row['name']: op for op, row in enumerate(operations(), start=1)
               if row['shape'] == 'unary'}
activations['linear'] = OP_leaf

cdef str CALL = '__call__'

# -- the graph ------------------------------------------------------------------------------------

def topological_sort(root):
    """What root depends on, as a list: depth-first post-order, operands in written order.

    Every node stands after its operands; root is the last.
    """
    cdef uint32_t *order
    cdef uint32_t count, k
    cdef list values = []
    if not is_handle(root):
        raise TypeError(f'topological_sort: expected a Value, got {kind(root)}')
    tape.busy += 1
    try:
        if tape_topological_order(&tape, (<Handle>root).anchor.index, &order, &count):
            raise MemoryError
        try:
            for k in range(count):
                values.append(value_at(order[k]))
        finally:
            free(order)
    finally:
        tape.busy -= 1
    return values

cdef int run_rule(uint32_t i) except -1:
    cdef PyAnnex *annex = <PyAnnex *>owner_annex(tape.owner[i])
    if annex != NULL and annex.rule != NULL:
        rule = <object>annex.rule
        rule()
    return 0

cdef int initialise(Handle self, data, children, op, label) except -1:
    """Value.__init__: a leaf, or a node on children whose chain rule will be written in Python."""
    cdef double value = real(data, 'Value')
    cdef list operands = list(children)
    cdef PyObject *handle = <PyObject *>self
    cdef uint32_t k, count = <uint32_t>len(operands)
    for child in operands:
        if not is_handle(child):
            raise TypeError(f'Value: expected Values as _children, got {kind(child)}')
    if operands and not is_paused():
        reserve(1, count)
        annex = need_annex(self)
        replace(&annex.operands, tuple(operands))
        reserve(1, count)
        move_to_top(self, OP_opaque, count)
        for k in range(count):
            tape.args[tape.operands[self.anchor.index].a + k] = (
                anchor_of(<PyObject *>PyList_GET_ITEM(operands, k)).index)
        make_heavy(self)
    tape.value[self.anchor.index] = value
    tape_set_adjoint(&tape, self.anchor.index, 0.0)
    if op:
        self._op = op
    if not (isinstance(label, str) and label == ''):
        self.label = label
    return 0

cdef void move_to_top(Handle self, int op, uint32_t count) noexcept:
    """Gives the handle a new node, which may have any operand there is. There is room."""
    cdef uint32_t i = self.anchor.index
    cdef Owner owner = tape.owner[i]
    tape.owner[i] = 0
    if i + 1 == tape.size:
        tape_pop(&tape)
    self.anchor.index = tape_append(&tape, <uint8_t>op, 0.0, tape.args_size, count, owner)
    tape.args_size += count

def accumulate_grads(on=True):
    """What backward() does with the grads of leaves by default.

    True: adds to them, as PyTorch and micrograd do. False, the default: starts from 0, as the lesson.
    """
    global accumulates
    accumulates = bool(on)

def pause_recording():
    """Makes results of this thread leaves, until as many calls of resume_recording()."""
    global special
    cdef object thread = threading.get_ident()
    paused[thread] = paused.get(thread, 0) + 1
    special = <uint32_t>len(paused)

def resume_recording():
    global special
    cdef object thread = threading.get_ident()
    paused[thread] -= 1
    if paused[thread] == 0:
        del paused[thread]
    special = <uint32_t>len(paused)

# -- inspection -----------------------------------------------------------------------------------

TapeStats = collections.namedtuple('TapeStats', 'nodes live capacity bytes compactions')
TapeStats.__doc__ = """nodes on the tape, garbage included; live ones, reachable from a Value; nodes that
the allocated memory holds; its bytes; compactions so far."""

def tape_stats():
    """The state of the tape, a TapeStats. Counting the live nodes walks the tape once."""
    return TapeStats(tape.size, tape_count_living(&tape), tape.capacity, tape_bytes(&tape),
                     tape.compactions)

def compact():
    """Removes the garbage from the tape and gives spare memory back; gc.collect() does it, too."""
    tape_compact(&tape, 1)
    tape_trim(&tape, 1)
    release_orphans()

def set_minimum(nodes):
    """The size below which the tape does not look for garbage. For tests: 1 makes it look often."""
    tape.minimum = nodes
    tape.collect_at = tape.limit = tape.size

def after_collection(phase, info):
    if phase == 'stop' and info['generation'] == 2:
        compact()

# -- the class Value ------------------------------------------------------------------------------

cdef object value_new(PyTypeObject *type, PyObject *args, PyObject *kwargs):
    cdef PyObject *handle
    cdef PyAnnex *annex
    if type == ValueType:
        return new_leaf(0.0)
    self = steal(TYPE_ALLOC(type))
    handle = <PyObject *>self
    annex = make_annex()
    annex.heavy = True
    try:
        reserve(1, 0)
    except:
        free(annex)
        raise
    anchor_of(handle).index = tape_append(&tape, OP_leaf, 0.0, 0, 0, 0)
    attach_annex(handle, annex)
    anchor_of(handle).flags |= HEAVY | BORN_HEAVY
    return self

cdef object value_vectorcall(PyObject *cls, PyObject *const *args, size_t nargsf, PyObject *names):
    """Value(number) without a tuple of arguments; all else goes the usual way."""
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf), k
    cdef double value = 0
    if count == 1 and names == NULL and TYPE_INIT(ValueType) == value_init:
        if as_number(<object>args[0], &value):
            return new_leaf(value)
    positional = tuple([<object>args[k] for k in range(count)])
    keywords = {}
    if names != NULL:
        for k, name in enumerate(<tuple><object>names):
            keywords[name] = <object>args[count + k]
    self = value_new(ValueType, NULL, NULL)
    type(self).__init__(self, *positional, **keywords)
    return self

cdef PyObject *value_getattro(PyObject *self, PyObject *name) noexcept:
    """Also finds the attributes that stand in the annex."""
    cdef PyAnnex *annex
    cdef PyObject *found
    if anchor_of(self).flags & ANNEXED:
        annex = <PyAnnex *>owner_annex(tape.owner[anchor_of(self).index])
        if annex.attributes != NULL:
            found = PyDict_GetItemWithError(annex.attributes, name)
            if found != NULL:
                Py_INCREF(<object>found)
                return found
    return PyObject_GenericGetAttr(self, name)

cdef dict attributes_of(Handle self):
    """The node's own attributes. Classes look there from the first time on that one of their
    instances has some: until then, Python's fast paths for methods apply."""
    cdef PyAnnex *annex = need_annex(self)
    cdef PyTypeObject *type = TYPE_OF(<PyObject *>self)
    if annex.attributes == NULL:
        replace(&annex.attributes, {})
    if GETATTRO(type) == PyObject_GenericGetAttr:
        SET_GETATTRO(type, value_getattro)
        PyType_Modified(type)
    return <dict>annex.attributes

cdef int value_setattro(PyObject *self, PyObject *name, PyObject *value) except -1:
    cdef PyTypeObject *type = TYPE_OF(self)
    cdef PyObject *descriptor = _PyType_Lookup(type, name)
    cdef PyAnnex *annex
    if descriptor != NULL and DESCRIPTOR_SET(descriptor) != NULL:
        return DESCRIPTOR_SET(descriptor)(descriptor, self, value)
    if HAS_DICT(type):
        return PyObject_GenericSetAttr(self, name, value)
    if value == NULL:
        annex = annex_of(<Handle>self)
        if annex == NULL or annex.attributes == NULL or <object>name not in <dict>annex.attributes:
            raise AttributeError(f'Value has no attribute {<object>name!r}')
        del (<dict>annex.attributes)[<object>name]
        return 0
    attributes_of(<Handle>self)[<object>name] = <object>value
    if may_form_cycle(<object>value):
        make_heavy(<Handle>self)
    return 0

cdef int value_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef PyAnnex *annex
    cdef PyObject *objects[5]
    cdef int k, stop
    objects[0] = <PyObject *>TYPE_OF(self)
    objects[1] = objects[2] = objects[3] = objects[4] = NULL
    if anchor_of(self).flags & ANNEXED:
        annex = <PyAnnex *>owner_annex(tape.owner[anchor_of(self).index])
        objects[1] = annex.attributes
        objects[2] = annex.label
        objects[3] = annex.rule
        objects[4] = annex.operands
    for k in range(5):
        if objects[k] != NULL:
            stop = visit(objects[k], arg)
            if stop:
                return stop
    return 0

cdef int value_clear(PyObject *self) noexcept:
    if anchor_of(self).flags & ANNEXED:
        clear_annex(<PyAnnex *>owner_annex(tape.owner[anchor_of(self).index]))
    return 0

cdef const char *VALUE_DOC = b"""Value(data, _children=(), _op='', label='')
--

A number that knows how it was computed.

data: any real number. _children, _op: the operands and the name of an operation of your own, whose
chain rule you then assign to _backward. label: a name for people.

Operators and methods record nodes; backward() sets the grad of each node that its node depends on.
"""

cdef PyType_Slot value_slots[8]
value_slots[0] = PyType_Slot(Py_tp_new, <void *>value_new)
value_slots[1] = PyType_Slot(Py_tp_dealloc, <void *>value_dealloc)
value_slots[2] = PyType_Slot(Py_tp_traverse, <void *>value_traverse)
value_slots[3] = PyType_Slot(Py_tp_clear, <void *>value_clear)
value_slots[4] = PyType_Slot(Py_tp_setattro, <void *>value_setattro)
value_slots[5] = PyType_Slot(Py_tp_methods, <void *>unary_methods)
value_slots[6] = PyType_Slot(Py_tp_doc, <void *>VALUE_DOC)
value_slots[7] = PyType_Slot(0, NULL)

cdef PyType_Spec value_spec
value_spec.name = b'micrograd_c.engine.Value'
value_spec.basicsize = value_spec.itemsize = 0      # as Handle
value_spec.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
value_spec.slots = &value_slots[0]

record_unary_method = <RecordUnary>record_unary
assert Handle.__basicsize__ == sizeof(HandleObject)
Value = PyType_FromSpecWithBases(&value_spec, (Handle,))
Py_INCREF(Value)        # for ValueType, for ever
ValueType = <PyTypeObject *>Value
ValueType.tp_name = b'Value'     # in messages of Python's own, as a class made by Python
value_init = TYPE_INIT(ValueType)
SET_VECTORCALL(ValueType, <vectorcallfunc>value_vectorcall)
gc.callbacks.append(after_collection)
