# SPDX-License-Identifier: MIT
# What becomes of a Value that depends on an input and outlives the recording: it stood for every sample, and
# has no number.
#
# The object stays who it is, for those who have it in a set or refer to it weakly, but its class changes:
# a Leaked is laid out as a Value and dies as one, but it is no subclass of Value. So no method and no
# function of the engine takes it for one, whichever way it is called; all ask is_handle, and what they then
# say of it is kind's. Its node has lost operands and number (trace_end): whatever still reaches it reads NaN.
from cpython.object cimport PyObject, PyTypeObject, Py_EQ, Py_NE
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uintptr_t

from headers.objects cimport *
from headers.state cimport *
from headers.tape cimport *
from .handles cimport *
from .numbers cimport is_number
from .recording cimport refuse_leaked

from .value import Value

cdef class LeakedHandle:
    """The face of Leaked, as Handle is that of Value: whatever would read or use a number raises TraceError."""
    cdef Anchor anchor          # as in HandleObject
    cdef object __weakref__

    def __cinit__(self):
        raise TypeError('nothing leaks on demand')

    @property
    def __class__(self):
        """Value: isinstance(leaked, Value) is as it was."""
        return Value

    def __getattribute__(self, str name):
        if name[:2] == '__':
            return object.__getattribute__(self, name)
        refuse_leaked(f'.{name}')

    def __setattr__(self, str name, value):
        """__setattr__($self, name, value, /)\n--\n\nRaises TraceError."""
        refuse_leaked(f'.{name}')

    def __delattr__(self, str name):
        """__delattr__($self, name, /)\n--\n\nRaises TraceError."""
        refuse_leaked(f'.{name}')

    def __add__(left, right):
        refuse_leaked('+')

    def __sub__(left, right):
        refuse_leaked('-')

    def __mul__(left, right):
        refuse_leaked('*')

    def __truediv__(left, right):
        refuse_leaked('/')

    def __mod__(left, right):
        refuse_leaked('%')

    def __floordiv__(left, right):
        refuse_leaked('//')

    def __pow__(left, right, modulo):
        refuse_leaked('**')

    def __neg__(self):
        refuse_leaked('-')

    def __pos__(self):
        refuse_leaked('+')

    def __abs__(self):
        refuse_leaked('abs()')

    def __float__(self):
        refuse_leaked('float()')

    def __int__(self):
        refuse_leaked('int()')

    def __index__(self):
        refuse_leaked('use as an index')

    def __bool__(self):
        refuse_leaked('the truth value')

    def __richcmp__(self, other, int comparison):
        if (comparison == Py_EQ or comparison == Py_NE) and (is_handle(other) or has_leaked(other)
                                                             or not is_number(other)):
            return NotImplemented       # identity
        refuse_leaked('a comparison')

    def __hash__(self):
        return <Py_hash_t>(<uintptr_t><void *>self >> 4)     # as Value's

    def __repr__(self):
        return '<leaked Value of a compiled function>'

    def __format__(self, specification):
        """Raises TraceError where there is a format for a number."""
        if specification:
            refuse_leaked('a format')
        return repr(self)

    def __reduce_ex__(self, protocol):
        """Raises TraceError: it cannot be copied or pickled."""
        refuse_leaked('a copy')

# -- the type ---------------------------------------------------------------------------------------

cdef PyType_Slot leaked_slots[4]
leaked_slots[0] = PyType_Slot(Py_tp_dealloc, <void *>value_dealloc)
leaked_slots[1] = PyType_Slot(Py_tp_traverse, <void *>value_traverse)
leaked_slots[2] = PyType_Slot(Py_tp_clear, <void *>value_clear)
leaked_slots[3] = PyType_Slot(0, NULL)

cdef PyType_Spec leaked_spec
leaked_spec.name = b'micrograd_c._core.Leaked'
leaked_spec.basicsize = leaked_spec.itemsize = 0      # as LeakedHandle
leaked_spec.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION
leaked_spec.slots = &leaked_slots[0]

assert LeakedHandle.__basicsize__ == sizeof(HandleObject) == Value.__basicsize__
assert LeakedHandle.__weakrefoffset__ == Value.__weakrefoffset__
Leaked = PyType_FromSpecWithBases(&leaked_spec, (LeakedHandle,))
Py_INCREF(Leaked)       # for LeakedType, for ever
LeakedType = <PyTypeObject *>Leaked
