# SPDX-License-Identifier: MIT
# Levels of vector units, for other units; see levels.pyx.
from headers.program cimport Kernels

cdef const Kernels *kernels_in_use() noexcept
