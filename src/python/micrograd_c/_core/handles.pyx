# SPDX-License-Identifier: MIT
# Handles and annexes: who keeps a node, and what a node keeps.
#
# A Value is a handle: the index of a node, and nothing else. What the node is stands on the tape.
# Handles are made and dropped at every operation, so they come from a free list and are invisible to
# Python's cyclic collector until they refer to Python objects:
#
# * A *light* node, the usual kind, is numbers on the tape. Its graph keeps it alive there, whether or
#   not a handle to it exists.
# * A *heavy* node refers to Python objects that may refer back to it: a chain rule written in Python,
#   attributes that hold containers, an instance of a subclass. Handles of heavy nodes, and of all nodes
#   recorded on top of them, hold references to their operands' handles, as in the lesson, and the
#   collector sees them.
#
# Three rules keep indices valid. Allocating a handle may run the collector, and with it any Python
# code: allocate first. Reserving room may compact the tape: reserve next. Only then read indices, and
# append.
#
# Whether a node is needed is a question for two memories. The tape knows which nodes have which as
# operands, but no Python objects; Python's collector knows who refers to which object, but not the tape.
# Most nodes are numbers, and the tape's answer is the whole one. Some have Python objects in their annex
# that may lead back to a Value: a chain rule written in Python, a list as an attribute. For these the
# answer of one memory depends on the other's, and five rules keep the two in step.
#
# 1. A node lives while a handle has it or a living node has it as operand. An annex lives as long as
#    its node, whether there is a handle or not; a handle is only the window to it.
# 2. A node whose annex may lead back to a Value is heavy: LATE or SETTLED. What is recorded on a heavy
#    node is SETTLED itself, and its annex refers to the handles of its operands. make_heavy and
#    annex_for_heavy are the only places where a node becomes heavy, beside settle.
# 3. SETTLED: every living node that has this one as operand refers to its handle. So when that handle
#    dies, no node needs this one: the annex is let go at once. It holds for a node that nothing has
#    been recorded on, and stays true by rule 2.
# 4. LATE: it became heavy after something may have been recorded on it, so rule 3 does not hold yet.
#    What a LATE node holds is not shown to the collector, which therefore takes it for needed, and the
#    collector may not clear it: what is not settled may live too long, but never dies too early. settle
#    makes all LATE nodes, and all that was recorded on them, SETTLED; it runs before every collection
#    and changes nothing but memory. It is two steps: first everything gets what rule 3 demands, which
#    can fail; only then are they called SETTLED.
# 5. A handle that is being destroyed is no handle: it has lost its node before the first line of
#    Python code can run (leave), or its reference count of 0 tells (handle_at), and then the node gets
#    a new one.
#
# From 2, 3 and 4: whatever is reachable from a living Value, through objects or through the tape, the
# collector finds reachable or is not shown at all; and what is not reachable it can see, once settled.
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdlib cimport calloc, free

from headers.objects cimport *

tape_init(&tape)

# -- handles --------------------------------------------------------------------------------------

cdef enum:
    FREE_HANDLES = 1024         # at most, 48 KB: what a step of a small training loop drops
    LARGE_TAPE = 65536          # nodes: worth the looks for garbage that smaller tapes do without

cdef Py_ssize_t made_handles = 0        # in the free list or in use
cdef Py_ssize_t most_handles = 0        # in use at once, since the last look for garbage
cdef Py_ssize_t free_stop = FREE_HANDLES

cdef PyObject *make_handle() noexcept:
    """A handle to no node yet, or NULL with MemoryError set. May run the collector."""
    global made_handles, most_handles, disturbances
    if free_handles != NULL:
        return pop_handle()
    disturbances += 1
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

cdef void leave(Anchor *anchor) noexcept:
    """Ends the bond between a handle and its node. Runs no Python code."""
    cdef uint32_t i = anchor.index
    cdef Annex *annex
    if i == NO_NODE:
        return
    if anchor.flags & ANNEXED:
        annex = owner_annex(tape.owner[i])
        annex.anchor = NULL
        if annex.weight == SETTLED:
            tape.owner[i] = 0
            annex.next = tape.orphans
            tape.orphans = annex
    else:
        tape.owner[i] = 0
    anchor.index = NO_NODE
    anchor.flags = 0

cdef void dealloc_slowly(PyObject *self) noexcept:
    global made_handles, most_handles
    cdef PyTypeObject *type = TYPE_OF(self)
    cdef bint is_top = anchor_of(self).index + 1 == tape.size
    PyObject_GC_UnTrack(self)
    leave(anchor_of(self))
    if is_top:
        tape_pop(&tape)
    if (<HandleObject *>self).weakrefs != NULL:
        PyObject_ClearWeakRefs(self)    # may call anything
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

cdef void become_leaked(Anchor *anchor) noexcept:
    """Ends the use of a Value; whoever has it has a Leaked from now on. Runs no Python code."""
    global made_handles
    cdef PyObject *handle = HANDLE_OF(anchor)
    if TYPE_OF(handle) != ValueType:    # of a subclass, none depends on an input: initialise in value.pyx
        return
    Py_INCREF(<object>LeakedType)
    Py_SET_TYPE(handle, LeakedType)
    Py_DECREF(<object>ValueType)
    anchor.flags |= HEAVY       # a method that was bound before takes the long way, and is refused there
    made_handles -= 1

cdef void discard(PyObject *handle) noexcept:
    """Drops a handle that refers to no node yet."""
    global made_handles
    PyObject_GC_Del(handle)
    Py_DECREF(<object>ValueType)
    made_handles -= 1

cdef bint has_room(uint32_t nodes, uint32_t args) noexcept:
    """Makes room; False, with MemoryError set, if there is none."""
    global disturbances
    while tape_reserve(&tape, nodes, args) == 0:
        if tape.orphans == NULL or releasing:
            return True
        set_free_stop()
        disturbances += 1
        release_orphans()   # may run Python code, which may use the room up
    PyErr_NoMemory()
    return False

cdef int reserve(uint32_t nodes, uint32_t args) except -1:
    return 0 if has_room(nodes, args) else -1

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

cdef void look_up(Places *places, list values, const uint32_t *elsewhere) noexcept:
    cdef Py_ssize_t k
    cdef uint32_t node, place
    cdef Span *span = NULL
    places.n_spans = 0
    for k in range(PyList_GET_SIZE(values)):
        node = anchor_of(PyList_GET_ITEM(values, k)).index
        place = elsewhere[k] if elsewhere != NULL else <uint32_t>k
        if span == NULL or not span_continues(span, node, place):
            span = &places.spans[places.n_spans]
            places.n_spans += 1
            span.node, span.place, span.size = node, place, 0
        span.size += 1
    places.elsewhere = elsewhere
    places.moves = tape.moves

cdef object value_at(uint32_t i):
    """The Value of node i: the one there is, or a new one. Only while the tape is busy."""
    cdef PyObject *found = handle_at(i)
    if found != NULL:
        return <object>found
    cdef PyObject *handle = make_handle()
    if handle == NULL:
        reraise()
    found = handle_at(i)
    if found != NULL:       # the collector ran code that has asked for it, too
        discard(handle)
        return <object>found
    cdef Anchor *dying = owner_anchor(tape.owner[i])
    cdef PyAnnex *annex = <PyAnnex *>owner_annex(tape.owner[i])
    if dying != NULL:       # an instance of a subclass whose attributes are being let go
        dying.index = NO_NODE
        dying.flags = 0
    if annex == NULL:
        return attach(handle, i)
    anchor_of(handle).index = i
    attach_annex(handle, annex)
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

cdef PyAnnex *make_annex() except NULL:
    cdef PyAnnex *annex = <PyAnnex *>calloc(1, sizeof(PyAnnex))
    if annex == NULL:
        raise MemoryError
    return annex

cdef void attach_annex(PyObject *handle, PyAnnex *annex) noexcept:
    annex.base.anchor = anchor_of(handle)
    tape.owner[anchor_of(handle).index] = <Owner>annex | 1
    show_weight(handle, annex)

cdef void show_weight(PyObject *handle, PyAnnex *annex) noexcept:
    """What the annex says, where recording and the collector look."""
    anchor_of(handle).flags = ANNEXED
    if annex.base.weight != LIGHT:
        anchor_of(handle).flags |= HEAVY
        if not PyObject_GC_IsTracked(handle):
            PyObject_GC_Track(handle)

cdef PyAnnex *need_annex(PyObject *handle) except NULL:
    cdef PyAnnex *annex = annex_of(handle)
    if annex == NULL:
        annex = make_annex()
        attach_annex(handle, annex)
    return annex

cdef void replace(PyObject **slot, object value):
    cdef PyObject *old = slot[0]
    Py_INCREF(value)
    slot[0] = <PyObject *>value
    Py_XDECREF(old)

cdef void make_heavy(PyObject *handle) noexcept:
    """From now on, what is recorded on this node holds a reference to its handle."""
    global any_late
    cdef PyAnnex *annex = annex_of(handle)
    if annex.base.weight == LIGHT:
        if anchor_of(handle).index + 1 == tape.size:      # nothing has been recorded on it
            annex.base.weight = SETTLED
        else:
            annex.base.weight = LATE
            any_late = True
        show_weight(handle, annex)

cdef bint any_late = False

cdef int settle() except -1:
    """Makes SETTLED what is LATE and all that was recorded on it: rule 4 of the page above."""
    global any_late
    cdef uint32_t *nodes
    cdef uint32_t count, k
    cdef list handles = []      # keeps each alive until the nodes above refer to it
    cdef set late
    cdef PyAnnex *annex
    if not any_late:
        return 0
    tape_compact(&tape, 1)
    if tape_list_late(&tape, &nodes, &count):
        raise MemoryError
    tape.busy += 1
    try:
        for k in range(count):
            handles.append(value_at(nodes[k]))
        late = set([id(handle) for handle in handles])
        for k in range(count):
            hold_operands(need_annex(PyList_GET_ITEM(handles, k)), nodes[k], late)
        for k in range(count):      # from here on nothing can fail
            annex = <PyAnnex *>owner_annex(tape.owner[nodes[k]])
            annex.base.weight = SETTLED
            show_weight(<PyObject *>PyList_GET_ITEM(handles, k), annex)
        any_late = False
    finally:
        tape.busy -= 1
        free(nodes)
    return 0

cdef int settle_these() except -1:
    """The same where nodes have become LATE that make_heavy knows nothing of."""
    global any_late
    any_late = True
    return settle()

cdef int hold_operands(PyAnnex *annex, uint32_t i, set late) except -1:
    """Makes the annex of node i refer to the handles of its operands that are heavy or, being of those
    in `late`, will be."""
    cdef uint32_t k, count
    cdef const uint32_t *operands = tape_operands(&tape, i, &count)
    cdef list held = [] if annex.operands == NULL else list(<tuple>annex.operands)
    cdef set known = set([id(handle) for handle in held])
    cdef PyObject *operand
    for k in range(count):
        operand = handle_at(operands[k])
        if operand == NULL or id(<object>operand) in known:
            continue
        if anchor_of(operand).flags & HEAVY or id(<object>operand) in late:
            known.add(id(<object>operand))
            held.append(<object>operand)
    replace(&annex.operands, tuple(held))
    return 0

cdef enum:
    MOST_ITEMS = 1000       # of tuples in tuples that are looked at, for one attribute

cdef bint may_form_cycle(object value):
    """Whether a Value may be reached from it. A tuple of what cannot lead to one cannot either."""
    cdef list todo
    cdef Py_ssize_t looked = 0
    if not isinstance(value, tuple):
        return PyObject_IS_GC(<PyObject *>value)
    todo = [value]
    while todo:
        for item in <tuple>todo.pop():
            looked += 1
            if looked > MOST_ITEMS:
                return True
            if isinstance(item, tuple):
                todo.append(item)
            elif PyObject_IS_GC(<PyObject *>item):
                return True
    return False

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

# -- what Python's collector sees ---------------------------------------------------------------------

cdef inline PyAnnex *settled_annex(PyObject *self) noexcept:
    """What the collector may see: rule 4 of the page above."""
    if not anchor_of(self).flags & HEAVY:
        return NULL
    cdef PyAnnex *annex = <PyAnnex *>owner_annex(tape.owner[anchor_of(self).index])
    return annex if annex != NULL and annex.base.weight == SETTLED else NULL

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
