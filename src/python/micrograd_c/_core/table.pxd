# SPDX-License-Identifier: MIT
# The operation table, for other units; see table.pyx.

cdef str help_of(int op)
