# SPDX-License-Identifier: MIT
# The core of optim's classes, for other units; see optimizer.pyx.
from headers.program cimport Rule
from .groups cimport GroupCore

cdef class Optimizer:
    cdef list groups        # of GroupCore; another list when there are others
    cdef list values        # the parameters of all groups, in order; so is this one
    cdef Rule defaults_rule # of groups to come
    cdef int running        # sessions that train with it at the moment

    cdef void take(self, list groups, list values) noexcept
    cdef GroupCore new_group(self, given, Py_ssize_t k, const Rule *defaults)
    cdef int check_idle(self, str what) except -1
    cdef int check_set_up(self, str what) except -1
