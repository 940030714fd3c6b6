# SPDX-License-Identifier: MIT
# What programs run on, for other units; see executors.pyx.
from headers.program cimport Executor, Level

cdef const Level *level_in_use() noexcept
cdef const Executor *executor_named(name) except? NULL
cdef const Executor *preferred(const Executor *wanted) noexcept
