# SPDX-License-Identifier: MIT
# Training in the core: an optimiser's parameters are moved into a program's rows, and back.

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

cdef inline void keep(double **to, const double *numbers, size_t n) noexcept:
    if numbers != NULL:
        memcpy(to[0], numbers, n * sizeof(double))
        to[0] += n

cdef inline void bring_back(double **kept, double *numbers, size_t n) noexcept:
    if numbers != NULL:
        memcpy(numbers, kept[0], n * sizeof(double))
        kept[0] += n

@cython.final
cdef class Session:
    """One call of fit: what is being trained, on what, and how far it is.

    While the core trains, the numbers stand in the program's rows; put_back() writes them to the Values
    and to the optimiser, fetch() reads them again. undo() brings back what was there at the start.
    """
    cdef Recorded recorded
    cdef Arguments arguments
    cdef Optimizer optimizer
    cdef Program *program
    cdef Training training
    cdef Stretch *stretches
    cdef double *memory     # moments, by place; then numbers of parameters that the function does not read
    cdef double *losses
    cdef uint32_t *order
    cdef Place *places      # of optimizer.values, in the order of the stretches
    cdef double *before     # data and grad of every Value concerned, then moments
    cdef uint64_t steps_before

    def __init__(self, Recorded recorded, Arguments arguments, Optimizer optimizer, bint is_mean, size_t batch_size,
                 bint shuffle, uint64_t seed, int threads):
        cdef size_t k, n = <size_t>len(optimizer.values)
        self.recorded, self.arguments, self.optimizer = recorded, arguments, optimizer
        self.program = recorded.program(True)
        self.memory = <double *>calloc(5 * n + 1, sizeof(double))
        self.stretches = <Stretch *>calloc(n + 1, sizeof(Stretch))
        self.places = <Place *>malloc(n * sizeof(Place))
        self.before = <double *>malloc((2 * <size_t>len(recorded.parameters) + 5 * n + 1) * sizeof(double))
        if self.memory == NULL or self.stretches == NULL or self.places == NULL or self.before == NULL:
            raise MemoryError
        self.training.batch = new_batch(arguments, threads)
        self.training.batch.is_mean = is_mean
        self.training.n_samples = <size_t>arguments.size
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
        self.fetch()

    def __dealloc__(self):
        free(self.losses)
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
            index = index_of.get(id(self.optimizer.values[k]))
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
                stretch.grads = p + self.program.plan.n_once if idle == 0 else self.memory + 4 * n
                stretch.first = k
            stretch.size += 1
            last = p
        self.training.stretches = self.stretches
        if self.optimizer.moments.m != NULL:
            self.training.moments.m = self.memory
        if self.optimizer.moments.v != NULL:
            self.training.moments.v = self.memory + n
        if self.optimizer.moments.v_max != NULL:
            self.training.moments.v_max = self.memory + 2 * n
        return 0

    cdef int snapshot(self) except -1:
        """Keeps what undo() brings back."""
        cdef Optimizer optimizer = self.optimizer
        cdef size_t n = <size_t>len(optimizer.values)
        cdef double *to = self.before
        cdef list values
        cdef size_t k
        for values in (self.recorded.parameters, optimizer.values):
            for k in range(<size_t>PyList_GET_SIZE(values)):
                to[0] = tape.value[node_of(values, k)]
                to[1] = tape_adjoint(&tape, node_of(values, k))
                to += 2
        keep(&to, optimizer.moments.m, n)
        keep(&to, optimizer.moments.v, n)
        keep(&to, optimizer.moments.v_max, n)
        self.steps_before = optimizer.moments.steps
        return 0

    def undo(self):
        """Brings back the parameters, their grads and the optimiser as they were at the start."""
        cdef Optimizer optimizer = self.optimizer
        cdef size_t n = <size_t>len(optimizer.values)
        cdef double *kept = self.before
        cdef list values
        cdef size_t k
        for values in (self.recorded.parameters, optimizer.values):
            for k in range(<size_t>PyList_GET_SIZE(values)):
                tape.value[node_of(values, k)] = kept[0]
                tape_set_adjoint(&tape, node_of(values, k), kept[1])
                kept += 2
        bring_back(&kept, optimizer.moments.m, n)
        bring_back(&kept, optimizer.moments.v, n)
        bring_back(&kept, optimizer.moments.v_max, n)
        optimizer.moments.steps = self.steps_before

    def fetch(self):
        """Reads the Values and the optimiser: at the start, and after anybody may have changed them."""
        cdef Optimizer optimizer = self.optimizer
        cdef size_t place, k, n = <size_t>len(optimizer.values)
        cdef Stretch *stretch = self.stretches
        self.recorded.load(self.program)
        self.training.rule = optimizer.rule
        self.training.moments.steps = optimizer.moments.steps
        for place in range(n):
            k = self.places[place].k
            while place >= stretch.first + stretch.size:
                stretch += 1
            stretch.p[place - stretch.first] = (
                tape.value[node_of(optimizer.values, k)])
            if optimizer.moments.m != NULL:
                self.training.moments.m[place] = optimizer.moments.m[k]
            if optimizer.moments.v != NULL:
                self.training.moments.v[place] = optimizer.moments.v[k]
            if optimizer.moments.v_max != NULL:
                self.training.moments.v_max[place] = optimizer.moments.v_max[k]

    def put_back(self):
        """Writes the numbers reached so far to the Values and to the optimiser."""
        cdef Optimizer optimizer = self.optimizer
        cdef size_t place, k, n = <size_t>len(optimizer.values)
        cdef Stretch *stretch = self.stretches
        cdef uint32_t i
        for place in range(n):
            k = self.places[place].k
            while place >= stretch.first + stretch.size:
                stretch += 1
            i = node_of(optimizer.values, k)
            tape.value[i] = stretch.p[place - stretch.first]
            if optimizer.moments.m != NULL:
                optimizer.moments.m[k] = self.training.moments.m[place]
            if optimizer.moments.v != NULL:
                optimizer.moments.v[k] = self.training.moments.v[place]
            if optimizer.moments.v_max != NULL:
                optimizer.moments.v_max[k] = self.training.moments.v_max[place]
            if stretch.grads == self.memory + 4 * n:
                tape_set_adjoint(&tape, i, 0.0)
        optimizer.moments.steps = self.training.moments.steps

    def train(self, size_t steps):
        """So many steps. KeyboardInterrupt, or another signal's exception, comes between two of them;
        what a sample is refused for leaves everything as it was at the start of all."""
        cdef size_t piece
        if steps == 0:
            return
        while steps > 0:
            piece = min(steps, <size_t>LOSSES_AT_ONCE)
            self.train_piece(piece)
            steps -= piece
        self.put_back()
        self.recorded.store_grads(self.program)

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
        try:
            check_run(status, &training.batch)
        except (IndexError, TypeError):     # what take() refuses
            self.undo()
            raise
        except BaseException:
            self.put_back()
            raise
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
