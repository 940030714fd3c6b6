# SPDX-License-Identifier: MIT
# Functions that record one node on any number of operands.
from cpython.object cimport PyObject
from cpython.list cimport PyList_GET_ITEM

from headers.state cimport tape
from headers.tape cimport *
from .conditions cimport Condition, node_of_condition
from .handles cimport anchor_of, is_handle, new_leaf
from .numbers cimport is_bool, kind, real
from .record cimport expect_order, operand_list, record_variadic
from .recording cimport is_paused, is_traced

def sum(values, start=None):
    """The sum of values (Values or numbers), one node.

    start: what to add first, as in Python's own sum.
    """
    cdef list operands = operand_list(list(values), 'sum')     # of a set, too
    if start is not None:
        operands = operand_list([start], 'sum') + operands
    return record_variadic(OP_sum, operands) if operands else new_leaf(0.0)

def dot(ws, xs, bias=None):
    """bias + ws[0] * xs[0] + ws[1] * xs[1] + ..., one node.

    ws, xs: of one length, else ValueError; Values or numbers, as is bias.
    """
    cdef list w = operand_list(ws, 'dot'), x = operand_list(xs, 'dot')
    cdef list operands
    if len(w) != len(x):
        raise ValueError(f'dot: expected two sequences of one length, got {len(w)} and {len(x)}')
    operands = [None] * (2 * len(w))
    operands[::2] = w
    operands[1::2] = x
    if bias is not None:
        operands += operand_list([bias], 'dot')
    return record_variadic(OP_dot, operands) if operands else new_leaf(0.0)

def where(condition, a, b):
    """a if condition, else b.

    condition: a bool, as comparisons give; a Condition, as they give in a function that is being
    compiled; or a Value, taken as true when > 0. TypeError for an int, since ~True is one.
    """
    if type(condition) is Condition:
        condition = node_of_condition(condition)
    elif is_bool(condition):
        condition = 1.0 if condition else 0.0
    elif not is_handle(condition):
        hint = ', and ~True is -2: write logical_not() for ~' if isinstance(condition, int) else ''
        raise TypeError(f'where: expected a bool, a condition or a Value as condition, got {kind(condition)}{hint}')
    return record_variadic(OP_where, operand_list((condition, a, b), 'where'))

def clip(v, low=None, high=None):
    """v, but not below low nor above high; None: no such bound.

    Inside and on the bounds, the derivative by v is 1.
    """
    low = float('-inf') if low is None else low
    high = float('inf') if high is None else high
    return record_variadic(OP_clip, operand_list((v, low, high), 'clip'))

def take(values, index):
    """values[index]. index: an int, or a Value that holds a whole number.

    IndexError out of range. An adjoint goes to the element that was taken.
    """
    if not is_handle(index):
        expect_order(values, 'take')
        return values[index]
    cdef list operands = operand_list(values, 'take')
    if is_traced(index):    # the replay looks at every sample's
        if not operands:
            raise IndexError('take: there are no values')
        return record_variadic(OP_take, [index] + operands)
    position = tape.value[anchor_of(<PyObject *>index).index]   # no guard: the replay looks, too
    if position != position // 1:
        raise TypeError(f'take: expected a whole number as index, got {position!r}')
    if not -len(operands) <= position < len(operands):
        raise IndexError(f'take: index {position:.0f} is out of range for {len(operands)} values')
    return record_variadic(OP_take, [index] + operands)

def custom(data, operands, partials, op='custom'):
    """A node with a given value and given local derivatives.

    data: the value. operands: Values or numbers. partials: d(data)/d(operand), a number for each.
    op: what _op shows.
    """
    cdef double value = real(data, 'custom')
    cdef list all_operands = operand_list(operands, 'custom')
    cdef list derivatives = [real(partial, 'custom') for partial in partials]
    if len(all_operands) != len(derivatives):
        raise ValueError(f'custom: expected a partial for each of {len(all_operands)} operands, '
                         f'got {len(derivatives)}')
    node = record_variadic(OP_custom, all_operands + derivatives, value)
    if op != 'custom' and not is_paused():
        node._op = op
    return node
