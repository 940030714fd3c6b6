# SPDX-License-Identifier: MIT
# Derivatives as nodes: what excerpt.h computes, with Values on both sides.
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from headers.excerpt cimport *
from headers.state cimport *
from headers.tape cimport *
from .handles cimport *
from .numbers cimport expect_value, kind
from .record cimport record_unary
from .recording cimport Context, here, is_paused, set_pauses

from .value import Value

cdef uint32_t *nodes_of(list values) except NULL:
    """The nodes of Values, NO_NODE for None, UNIT for 1.0; the caller frees them."""
    cdef Py_ssize_t k
    cdef uint32_t *nodes = <uint32_t *>malloc(<size_t>(len(values) + 1) * sizeof(uint32_t))
    if nodes == NULL:
        raise MemoryError
    for k, value in enumerate(values):
        if is_handle(value):
            nodes[k] = anchor_of(<PyObject *>value).index
        else:
            nodes[k] = NO_NODE if value is None else UNIT
    return nodes

cdef int check_values(str what, list values) except -1:
    for value in values:
        if not is_handle(value):
            raise TypeError(f'{what}: expected Values, got {kind(value)}')
    return 0

cdef int check_operands(list roots, list xs, list directions) except -1:
    check_values('derivatives', roots)
    check_values('derivatives', xs)
    check_values('derivatives', [value for value in directions if value is not None and type(value) is not float])
    return 0

cdef object partial_node(Excerpt *excerpt, uint32_t k):
    """A custom node's derivative by an operand, a Value whose own derivative nobody knows."""
    cdef Partial partial = excerpt.partials[k]
    cdef uint32_t i = excerpt.tape_nodes[partial.node], count
    name = value_at(i)._op
    operands = operand_values(i)
    tape_operands(&tape, i, &count)
    derivative = Value(tape.value[tape.args[tape.operands[i].a + count + partial.which]], operands, f'd {name}')

    def rule():
        refuse_second_order(name)

    derivative._backward = rule
    return derivative

cdef int refuse_second_order(str name) except -1:
    raise TypeError(f'{name!r}: custom() gives derivatives of first order only; compose it of operations, '
                    f'so that they can be differentiated again')

cdef int check_excerpt(ExcerptStatus status, Excerpt *excerpt) except -1:
    if status == EXCERPT_NO_MEMORY:
        raise MemoryError
    if status == EXCERPT_CLOSURE:
        node = value_at(excerpt.closure)
        if node._op.startswith('d ') and len(node._prev):
            node._backward()
        raise TypeError(f'the chain rule of {node._op!r} is written in Python and cannot be differentiated; '
                        f'compose it of operations, or give its derivatives with custom()')
    return 0

cdef list append_derivatives(Excerpt *excerpt, uint32_t *found, uint32_t count, int *late):
    """New nodes with their handles. These are made first: what is made of nodes that nobody has could be
    popped by whatever runs meanwhile."""
    cdef list results = []
    cdef uint32_t k, made = 0
    cdef ExcerptStatus status = EXCERPT_NO_MEMORY
    cdef PyObject **handles = <PyObject **>calloc(count, sizeof(PyObject *))
    if handles == NULL:
        raise MemoryError
    try:
        while made < count:
            handles[made] = make_handle()
            if handles[made] == NULL:
                reraise()
            made += 1
        status = excerpt_append(excerpt, found, count, late)
        if status == EXCERPT_DONE:
            for k in range(count):
                results.append(attach(handles[k], found[k]))
        check_excerpt(status, excerpt)
    finally:
        if status != EXCERPT_DONE:
            for k in range(made):
                discard(handles[k])
        free(handles)
    return results

cdef list derivatives_of(list roots, list xs, list directions, bint forward):
    """Forward: the tangents of the roots for those of the xs. Reverse: the derivatives by the xs of the
    sum of the roots, each times its direction. directions: Values; or 1.0; or None, for no tangent."""
    cdef Excerpt excerpt
    cdef uint32_t *root_nodes = NULL
    cdef uint32_t *x_nodes = NULL
    cdef uint32_t *direction_nodes = NULL
    cdef uint32_t *found = NULL
    cdef uint32_t n_roots = <uint32_t>len(roots), n_xs = <uint32_t>len(xs), k
    cdef uint32_t n_found = n_roots if forward else n_xs
    cdef int late = 0
    cdef bint decides = not is_recording or here().recording is None
    cdef list partials, results
    check_operands(roots, xs, directions)
    if len(directions) != (n_xs if forward else n_roots):
        raise ValueError('derivatives: expected a direction for each')
    if not n_found:
        return []
    if not n_roots or not n_xs:
        return [new_leaf(0.0) for _ in range(n_found)]
    tape.busy += 1      # so that nodes stay where they are
    memset(&excerpt, 0, sizeof(excerpt))
    try:
        root_nodes, x_nodes, direction_nodes = nodes_of(roots), nodes_of(xs), nodes_of(directions)
        found = <uint32_t *>malloc(n_found * sizeof(uint32_t))
        if found == NULL:
            raise MemoryError
        check_excerpt(excerpt_take(&excerpt, &tape, root_nodes, n_roots, x_nodes, n_xs, direction_nodes,
                                   <uint32_t>len(directions), decides), &excerpt)
        if forward:
            check_excerpt(excerpt_forward(&excerpt, root_nodes, n_roots, x_nodes, direction_nodes, n_xs, found),
                          &excerpt)
        else:
            check_excerpt(excerpt_reverse(&excerpt, root_nodes, direction_nodes, n_roots, x_nodes, n_xs,
                                          found), &excerpt)
        partials = [partial_node(&excerpt, k) for k in range(excerpt.n_partials)]
        for k in range(<uint32_t>len(partials)):
            excerpt_set_partial(&excerpt, k, anchor_of(<PyObject *>PyList_GET_ITEM(partials, k)).index)
        results = append_derivatives(&excerpt, found, n_found, &late)
        check_operands(roots, xs, directions)   # again: in another thread, a recording may have ended
        if late:    # while whoever holds the heavy ones still does
            settle_these()
    finally:
        tape.busy -= 1
        excerpt_free(&excerpt)
        free(root_nodes)
        free(x_nodes)
        free(direction_nodes)
        free(found)
    return [result.detach() for result in results] if is_paused() else results

cdef list second_derivatives_of(root, list xs):
    """For each x, the derivatives by it of the root's derivatives by it and by those after it: Values, None for
    what is always 0. Then a 0."""
    cdef Excerpt excerpt
    cdef uint32_t *x_nodes = NULL
    cdef uint32_t *found = NULL
    cdef uint32_t n_xs = <uint32_t>len(xs), root_node = anchor_of(<PyObject *>root).index, n_found = 0
    cdef Py_ssize_t count = <Py_ssize_t>n_xs * (n_xs + 1) // 2, k
    cdef int late = 0
    cdef bint decides = not is_recording or here().recording is None
    cdef list entries = [None] * count, places = [], made
    tape.busy += 1      # so that nodes stay where they are
    memset(&excerpt, 0, sizeof(excerpt))
    try:
        x_nodes = nodes_of(xs)
        found = <uint32_t *>malloc(<size_t>(count + 1) * sizeof(uint32_t))
        if found == NULL:
            raise MemoryError
        check_excerpt(excerpt_take(&excerpt, &tape, &root_node, 1, x_nodes, n_xs, NULL, 0, decides), &excerpt)
        check_excerpt(excerpt_hessian(&excerpt, root_node, x_nodes, n_xs, found), &excerpt)
        if excerpt.n_partials:
            refuse_second_order(value_at(excerpt.tape_nodes[excerpt.partials[0].node])._op)
        for k in range(count):
            if found[k] != NO_NODE:
                places.append(k)
                found[n_found] = found[k]
                n_found += 1
        found[n_found] = NO_NODE
        made = append_derivatives(&excerpt, found, n_found + 1, &late)
        check_operands([root], xs, [])      # again
        if late:    # while whoever holds the heavy ones still does
            settle_these()
    finally:
        tape.busy -= 1
        excerpt_free(&excerpt)
        free(x_nodes)
        free(found)
    if is_paused():
        made = [value.detach() for value in made]
    for place, value in zip(places, made):
        entries[place] = value
    entries.append(made[n_found])
    return entries

def hessian_of(root, list xs):
    """The second derivatives of root, a Value, by xs, Values that do not depend on each other: a list of rows.

    Both of d/dx dy and d/dy dx are one Value; so are all entries that are 0 whatever the numbers are.
    """
    cdef Py_ssize_t i, j, n = len(xs), at = 0
    check_values('hessian', [root])
    check_values('hessian', xs)
    cdef list entries = second_derivatives_of(root, xs), rows = [[None] * n for _ in range(n)]
    cdef object entry, zero = entries[len(entries) - 1]
    for i in range(n):
        for j in range(i, n):
            entry = entries[at]
            at += 1
            if entry is None:
                entry = zero
            (<list>rows[i])[j] = (<list>rows[j])[i] = entry
    return rows

def gradients(y, xs):
    """dy/dx for each x of xs, as Values that can be differentiated again.

    y: a Value. xs: Values, leaves or inner nodes. A list; a leaf 0 where y does not depend on x. Nobody's
    grad changes. A chain rule written in Python cannot be differentiated: TypeError.
    """
    cdef list inputs
    check_values('gradients', [y])
    if is_handle(xs) or not hasattr(xs, '__iter__'):
        raise TypeError(f'gradients: expected a list of Values as xs, got {kind(xs)}')
    inputs = list(xs)
    check_values('gradients', inputs)
    return derivatives_of([y], inputs, [1.0], False)

def pull_back(list roots, list cotangents, list xs):
    """The derivatives by each x of the sum of roots times cotangents: Values, or 1.0."""
    return derivatives_of(roots, xs, cotangents, False)

def push_forward(list roots, list xs, list tangents):
    """The tangents of roots, where xs have these tangents: Values, or 1.0, or None for 0."""
    return derivatives_of(roots, xs, tangents, True)

def same(value):
    """A node of its own with a Value's number and derivatives."""
    expect_value(value, 'same')
    return record_unary(value, OP_same)

def recorded(compute):
    """compute(), recorded even where this thread is in no_grad()."""
    cdef Context context = here()
    cdef uint32_t pauses = context.pauses
    set_pauses(context, 0)
    try:
        return compute()
    finally:
        set_pauses(context, pauses)

def is_in_no_grad():
    """Whether this thread is in no_grad()."""
    return is_paused()
