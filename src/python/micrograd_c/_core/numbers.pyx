# SPDX-License-Identifier: MIT
# Which Python objects are numbers, and which exceptions the engine raises.
from cpython.bool cimport PyBool_Check
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsDouble, PyLong_Check

from headers.tape cimport *
from .handles cimport has_leaked, is_handle
from .recording cimport Unread, refuse_condition, refuse_leaked

import numbers

cdef str kind(object value):
    """What a message calls it. TraceError if it has leaked, which then is what the message has to say."""
    if has_leaked(value):
        refuse_leaked('use')
    if is_foreign(value):
        return f"another engine's {type(value).__name__}, of {type(value).__module__}"
    return type(value).__name__

cdef bint is_foreign(object value):
    """Whether it is a node of another engine in the manner of micrograd."""
    return (not is_handle(value) and hasattr(type(value), 'backward')
            and hasattr(value, '_backward') and hasattr(value, '_prev'))

cdef int refuse_foreign(int op, object left, object right) except -1:
    """Before Python asks the other engine, which would take a Value for a number of its own."""
    for operand in (left, right):
        if is_foreign(operand):
            raise TypeError(f'{op_info[op].symbol.decode()}: expected a Value or a real number, got '
                            f'{kind(operand)}; import Value and nn from the same engine')

cdef bint as_number(object value, double *number) except -1:
    """Whether value is a real number or a NumPy scalar, and which."""
    if PyFloat_Check(value):
        number[0] = PyFloat_AS_DOUBLE(value)
    elif PyLong_Check(value):
        number[0] = PyLong_AsDouble(value)
        if number[0] == -1.0:
            number[0] = float(value)    # raises what is to be raised
    elif is_handle(value):
        return False
    elif is_number(value):
        number[0] = float(value)
    else:
        return False
    return True

cdef bint is_number(object value) except -1:
    """Whether it is a real number; an array is not, of whatever shape."""
    if isinstance(value, numbers.Real):
        return getattr(getattr(value, 'dtype', None), 'kind', 'f') != 'm'   # NumPy's time spans
    return is_numpy_number(value) and not hasattr(type(value), '__setitem__')

cdef bint is_numpy_number(object value) except -1:
    """A NumPy scalar or 0-d array of a real type, told by its shape: NumPy need not be there. TraceError for what
    has leaked: every look for a number leads here."""
    if has_leaked(value):
        refuse_leaked('use')
    return (getattr(value, 'ndim', None) == 0
            and getattr(getattr(value, 'dtype', None), 'kind', '') in ('b', 'i', 'u', 'f'))

cpdef bint is_bool(object value) except -1:
    """Whether it is True or False, Python's or NumPy's."""
    return PyBool_Check(value) or (is_numpy_number(value) and value.dtype.kind == 'b')

cdef bint as_real(object value, double *number) except -1:
    """Whether it is a number or a 0-d array of one, and which."""
    if as_number(value, number):
        return True
    if not is_numpy_number(value):
        return False
    number[0] = float(value)
    return True

cpdef int expect_value(object value, str what) except -1:
    """TypeError if it is no Value, TraceError if it has leaked."""
    if has_leaked(value):
        refuse_leaked(what)
    if not is_handle(value):
        raise TypeError(f'{what}: expected a Value, got {kind(value)}')
    return 0

cdef double real(object value, str what) except? -1:
    cdef double number = 0
    if as_real(value, &number):
        return number
    if isinstance(value, Unread):
        refuse_condition('a number made of')
    raise TypeError(f'{what}: expected a real number, got {kind(value)}')

cdef object expect_operand(object operand, str what):
    """The operand of a method: a Value, or a number as a float."""
    cdef double number = 0
    if is_handle(operand):
        return operand
    if as_real(operand, &number):
        return number
    if isinstance(operand, Unread):
        refuse_condition('a number made of')
    raise TypeError(f'{what}: expected a Value or a real number, got {kind(operand)}')

cdef int refuse(int op, double x, double y, Verdict verdict) except -1:
    cdef str name = op_info[op].name.decode(), symbol = op_info[op].symbol.decode()
    if op_info[op].shape == UNARY:
        call = f'{name}({x!r})'
    elif op_is_method(op):
        call = f'{name}({x!r}, {y!r})'
    else:
        call = f'{x!r} {symbol} {y!r}'
    if verdict == ZERO_DIVISION_ERROR:
        reason = 'division by zero' if op_refusal[op] == REFUSE_ZERO else 'zero to a negative power'
        raise ZeroDivisionError(f'{call}: {reason}')
    if verdict == OVERFLOW_ERROR:
        raise OverflowError(f'{call}: the result is too large for a float')
    if op_is_method(op):
        raise ValueError(f'{call}: outside the domain of {name}')
    raise ValueError(f'{call}: the result would be complex')
