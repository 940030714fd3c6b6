# SPDX-License-Identifier: MIT
# What a module is made of: its parameters, each once, in the order of nn.Module.named_parameters.
#
# Every step of training asks for them, so this goes through attributes where Python stores them, and runs
# no Python code meanwhile. What it does not know, a class's own `parameters` among it, is left to nn.py.
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from headers.objects cimport (DICT_OF, PyDict_GetItemWithError, PyType_IsSubtype, SLOT_OFFSET, TYPE_OF,
                              _PyObject_GetDictPtr, _PyType_Lookup)
from headers.state cimport ValueType

cdef enum:
    FIRST_PLACES = 256      # of the parts of most models, in no memory of their own
    MOST_SLOTS = 8          # of a class of modules
    KNOWN_CLASSES = 16      # of modules in one model
    MOST_DEPTH = 64         # of modules and containers in each other

cdef struct ModuleClass:
    PyTypeObject *type
    int n_slots
    Py_ssize_t slots[MOST_SLOTS]

cdef struct Gathering:
    PyTypeObject *module
    PyObject *asked                 # nn.Module.parameters
    PyObject *parameters            # the list
    PyObject **places               # a set of the parts met so far: open addressing
    size_t size, count
    PyObject *first_places[FIRST_PLACES]
    ModuleClass classes[KNOWN_CLASSES]
    int n_classes

cdef extern from *:
    """
    #define LIST_ITEMS(list) (((PyListObject *)(list))->ob_item)
    #define TUPLE_ITEMS(tuple) (((PyTupleObject *)(tuple))->ob_item)
    #define VAR_SIZE(object) (((PyVarObject *)(object))->ob_size)
    """
    PyObject **LIST_ITEMS(PyObject *list)
    PyObject **TUPLE_ITEMS(PyObject *tuple)
    Py_ssize_t VAR_SIZE(PyObject *object)
    int PyList_Append(PyObject *list, PyObject *item) except -1

cdef str PARAMETERS = 'parameters', SLOT_NAMES = '__slotnames__'

cdef inline bint add_part(PyObject **places, size_t size, PyObject *part) noexcept:
    """Whether it is new in the set, which has room."""
    cdef size_t at = ((<uintptr_t>part >> 4) * <size_t>0x9E3779B1 >> 8) & (size - 1)
    while places[at] != NULL:
        if places[at] == part:
            return False
        at = (at + 1) & (size - 1)
    places[at] = part
    return True

cdef int make_places(Gathering *g) except -1:
    cdef size_t size = 4 * g.size, k
    cdef PyObject **places = <PyObject **>calloc(size, sizeof(PyObject *))
    if places == NULL:
        raise MemoryError
    for k in range(g.size):
        if g.places[k] != NULL:
            add_part(places, size, g.places[k])
    if g.places != g.first_places:
        free(g.places)
    g.places = places
    g.size = size
    return 0

cdef inline int is_new(Gathering *g, PyObject *part) except -1:
    if 2 * g.count >= g.size:
        make_places(g)
    if not add_part(g.places, g.size, part):
        return 0
    g.count += 1
    return 1

cdef ModuleClass *class_of(Gathering *g, PyTypeObject *type):
    """Where instances of a class of modules store what its __slots__ name. NULL: not known."""
    cdef int k
    cdef ModuleClass *found
    for k in range(g.n_classes):
        if g.classes[k].type == type:
            return &g.classes[k]
    if (g.n_classes == KNOWN_CLASSES or not PyType_IsSubtype(type, g.module)
            or _PyType_Lookup(type, <PyObject *>PARAMETERS) != g.asked):
        return NULL
    cdef PyObject *names = PyDict_GetItemWithError(DICT_OF(type), <PyObject *>SLOT_NAMES)
    if names == NULL or not PyList_CheckExact(<object>names) or PyList_GET_SIZE(<list>names) > MOST_SLOTS:
        return NULL
    found = &g.classes[g.n_classes]
    found.n_slots = <int>PyList_GET_SIZE(<list>names)
    for k in range(found.n_slots):
        found.slots[k] = SLOT_OFFSET(_PyType_Lookup(type, PyList_GET_ITEM(<list>names, k)))
        if found.slots[k] <= 0:
            return NULL
    found.type = type
    g.n_classes += 1
    return found

cdef inline bint is_inert(PyTypeObject *type) noexcept:
    """Of a class whose instances hold no parameter; of others, Python finds out."""
    return (type == FloatType or type == IntType or type == StrType or type == BoolType or type == NoneType)

cdef int gather(Gathering *g, PyObject *part, int depth) except -1:
    """Adds the parameters in a part; 0: there is something that it does not know."""
    cdef PyTypeObject *type = TYPE_OF(part)
    cdef ModuleClass *known
    cdef PyObject **attributes
    cdef PyObject *item
    cdef int k
    if type == ValueType:
        return gather_value(g, part)
    if is_inert(type):
        return 1
    if depth == MOST_DEPTH:
        return 0
    if type == ListType:
        return not is_new(g, part) or gather_all(g, LIST_ITEMS(part), VAR_SIZE(part), depth)
    if type == TupleType:
        return not is_new(g, part) or gather_all(g, TUPLE_ITEMS(part), VAR_SIZE(part), depth)
    if type == DictType:
        return not is_new(g, part) or gather_items(g, part, depth)
    if PyType_IsSubtype(type, ValueType):
        return gather_value(g, part)
    known = class_of(g, type)
    if known == NULL:
        return 0
    if not is_new(g, part):
        return 1
    for k in range(known.n_slots):
        item = (<PyObject **>(<char *>part + known.slots[k]))[0]
        if item != NULL and not gather(g, item, depth + 1):
            return 0
    attributes = _PyObject_GetDictPtr(part)
    return attributes == NULL or attributes[0] == NULL or gather_items(g, attributes[0], depth)

cdef inline int gather_value(Gathering *g, PyObject *value) except -1:
    if is_new(g, value):
        PyList_Append(g.parameters, value)
    return 1

cdef int gather_all(Gathering *g, PyObject **items, Py_ssize_t count, int depth) except -1:
    cdef Py_ssize_t k
    for k in range(count):
        if TYPE_OF(items[k]) == ValueType:
            gather_value(g, items[k])
        elif not gather(g, items[k], depth + 1):
            return 0
    return 1

cdef int gather_items(Gathering *g, PyObject *dict, int depth) except -1:
    cdef PyObject *key
    cdef PyObject *item
    cdef Py_ssize_t at = 0
    while PyDict_Next(<object>dict, &at, &key, &item):
        if not gather(g, item, depth + 1):
            return 0
    return 1

cdef PyTypeObject *ListType = <PyTypeObject *>list
cdef PyTypeObject *TupleType = <PyTypeObject *>tuple
cdef PyTypeObject *DictType = <PyTypeObject *>dict
cdef PyTypeObject *FloatType = <PyTypeObject *>float
cdef PyTypeObject *IntType = <PyTypeObject *>int
cdef PyTypeObject *StrType = <PyTypeObject *>str
cdef PyTypeObject *BoolType = <PyTypeObject *>bool
cdef PyTypeObject *NoneType = TYPE_OF(<PyObject *>None)

def parameters_of(module, module_class, parameters):
    """The parameters of a module, each once, as a list. None: it has parts that only Python knows.

    module_class: nn.Module; parameters: its method of that name, which calls this.
    """
    cdef Gathering g
    cdef list gathered = []
    memset(g.first_places, 0, sizeof(g.first_places))
    g.module, g.asked, g.parameters = <PyTypeObject *>module_class, <PyObject *>parameters, <PyObject *>gathered
    g.places, g.size, g.count, g.n_classes = g.first_places, <size_t>FIRST_PLACES, 0, 0
    try:
        return gathered if gather(&g, <PyObject *>module, 0) else None
    finally:
        if g.places != g.first_places:
            free(g.places)
