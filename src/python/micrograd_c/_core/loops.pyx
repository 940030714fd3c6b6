# SPDX-License-Identifier: MIT
# Loops in a function that is being compiled: the body is recorded once, off the tape, and one node stands for
# all of its steps (program/loops.h).
#
# While the body is recorded, its carries, its elements and what it draws are inputs of the recording, as a sample's are:
# no number of theirs may leave the graph. Afterwards they and what depends on them leak; what does not depend on them is
# computed outside of the loop, once.
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from headers.program cimport *
from headers.state cimport *
from headers.tape cimport *
from .handles cimport anchor_of, become_leaked, new_leaf, value_at
from .record cimport record_unary, record_variadic
from .recording cimport Body, Context, Recording, here, refuse_rule, set_pauses

from .recording import TraceError

cdef double NO_NUMBER = float('nan')

def is_recorded():
    """Whether this thread is recording a function for compile()."""
    return is_recording and here().recording is not None

cdef object record_loop_node(int op, list operands):
    """A node of a loop, recorded even in no_grad()."""
    cdef Context context = here()
    cdef uint32_t pauses = context.pauses
    set_pauses(context, 0)
    try:
        return record_variadic(op, operands, NO_NUMBER)
    finally:
        set_pauses(context, pauses)

def body_being_recorded():
    """An object that stands for the body of the innermost scan that is being recorded; None: there is none."""
    return here().recording.body

def number_of(record, Py_ssize_t k):
    """The last carry k of a scan, or element k of a sequence; in no_grad(), a node that stops the gradient."""
    number = record_loop_node(OP_part, [record, <double>k])
    return record_unary(number, OP_detach) if here().pauses else number

def sequence_of(scan, Py_ssize_t k):
    """Sequence k of those that a scan makes."""
    return record_loop_node(OP_sequence, [scan, <double>k])

def list_of(list values):
    """Values and floats, at least one, as a sequence."""
    return record_loop_node(OP_list, values[:])

def drawn_in_bodies(so_many=None):
    """How many draws the bodies of loops have recorded. so_many: the next one is numbered as if it were so many."""
    cdef Recording recording = here().recording
    before = recording.next_in_body
    if so_many is not None:
        recording.next_in_body = so_many
    return before

def record_scan(body, list carries, list sequences, Py_ssize_t length, tuple numbering):
    """A scan of at least one step, a node without a number.

    body: gets a list of carries and one of elements, one of each sequence, and gives a list of the next carries and
    one of what it makes, Values. carries: the first ones, Values or floats. sequences: of sequence_of() or list_of().
    numbering: span, first and stride, as in loops.h.
    """
    cdef Recording recording = here().recording
    cdef uint32_t n_inputs, number, mark, k, n_captured = 0
    cdef uint32_t *nodes = NULL     # the inputs', then the roots'
    cdef uint32_t *captured = NULL
    cdef Body outer = recording.body, inner = Body()
    cdef Scan scan
    cdef Varying varying
    cdef FreezeStatus status
    cdef list leaves, results, held = []
    memset(&scan, 0, sizeof(scan))
    scan.n_carries, scan.n_taken, scan.length = <uint32_t>len(carries), <uint32_t>len(sequences), <uint32_t>length
    scan.numbering.span, scan.numbering.first, scan.numbering.stride = numbering
    marker = new_leaf(0.0)      # below all that the body records
    mark = anchor_of(<PyObject *>marker).index
    n_inputs = recording.n_inputs
    inner.leaves = []
    inner.steps = numbering[0] * (1 if outer is None else outer.steps)
    recording.body = inner
    try:
        leaves = [recording.new_input(NO_NUMBER) for _ in range(scan.n_carries + scan.n_taken)]
        inner.leaves += leaves
        following, made = body(leaves[:scan.n_carries], leaves[scan.n_carries:])
        scan.n_made = <uint32_t>len(made)
        results = following + made
        nodes = <uint32_t *>malloc((<size_t>len(leaves) + <size_t>len(results) + 1) * sizeof(uint32_t))
        if nodes == NULL:
            raise MemoryError
        for k, value in enumerate(leaves + results):
            nodes[k] = anchor_of(<PyObject *>value).index
        varying.inputs, varying.n_inputs = nodes, <uint32_t>len(leaves)
        varying.draws, varying.n_draws = inner.draws.items, inner.draws.size
        status = scan_freeze(&tape, mark, &scan, &varying, nodes + varying.n_inputs, &number, &captured, &n_captured)
        if status == FREEZE_CLOSURE:
            refuse_rule()
        if status == FREEZE_CUSTOM:
            raise TraceError('scan: the body called custom() on a Value that depends on its carry, its x or a draw: its '
                             'value and partials would be those of one step; compose it of operations')
        if status == FREEZE_NO_MEMORY:
            raise MemoryError
        held = [value_at(captured[k]) for k in range(n_captured)]
    finally:
        trace_end(&tape, mark, recording.inputs + n_inputs, recording.n_inputs - n_inputs, False, become_leaked)
        recording.n_inputs = n_inputs
        recording.body = outer
        free(nodes)
        free(captured)
    return record_loop_node(OP_scan, [<double>number] + carries + sequences + held)

# -- eager code that keeps no inner nodes -----------------------------------------------------------

cdef tuple compute_apart(compute):
    """What it gives, a list of Values, and a leaf below all that it has recorded. The tape has to be busy."""
    marker = new_leaf(0.0)
    return compute(), marker

def apart(compute):
    """compute(), which gives a list of Values, and the Values that these depend on and that were there before, or that
    somebody has."""
    cdef uint32_t *sources
    cdef size_t count, k
    cdef dict found = {}
    tape.busy += 1      # so that nodes stay where they are
    try:
        outputs, marker = compute_apart(compute)
        for output in outputs:
            if trace_sources(&tape, anchor_of(<PyObject *>output).index, anchor_of(<PyObject *>marker).index, &sources,
                             &count):
                raise MemoryError
            try:
                for k in range(count):
                    if sources[k] not in found:
                        found[sources[k]] = value_at(sources[k])
            finally:
                free(sources)
    finally:
        tape.busy -= 1
    return outputs, [*found.values()]

def pull_back_apart(compute, list cotangents, list sources):
    """The derivatives, as floats, by each source of the sum of what compute() gives, each times its cotangent: by what
    it records now, and not by what the sources themselves depend on. Nobody's grad changes."""
    cdef Py_ssize_t k, n = len(sources)
    cdef uint32_t i
    cdef Context context = here()
    cdef uint32_t pauses = context.pauses
    cdef list ops, grads, outputs, found
    tape.busy += 1
    set_pauses(context, 0)
    try:
        outputs, marker = compute_apart(compute)
        if len(outputs) != len(cotangents):
            raise ValueError(f'checkpoint: fn returned {len(outputs)} Value(s) when it was called again, '
                             f'and {len(cotangents)} before')
        root = record_variadic(OP_dot, [part for pair in zip(outputs, cotangents) for part in pair])
        # For this sweep the sources are leaves.
        ops = [tape.op[anchor_of(<PyObject *>source).index] for source in sources]
        grads = [source.grad for source in sources]
        try:
            for source in sources:
                tape.op[anchor_of(<PyObject *>source).index] = OP_leaf
                source.grad = 0.0
            root.backward(accumulate=False)
            found = [source.grad for source in sources]
        finally:
            for k in range(n):
                i = anchor_of(<PyObject *>sources[k]).index
                tape.op[i] = ops[k]
                sources[k].grad = grads[k]
        return found
    finally:
        set_pauses(context, pauses)
        tape.busy -= 1
