# SPDX-License-Identifier: MIT
# Recording: one node on the tape for one call from Python.

# -- recording ------------------------------------------------------------------------------------

cdef inline bint is_heavy(object handle) noexcept:
    return anchor_of(<PyObject *>handle).flags & HEAVY

cdef PyAnnex *annex_for_heavy(list operands) except? NULL:
    """An annex that holds the operands' handles if one of them is heavy, else NULL.

    What is light now may be heavy after prepare(): a collection settles what is late.
    """
    cdef PyAnnex *annex
    for operand in operands:
        if is_handle(operand) and is_heavy(operand):
            handles = tuple([operand for operand in operands if is_handle(operand)])
            annex = make_annex()
            replace(&annex.operands, handles)
            annex.base.weight = SETTLED
            return annex
    return NULL

cdef object attach_heavy(PyObject *handle, uint32_t i, PyAnnex *annex):
    """Like attach, with the annex that annex_for_heavy has made, if any."""
    value = attach(handle, i)
    if annex != NULL:
        attach_annex(handle, annex)
    return value

cdef inline object record_binary(int op, object left, object right):
    cdef PyObject *l = <PyObject *>left
    cdef PyObject *r = <PyObject *>right
    cdef PyObject *handle
    cdef uint32_t a, b
    cdef double x, y, z
    if (TYPE_OF(l) == ValueType and TYPE_OF(r) == ValueType
            and not (anchor_of(l).flags | anchor_of(r).flags) & HEAVY | special
            and tape.size < tape.limit and free_handles != NULL):
        a = anchor_of(l).index
        b = anchor_of(r).index
        x = tape.value[a]
        y = tape.value[b]
        z = op_value(op, x, y, 0)
        if op_verdict(op, x, y, z) == ACCEPTED:
            handle = pop_handle()
            return attach(handle, tape_append(&tape, <uint8_t>op, z, a, b, 0))
    return record_binary_number(op, left, right)

cdef inline bint is_simple_number(PyObject *value, double *number) noexcept:
    """Whether it is a float or an int; an int that is too large is left to as_number."""
    if PyFloat_CheckExact(<object>value):
        number[0] = PyFloat_AS_DOUBLE(<object>value)
        return True
    if PyLong_CheckExact(<object>value):
        number[0] = INT_AS_DOUBLE(value)
        if number[0] != -1.0 or PyErr_Occurred() == NULL:
            return True
        PyErr_Clear()
    return False

cdef object record_binary_number(int op, object left, object right):
    """With a number on one side, which becomes a leaf; whatever needs more care goes on."""
    cdef PyObject *l = <PyObject *>left
    cdef PyObject *r = <PyObject *>right
    cdef PyObject *handle
    cdef uint32_t a = 0, b = 0
    cdef double x = 0, y = 0, z
    cdef bint on_left = is_plain(l), on_right = is_plain(r)
    if (not special and (on_left or is_simple_number(l, &x)) and (on_right or is_simple_number(r, &y))
            and tape.limit - tape.size >= 2 and free_handles != NULL):
        if on_left:
            a = anchor_of(l).index
            x = tape.value[a]
        if on_right:
            b = anchor_of(r).index
            y = tape.value[b]
        z = op_value(op, x, y, 0)
        if op_verdict(op, x, y, z) == ACCEPTED:
            if not on_left:
                a = tape_append(&tape, OP_leaf, x, 0, 0, 0)
            elif not on_right:
                b = tape_append(&tape, OP_leaf, y, 0, 0, 0)
            handle = pop_handle()
            return attach(handle, tape_append(&tape, <uint8_t>op, z, a, b, 0))
    return record_binary_slowly(op, left, right)

cdef object record_binary_slowly(int op, object left, object right):
    cdef bint l = is_handle(left), r = is_handle(right), leaf
    cdef uint32_t a = 0, b = 0, i
    cdef double x = 0, y = 0, z
    cdef PyAnnex *annex
    if not (l or as_number(left, &x)) or not (r or as_number(right, &y)):
        refuse_foreign(op, left, right)
        return NotImplemented
    leaf = special != 0 and gives_leaf([left, right])
    annex = NULL if leaf else annex_for_heavy([left, right])
    cdef PyObject *handle = prepare(3, 0, annex)
    if annex == NULL and not leaf and (l and is_heavy(left) or r and is_heavy(right)):
        discard(handle)     # one of them became heavy meanwhile
        return record_binary_slowly(op, left, right)
    if l:
        a = anchor_of(<PyObject *>left).index
        x = tape.value[a]
    if r:
        b = anchor_of(<PyObject *>right).index
        y = tape.value[b]
    z = op_value(op, x, y, 0)
    cdef Verdict verdict = op_verdict(op, x, y, z)
    if verdict != ACCEPTED and not (is_recording and (is_traced(left) or is_traced(right))):
        abandon(handle, annex)
        refuse(op, x, y, verdict)
    if leaf:
        return attach(handle, tape_append(&tape, OP_leaf, z, 0, 0, 0))
    if not l:
        a = tape_append(&tape, OP_leaf, x, 0, 0, 0)
    if not r:
        b = tape_append(&tape, OP_leaf, y, 0, 0, 0)
    i = tape_append(&tape, <uint8_t>op, z, a, b, 0)
    if special != 0:
        return stopped(attach_heavy(handle, i, annex), op)
    return attach_heavy(handle, i, annex)

cdef object record_binary_call(object self, object other, int op):
    """A method of Value with an operand."""
    return record_binary(op, self, expect_operand(other, op_info[op].name.decode()))

cdef object record_unary(object self, int op):
    cdef PyObject *handle
    cdef uint32_t a, i
    cdef bint leaf = False
    cdef PyAnnex *annex = NULL
    if anchor_of(<PyObject *>self).flags & HEAVY | special:
        leaf = special != 0 and gives_leaf([self])
        annex = NULL if leaf else annex_for_heavy([self])
    handle = prepare(1, 0, annex)
    if annex == NULL and not leaf and is_heavy(self):
        discard(handle)     # it became heavy meanwhile
        return record_unary(self, op)
    a = anchor_of(<PyObject *>self).index
    cdef double x = tape.value[a]
    cdef double z = op_value(op, x, 0, 0)
    cdef Verdict verdict = op_verdict(op, x, 0, z)
    if verdict != ACCEPTED and not is_traced(self):
        abandon(handle, annex)
        refuse(op, x, 0, verdict)
    if leaf:
        return attach(handle, tape_append(&tape, OP_leaf, z, 0, 0, 0))
    i = tape_append(&tape, <uint8_t>op, z, a, 0, 0)
    if special != 0:
        return stopped(attach_heavy(handle, i, annex), op)
    return attach_heavy(handle, i, annex)

cdef object record_scaled(int op, object self, double y, bint literal_int):
    """An operation on one Value and a number that is no operand."""
    cdef bint leaf = False
    cdef PyAnnex *annex = NULL
    if anchor_of(<PyObject *>self).flags & HEAVY | special:
        leaf = special != 0 and gives_leaf([self])
        annex = NULL if leaf else annex_for_heavy([self])
    cdef PyObject *handle = prepare(2, 0, annex)
    if annex == NULL and not leaf and is_heavy(self):
        discard(handle)     # it became heavy meanwhile
        return record_scaled(op, self, y, literal_int)
    cdef uint32_t a = anchor_of(<PyObject *>self).index, b, i
    cdef double x = tape.value[a]
    cdef double z = op_value(op, x, y, 0)
    cdef Verdict verdict = op_verdict(op, x, y, z)
    if verdict != ACCEPTED and not is_traced(self):
        abandon(handle, annex)
        refuse(op, x, y, verdict)
    if leaf:
        return attach(handle, tape_append(&tape, OP_leaf, z, 0, 0, 0))
    b = tape_append(&tape, OP_leaf, y, LITERAL_INT if literal_int else 0, 0, 0)
    i = tape_append(&tape, <uint8_t>op, z, a, b, 0)
    if special != 0:
        return stopped(attach_heavy(handle, i, annex), op)
    return attach_heavy(handle, i, annex)

cdef object record_power(object base, object exponent):
    cdef double y = 0
    if not as_number(exponent, &y):
        refuse_foreign(OP_pow, base, exponent)
        return NotImplemented
    cdef bint literal_int = type(exponent) is int and <object>y == exponent
    power = record_scaled(OP_pow_number, base, y, literal_int)
    if not literal_int and not PyFloat_Check(exponent) and not is_paused():
        power._op = f'**{exponent}'
    return power

cdef object written_number(uint32_t leaf):
    cdef double number = tape.value[leaf]
    return int(number) if tape.operands[leaf].a == LITERAL_INT else number

# -- any number of operands -------------------------------------------------------------------------

cdef int expect_order(object values, str what) except -1:
    if isinstance(values, (set, frozenset, dict)):
        raise TypeError(f'{what}: expected a sequence, got {kind(values)}, whose elements have no places')
    return 0

cdef list operand_list(object values, str what):
    """The values as a list of Values and floats; itself, if it is one."""
    cdef list operands
    cdef Py_ssize_t k
    if type(values) is list:
        for value in <list>values:
            if TYPE_OF(<PyObject *>value) != ValueType and not PyFloat_CheckExact(value):
                break
        else:
            return values
    expect_order(values, what)
    operands = list(values)
    for k in range(len(operands)):
        value = operands[k]
        if TYPE_OF(<PyObject *>value) == ValueType or PyFloat_CheckExact(value):
            continue
        operands[k] = expect_operand(value, what)
    return operands

cdef inline uint32_t place(PyObject *operand) noexcept:
    """The node of an operand of a list made by operand_list; a number becomes a leaf."""
    if PyFloat_CheckExact(<object>operand):
        return tape_append(&tape, OP_leaf, PyFloat_AS_DOUBLE(<object>operand), 0, 0, 0)
    return anchor_of(operand).index

cdef object record_variadic(int op, list operands, object data=None):
    """A node on all the operands. data: its value, where the operation does not compute one.

    operands: of operand_list, but nobody else's, since Python code that runs meanwhile may change it.
    """
    # The data of custom() is Python's number: a leaf, also where a function is being compiled.
    cdef bint leaf = special != 0 and (gives_leaf(operands) if data is None else is_paused())
    cdef PyAnnex *annex = NULL if leaf else annex_for_heavy(operands)
    cdef double value = 0 if data is None else data
    cdef uint32_t k, count = <uint32_t>PyList_GET_SIZE(operands), size, args, i
    cdef uint32_t before = disturbances
    cdef PyObject *handle = prepare(count + 1, count, annex)
    if annex == NULL and not leaf and disturbances != before:
        for operand in operands:
            if is_handle(operand) and is_heavy(operand):
                discard(handle)
                return record_variadic(op, operands, data)
    size = tape.size
    args = tape.args_size
    for k in range(count):
        tape.args[args + k] = place(<PyObject *>PyList_GET_ITEM(operands, k))
    if data is None:
        value = tape_listed_value(&tape, op, tape.args + args, count)
    if leaf:
        tape.size = size
        return attach(handle, tape_append(&tape, OP_leaf, value, 0, 0, 0))
    tape.args_size += count
    i = tape_append(&tape, <uint8_t>op, value, args, count, 0)
    if special != 0:
        return stopped(attach_heavy(handle, i, annex), op)
    return attach_heavy(handle, i, annex)

# -- a whole layer ----------------------------------------------------------------------------------

def operations():
    """The operation table: for each row its name, symbol, shape and a tested interval; whether it is a
    method of Value, and whether it is an inner row, which no method or operator records."""
    shapes = {UNARY: 'unary', SCALED: 'scaled', STOPPED: 'stopped', BINARY: 'binary', TERNARY: 'ternary',
              VARIADIC: 'variadic'}
    return [{'name': op_info[op].name.decode(), 'symbol': op_info[op].symbol.decode(),
             'shape': shapes[op_info[op].shape], 'interval': (op_info[op].low, op_info[op].high),
             'is_method': bool(op_is_method(<int>op)), 'is_inner': bool(op_is_inner(<int>op))}
            for op in range(OP_leaf + 1, OP_COUNT)]

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
