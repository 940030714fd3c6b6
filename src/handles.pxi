# SPDX-License-Identifier: MIT
# Handles and annexes: who keeps a node, and what a node keeps.

# -- handles --------------------------------------------------------------------------------------

cdef enum:
    FREE_HANDLES = 1024         # at most, 48 KB: what a step of a small training loop drops
    LARGE_TAPE = 65536          # nodes: worth the looks for garbage that smaller tapes do without

cdef PyObject *free_handles = NULL
cdef Py_ssize_t free_count = 0
cdef Py_ssize_t made_handles = 0        # in the free list or in use
cdef Py_ssize_t most_handles = 0        # in use at once, since the last look for garbage
cdef Py_ssize_t free_stop = FREE_HANDLES
cdef uint32_t disturbances = 0          # times that Python code may have run in make_handle or has_room

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
    global any_late
    cdef PyAnnex *annex = annex_of(self)
    if not annex.heavy:
        annex.heavy = True
        self.anchor.flags |= HEAVY
        if self.anchor.index + 1 == tape.size:      # nothing has been recorded on it
            self.anchor.flags |= BORN_HEAVY
        else:
            annex.base.late = any_late = True
    if not PyObject_GC_IsTracked(<PyObject *>self):
        PyObject_GC_Track(<PyObject *>self)

cdef bint any_late = False

cdef int settle_late() except -1:
    """Makes heavy what was recorded on nodes before they became heavy.

    Else the collector would not see that such a node is still needed, and would clear it; nor that a
    node which nobody but the tape refers to is part of a cycle, and would keep it. So this happens
    before every collection for which there is something to do.
    """
    global any_late
    cdef uint32_t i
    cdef list handles = []      # keeps each alive until the nodes above refer to it
    cdef PyAnnex *annex
    if not any_late:
        return 0
    tape_compact(&tape, 1)
    tape.busy += 1
    tape_mark_late(&tape)
    try:
        for i in range(tape.size):
            if bit_is_set(tape.reached[0], i):
                handle = value_at(i)
                handles.append(handle)
                annex = need_annex(handle)
                if annex.operands == NULL:
                    replace(&annex.operands, tuple(late_operands(i)))
                annex.heavy = True
                annex.base.late = False
                anchor_of(<PyObject *>handle).flags |= HEAVY | BORN_HEAVY
                if not PyObject_GC_IsTracked(<PyObject *>handle):
                    PyObject_GC_Track(<PyObject *>handle)
        any_late = False
    finally:
        tape_unmark(&tape)
        tape.busy -= 1
    return 0

cdef list late_operands(uint32_t i):
    cdef uint32_t k, count
    cdef const uint32_t *operands = tape_operands(&tape, i, &count)
    return [value_at(operands[k]) for k in range(count) if bit_is_set(tape.reached[0], operands[k])]

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
