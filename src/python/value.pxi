# SPDX-License-Identifier: MIT
# The class Value: a heap type, so that users can add methods to it, made of Handle and of slots that
# Cython cannot write: deallocation into a free list, traversal of what stands in the annex.

cdef int initialise(Handle self, data, children, op, label) except -1:
    """Value.__init__: a leaf, or a node on children whose chain rule will be written in Python."""
    cdef double value = real(data if conversion is None else conversion(data), 'Value')
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
    cdef PyAnnex *annex = need_annex(self)
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
        annex = annex_of(<Handle>self)
        if annex == NULL or annex.attributes == NULL or <object>name not in <dict>annex.attributes:
            raise AttributeError(f'Value has no attribute {<object>name!r}')
        del (<dict>annex.attributes)[<object>name]
        return 0
    dict_of(<Handle>self)[<object>name] = <object>value
    if may_form_cycle(<object>value):
        make_heavy(<Handle>self)
    return 0

cdef inline PyAnnex *settled_annex(PyObject *self) noexcept:
    """What the collector may see: rule 4 in handles.pxi."""
    if not anchor_of(self).flags & HEAVY:
        return NULL
    cdef PyAnnex *annex = <PyAnnex *>owner_annex(tape.owner[anchor_of(self).index])
    return annex if annex.base.weight == SETTLED else NULL

cdef int value_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef PyAnnex *annex = settled_annex(self)
    cdef PyObject *objects[5]
    cdef int k, stop
    objects[0] = <PyObject *>TYPE_OF(self)
    objects[1] = objects[2] = objects[3] = objects[4] = NULL
    if annex != NULL:
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
    cdef PyAnnex *annex = settled_annex(self)
    if annex != NULL:
        clear_annex(annex)
    return 0

cdef const char *VALUE_DOC = b"""Value(data, _children=(), _op='', label='')
--

A number that knows how it was computed.

data: any real number. _children, _op: the operands and the name of an operation of your own, whose
chain rule you then assign to _backward. label: a name for people.

Operators and methods record nodes; backward() sets the grad of each node that its node depends on.
"""

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
assert Handle.__basicsize__ == sizeof(HandleObject)
Value = PyType_FromSpecWithBases(&value_spec, (Handle,))
Py_INCREF(Value)        # for ValueType, for ever
ValueType = <PyTypeObject *>Value
ValueType.tp_name = b'Value'     # in messages of Python's own, as a class made by Python
value_init = TYPE_INIT(ValueType)
SET_GETATTRO(ValueType, PyObject_GenericGetAttr)     # see attributes_of
SET_VECTORCALL(ValueType, <vectorcallfunc>value_vectorcall)
