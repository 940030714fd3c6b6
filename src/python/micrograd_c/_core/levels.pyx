# SPDX-License-Identifier: MIT
# Which of the processor's vector units replays and optimisers use.
from headers.program cimport Kernels, kernels_available

import os

def levels():
    """The levels of vector units that this processor has, the best last."""
    cdef int count, k
    cdef const Kernels *const *available = kernels_available(&count)
    return [available[k].name.decode() for k in range(count)]

cdef const Kernels *kernels = NULL

def set_level(name=None):
    """Replays on the named level of vector units from now on; None: the best there is.

    ValueError if this processor has not got it. For tests and comparisons.
    """
    global kernels
    cdef int count, k
    cdef const Kernels *const *available = kernels_available(&count)
    if name is None:
        kernels = available[count - 1]
        return
    for k in range(count):
        if available[k].name.decode() == name:
            kernels = available[k]
            return
    raise ValueError(f'expected a level among {", ".join(levels())}; got {name!r}')

cdef const Kernels *kernels_in_use() noexcept:
    return kernels

set_level(os.environ.get('MICROGRAD_C_LEVEL') or None)
