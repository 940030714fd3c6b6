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
from .groups cimport GroupCore
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
    size_t group, j         # and into optimizer.groups, and into that one's

cdef int by_row(const void *first, const void *second) noexcept nogil:
    cdef const Place *a = <const Place *>first
    cdef const Place *b = <const Place *>second
    if a.group != b.group:
        return -1 if a.group < b.group else 1
    if a.row != b.row:
        return -1 if a.row < b.row else 1
    return -1 if a.k < b.k else 1

cdef inline uint32_t node_of(list values, size_t k) noexcept:
    return anchor_of(<PyObject *>PyList_GET_ITEM(values, <Py_ssize_t>k)).index

cdef inline GroupCore group_at(list groups, size_t k):
    return <GroupCore>PyList_GET_ITEM(groups, <Py_ssize_t>k)

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
    cdef list groups        # ... in groups
    cdef set identities     # ... told by id
    cdef Exchange exchange  # with other ranks; None: there are none
    cdef Program *program
    cdef Training training
    cdef Stretch *stretches
    cdef double *memory     # moments, by place; numbers of parameters that the function does not read, and their
                            # gradients; room for work
    cdef double *losses
    cdef uint32_t *order
    cdef Place *places      # of optimizer.values, in the order of the stretches
    cdef double *before     # data and grad of every Value concerned, then moments
    cdef uint64_t *steps_before     # of each group
    cdef Rule *rules        # of steps to come, where they are known ahead
    cdef readonly bint is_over  # another rank has had enough: no steps follow

    def __init__(self, Recorded recorded, Arguments arguments, Optimizer optimizer, bint is_mean, size_t batch_size,
                 bint shuffle, uint64_t seed, int threads, double clip_norm=INFINITY, Exchange exchange=None):
        cdef size_t k, n = <size_t>len(optimizer.values)
        check_change('fit() was called')
        recorded.check_movable('fit', optimizer.values)
        optimizer.check_set_up('fit')
        self.recorded, self.arguments, self.optimizer = recorded, arguments, optimizer
        self.values, self.groups = optimizer.values, optimizer.groups
        self.program = recorded.take(True)
        self.memory = <double *>calloc(7 * n + 1, sizeof(double))
        self.stretches = <Stretch *>calloc(n + 1, sizeof(Stretch))
        self.places = <Place *>malloc((n + 1) * sizeof(Place))
        self.training.n_groups = <size_t>len(self.groups)
        self.training.groups = <TrainedGroup *>calloc(self.training.n_groups, sizeof(TrainedGroup))
        self.steps_before = <uint64_t *>calloc(self.training.n_groups, sizeof(uint64_t))
        self.before = <double *>calloc(2 * <size_t>len(recorded.parameters) + 5 * n + 1, sizeof(double))
        if (self.memory == NULL or self.stretches == NULL or self.places == NULL or self.before == NULL
                or self.training.groups == NULL or self.steps_before == NULL):
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
        free(self.training.groups)
        free(self.steps_before)
        free(self.order)

    cdef int place(self, size_t n) except -1:
        """Orders each group's parameters by their rows, so that few stretches hold them all."""
        cdef dict index_of = {id(value): k for k, value in enumerate(self.recorded.parameters)}
        cdef double *p
        cdef double *last = NULL
        cdef double *idle = self.memory + 3 * n
        cdef size_t k = 0, g, j
        cdef Place *place
        cdef TrainedGroup *group = NULL
        cdef Stretch *stretch = NULL
        for g in range(self.training.n_groups):
            for j in range(group_at(self.groups, g).size()):
                index = index_of.get(id(self.values[k]))
                p = NULL if index is None else program_parameter(self.program, index)
                self.places[k].row = <uintptr_t>p if p != NULL else UINTPTR_MAX
                self.places[k].k, self.places[k].group, self.places[k].j = k, g, j
                k += 1
        qsort(self.places, n, sizeof(Place), by_row)
        for k in range(n):
            place = &self.places[k]
            is_read = place.row != UINTPTR_MAX
            p = <double *>place.row
            if not is_read:                 # by the function: its gradient is 0
                p, idle = idle, idle + 1
            if (group != &self.training.groups[place.group] or p != last + 1
                    or (stretch.grads == self.memory + 4 * n) == is_read):
                group = &self.training.groups[place.group]
                stretch = &self.stretches[self.training.n_stretches]
                if group.n_stretches == 0:
                    group.first_stretch = self.training.n_stretches
                group.n_stretches += 1
                self.training.n_stretches += 1
                stretch.p = p
                stretch.grads = p + self.program.to_adjoint if is_read else self.memory + 4 * n
                stretch.first = k
            stretch.size += 1
            group.size += 1
            last = p
        self.training.stretches = self.stretches
        self.training.work = self.memory + 5 * n
        return 0

    cdef int snapshot(self) except -1:
        """Keeps what undo() brings back."""
        cdef const Moments *moments
        cdef size_t g, k
        cdef double *to = self.before
        cdef list values
        for values in (self.recorded.parameters, self.values):
            for k in range(<size_t>PyList_GET_SIZE(values)):
                to[0] = tape.value[node_of(values, k)]
                to[1] = tape_adjoint(&tape, node_of(values, k))
                to += 2
        for g in range(self.training.n_groups):
            moments, k = &group_at(self.groups, g).group.moments, group_at(self.groups, g).size()
            keep(to, moments.m, k)
            keep(to + k, moments.v, k)
            keep(to + 2 * k, moments.v_max, k)
            to += 3 * k
            self.steps_before[g] = moments.steps
        return 0

    cdef int undo(self) except -1:
        """Brings back the parameters, their grads and the optimiser as they were at the start."""
        cdef Moments *moments
        cdef size_t g, k
        cdef double *kept = self.before
        cdef list values
        for values in (self.recorded.parameters, self.values):
            for k in range(<size_t>PyList_GET_SIZE(values)):
                tape.value[node_of(values, k)] = kept[0]
                tape_set_adjoint(&tape, node_of(values, k), kept[1])
                kept += 2
        for g in range(self.training.n_groups):
            moments, k = &group_at(self.groups, g).group.moments, group_at(self.groups, g).size()
            keep(moments.m, kept, k)
            keep(moments.v, kept + k, k)
            keep(moments.v_max, kept + 2 * k, k)
            kept += 3 * k
            moments.steps = self.steps_before[g]
        self.training.done = 0
        return 0

    cdef int fetch(self) except -1:
        """Reads the Values and the optimiser."""
        cdef ParameterGroup *group
        cdef const Moments *theirs
        cdef const Place *at
        cdef size_t g, place, n = <size_t>len(self.values)
        cdef Stretch *stretch = self.stretches
        if self.optimizer.groups is not self.groups:
            raise RuntimeError('fit: the optimizer was given other parameters meanwhile')
        if not self.recorded.still_holds():
            raise TraceError('fit: a number that the function has read changed meanwhile; compute with the '
                             'Value itself, or with detach()')
        self.recorded.load(self.program)
        for g in range(self.training.n_groups):
            group = &self.training.groups[g].own
            group[0] = group_at(self.groups, g).group
            # Those of all groups in one order, that of the stretches.
            group.moments.m = self.memory if group.moments.m != NULL else NULL
            group.moments.v = self.memory + n if group.moments.v != NULL else NULL
            group.moments.v_max = self.memory + 2 * n if group.moments.v_max != NULL else NULL
        for place in range(n):
            at = &self.places[place]
            while place >= stretch.first + stretch.size:
                stretch += 1
            stretch.p[place - stretch.first] = tape.value[node_of(self.values, at.k)]
            theirs = &group_at(self.groups, at.group).group.moments
            if theirs.m != NULL:
                self.memory[place] = theirs.m[at.j]
            if theirs.v != NULL:
                self.memory[n + place] = theirs.v[at.j]
            if theirs.v_max != NULL:
                self.memory[2 * n + place] = theirs.v_max[at.j]
        return 0

    cdef void put_back(self) noexcept:
        """Writes the numbers reached so far to the Values and to the optimiser."""
        cdef const Moments *moments
        cdef Moments *theirs
        cdef const Place *at
        cdef size_t g, place, n = <size_t>len(self.values)
        cdef Stretch *stretch = self.stretches
        cdef uint32_t i
        for place in range(n):
            at = &self.places[place]
            while place >= stretch.first + stretch.size:
                stretch += 1
            i = node_of(self.values, at.k)
            tape.value[i] = stretch.p[place - stretch.first]
            moments, theirs = &self.training.groups[at.group].own.moments, &group_at(self.groups, at.group).group.moments
            if moments.m != NULL:
                theirs.m[at.j] = moments.m[place]
            if moments.v != NULL:
                theirs.v[at.j] = moments.v[place]
            if moments.v_max != NULL:
                theirs.v_max[at.j] = moments.v_max[place]
            if stretch.grads == self.memory + 4 * n:
                tape_set_adjoint(&tape, i, 0.0)
        for g in range(self.training.n_groups):
            group_at(self.groups, g).group.moments.steps = self.training.groups[g].own.moments.steps

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
        cdef size_t k, g, n = self.training.n_groups
        cdef Rule *rules = <Rule *>realloc(self.rules, (steps * n + 1) * sizeof(Rule))
        if rules == NULL:
            raise MemoryError
        self.rules = rules
        self.training.rules = rules
        for k in range(steps):
            for g in range(n):
                rules[k * n + g] = group_at(self.groups, g).group.rule
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
