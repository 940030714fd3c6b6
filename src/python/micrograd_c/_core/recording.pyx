# SPDX-License-Identifier: MIT
# What differs from thread to thread: no_grad(), and the functions that compile() is recording.
#
# A recording is a call of a function whose inputs hold the numbers of one sample and stand for all. So a
# number that depends on an input or a draw must not leave the graph, in whatever thread: TraceError. Any other
# number that the function reads is watched (Recording.guards): the program is good while it is the same.
# When the recording ends, what depends on an input has no meaning any more: whoever has kept such a Value
# has a Leaked instead.
#
# Python code runs while a function is recorded or trained, and may come back to any function from any
# thread. So nothing here is locked: what is under way stands in the Context of its thread, and what a
# run writes to is nobody else's (Recorded.take).
cimport cython
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc, realloc

from headers.objects cimport PyDict_GetItemWithError, PyThreadState_GetDict, Py_REFCNT
from headers.program cimport MOST_DRAWN_STEPS, scans_forget, trace_depends, trace_end, trace_sources
from headers.state cimport *
from headers.tape cimport *
from .handles cimport anchor_of, become_leaked, is_handle, new_leaf, value_at

import os

class TraceError(RuntimeError):
    """A function that is being compiled did what cannot be replayed."""

cdef str CONTEXT = 'micrograd_c._core.Context'

@cython.final
cdef class Context:
    """A thread's own state, which dies with the thread."""

    def __dealloc__(self):
        global special
        if self.pauses:
            special -= 1

cdef Context here():
    """The Context of this thread."""
    cdef PyObject *states = PyThreadState_GetDict()
    cdef PyObject *found
    if states == NULL:
        raise MemoryError
    found = PyDict_GetItemWithError(states, <PyObject *>CONTEXT)
    if found != NULL:
        return <Context>found
    context = Context()
    (<dict>states)[CONTEXT] = context
    return context

# -- no_grad ----------------------------------------------------------------------------------------

cdef int set_pauses(Context context, uint32_t pauses) except -1:
    global special
    if context.pauses and not pauses:
        special -= 1
    elif pauses and not context.pauses:
        special += 1
    context.pauses = pauses
    return 0

@cython.final
cdef class Pause:
    """One no_grad() that has been entered."""
    cdef Context context
    cdef Recording recording    # in which it was entered; None: in none

def pause_recording(list pauses):
    """Makes results of this thread leaves, until resume_recording(pauses)."""
    cdef Pause pause = Pause()
    pause.context = here()
    pause.recording = pause.context.recording
    pauses.append(pause)
    set_pauses(pause.context, pause.context.pauses + 1)

def resume_recording(list pauses):
    """Ends the last pause of this thread, or of another where there is none; of none, does nothing.

    What was paused in a recording has ended with it.
    """
    cdef Pause pause = None
    cdef Context context = here()
    cdef Recording recording
    cdef Py_ssize_t k
    for k in range(len(pauses)):
        if pause is None or pause.context is not context or (<Pause>pauses[k]).context is context:
            pause = pauses[k]
    if pause is None:
        return
    pauses.remove(pause)
    context = pause.context
    recording = context.recording
    if pause.recording is recording:
        set_pauses(context, context.pauses - 1)
    while recording is not None:
        if recording.outer is pause.recording:
            recording.pauses -= 1
        recording = recording.outer

cdef bint is_paused() except -1:
    return special != 0 and here().pauses != 0

cdef bint gives_leaf(PyObject *const *operands, Py_ssize_t n) except -1:
    """Whether no_grad() makes a leaf of what is computed from the operands, handles and numbers."""
    cdef Py_ssize_t k
    if not is_paused():
        return False
    if is_recording:
        if here().recording is not None:
            return False    # a node that stops the gradient: see finish in record.pyx
        for k in range(n):
            if is_traced(<object>operands[k]):
                raise TraceError('no_grad(): a thread other than that of the function that is being compiled '
                                 'cannot stop the gradient of what depends on an input; use detach()')
    return True

# -- recordings -------------------------------------------------------------------------------------

@cython.final
cdef class Body:
    """The body of a loop."""

    def __dealloc__(self):
        free(self.draws.items)

@cython.final
cdef class Recording:
    """One call of a function on inputs whose numbers stand for any."""

    def __dealloc__(self):
        free(self.inputs)
        free(self.draws.items)

    cdef int begin(self, list leaves) except -1:
        """From now on what this thread records belongs to it. The tape is busy, and the marker made."""
        global is_recording
        cdef uint32_t k
        self.guards = {}
        self.leaves = leaves
        self.inputs = <uint32_t *>malloc(<size_t>(len(leaves) + 1) * sizeof(uint32_t))
        if self.inputs == NULL:
            raise MemoryError
        self.mark = anchor_of(<PyObject *>self.marker).index
        self.n_inputs = <uint32_t>len(leaves)
        for k in range(self.n_inputs):
            self.inputs[k] = anchor_of(<PyObject *>leaves[k]).index
        self.context = here()
        self.outer = self.context.recording
        self.pauses = self.context.pauses
        recordings.append(self)
        is_recording = True
        self.context.recording = self
        set_pauses(self.context, 0)
        return 0

    cdef object new_input(self, double number):
        """A leaf that stands for other numbers, the last of the inputs: code that draws may run before it is one."""
        leaf = new_leaf(number)
        cdef uint32_t *inputs = <uint32_t *>realloc(self.inputs, (self.n_inputs + <size_t>1) * sizeof(uint32_t))
        if inputs == NULL:
            raise MemoryError
        self.inputs = inputs
        inputs[self.n_inputs] = anchor_of(<PyObject *>leaf).index
        self.n_inputs += 1
        return leaf

    cdef object draw(self, int kind):
        """A leaf that stands for a random number: like an input, it is another one in every sample, and in every
        step of a loop."""
        if self.body is not None and self.body.steps > MOST_DRAWN_STEPS:
            raise ValueError(f'scan: the body draws a random number in {self.body.steps} steps, counted through all '
                             f'loops; draws tell {MOST_DRAWN_STEPS} apart')
        leaf = self.new_input(0.5)      # a number inside most domains
        cdef Draws *draws = &self.draws if self.body is None else &self.body.draws
        cdef RecordedDraw *items = <RecordedDraw *>realloc(draws.items, (draws.size + <size_t>1) * sizeof(RecordedDraw))
        if items == NULL:
            raise MemoryError
        draws.items = items
        items += draws.size
        items.node = anchor_of(<PyObject *>leaf).index
        items.kind = <uint8_t>kind
        if self.body is None:
            items.number = draws.size
            self.leaves.append(leaf)
        else:
            items.number = self.next_in_body
            self.next_in_body += 1
            self.body.leaves.append(leaf)
        draws.size += 1
        return leaf

    cdef int end(self) except -1:
        global is_recording
        self.let_go()
        self.context.recording = self.outer
        set_pauses(self.context, self.pauses)
        recordings.remove(self)
        is_recording = len(recordings) > 0
        if not is_recording:
            scans_forget()
        return 0

    cdef void let_go(self) noexcept:
        """What depends on an input leaks, if anybody has it. The tape is still busy."""
        trace_end(&tape, self.mark, self.inputs, self.n_inputs, True, become_leaked)

    cdef int watch(self, object value, bint is_grad) except -1:
        """Somebody reads the number."""
        cdef uint32_t *sources
        cdef size_t k, count
        if is_grad:
            return self.guard(value, True, tape_adjoint(&tape, anchor_of(<PyObject *>value).index))
        if trace_sources(&tape, anchor_of(<PyObject *>value).index, self.mark, &sources, &count):
            raise MemoryError
        try:
            for k in range(count):
                self.guard(value_at(sources[k]), False, tape.value[sources[k]])
        finally:
            free(sources)
        return 0

    cdef int guard(self, value, bint is_grad, double number) except -1:
        self.guards.setdefault((id(value), is_grad), (value, is_grad, number))
        return 0

    cdef list lasting_guards(self):
        """Without those of leaves that the function has made and dropped: nobody can change them. What was
        there before can be reached again, if only through the graph that keeps it."""
        cdef list guards = [guard for guard in self.guards.values()
                            if Py_REFCNT(PyTuple_GET_ITEM(guard, 0)) > 1
                            or anchor_of(<PyObject *>PyTuple_GET_ITEM(guard, 0)).index < self.mark]
        self.guards = {}
        return guards

cdef list recordings = []           # all that are under way, in whatever thread

cdef bint is_traced(object handle) except -1:
    """Whether the node depends on an input, or a draw, of a function that is being recorded."""
    return is_recording and recording_of(handle) is not None

cdef Recording recording_of(object handle):
    """A recording on whose inputs the node depends; None: on no recording's."""
    cdef int depends
    cdef Recording recording
    if not is_handle(handle):
        return None
    for recording in recordings:
        depends = trace_depends(&tape, anchor_of(<PyObject *>handle).index, recording.mark, recording.inputs,
                                recording.n_inputs)
        if depends < 0:
            raise MemoryError
        if depends:
            return recording
    return None

cdef int refuse_traced(object handle, str what) except -1:
    if is_traced(handle):
        raise TraceError(f'{what} of a Value that depends on an input or a draw, in a function that is being '
                         f'compiled: its number differs from sample to sample. Instead of branching, write where(), '
                         f'maximum(), relu(), clip() or take(); where(x > 0, a, b) takes comparisons (<, <=, >, >=), '
                         f'combined by &, | and ~; compute with Values; or call the function without compile()')
    return 0

cdef int check_read(object value, str what, bint is_grad=False) except -1:
    """Called where a number leaves the graph: TraceError if it depends on an input."""
    refuse_traced(value, what)
    cdef Recording recording = here().recording
    if recording is not None:
        recording.watch(value, is_grad)
    return 0

cdef int refuse_change(str what) except -1:
    raise TraceError(f'{what} in a function that is being compiled: the program would not do it again')

cdef int check_write(object value, str what) except -1:
    """Called where somebody assigns a number: only leaves that the function has just made may get one."""
    cdef Recording recording = here().recording
    cdef uint32_t i = anchor_of(<PyObject *>value).index
    if is_traced(value) or recording is not None and (
            i < recording.mark or tape.op[i] != OP_leaf or tape_is_operand(&tape, i)):
        refuse_change(f'{what} was assigned')
    return 0

cdef int check_change(str what) except -1:
    """Called where something changes that a program could not do again."""
    if is_recording and here().recording is not None:
        refuse_change(what)
    return 0

cdef int refuse_rule() except -1:
    raise TraceError('compile: the function made a Value with a _backward of its own, or a derivative of custom(), '
                     'which cannot be replayed; compose it of operations')

# -- what has no number ----------------------------------------------------------------------------

cdef class Unread:
    """What differs from sample to sample in a function that is being compiled, and is no Value: the base
    of Condition."""

cdef bint is_good(Unread thing) except -1:
    """Whether the function that it comes from is still being recorded."""
    return thing.recording in recordings

cdef Recording inner_of(Recording one, Recording other):
    """The one of two recordings that ends first."""
    return other if recordings.index(other) > recordings.index(one) else one

cdef str WHAT_TO_WRITE = ('write where(condition, a, b) for `a if condition else b`, where(condition, 1.0, 0.0) '
                          'for a number, and &, |, ~ or logical_and(), logical_or(), logical_not() for `and`, `or`, '
                          '`not`; `0 < x < 1` is (0 < x) & (x < 1)')

cdef int refuse_condition(str what) except -1:
    raise TraceError(f'{what} a condition on a Value that depends on an input or a draw, in a function that '
                     f'is being compiled: it differs from sample to sample. Instead, {WHAT_TO_WRITE}')

cdef int refuse_leaked(str what) except -1:
    raise TraceError(f'{what} of a Value that depends on an input or a draw of a compiled function, and has left it: '
                     f'it stood for every sample, and has no number. Return it from the function, whose result then has '
                     f'its number for each sample; or call the function without compile()')

# -- fork -------------------------------------------------------------------------------------------

def after_fork():
    """In a child process: what other threads were recording when it was made is lost."""
    global is_recording
    cdef Context context = here()
    cdef Recording recording
    for recording in recordings[:]:
        if recording.context is not context:
            recording.let_go()
            recordings.remove(recording)
            tape.busy -= 1
    is_recording = len(recordings) > 0
    if not is_recording:
        scans_forget()

if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=after_fork)
