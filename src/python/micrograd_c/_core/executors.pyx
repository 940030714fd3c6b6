# SPDX-License-Identifier: MIT
# What programs run on: an executor, and a level of vector units.
from headers.program cimport Executor, Level, executors, levels_available

import os

# -- levels -----------------------------------------------------------------------------------------

def levels():
    """The levels of vector units that this processor has, the best last."""
    cdef int count, k
    cdef const Level *const *available = levels_available(&count)
    return [available[k].name.decode() for k in range(count)]

cdef const Level *chosen_level = NULL

def set_level(name=None):
    """Replays on the named level of vector units from now on; None: the best there is.

    ValueError if this processor has not got it. For tests and comparisons.
    """
    global chosen_level
    cdef int count, k
    cdef const Level *const *available = levels_available(&count)
    if name is None:
        chosen_level = available[count - 1]
        return
    for k in range(count):
        if available[k].name.decode() == name:
            chosen_level = available[k]
            return
    raise ValueError(f'expected a level among {", ".join(levels())}; got {name!r}')

cdef const Level *level_in_use() noexcept:
    return chosen_level

set_level(os.environ.get('MICROGRAD_C_LEVEL') or None)

# -- executors --------------------------------------------------------------------------------------

def executor_names():
    """The executors, the best first: each runs what those before it refuse."""
    cdef list names = []
    while executors[len(names)] != NULL:
        names.append(executors[len(names)].name.decode())
    return names

cdef const Executor *executor_named(name) except? NULL:
    """NULL for None: the best that there is."""
    if name is None:
        return NULL
    known = executor_names()
    if name not in known:
        raise ValueError(f'compile: expected executor {", ".join(map(repr, known))} or None, got {name!r}')
    return executors[known.index(name)]

cdef const Executor *default_executor = NULL

cdef const Executor *preferred(const Executor *wanted) noexcept:
    """The one that is wanted, or else that of set_executor(); NULL: the best that there is."""
    return wanted if wanted != NULL else default_executor

def check_executor(name):
    """ValueError unless name is that of an executor, or None."""
    executor_named(name)

def set_executor(name=None):
    """What compile() runs on from now on where it is not told; None: the best that there is. For tests."""
    global default_executor
    default_executor = executor_named(name)
