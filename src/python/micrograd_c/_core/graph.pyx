# SPDX-License-Identifier: MIT
# The graph that a Value stands on: its order, the sweep, and the tape that holds it.
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t
from libc.stdlib cimport free

from headers.state cimport *
from headers.tape cimport *
from .handles cimport *
from .numbers cimport expect_value
from .recording cimport check_write, refuse_leaked

import collections
import gc

# -- the graph ------------------------------------------------------------------------------------

def topological_sort(root):
    """What root depends on, as a list: depth-first post-order, operands in written order.

    Every node stands after its operands; root is the last.
    """
    cdef uint32_t *order
    cdef uint32_t count, k
    cdef list values = []
    expect_value(root, 'topological_sort')
    tape.busy += 1
    try:
        if tape_topological_order(&tape, anchor_of(<PyObject *>root).index, &order, &count):
            raise MemoryError
        try:
            for k in range(count):
                values.append(value_at(order[k]))
        finally:
            free(order)
    finally:
        tape.busy -= 1
    return values

cdef int sweep(object root, Start start) except -1:
    if is_recording:
        check_write(root, '.grad, by backward(),')
    if anchor_of(<PyObject *>root).flags & HEAVY and has_leaked(root):
        refuse_leaked('.backward()')
    cdef SweepStatus status = tape_sweep(&tape, anchor_of(<PyObject *>root).index, start, run_rule)
    if status != SWEEP_DONE:
        if status == SWEEP_NO_MEMORY:
            raise MemoryError
        reraise()
    return 0

cdef int run_rule(uint32_t i) except -1:
    cdef PyAnnex *annex = <PyAnnex *>owner_annex(tape.owner[i])
    if annex == NULL or annex.rule == NULL:     # the collector took it for garbage, and it is not
        raise SystemError('backward: the chain rule of a node is gone')
    rule = <object>annex.rule
    rule()
    return 0

cdef bint accumulates = False           # what accumulate_grads() last set

cdef int backward(object root, object accumulate) except -1:
    """Value.backward()."""
    cdef bint adding = accumulates if accumulate is None else accumulate
    return sweep(root, LEAVES_KEEP if adding else FROM_ZERO)

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

# -- what micrograd_c.adopt asks, and no user does --------------------------------------------------

def attributes_of(value):
    """The attributes that a node has besides Value's own; {} if it has none."""
    expect_value(value, 'attributes_of')
    cdef PyAnnex *annex = annex_of(<PyObject *>value)
    return dict(<object>annex.attributes) if annex != NULL and annex.attributes != NULL else {}

def operands(value):
    """The operands of a node, as a list in written order."""
    expect_value(value, 'operands')
    return operand_values(anchor_of(<PyObject *>value).index)

def sweep_onto_grads(root):
    """backward() as micrograd has it: root's grad becomes 1, every other one adds to what it was.

    For classes that the adopter replaces: a second sweep of one graph counts stale grads again.
    """
    expect_value(root, 'sweep_onto_grads')
    sweep(root, ALL_KEEP)

def is_stale(root):
    """Whether data that root depends on has been assigned since root was computed from it."""
    expect_value(root, 'is_stale')
    cdef int stale = tape_is_stale(&tape, anchor_of(<PyObject *>root).index)
    if stale < 0:
        raise MemoryError
    return bool(stale)
