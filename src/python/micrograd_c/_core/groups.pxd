# SPDX-License-Identifier: MIT
# Parameter groups, for other units; see groups.pyx.
from cpython.list cimport PyList_GET_SIZE
from libc.stdint cimport uint64_t

from headers.program cimport ParameterGroup, Rule
from .handles cimport Places

cdef int set_setting(Rule *rule, str name, value, str where=*) except -1
cdef object setting_of(Rule *rule, str name)
cdef int check_rule(const Rule *rule, str where=*) except -1

cdef class GroupCore:
    cdef list members           # Values
    cdef ParameterGroup group
    cdef tuple names            # of the settings
    cdef object initial_lr      # before any scheduler changed it; None: none has
    cdef Places places          # of members
    cdef double *work           # numbers and gradients, side by side for a step

    cdef inline size_t size(self) noexcept:
        return <size_t>PyList_GET_SIZE(self.members)
    cdef void forget(self) noexcept
    cdef int make_moments(self, const Rule *rule) except -1
    cdef int make_moment(self, double **numbers) except -1
    cdef int assign(self, settings, str where, refusal) except -1
    cdef str rule_name(self)
    cdef dict described(self)
    cdef void step(self) noexcept
    cdef void update_in_place(self) noexcept
    cdef void update_copies(self, size_t n) noexcept
    cdef void zero_grad(self) noexcept
    cdef uint64_t fingerprint(self, uint64_t mark) noexcept
    cdef void moments(self, double **numbers) noexcept
    cdef list moment_names(self)
    cdef int add_state(self, dict state, Py_ssize_t first) except -1
    cdef GroupCore loaded(self, dict settings, list places, dict state, str where)
    cdef int load_moments(self, dict state, list places, str where) except -1
    cdef void take_over(self, GroupCore other) noexcept

cdef GroupCore made_group(const Rule *defaults, tuple names, params, settings, str where)
