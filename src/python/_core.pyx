# SPDX-License-Identifier: MIT
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: c_api_binop_methods=True, cdivision=True, autotestdict=False, auto_pickle=False
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
from cpython.object cimport PyObject, PyTypeObject, PyObject_RichCompare, Py_EQ, Py_GT, Py_LE, Py_LT, Py_NE
from cpython.ref cimport Py_INCREF, Py_DECREF, Py_XDECREF
from cpython.bool cimport PyBool_Check
from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsDouble, PyLong_Check, PyLong_CheckExact
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport UINTPTR_MAX, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stddef cimport ptrdiff_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from tape cimport *
from derivatives cimport *
from program cimport *

import collections
import copyreg
import gc
import numbers
import operator
import os
import re
import sys
import threading

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    PyObject *_PyObject_GC_New(PyTypeObject *type)
    void PyObject_GC_Del(void *object)
    void PyObject_GC_Track(PyObject *object)
    void PyObject_GC_UnTrack(PyObject *object)
    void PyObject_ClearWeakRefs(PyObject *object)
    void Py_SET_REFCNT(PyObject *object, Py_ssize_t count)
    Py_ssize_t Py_REFCNT(PyObject *object) noexcept
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
    PyObject **_PyObject_GetDictPtr(PyObject *object) noexcept
    bint PyType_IsSubtype(PyTypeObject *type, PyTypeObject *base) noexcept
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
    int Py_tp_dealloc, Py_tp_traverse, Py_tp_clear, Py_tp_new, Py_tp_getattro, Py_tp_setattro
    int Py_tp_methods, Py_tp_doc
    unsigned int Py_TPFLAGS_DEFAULT, Py_TPFLAGS_BASETYPE, Py_TPFLAGS_HAVE_GC
    ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)

cdef extern from *:
    """
    #include <structmember.h>
    /* Fields and macros that Cython's own declarations leave out. */
    #define SET_VECTORCALL(type, function) ((type)->tp_vectorcall = (function))
    #define TYPE_INIT(type) ((void *)(type)->tp_init)
    #define TYPE_ALLOC(type) ((type)->tp_alloc(type, 0))
    #define TYPE_OF(object) (Py_TYPE(object))
    #define HAS_DICT(type) ((type)->tp_dictoffset != 0)
    #define DICT_OF(type) ((type)->tp_dict)
    #define HAS_LENGTH(type) (((type)->tp_as_sequence && (type)->tp_as_sequence->sq_length) || \
                              ((type)->tp_as_mapping && (type)->tp_as_mapping->mp_length))
    #define GETATTRO(type) ((type)->tp_getattro)
    #define SET_GETATTRO(type, function) ((type)->tp_getattro = (function))
    /* Where __slots__ has put a field; 0: it is no such field. */
    #define SLOT_OFFSET(found) ((found) && Py_IS_TYPE(found, &PyMemberDescr_Type) ? \
                                ((PyMemberDescrObject *)(found))->d_member->offset : 0)
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
    PyTypeObject *TYPE_OF(PyObject *object)
    bint HAS_DICT(PyTypeObject *type)
    PyObject *DICT_OF(PyTypeObject *type)
    bint HAS_LENGTH(PyTypeObject *type)
    getattrofunc GETATTRO(PyTypeObject *type)
    void SET_GETATTRO(PyTypeObject *type, getattrofunc function)
    Py_ssize_t SLOT_OFFSET(PyObject *found)
    descrsetfunc DESCRIPTOR_SET(PyObject *descriptor)

cdef extern from "python/methods.h":
    ctypedef PyObject *(*RecordUnary)(PyObject *self, int op)
    ctypedef PyObject *(*RecordBinary)(PyObject *self, PyObject *other, int op)
    RecordUnary record_unary_method
    RecordBinary record_binary_method
    void *methods
    bint op_is_method(int op)
    bint op_is_inner(int op)
    void make_methods(const char *(*document)(int op) noexcept)

# -- state ------------------------------------------------------------------------------------------

cdef Tape tape
tape_init(&tape)

cdef enum:              # Anchor.flags
    ANNEXED = 1         # the node has an annex
    HEAVY = 2           # it is LATE or SETTLED: what is recorded on it refers to its handle

cdef struct PyAnnex:    # an Annex and the Python objects behind it, all of them owned
    Annex base
    PyObject *attributes    # dict
    PyObject *label
    PyObject *op            # str, where the operation's own symbol will not do
    PyObject *rule          # the chain rule written in Python
    PyObject *operands      # tuple of handles

cdef PyTypeObject *ValueType = NULL     # the class Value, made at the end of this file
cdef void *value_init = NULL            # its __init__, to notice when somebody replaces it
cdef bint accumulates = False           # what accumulate_grads() last set
cdef uint32_t special = 0               # threads in no_grad(); not 0: recording takes the long way
cdef object description = None          # what __dict__ gives, see stand_for
cdef object conversion = None           # what makes data that is no number one


# -- the face of a node -----------------------------------------------------------------------------

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
        if is_recording:
            check_read(self, '.data')
        return tape.value[self.anchor.index]

    @data.setter
    def data(self, data):
        cdef double value = real(data, 'Value.data')
        if is_recording:
            check_write(self, '.data')
        tape.value[self.anchor.index] = value

    @property
    def grad(self):
        """The derivative of the last root by this node, its adjoint; assignable."""
        if is_recording:
            check_read(self, '.grad', True)
        return tape_adjoint(&tape, self.anchor.index)

    @grad.setter
    def grad(self, grad):
        cdef double adjoint = real(grad, 'Value.grad')
        if is_recording:
            check_write(self, '.grad')
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
        """Applies this node's chain rule once, which adds to its operands' grads; assignable."""
        cdef PyAnnex *annex = annex_of(self)
        return <object>annex.rule if annex != NULL and annex.rule != NULL else self._apply_rule

    @_backward.setter
    def _backward(self, rule):
        if not callable(rule):
            raise TypeError(f'Value._backward: expected a callable, got {kind(rule)}')
        if is_paused():
            return      # what no_grad() made is a leaf, and remains one
        cdef PyAnnex *annex = need_annex(self)
        if not tape.op[self.anchor.index] & OP_CLOSURE:
            tape.op[self.anchor.index] |= <uint8_t>OP_CLOSURE
            tape.closures += 1
        replace(&annex.rule, rule)
        make_heavy(self)

    def _apply_rule(self):
        """The engine's own chain rule for this node: adds to its operands' grads."""
        if tape.op[self.anchor.index] != OP_leaf:
            check_change('_backward() was called')
        tape_apply_rule(&tape, self.anchor.index)

    @property
    def __dict__(self):
        if description is not None:
            return description(self)
        attributes = dict_of(self)
        make_heavy(self)    # whoever holds the dict may put anything into it
        return attributes

    # -- operators --

    def __add__(left, right):
        """__add__($self, value, /)\n--\n\nReturn self+value, a new node."""
        return record_binary(OP_add, left, right)

    def __sub__(left, right):
        """__sub__($self, value, /)\n--\n\nReturn self-value, a new node."""
        return record_binary(OP_sub, left, right)

    def __mul__(left, right):
        """__mul__($self, value, /)\n--\n\nReturn self*value, a new node."""
        return record_binary(OP_mul, left, right)

    def __truediv__(left, right):
        """__truediv__($self, value, /)\n--\n\nReturn self/value, a new node."""
        return record_binary(OP_truediv, left, right)

    def __mod__(left, right):
        """__mod__($self, value, /)\n--\n\nReturn self%value, a new node; the remainder has value's sign."""
        return record_binary(OP_mod, left, right)

    def __floordiv__(left, right):
        """__floordiv__($self, value, /)\n--\n\nReturn self//value, a new node."""
        return record_binary(OP_floordiv, left, right)

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
        if comparison == Py_EQ or comparison == Py_NE:
            if is_recording and not isinstance(other, Handle) and is_number(other):
                refuse_traced(self, 'a comparison')
            return NotImplemented
        if not isinstance(other, Handle) and not is_number(other):
            return NotImplemented
        if is_recording:
            condition = compared(self, other, comparison)
            if condition is not None:
                return condition
            check_read(self, 'a comparison')
            if isinstance(other, Handle):
                check_read(other, 'a comparison')
        if isinstance(other, Handle):
            other = tape.value[(<Handle>other).anchor.index]
        elif not PyFloat_CheckExact(other) and is_numpy_number(other):
            other = other.item()    # NumPy would compare in its own precision
        return PyObject_RichCompare(tape.value[self.anchor.index], other, comparison)

    def __bool__(self):
        """__bool__($self, /)\n--\n\nTrue, whatever the data; a class with a length is asked for that."""
        if is_recording:
            refuse_traced(self, 'the truth value')
        return not HAS_LENGTH(TYPE_OF(<PyObject *>self)) or len(self) != 0      # Python's own rule

    def __hash__(self):
        return <Py_hash_t>(<uintptr_t><void *>self >> 4)

    # -- operations with an argument --

    def leaky_relu(self, slope=0.01):
        """x where x > 0, else slope * x, where x is this value; a new node.

        Derivative: 1 where x > 0, else slope. slope: a number.
        """
        return record_scaled(OP_leaky_relu, self, real(slope, 'leaky_relu'), False)

    # -- the graph --

    def backward(self, *, accumulate=None):
        """Sets the grad of every node that this one depends on.

        Every grad of the graph starts at 0, this node's at 1, and one reverse sweep applies the
        chain rule. With accumulate, leaves add to the grad that they had. None: what
        accumulate_grads() last set.
        """
        cdef bint adding = accumulates if accumulate is None else accumulate
        sweep(self, LEAVES_KEEP if adding else FROM_ZERO)

    def detach(self):
        """A new leaf with the same data: no gradient passes through it. In a function that is being
        compiled, a node that follows the data."""
        if is_recording and (here().recording is not None or is_traced(self)):
            return record_unary(self, OP_detach)
        return new_leaf(tape.value[self.anchor.index])

    def item(self):
        """The data, a float; PyTorch's name for it."""
        if is_recording:
            check_read(self, '.item()')
        return tape.value[self.anchor.index]

    # -- as an object --

    def __repr__(self):
        if is_recording and is_traced(self):
            return 'Value(data=<of a sample>)'
        return f'Value(data={self.data}, grad={self.grad})'

    def __format__(self, specification):
        """The data in the format of a float: f'{v:.4f}'."""
        return format(self.data, specification) if specification else str(self)

    def __reduce_ex__(self, protocol):
        """For copy and pickle: a leaf's data, grad, label, _op and attributes. TypeError for other nodes."""
        if tape.op[self.anchor.index] != OP_leaf:
            raise TypeError(f'cannot copy or pickle a node that {self._op!r} recorded, only a leaf; '
                            f'detach() makes one')
        cdef PyAnnex *annex = annex_of(self)
        if HAS_DICT(TYPE_OF(<PyObject *>self)):
            attributes = dict(getattr(self, '__dict__'))
        else:
            attributes = dict(<object>annex.attributes) if annex != NULL and annex.attributes != NULL else {}
        for name in copyreg._slotnames(type(self)):
            if hasattr(self, name):
                attributes[name] = getattr(self, name)
        return copyreg.__newobj__, (type(self),), (self.data, self.grad, self.label, self._op, attributes)

    def __setstate__(self, state):
        """For copy and pickle: what __reduce_ex__ gave."""
        self.data, self.grad, label, op, attributes = state
        if label != '':
            self.label = label
        if op != '':
            self._op = op
        for name, value in attributes.items():
            setattr(self, name, value)

# One compiled module has one translation unit: these are its rooms.
include "numbers.pxi"
include "handles.pxi"
include "record.pxi"
include "modules.pxi"
include "help.pxi"
include "value.pxi"
include "functions.pxi"
include "recording.pxi"
include "conditions.pxi"
include "arguments.pxi"
include "outputs.pxi"
include "optimizer.pxi"
include "program.pxi"
include "training.pxi"
include "derivatives.pxi"
include "adopter.pxi"

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

cdef int sweep(Handle root, Start start) except -1:
    if is_recording:
        check_write(root, '.grad, by backward(),')
    cdef SweepStatus status = tape_sweep(&tape, root.anchor.index, start, run_rule)
    if status == SWEEP_NO_MEMORY:
        raise MemoryError
    if status == SWEEP_STOPPED:
        reraise()
    return 0

cdef int run_rule(uint32_t i) except -1:
    cdef PyAnnex *annex = <PyAnnex *>owner_annex(tape.owner[i])
    if annex == NULL or annex.rule == NULL:     # the collector took it for garbage, and it is not
        raise SystemError('backward: the chain rule of a node is gone')
    rule = <object>annex.rule
    rule()
    return 0

def accumulate_grads(on=True):
    """What backward() does with the grads of leaves by default.

    True: adds to them, as PyTorch and micrograd do. False, the default: starts from 0, as the lesson.
    Returns what was set before.
    """
    global accumulates
    before = bool(accumulates)
    accumulates = bool(on)
    return before

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

def around_collection(phase, info):
    if phase == 'start':
        settle()
    elif info['generation'] == 2:
        compact()

gc.callbacks.append(around_collection)
