# SPDX-License-Identifier: MIT
# Training in the core: an optimiser's parameters are moved into a program's rows, and back.
cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport UINTPTR_MAX, uint32_t, uint64_t, uintptr_t
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcpy

from headers.program cimport *
from headers.state cimport *
from headers.tape cimport *
from .arguments cimport Arguments
from .handles cimport anchor_of
from .optimizer cimport Optimizer
from .program cimport Recorded
from .ranks cimport Exchange, meet_ranks
from .runs cimport batch_of, check_run
from .recording cimport Context, check_change, here

import os
from _thread import allocate_lock

from .recording import TraceError

cdef enum:
    LOSSES_AT_ONCE = 65536      # steps for which there is room, whatever number is asked for

cdef struct Place:
    uintptr_t row           # address of the number in the program; UINTPTR_MAX: it does not read it
    size_t k                # index into optimizer.values

cdef int by_row(const void *first, const void *second) noexcept nogil:
    cdef const Place *a = <const Place *>first
    cdef const Place *b = <const Place *>second
    if a.row != b.row:
        return -1 if a.row < b.row else 1
    return -1 if a.k < b.k else 1

cdef inline uint32_t node_of(list values, size_t k) noexcept:
    return anchor_of(<PyObject *>PyList_GET_ITEM(values, <Py_ssize_t>k)).index

cdef inline void keep(double *to, const double *numbers, size_t n) noexcept:
    if to != NULL and numbers != NULL:
        memcpy(to, numbers, n * sizeof(double))

cdef list running_sessions = []     # whose train() is under way, in whatever thread

@cython.final
cdef class Session:
    """One call of fit: what is being trained, on what, and how far it is.

    While train() runs, the numbers stand in the program's rows: it fetches them from the Values and from
    the optimiser, and puts them back at its end. In between nobody else may train the same: another
    thread waits, and this one, in a signal handler, is refused. undo() brings back what was there at the
    start of all.
    """
    cdef Recorded recorded
    cdef Arguments arguments
    cdef Optimizer optimizer
    cdef Context context    # of the thread that trains
    cdef object turn        # locked while train() runs, for those who wait
    cdef list values        # the optimiser's parameters, whatever becomes of the optimiser meanwhile
    cdef set identities     # ... told by id
    cdef Exchange exchange  # with other ranks; None: there are none
    cdef Program *program
    cdef Training training
    cdef Stretch *stretches
    cdef double *memory     # moments, by place; then numbers of parameters that the function does not read
    cdef double *losses
    cdef uint32_t *order
    cdef Place *places      # of optimizer.values, in the order of the stretches
    cdef double *before     # data and grad of every Value concerned, then moments
    cdef uint64_t steps_before
    cdef Rule *rules        # of steps to come, where they are known ahead
    cdef readonly bint is_over  # another rank has had enough: no steps follow

    def __init__(self, Recorded recorded, Arguments arguments, Optimizer optimizer, bint is_mean, size_t batch_size,
                 bint shuffle, uint64_t seed, int threads, double clip_norm=INFINITY, Exchange exchange=None):
        cdef size_t k, n = <size_t>len(optimizer.values)
        check_change('fit() was called')
        recorded.check_movable('fit', optimizer.values)
        if n == 0:
            raise RuntimeError(f'fit: {type(optimizer).__name__}.__init__ has not been called')
        self.recorded, self.arguments, self.optimizer = recorded, arguments, optimizer
        self.values = optimizer.values
        self.program = recorded.take(True)
        self.memory = <double *>calloc(5 * n + 1, sizeof(double))
        self.stretches = <Stretch *>calloc(n + 1, sizeof(Stretch))
        self.places = <Place *>malloc(n * sizeof(Place))
        self.before = <double *>calloc(2 * <size_t>len(recorded.parameters) + 5 * n + 1, sizeof(double))
        if self.memory == NULL or self.stretches == NULL or self.places == NULL or self.before == NULL:
            raise MemoryError
        self.training.batch = batch_of(arguments, is_mean, threads)
        self.training.n_samples = <size_t>arguments.size
        self.training.clip_norm = clip_norm
        self.exchange = exchange
        if exchange is not None:
            self.training.meet, self.training.ranks = meet_ranks, <void *>exchange
        if 0 < batch_size < <size_t>arguments.size:
            self.order = <uint32_t *>malloc(<size_t>arguments.size * sizeof(uint32_t))
            if self.order == NULL:
                raise MemoryError
            for k in range(<size_t>arguments.size):
                self.order[k] = <uint32_t>k
            self.training.order = self.order
            self.training.batch_size = batch_size
            self.training.shuffle = shuffle
            self.training.random = seed
        self.place(n)
        self.snapshot()

    def __dealloc__(self):
        if self.program != NULL and self.recorded is not None:
            self.recorded.give_back(self.program, True)
        free(self.losses)
        free(self.rules)
        free(self.memory)
        free(self.stretches)
        free(self.places)
        free(self.before)
        free(self.order)

    cdef int place(self, size_t n) except -1:
        """Orders the optimiser's parameters by their rows, so that few stretches hold them all."""
        cdef dict index_of = {id(value): k for k, value in enumerate(self.recorded.parameters)}
        cdef double *p
        cdef double *last = NULL
        cdef size_t k, idle = 0
        cdef Place *place
        cdef Stretch *stretch = NULL
        for k in range(n):
            index = index_of.get(id(self.values[k]))
            p = NULL if index is None else program_parameter(self.program, index)
            self.places[k].row = <uintptr_t>p if p != NULL else UINTPTR_MAX
            self.places[k].k = k
        qsort(self.places, n, sizeof(Place), by_row)
        for k in range(n):
            place = &self.places[k]
            p = <double *>place.row
            if place.row == UINTPTR_MAX:    # the function does not read it: its gradient is 0
                p = self.memory + 3 * n + idle
                idle += 1
            if stretch == NULL or p != last + 1 or idle == 1:
                stretch = &self.stretches[self.training.n_stretches]
                self.training.n_stretches += 1
                stretch.p = p
                stretch.grads = p + self.program.to_adjoint if idle == 0 else self.memory + 4 * n
                stretch.first = k
            stretch.size += 1
            last = p
        self.training.stretches = self.stretches
        return 0

    cdef int snapshot(self) except -1:
        """Keeps what undo() brings back."""
        cdef Moments *moments = &self.optimizer.moments
        cdef size_t n = <size_t>len(self.values), k
        cdef double *to = self.before
        cdef list values
        for values in (self.recorded.parameters, self.values):
            for k in range(<size_t>PyList_GET_SIZE(values)):
                to[0] = tape.value[node_of(values, k)]
                to[1] = tape_adjoint(&tape, node_of(values, k))
                to += 2
        keep(to, moments.m, n)
        keep(to + n, moments.v, n)
        keep(to + 2 * n, moments.v_max, n)
        self.steps_before = moments.steps
        return 0

    cdef int undo(self) except -1:
        """Brings back the parameters, their grads and the optimiser as they were at the start."""
        cdef Moments *moments = &self.optimizer.moments
        cdef size_t n = <size_t>len(self.values), k
        cdef double *kept = self.before
        cdef list values
        for values in (self.recorded.parameters, self.values):
            for k in range(<size_t>PyList_GET_SIZE(values)):
                tape.value[node_of(values, k)] = kept[0]
                tape_set_adjoint(&tape, node_of(values, k), kept[1])
                kept += 2
        keep(moments.m, kept, n)
        keep(moments.v, kept + n, n)
        keep(moments.v_max, kept + 2 * n, n)
        moments.steps = self.steps_before
        self.training.done = 0
        return 0

    cdef int fetch(self) except -1:
        """Reads the Values and the optimiser."""
        cdef Moments *moments = &self.training.moments
        cdef const Moments *theirs = &self.optimizer.moments
        cdef size_t place, k, n = <size_t>len(self.values)
        cdef Stretch *stretch = self.stretches
        if self.optimizer.values is not self.values:
            raise RuntimeError('fit: the optimizer was given other parameters meanwhile')
        if not self.recorded.still_holds():
            raise TraceError('fit: a number that the function has read changed meanwhile; compute with the '
                             'Value itself, or with detach()')
        self.recorded.load(self.program)
        self.training.rule = self.optimizer.rule
        moments.steps = theirs.steps
        moments.m = self.memory if theirs.m != NULL else NULL
        moments.v = self.memory + n if theirs.v != NULL else NULL
        moments.v_max = self.memory + 2 * n if theirs.v_max != NULL else NULL
        for place in range(n):
            k = self.places[place].k
            while place >= stretch.first + stretch.size:
                stretch += 1
            stretch.p[place - stretch.first] = tape.value[node_of(self.values, k)]
            if moments.m != NULL:
                moments.m[place] = theirs.m[k]
            if moments.v != NULL:
                moments.v[place] = theirs.v[k]
            if moments.v_max != NULL:
                moments.v_max[place] = theirs.v_max[k]
        return 0

    cdef void put_back(self) noexcept:
        """Writes the numbers reached so far to the Values and to the optimiser."""
        cdef const Moments *moments = &self.training.moments
        cdef Moments *theirs = &self.optimizer.moments
        cdef size_t place, k, n = <size_t>len(self.values)
        cdef Stretch *stretch = self.stretches
        cdef uint32_t i
        for place in range(n):
            k = self.places[place].k
            while place >= stretch.first + stretch.size:
                stretch += 1
            i = node_of(self.values, k)
            tape.value[i] = stretch.p[place - stretch.first]
            if moments.m != NULL:
                theirs.m[k] = moments.m[place]
            if moments.v != NULL:
                theirs.v[k] = moments.v[place]
            if moments.v_max != NULL:
                theirs.v_max[k] = moments.v_max[place]
            if stretch.grads == self.memory + 4 * n:
                tape_set_adjoint(&tape, i, 0.0)
        theirs.steps = moments.steps

    cdef Session rival(self):
        """One that is training what this one trains; None: nobody is."""
        cdef Session other
        for other in running_sessions:
            if other.optimizer is self.optimizer or not other.identities.isdisjoint(self.identities):
                return other
        return None

    cdef int enter(self) except -1:
        """Waits until nobody trains the same, and stands in the list from then on.

        What allocates comes first: between the last look and the list, no other thread may run.
        """
        cdef Session other
        self.context = here()
        self.turn = allocate_lock()
        self.turn.acquire()
        if self.identities is None:
            self.identities = set([id(value) for value in self.values])
        other = self.rival()
        while other is not None:
            if other.context is self.context:
                raise RuntimeError('fit: a fit that is running trains these parameters')
            with other.turn:
                pass
            other = self.rival()
        running_sessions.append(self)
        self.optimizer.running += 1
        return 0

    cdef int leave(self) except -1:
        running_sessions.remove(self)
        self.optimizer.running -= 1
        self.turn.release()
        return 0

    def train(self, size_t steps):
        """So many steps. KeyboardInterrupt, or another signal's exception, comes between two of them;
        what a sample is refused for leaves everything as it was at the start of all."""
        cdef size_t piece
        if steps == 0:
            return
        self.enter()
        try:
            self.fetch()
            while steps > 0 and not self.is_over:
                piece = min(steps, <size_t>LOSSES_AT_ONCE)
                self.train_piece(piece)
                steps -= piece
            self.put_back()
            self.recorded.store_grads(self.program)
        finally:
            self.training.rules = NULL
            self.leave()

    def plan(self, size_t steps, advance):
        """Keeps the optimiser's settings of the next steps, which advance() changes after each of them.

        Gives how many of them there are to train, fewer where advance() has raised, and what it has raised.
        """
        cdef size_t k
        cdef Rule *rules = <Rule *>realloc(self.rules, (steps + 1) * sizeof(Rule))
        if rules == NULL:
            raise MemoryError
        self.rules = rules
        self.training.rules = rules
        for k in range(steps):
            rules[k] = self.optimizer.rule
            try:
                advance()
            except Exception as error:
                return k + 1, error
        return steps, None

    def of_all_ranks(self, double loss, size_t samples):
        """A loss of all ranks' samples, of which these are this rank's."""
        if self.exchange is None:
            return loss
        return self.exchange.loss_of_all(loss, samples, self.training.batch.is_mean)

    def end(self, error=None):
        """Tells the other ranks, if there are any, that this one has come to its end: see Exchange.end()."""
        if self.exchange is not None:
            self.exchange.end(self.recorded.parameters, error)

    cdef int train_piece(self, size_t steps) except -1:
        cdef RunStatus status
        cdef Program *program = self.program
        cdef Training *training = &self.training
        cdef double *losses = <double *>realloc(self.losses, (training.done + steps) * sizeof(double))
        if losses == NULL:
            self.put_back()
            raise MemoryError
        self.losses = training.losses = losses
        with nogil:
            status = program_train(program, training, steps)
        if status == RUN_DONE:
            return 0
        if status == RUN_BAD_INDEX or (self.exchange is not None and self.exchange.is_undone):
            self.undo()
        else:
            self.put_back()
        if self.exchange is None:
            check_run(status, &training.batch)
        else:
            self.is_over = True
            self.exchange.check()
        return 0

    @property
    def done(self):
        """Steps so far."""
        return self.training.done

    def loss(self, Py_ssize_t step):
        return self.losses[step]

    def all_losses(self):
        cdef size_t k
        return [self.losses[k] for k in range(self.training.done)]

def after_fork():
    """In a child process: what other threads were training when it was made is lost."""
    cdef Context context = here()
    cdef Session session
    for session in running_sessions[:]:
        if session.context is not context:
            running_sessions.remove(session)
            session.optimizer.running -= 1

if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=after_fork)
