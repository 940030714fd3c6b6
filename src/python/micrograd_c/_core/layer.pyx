# SPDX-License-Identifier: MIT
# A whole layer at once: what its neurons record in Python one by one.
from cpython.float cimport PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport uint8_t, uint32_t

from headers.objects cimport SLOT_OFFSET, TYPE_OF, _PyType_Lookup
from headers.state cimport *
from headers.tape cimport *
from .handles cimport *
from .numbers cimport refuse
from .record cimport operand_list, place
from .recording cimport is_traced

from .table import operations

# The operations that layer() can apply to a neuron's sum, by name.
activations = {row['name']: op for op, row in enumerate(operations(), start=1)
               if row['shape'] == 'unary' and not row['is_inner']}
activations['linear'] = OP_leaf

cdef str CALL = '__call__', W = 'w', B = 'b', ACTIVATION = 'activation'

cdef struct NeuronSlots:
    # A neuron's fields stand in slots; what they hold is read once found where: of a small network's
    # forward pass, asking by name takes a third.
    Py_ssize_t w_at, b_at, activation_at
    PyObject *w
    PyObject *b
    PyObject *activation

cdef bint find_slots(PyTypeObject *type, NeuronSlots *slots):
    slots.w_at = SLOT_OFFSET(_PyType_Lookup(type, <PyObject *>W))
    slots.b_at = SLOT_OFFSET(_PyType_Lookup(type, <PyObject *>B))
    slots.activation_at = SLOT_OFFSET(_PyType_Lookup(type, <PyObject *>ACTIVATION))
    return slots.w_at > 0 and slots.b_at > 0 and slots.activation_at > 0

cdef inline bint read_slots(PyObject *neuron, NeuronSlots *slots) noexcept:
    """Borrowed references; whether they are a list, an object and a str."""
    slots.w = (<PyObject **>(<char *>neuron + slots.w_at))[0]
    slots.b = (<PyObject **>(<char *>neuron + slots.b_at))[0]
    slots.activation = (<PyObject **>(<char *>neuron + slots.activation_at))[0]
    return (slots.w != NULL and slots.b != NULL and slots.activation != NULL
            and PyList_CheckExact(<object>slots.w) and PyUnicode_CheckExact(<object>slots.activation))

def layer(list neurons, x, neuron_call):
    """The outputs of a layer's neurons for the input x: activation(w . x + b) of each.

    neurons: with fields w (list of Values), b (Value) and activation (a name in activations).
    neuron_call: what calling such a neuron does in Python, which this does for all of them at once;
    where it takes Python after all, it calls them. A list, or the output of a single neuron.
    ValueError where x has another length than w.
    """
    outputs = layer_at_once(neurons, x, neuron_call)
    if outputs is None:
        outputs = [neuron(x) for neuron in neurons]
    return outputs[0] if PyList_GET_SIZE(outputs) == 1 else outputs

cdef bint are_plain(list values, Py_ssize_t count, bint or_floats) noexcept:
    """Whether the list has so many light Values."""
    cdef Py_ssize_t k
    if PyList_GET_SIZE(values) != count:
        return False
    for k in range(count):
        if not (is_plain(<PyObject *>PyList_GET_ITEM(values, k))
                or (or_floats and PyFloat_CheckExact(<object>PyList_GET_ITEM(values, k)))):
            return False
    return True

cdef list layer_at_once(list neurons, x, neuron_call):
    """None: a neuron that is called otherwise, a field that is no plain Value, or no_grad()."""
    cdef list inputs = operand_list(x, 'Layer'), outputs = []
    cdef Py_ssize_t n_in = PyList_GET_SIZE(inputs), n_out = PyList_GET_SIZE(neurons), k
    cdef uint32_t n_args = <uint32_t>(2 * n_in + 1), first = 0, args, node, before
    cdef uint32_t *to
    cdef int op = OP_leaf
    cdef double total
    cdef PyObject *handle
    cdef PyTypeObject *checked = NULL
    cdef NeuronSlots slots
    cdef list w
    activation = None
    slots.w_at = slots.b_at = slots.activation_at = 0
    if special:
        return None
    if not are_plain(inputs, n_in, True):
        return None
    before = disturbances
    reserve(<uint32_t>(n_in + 2 * n_out), <uint32_t>(n_args * n_out))
    if disturbances != before and not are_plain(inputs, n_in, True):
        return None
    tape.busy += 1      # so that the leaves of numbers in x keep their indices
    try:
        for neuron in neurons:
            if TYPE_OF(<PyObject *>neuron) != checked:
                checked = TYPE_OF(<PyObject *>neuron)
                if (_PyType_Lookup(checked, <PyObject *>CALL) != <PyObject *>neuron_call
                        or not find_slots(checked, &slots)):
                    return None
            before = disturbances
            handle = prepare(<uint32_t>(n_in + 2), n_args)
            if (not read_slots(<PyObject *>neuron, &slots) or not is_plain(slots.b)
                    or (disturbances != before and not are_plain(inputs, n_in, True))):
                discard(handle)
                return None
            w = <list>slots.w
            if PyList_GET_SIZE(w) != n_in:
                discard(handle)
                raise ValueError(f'Layer: expected an input of length {len(w)}, got {n_in}')
            if not are_plain(w, n_in, False):
                discard(handle)
                return None
            if <PyObject *>activation != slots.activation:
                activation = <object>slots.activation
                if activation not in activations:
                    discard(handle)
                    return None
                op = activations[activation]
            args = tape.args_size
            to = tape.args + args
            if not outputs:
                first = args
                for k in range(n_in):
                    to[2 * k + 1] = place(<PyObject *>PyList_GET_ITEM(inputs, k))
            else:
                for k in range(n_in):
                    to[2 * k + 1] = tape.args[first + 2 * k + 1]
            for k in range(n_in):
                to[2 * k] = anchor_of(<PyObject *>PyList_GET_ITEM(w, k)).index
            to[2 * n_in] = anchor_of(slots.b).index
            total = tape_listed_value(&tape, OP_dot, to, n_args)
            tape.args_size += n_args
            node = tape_append(&tape, OP_dot, total, args, n_args, 0)
            if op != OP_leaf:
                node = tape_append(&tape, <uint8_t>op, op_value(op, total, 0, 0), node, 0, 0)
            output = attach(handle, node)
            outputs.append(output)
            if op != OP_leaf:
                check_finite(op, total, tape.value[node], output)
    finally:
        tape.busy -= 1
    return outputs

cdef int check_finite(int op, double x, double z, object output) except -1:
    cdef Verdict verdict = op_verdict(op, x, 0, z)
    if verdict != ACCEPTED and not is_traced(output):
        refuse(op, x, 0, verdict)
    return 0
