# SPDX-License-Identifier: MIT
# The class Value: its face, class Handle; and a heap type, so that users can add methods to it, made of
# Handle and of slots that Cython cannot write.
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject, PyObject_RichCompare, PyTypeObject, Py_EQ, Py_NE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint8_t, uint32_t, uintptr_t
from libc.stdlib cimport free

from headers.objects cimport *
from headers.state cimport *
from headers.tape cimport *
from .conditions cimport compared
from .graph cimport backward
from .handles cimport *
from .numbers cimport as_number, is_number, is_numpy_number, kind, real
from .record cimport (record_binary, record_binary_call, record_power, record_scaled, record_ternary_call,
                      record_unary, written_number)
from .recording cimport (check_change, check_read, check_write, here, is_paused, is_traced, refuse_leaked,
                         refuse_rule, refuse_traced)
from .table cimport help_of

import copyreg

cdef extern from "python/methods.h":
    ctypedef PyObject *(*RecordUnary)(PyObject *self, int op)
    ctypedef PyObject *(*RecordBinary)(PyObject *self, PyObject *other, int op)
    ctypedef PyObject *(*RecordTernary)(PyObject *self, PyObject *others, int op)
    RecordUnary record_unary_method
    RecordBinary record_binary_method
    RecordTernary record_ternary_method
    void *methods
    void make_methods(const char *(*document)(int op) noexcept)

cdef void *value_init = NULL            # Value's __init__, to notice when somebody replaces it
cdef object description = None          # what __dict__ gives, see stand_for

# -- the face of a node -----------------------------------------------------------------------------

cdef class Handle:
    """What Value inherits. It cannot be made by itself."""
    cdef Anchor anchor          # as in HandleObject
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
        cdef PyAnnex *annex = annex_of(<PyObject *>self)
        return <object>annex.label if annex != NULL and annex.label != NULL else ''

    @label.setter
    def label(self, label):
        cdef PyAnnex *annex = need_annex(<PyObject *>self)
        replace(&annex.label, label)
        if may_form_cycle(label):
            make_heavy(<PyObject *>self)

    @property
    def _op(self):
        """The operation that recorded the node; '' for a leaf."""
        cdef PyAnnex *annex = annex_of(<PyObject *>self)
        cdef uint32_t i = self.anchor.index
        cdef int op = tape.op[i] & ~OP_CLOSURE
        if annex != NULL and annex.op != NULL:
            return <object>annex.op
        if op == OP_pow_number:
            return f'**{written_number(tape.operands[i].b)}'
        return op_info[op].symbol.decode()

    @_op.setter
    def _op(self, op):
        cdef PyAnnex *annex = need_annex(<PyObject *>self)
        replace(&annex.op, str(op))

    @property
    def _prev(self):
        """The operands, as a set; the same objects while they are alive."""
        return set(operand_values(self.anchor.index))

    @property
    def _backward(self):
        """Applies this node's chain rule once, which adds to its operands' grads; assignable."""
        cdef PyAnnex *annex = annex_of(<PyObject *>self)
        return <object>annex.rule if annex != NULL and annex.rule != NULL else self._apply_rule

    @_backward.setter
    def _backward(self, rule):
        if not callable(rule):
            raise TypeError(f'Value._backward: expected a callable, got {kind(rule)}')
        if is_paused():
            return      # what no_grad() made is a leaf, and remains one
        cdef PyAnnex *annex = need_annex(<PyObject *>self)
        if not tape.op[self.anchor.index] & OP_CLOSURE:
            tape.op[self.anchor.index] |= <uint8_t>OP_CLOSURE
            tape.closures += 1
        replace(&annex.rule, rule)
        make_heavy(<PyObject *>self)

    def _apply_rule(self):
        """The engine's own chain rule for this node: adds to its operands' grads."""
        if has_leaked(self):
            refuse_leaked('_backward()')
        if tape.op[self.anchor.index] != OP_leaf:
            check_change('_backward() was called')
        tape_apply_rule(&tape, self.anchor.index)

    @property
    def __dict__(self):
        if description is not None:
            return description(self)
        attributes = dict_of(self)
        make_heavy(<PyObject *>self)    # whoever holds the dict may put anything into it
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
        if is_handle(left) and not is_handle(right):
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
            if is_recording and not is_handle(other) and is_number(other):
                refuse_traced(self, 'a comparison')
            return NotImplemented
        if not is_handle(other) and not PyFloat_CheckExact(other):
            if is_numpy_number(other):
                other = other.item()    # NumPy would compare in its own precision
            elif not is_number(other):
                return NotImplemented
        if is_recording:
            condition = compared(self, other, comparison)
            if condition is not None:
                return condition
            check_read(self, 'a comparison')
            if is_handle(other):
                check_read(other, 'a comparison')
        if is_handle(other):
            other = tape.value[anchor_of(<PyObject *>other).index]
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
        backward(self, accumulate)

    def detach(self):
        """A new leaf with the same data: no gradient passes through it. In a function that is being
        compiled, a node that follows the data."""
        if has_leaked(self):
            refuse_leaked('.detach()')
        if is_recording and (here().recording is not None or is_traced(self)):
            return record_unary(self, OP_detach)
        return new_leaf(tape.value[self.anchor.index])

    def item(self):
        """The data, a float; PyTorch's name for it."""
        if has_leaked(self):
            refuse_leaked('.item()')
        if is_recording:
            check_read(self, '.item()')
        return tape.value[self.anchor.index]

    # -- as an object --

    def __repr__(self):
        if is_recording and is_traced(self):
            return 'Value(data=<of a sample>)'
        return f'Value(data={self.data}, grad={self.grad})'

    def _repr_html_(self):
        """For notebooks: the text, and the graph that it comes from where that is small; else None."""
        if is_recording and is_traced(self):
            return None
        from micrograd_c.viz import html_of
        return html_of(self)

    def _repr_mimebundle_(self, *args, **options):
        """For notebooks: text/plain and, where there is a picture, text/html."""
        html = self._repr_html_()
        return {'text/plain': repr(self)} if html is None else {'text/plain': repr(self), 'text/html': html}

    def __format__(self, specification):
        """The data in the format of a float: f'{v:.4f}'."""
        return format(self.data, specification) if specification else str(self)

    def __reduce_ex__(self, protocol):
        """For copy and pickle: a leaf's data, grad, label, _op and attributes. TypeError for other nodes."""
        if tape.op[self.anchor.index] != OP_leaf:
            raise TypeError(f'cannot copy or pickle a node that {self._op!r} recorded, only a leaf; '
                            f'detach() makes one')
        cdef PyAnnex *annex = annex_of(<PyObject *>self)
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

def stand_for(describe):
    """Value stands for a class of the user's own: describe(value) is what __dict__ gives. None: for itself."""
    global description
    description = describe

# -- the type ---------------------------------------------------------------------------------------

cdef int initialise(Handle self, data, children, op, label) except -1:
    """Value.__init__: a leaf, or a node on children whose chain rule will be written in Python."""
    cdef double value = real(data, 'Value')
    cdef list operands = list(children)
    cdef PyObject *handle = <PyObject *>self
    cdef uint32_t k, count = <uint32_t>len(operands)
    for child in operands:
        if not is_handle(child):
            raise TypeError(f'Value: expected Values as _children, got {kind(child)}')
        if child is self:
            raise ValueError('Value: a node cannot be its own operand')
    if tape.op[self.anchor.index] & ~OP_CLOSURE != OP_leaf:
        raise ValueError(f'Value: __init__ cannot be called again on what {self._op!r} has recorded')
    if is_recording:
        check_write(self, '.data, by __init__(),')
    if operands and tape_is_operand(&tape, self.anchor.index):
        raise ValueError('Value: __init__ cannot give operands to a Value that is itself an operand by now')
    if operands and not is_paused():
        if is_recording:
            for child in operands:
                if is_traced(child):
                    refuse_rule()
        reserve(1, count)
        annex = need_annex(handle)
        replace(&annex.operands, tuple(operands))
        reserve(1, count)
        move_to_top(self, OP_opaque, count)
        for k in range(count):
            tape.args[tape.operands[self.anchor.index].a + k] = (
                anchor_of(<PyObject *>PyList_GET_ITEM(operands, k)).index)
        make_heavy(handle)
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
    tape.moves += 1
    tape.args_size += count

cdef object value_new(PyTypeObject *type, PyObject *args, PyObject *kwargs):
    cdef PyObject *handle
    cdef PyAnnex *annex
    if type == ValueType:
        return new_leaf(0.0)
    self = steal(TYPE_ALLOC(type))
    handle = <PyObject *>self
    PyObject_GC_UnTrack(handle)     # without a node, it is for nobody to find
    anchor_of(handle).index = NO_NODE
    annex = make_annex()
    annex.base.weight = SETTLED
    try:
        reserve(1, 0)
    except:
        free(annex)
        raise
    anchor_of(handle).index = tape_append(&tape, OP_leaf, 0.0, 0, 0, 0)
    attach_annex(handle, annex)
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
    """Also finds the attributes that stand in the annex, behind the class's data descriptors."""
    cdef PyAnnex *annex
    cdef PyObject *found
    cdef PyObject *descriptor
    if anchor_of(self).flags & ANNEXED:
        annex = <PyAnnex *>owner_annex(tape.owner[anchor_of(self).index])
        if annex.attributes != NULL:
            found = PyDict_GetItemWithError(annex.attributes, name)
            if found != NULL:
                descriptor = _PyType_Lookup(TYPE_OF(self), name)
                if descriptor == NULL or DESCRIPTOR_SET(descriptor) == NULL:
                    Py_INCREF(<object>found)
                    return found
    return PyObject_GenericGetAttr(self, name)

cdef dict dict_of(Handle self):
    """The node's own attributes. Value looks there from the first time on that one of its instances
    has some: until then, its tp_getattro is Python's own, so that fast paths for methods apply."""
    cdef PyAnnex *annex = need_annex(<PyObject *>self)
    cdef PyTypeObject *type = TYPE_OF(<PyObject *>self)
    if annex.attributes == NULL:
        replace(&annex.attributes, {})
    if GETATTRO(type) == PyObject_GenericGetAttr:
        SET_GETATTRO(type, value_getattro)
        PyType_Modified(type)
    return <dict>annex.attributes

cdef object data_descriptor = vars(Handle)['data'], grad_descriptor = vars(Handle)['grad']
cdef object class_descriptor = vars(object)['__class__']
cdef dict fields = dict(vars(Handle))

cdef int value_setattro(PyObject *self, PyObject *name, PyObject *value) except -1:
    cdef PyTypeObject *type = TYPE_OF(self)
    cdef PyObject *descriptor = _PyType_Lookup(type, name)
    cdef PyAnnex *annex
    if value != NULL and PyFloat_CheckExact(<object>value) and not is_recording:    # what training does most
        if descriptor == <PyObject *>grad_descriptor:
            tape_set_adjoint(&tape, anchor_of(self).index, PyFloat_AS_DOUBLE(<object>value))
            return 0
        if descriptor == <PyObject *>data_descriptor:
            tape.value[anchor_of(self).index] = PyFloat_AS_DOUBLE(<object>value)
            return 0
    if descriptor == <PyObject *>class_descriptor:
        raise TypeError('the class of a Value cannot be changed')
    if value == NULL and descriptor != NULL and PyDict_GetItemWithError(<PyObject *>fields, name) != NULL:
        raise AttributeError(f'Value.{<object>name} cannot be deleted')
    if descriptor != NULL and DESCRIPTOR_SET(descriptor) != NULL:
        return DESCRIPTOR_SET(descriptor)(descriptor, self, value)
    if HAS_DICT(type):
        return PyObject_GenericSetAttr(self, name, value)
    if value == NULL:
        annex = annex_of(self)
        if annex == NULL or annex.attributes == NULL or <object>name not in <dict>annex.attributes:
            raise AttributeError(f'Value has no attribute {<object>name!r}')
        del (<dict>annex.attributes)[<object>name]
        return 0
    dict_of(<Handle>self)[<object>name] = <object>value
    if may_form_cycle(<object>value):
        make_heavy(self)
    return 0

cdef const char *VALUE_DOC = b"""Value(data, _children=(), _op='', label='')
--

A number that knows how it was computed.

data: any real number. _children, _op: the operands and the name of an operation of your own, whose
chain rule you then assign to _backward. label: a name for people.

Operators and methods record nodes; backward() sets the grad of each node that its node depends on.
"""

cdef list documents = []      # that methods point into

cdef const char *document_of(int op) noexcept:
    documents.append(help_of(op).encode())
    return <bytes>documents[len(documents) - 1]

make_methods(document_of)

cdef PyType_Slot value_slots[9]
value_slots[0] = PyType_Slot(Py_tp_new, <void *>value_new)
value_slots[1] = PyType_Slot(Py_tp_dealloc, <void *>value_dealloc)
value_slots[2] = PyType_Slot(Py_tp_traverse, <void *>value_traverse)
value_slots[3] = PyType_Slot(Py_tp_clear, <void *>value_clear)
value_slots[4] = PyType_Slot(Py_tp_setattro, <void *>value_setattro)
value_slots[5] = PyType_Slot(Py_tp_methods, <void *>methods)
value_slots[6] = PyType_Slot(Py_tp_doc, <void *>VALUE_DOC)
value_slots[7] = PyType_Slot(Py_tp_getattro, <void *>value_getattro)
value_slots[8] = PyType_Slot(0, NULL)

cdef PyType_Spec value_spec
value_spec.name = b'micrograd_c.engine.Value'
value_spec.basicsize = value_spec.itemsize = 0      # as Handle
value_spec.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
value_spec.slots = &value_slots[0]

record_unary_method = <RecordUnary>record_unary
record_binary_method = <RecordBinary>record_binary_call
record_ternary_method = <RecordTernary>record_ternary_call
assert Handle.__basicsize__ == sizeof(HandleObject)
Value = PyType_FromSpecWithBases(&value_spec, (Handle,))
Py_INCREF(Value)        # for ValueType, for ever
ValueType = <PyTypeObject *>Value
ValueType.tp_name = b'Value'     # in messages of Python's own, as a class made by Python
value_init = TYPE_INIT(ValueType)
SET_GETATTRO(ValueType, PyObject_GenericGetAttr)     # see dict_of
SET_VECTORCALL(ValueType, <vectorcallfunc>value_vectorcall)
