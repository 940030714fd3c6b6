# SPDX-License-Identifier: MIT
# What the boundary uses of Python's C API beyond Cython's own declarations.
from cpython.object cimport PyObject, PyTypeObject

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    PyObject *_PyObject_GC_New(PyTypeObject *type)
    void PyObject_GC_Del(void *object)
    void PyObject_GC_Track(PyObject *object)
    void PyObject_GC_UnTrack(PyObject *object)
    void PyObject_ClearWeakRefs(PyObject *object)
    void Py_SET_REFCNT(PyObject *object, Py_ssize_t count)
    void Py_SET_TYPE(PyObject *object, PyTypeObject *type)
    Py_ssize_t Py_REFCNT(PyObject *object) noexcept
    bint PyObject_GC_IsTracked(PyObject *object)
    bint PyObject_IS_GC(PyObject *object)
    bint PyType_IsSubtype(PyTypeObject *type, PyTypeObject *base)
    PyObject *PyObject_GenericGetAttr(PyObject *object, PyObject *name) noexcept
    PyObject *PyErr_Occurred() noexcept
    void PyErr_Clear() noexcept
    PyObject *PyErr_NoMemory() noexcept
    int PyErr_CheckSignals() noexcept
    double INT_AS_DOUBLE "PyLong_AsDouble" (PyObject *value) noexcept
    ctypedef PyObject *(*getattrofunc)(PyObject *object, PyObject *name) noexcept
    void PyType_Modified(PyTypeObject *type)
    int PyObject_GenericSetAttr(PyObject *object, PyObject *name, PyObject *value) except -1
    PyObject *PyDict_GetItemWithError(PyObject *dict, PyObject *key)
    PyObject *PyThreadState_GetDict() noexcept
    PyObject **_PyObject_GetDictPtr(PyObject *object) noexcept
    void *PyMem_RawMalloc(size_t size) nogil
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
    unsigned int Py_TPFLAGS_DEFAULT, Py_TPFLAGS_BASETYPE, Py_TPFLAGS_HAVE_GC, Py_TPFLAGS_DISALLOW_INSTANTIATION
    ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)

cdef extern from "python/objects.h":
    ctypedef int (*descrsetfunc)(PyObject *descriptor, PyObject *self, PyObject *value) except -1
    void SET_VECTORCALL(PyTypeObject *type, vectorcallfunc function)
    void *TYPE_INIT(PyTypeObject *type)
    PyObject *TYPE_ALLOC(PyTypeObject *type)
    PyTypeObject *TYPE_OF(PyObject *object)
    bint HAS_DICT(PyTypeObject *type)
    PyObject *DICT_OF(PyTypeObject *type)
    bint HAS_LENGTH(PyTypeObject *type)
    getattrofunc GETATTRO(PyTypeObject *type)
    void SET_GETATTRO(PyTypeObject *type, getattrofunc function)
    descrsetfunc DESCRIPTOR_SET(PyObject *descriptor)
    Py_ssize_t SLOT_OFFSET(PyObject *found)
    PyObject **LIST_ITEMS(object list)
