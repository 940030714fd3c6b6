# SPDX-License-Identifier: MIT
"""This engine's own methods, whatever Value's may be replaced by, and its ways of backward."""

import re

from .. import _core
from .._core import Value

HANDLE = Value.__mro__[1]
BACKWARD = HANDLE.backward
NATIVE = {
    name: member
    for kind in (HANDLE, Value)
    for name, member in vars(kind).items()
    if callable(member) and name != "__eq__"
}
OPERATOR = re.compile(
    "__[ri]?(add|sub|mul|truediv|floordiv|mod|divmod|pow|matmul)__|"
    "__(neg|pos|abs|invert|lt|le|gt|ge|eq|ne|round|trunc|floor|ceil|float|int|bool)__"
)


def zeroing(self):
    BACKWARD(self, accumulate=False)


def adding(self):
    BACKWARD(self, accumulate=True)


def adding_everywhere(self):
    _core.sweep_onto_grads(self)


SWEEPS = (zeroing, adding, adding_everywhere)
