# SPDX-License-Identifier: MIT
# One run of a program: its batch, and what has come of it.
from libc.string cimport memset

from headers.objects cimport PyErr_CheckSignals
from headers.program cimport *
from .arguments cimport Arguments
from .executors cimport level_in_use
from .handles cimport reraise

cdef int poll_signals() noexcept nogil:
    with gil:
        return PyErr_CheckSignals()

cdef Batch new_batch(const Column *columns, Py_ssize_t size, bint is_mean, int threads):
    cdef Batch batch
    memset(&batch, 0, sizeof(batch))
    batch.columns = columns
    batch.size = <size_t>size
    batch.threads = threads
    batch.is_mean = is_mean
    batch.level = level_in_use()
    batch.poll = poll_signals
    return batch

cdef Batch batch_of(Arguments arguments, bint is_mean, int threads):
    cdef Batch batch = new_batch(arguments.columns, arguments.size, is_mean, threads)
    batch.stream.seed = arguments.chosen
    batch.first_sample = arguments.first_sample
    return batch

cdef int check_run(RunStatus status, Batch *batch) except -1:
    if status == RUN_NO_MEMORY:
        raise MemoryError
    if status == RUN_STOPPED:
        reraise()
    if status == RUN_BAD_INDEX:
        which = 'every sample' if batch.bad_sample == EVERY_SAMPLE else f'sample {batch.bad_sample}'
        if batch.bad_index != batch.bad_index // 1:
            raise TypeError(f'take: expected a whole number as index, got {batch.bad_index!r} '
                            f'for {which}')
        raise IndexError(f'take: index {batch.bad_index:.0f} is out of range for {batch.bad_count} values, '
                         f'for {which}')
    return 0
