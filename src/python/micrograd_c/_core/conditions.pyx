# SPDX-License-Identifier: MIT
# Conditions: comparisons whose outcome differs from sample to sample, in a function that is being compiled.
cimport cython
from cpython.object cimport Py_GT, Py_LE, Py_LT
from libc.stdint cimport uintptr_t

from headers.tape cimport *
from .handles cimport is_handle
from .numbers cimport as_number, is_bool, kind
from .record cimport record_binary
from .recording cimport Recording, Unread, inner_of, is_good, recording_of, refuse_condition

from .recording import TraceError

@cython.final
cdef class Condition(Unread):
    """What a comparison (<, <=, >, >=) of Values gives in a function that is being compiled, if it depends
    on an input: true for some samples, false for others.

    where() takes it; `&`, `|`, `~` and logical_and, logical_or, logical_not combine conditions and bools. Its
    truth value, ==, and its use as a number raise TraceError. It is good as long as its function is being
    recorded. In plain calls, and where nothing depends on an input, comparisons give bools.
    """
    def __cinit__(self):
        if making_condition == 0:
            raise TypeError('Condition: compare Values instead, in a function that is being compiled')

    def __array_ufunc__(self, ufunc, method, *operands, **options):
        """NumPy's logical_and and its like, and its bools' operators, as the functions here."""
        function = of_numpy.get(ufunc.__name__)
        if function is None or method != '__call__' or options:
            refuse_condition(f"NumPy's {ufunc.__name__} of")
        return function(*operands)

    def __and__(left, right):
        """__and__($self, value, /)\n--\n\nWhether both are true; value: a condition or a bool."""
        return combined(OP_mul, left, right)

    def __or__(left, right):
        """__or__($self, value, /)\n--\n\nWhether one of them is true; value: a condition or a bool."""
        return combined(OP_maximum, left, right)

    def __xor__(left, right):
        """__xor__($self, value, /)\n--\n\nRaises TraceError: write it with &, | and ~."""
        refuse_condition('^ on')

    def __invert__(self):
        return negated(self)

    def __bool__(self):
        refuse_condition('the truth value of')

    def __richcmp__(self, other, int comparison):
        refuse_condition('a comparison of')

    def __hash__(self):
        return <Py_hash_t>(<uintptr_t><void *>self >> 4)

    def __repr__(self):
        return 'Condition(<of a sample>)'

    def __reduce_ex__(self, protocol):
        """Raises TraceError: a condition cannot be copied or pickled."""
        refuse_condition('a copy of')

    def __add__(left, right):
        """__add__($self, value, /)\n--\n\nRaises TraceError: a condition is no number."""
        refuse_condition('arithmetic with')

    def __sub__(left, right):
        """__sub__($self, value, /)\n--\n\nRaises TraceError: a condition is no number."""
        refuse_condition('arithmetic with')

    def __mul__(left, right):
        """__mul__($self, value, /)\n--\n\nRaises TraceError: a condition is no number."""
        refuse_condition('arithmetic with')

    def __truediv__(left, right):
        """__truediv__($self, value, /)\n--\n\nRaises TraceError: a condition is no number."""
        refuse_condition('arithmetic with')

    def __floordiv__(left, right):
        """__floordiv__($self, value, /)\n--\n\nRaises TraceError: a condition is no number."""
        refuse_condition('arithmetic with')

    def __mod__(left, right):
        """__mod__($self, value, /)\n--\n\nRaises TraceError: a condition is no number."""
        refuse_condition('arithmetic with')

    def __pow__(left, right, modulo):
        refuse_condition('arithmetic with')

    def __neg__(self):
        refuse_condition('arithmetic with')

    def __pos__(self):
        refuse_condition('arithmetic with')

    def __abs__(self):
        refuse_condition('arithmetic with')

    def __float__(self):
        refuse_condition('a number made of')

    def __int__(self):
        refuse_condition('a number made of')

    def __index__(self):
        refuse_condition('a number made of')

cdef bint making_condition = False

cdef Condition new_condition(object node, Recording recording):
    global making_condition
    cdef Condition condition
    making_condition = True
    try:
        condition = Condition()
    finally:
        making_condition = False
    condition.node, condition.recording = node, recording
    return condition

cdef object node_of_condition(Condition condition):
    """Its Value, of a condition that is still good."""
    if not is_good(condition):
        raise TraceError('a condition was used after the function that it comes from had been recorded; '
                         'compare the Values anew, where the condition is needed')
    return condition.node

cdef object compared(object left, object right, int comparison):
    """The comparison of a Value that depends on an input: a Condition; None if neither operand does."""
    cdef Recording recording = recording_of(left)
    cdef bint strict = comparison == Py_LT or comparison == Py_GT
    cdef bint less = comparison == Py_LT or comparison == Py_LE
    cdef double bound = 0
    if recording is None:
        recording = recording_of(right)
    if recording is None:
        return None
    if not is_handle(right):
        # A number between two doubles is compared exactly, as Python does it.
        try:
            as_number(right, &bound)
        except OverflowError:
            bound = float('inf') if right > 0 else float('-inf')
        if bound > right:
            strict = less
        elif bound < right:
            strict = not less
        right = bound
    if not less:
        left, right = right, left
    return new_condition(record_binary(OP_less if strict else OP_less_equal, left, right), recording)

cdef object as_truth(object value, str what):
    """Python's bool of a bool, or a Condition."""
    if type(value) is Condition:
        return value
    if is_bool(value):
        return bool(value)
    if is_handle(value):
        raise TypeError(f'{what}: expected bools and conditions, got a Value; write v > 0')
    hint = '; ~ of a bool is an int: write logical_not()' if isinstance(value, int) else ''
    raise TypeError(f'{what}: expected bools and conditions, got {kind(value)}{hint}')

cdef object truth_node(object truth):
    return node_of_condition(truth) if type(truth) is Condition else 1.0 if truth else 0.0

cdef object combined(int op, object left, object right):
    """Both (OP_mul), or either (OP_maximum)."""
    cdef str what = '&' if op == OP_mul else '|'
    cdef Recording recording = None, other
    left, right = as_truth(left, what), as_truth(right, what)
    for truth in (left, right):
        if type(truth) is Condition:
            node_of_condition(truth)
            other = (<Condition>truth).recording
            recording = other if recording is None else inner_of(recording, other)
    return new_condition(record_binary(op, truth_node(left), truth_node(right)), recording)

cdef object negated(Condition condition):
    return new_condition(record_binary(OP_sub, 1.0, node_of_condition(condition)), condition.recording)

def logical_and(a, b):
    """Whether both a and b are true: bools or conditions. A bool, or a Condition if one of them is."""
    a, b = as_truth(a, 'logical_and'), as_truth(b, 'logical_and')
    return combined(OP_mul, a, b) if type(a) is Condition or type(b) is Condition else a and b

def logical_or(a, b):
    """Whether a or b is true: bools or conditions. A bool, or a Condition if one of them is."""
    a, b = as_truth(a, 'logical_or'), as_truth(b, 'logical_or')
    return combined(OP_maximum, a, b) if type(a) is Condition or type(b) is Condition else a or b

def logical_not(a):
    """Whether a is false: a bool or a condition. A bool, or a Condition if it is one.

    Unlike ~, which makes an int of a bool, it is the same in a plain call and in a compiled function.
    """
    a = as_truth(a, 'logical_not')
    return negated(a) if type(a) is Condition else not a

# What takes NumPy's place, where a condition is among its operands.
cdef dict of_numpy = {'logical_and': logical_and, 'logical_or': logical_or, 'logical_not': logical_not,
                      'bitwise_and': lambda a, b: combined(OP_mul, a, b),
                      'bitwise_or': lambda a, b: combined(OP_maximum, a, b)}
