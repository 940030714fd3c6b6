# SPDX-License-Identifier: MIT
# What differs while compile() records a function: numbers that depend on its inputs cannot be read.

class TraceError(RuntimeError):
    """A function that is being compiled did what cannot be replayed."""

@cython.final
cdef class Recording:
    """One call of a function on inputs whose numbers stand for any."""
    cdef uint32_t mark              # nodes of the tape that were there before
    cdef uint32_t *inputs           # their nodes
    cdef uint32_t n_inputs
    cdef object thread
    cdef Recording outer            # a function that is being compiled may compile another
    cdef list guards                # (Value, its data): numbers that were read, so that the program holds them

    def __dealloc__(self):
        free(self.inputs)

cdef Recording recording = None     # the innermost; see also `is_recording`
cdef bint is_recording = False
cdef object recording_lock = threading.RLock()

cdef bint is_traced(object handle) except -1:
    """Whether the node depends on an input of the function that this thread is recording."""
    cdef int depends
    cdef Recording at = recording
    if not is_recording or not is_handle(handle) or at.thread != threading.get_ident():
        return False
    while at is not None:
        depends = tape_depends(&tape, anchor_of(<PyObject *>handle).index, at.mark, at.inputs, at.n_inputs)
        if depends < 0:
            raise MemoryError
        if depends:
            return True
        at = at.outer
    return False

cdef int check_read(Handle self, str what) except -1:
    """Called where a number leaves the graph: TraceError if it depends on an input."""
    if recording.thread != threading.get_ident():
        return 0
    if is_traced(self):
        raise TraceError(f'{what} of a Value that depends on an input, in a function that is being compiled: '
                         f'its number differs from sample to sample. Branch with where(), maximum(), relu(); '
                         f'compute with Values; or call the function without compile()')
    for node in topological_sort(self):
        if tape.op[(<Handle>node).anchor.index] == OP_leaf or (<Handle>node).anchor.index < recording.mark:
            recording.guards.append((node, tape.value[(<Handle>node).anchor.index]))
    return 0

cdef int check_write(Handle self, str what) except -1:
    cdef uint32_t i = self.anchor.index
    if recording.thread != threading.get_ident():
        return 0
    if i < recording.mark or tape.op[i] != OP_leaf or is_traced(self):
        raise TraceError(f'{what} was assigned in a function that is being compiled: '
                         f'the program would not do it again')
    return 0

cdef int check_leaf(object operand, str what) except -1:
    """Called where a new leaf takes over an operand's number."""
    if is_traced(operand):
        raise TraceError(f'{what}: a result that depends on an input cannot become a leaf in a function '
                         f'that is being compiled')
    return 0
