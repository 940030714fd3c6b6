# SPDX-License-Identifier: MIT
# The sweep, for other units; see graph.pyx.

cdef int backward(object root, object accumulate) except -1
