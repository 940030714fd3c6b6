# SPDX-License-Identifier: MIT
from micrograd.engine import Value


def inner(v):
    return v + 'text'


def outer():
    try:
        inner(Value(1.0))
    except TypeError as error:
        raise RuntimeError('the script failed') from error


outer()
