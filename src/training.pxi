# SPDX-License-Identifier: MIT
# Training in the core: an optimiser's parameters are moved into a program's rows, and back.

cdef enum:
    LOSSES_AT_ONCE = 65536      # steps for which there is room, whatever number is asked for

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
    cdef list placed        # indices into optimizer.values, by place
    cdef list before        # data and grad of every Value concerned, moments, steps

    def __init__(self, Recorded recorded, Arguments arguments, Optimizer optimizer, bint is_mean, size_t batch_size,
                 bint shuffle, uint64_t seed, int threads):
        cdef size_t k, n = len(optimizer.values)
        self.recorded, self.arguments, self.optimizer = recorded, arguments, optimizer
        self.program = recorded.program(True)
        self.memory = <double *>calloc(5 * n + 1, sizeof(double))
        self.stretches = <Stretch *>calloc(n + 1, sizeof(Stretch))
        if self.memory == NULL or self.stretches == NULL:
            raise MemoryError
        self.training.batch = new_batch(arguments, threads)
        self.training.batch.is_mean = is_mean
        self.training.n_samples = arguments.size
        if 0 < batch_size < <size_t>arguments.size:
            self.order = <uint32_t *>malloc(arguments.size * sizeof(uint32_t))
            if self.order == NULL:
                raise MemoryError
            for k in range(<size_t>arguments.size):
                self.order[k] = <uint32_t>k
            self.training.order = self.order
            self.training.batch_size = batch_size
            self.training.shuffle = shuffle
            self.training.random = seed
        self.place(n)
        self.before = self.snapshot()
        self.fetch()

    def __dealloc__(self):
        free(self.losses)
        free(self.memory)
        free(self.stretches)
        free(self.order)

    cdef int place(self, size_t n) except -1:
        """Orders the optimiser's parameters by their rows, so that few stretches hold them all."""
        cdef dict index_of = {id(value): k for k, value in enumerate(self.recorded.parameters)}
        cdef double *p
        cdef double *last = NULL
        cdef size_t k, idle = 0
        cdef Stretch *stretch = NULL
        rows = []
        for k, value in enumerate(self.optimizer.values):
            index = index_of.get(id(value))
            p = NULL if index is None else program_parameter(self.program, index)
            rows.append((<uintptr_t>p if p != NULL else 0, k))
        rows.sort(key=lambda row: (row[0] == 0, row))
        self.placed = [k for _, k in rows]
        for k in range(n):
            p = <double *><uintptr_t>rows[k][0]
            if p == NULL:       # the function does not read it: its gradient is 0
                p = self.memory + 3 * n + idle
                idle += 1
            if stretch == NULL or p != last + 1 or (idle == 1 and rows[k][0] == 0):
                stretch = &self.stretches[self.training.n_stretches]
                self.training.n_stretches += 1
                stretch.p = p
                stretch.grads = p + self.program.plan.n_once if rows[k][0] != 0 else self.memory + 4 * n
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

    cdef list snapshot(self):
        cdef Optimizer optimizer = self.optimizer
        cdef size_t k, n = len(optimizer.values)
        values = [*self.recorded.parameters, *optimizer.values]
        numbers = [(value, tape.value[(<Handle>value).anchor.index],
                    tape_adjoint(&tape, (<Handle>value).anchor.index)) for value in values]
        moments = [(optimizer.moments.m[k] if optimizer.moments.m != NULL else 0.0,
                    optimizer.moments.v[k] if optimizer.moments.v != NULL else 0.0,
                    optimizer.moments.v_max[k] if optimizer.moments.v_max != NULL else 0.0) for k in range(n)]
        return [numbers, moments, optimizer.moments.steps]

    def undo(self):
        """Brings back the parameters, their grads and the optimiser as they were at the start."""
        cdef Optimizer optimizer = self.optimizer
        cdef uint32_t i
        numbers, moments, steps = self.before
        for value, data, grad in numbers:
            i = (<Handle>value).anchor.index
            tape.value[i] = data
            tape_set_adjoint(&tape, i, grad)
        for k, (m, v, v_max) in enumerate(moments):
            if optimizer.moments.m != NULL:
                optimizer.moments.m[<size_t>k] = m
            if optimizer.moments.v != NULL:
                optimizer.moments.v[<size_t>k] = v
            if optimizer.moments.v_max != NULL:
                optimizer.moments.v_max[<size_t>k] = v_max
        optimizer.moments.steps = steps

    def fetch(self):
        """Reads the Values and the optimiser: at the start, and after anybody may have changed them."""
        cdef Optimizer optimizer = self.optimizer
        cdef size_t place, k, n = len(self.placed)
        cdef Stretch *stretch = self.stretches
        self.recorded.load(self.program)
        self.training.rule = optimizer.rule
        self.training.moments.steps = optimizer.moments.steps
        for place in range(n):
            k = self.placed[place]
            while place >= stretch.first + stretch.size:
                stretch += 1
            stretch.p[place - stretch.first] = (
                tape.value[anchor_of(<PyObject *>PyList_GET_ITEM(optimizer.values, k)).index])
            if optimizer.moments.m != NULL:
                self.training.moments.m[place] = optimizer.moments.m[k]
            if optimizer.moments.v != NULL:
                self.training.moments.v[place] = optimizer.moments.v[k]
            if optimizer.moments.v_max != NULL:
                self.training.moments.v_max[place] = optimizer.moments.v_max[k]

    def put_back(self):
        """Writes the numbers reached so far to the Values and to the optimiser."""
        cdef Optimizer optimizer = self.optimizer
        cdef size_t place, k, n = len(self.placed)
        cdef Stretch *stretch = self.stretches
        cdef uint32_t i
        for place in range(n):
            k = self.placed[place]
            while place >= stretch.first + stretch.size:
                stretch += 1
            i = anchor_of(<PyObject *>PyList_GET_ITEM(optimizer.values, k)).index
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
