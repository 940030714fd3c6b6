# SPDX-License-Identifier: MIT
# The core of optim's classes, for other units; see optimizer.pyx.
from libc.stdint cimport uint64_t

from headers.program cimport Moments, Rule
from .handles cimport Places

cdef class Optimizer:
    cdef list values
    cdef Rule rule
    cdef Moments moments
    cdef Places places      # of values
    cdef double *work       # numbers and gradients, side by side for a step
    cdef int running        # sessions that train with it at the moment

    cdef void forget(self) noexcept
    cdef void update_in_place(self) noexcept
    cdef void update_copies(self, size_t n) noexcept
    cdef int make_moments(self, const Rule *rule) except -1
    cdef int check_idle(self, str what) except -1
    cdef list moment_names(self)
    cdef uint64_t load_moments(self, dict state, list places, double **moments, Optimizer new) except? 0
