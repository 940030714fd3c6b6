# SPDX-License-Identifier: MIT
# Conditions, for other units; see conditions.pyx.
cimport cython

from .recording cimport Unread

@cython.final
cdef class Condition(Unread):
    pass

cdef object node_of_condition(Condition condition)
cdef object compared(object left, object right, int comparison)
