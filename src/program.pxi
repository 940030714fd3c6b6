# SPDX-License-Identifier: MIT
# Compiled functions: recorded once, replayed over batches, trained without Python in between.

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept
    void *PyMem_RawMalloc(size_t size) nogil

cdef enum:
    LONG_WORK = 200_000     # multiply-adds: what takes longer lets other threads run

cdef int poll_signals() noexcept nogil:
    with gil:
        return PyErr_CheckSignals()

# -- levels -----------------------------------------------------------------------------------------

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

set_level(os.environ.get('MICROGRAD_C_LEVEL') or None)

def set_verifying(on):
    """Whether graphs and plans are verified after every step of their making. Returns what was set before.

    Off at first, but in debug builds and where MICROGRAD_C_VERIFY is set. For tests: SystemError says
    which pass has broken which rule.
    """
    global verifying
    before = bool(verifying)
    verifying = bool(on)
    return before

if os.environ.get('MICROGRAD_C_VERIFY'):
    set_verifying(True)

cdef int check_made(MakeStatus status, Graph *graph) except -1:
    if status == MADE_NO_MEMORY:
        raise MemoryError
    if status == MADE_BROKEN:
        fault = graph.fault
        raise SystemError(f'compile: an error of micrograd_c itself, found after {fault.after.decode()}, '
                          f'{fault.list.decode()} {fault.at}: {fault.rule.decode()}')
    return 0

def optimiser_passes():
    """The passes over a recorded graph, as pairs of name and what it does."""
    return [(passes[k].name.decode(), passes[k].text.decode()) for k in range(<int>PASS_COUNT)]

# -- optimisers -------------------------------------------------------------------------------------

cdef class Optimizer:
    """The core of optim's classes: the rule, the parameters, and their moments."""
    cdef list values
    cdef Rule rule
    cdef Moments moments
    cdef double *work       # numbers and gradients, side by side for a step

    def __cinit__(self, *args, **kwargs):
        self.values = []

    cdef int set_up(self, params, RuleKind kind, bint needs_m, bint needs_v, bint needs_max) except -1:
        cdef list values
        cdef set seen = set()
        cdef size_t n
        if is_handle(params):
            raise TypeError('params: expected an iterable of Values, got a Value')
        values = list(params)
        if not values:
            raise ValueError('params: expected at least one Value, got none')
        for value in values:
            if not is_handle(value):
                raise TypeError(f'params: expected Values, got {type(value).__name__}')
            if tape.op[anchor_of(<PyObject *>value).index] & ~OP_CLOSURE != OP_leaf:
                raise ValueError(f'params: expected leaves, got a result of {value._op!r}')
            if id(value) in seen:
                raise ValueError('params: expected each Value once, got one twice')
            seen.add(id(value))
        n = <size_t>len(values)
        self.rule.kind = kind
        self.work = <double *>calloc(2 * n, sizeof(double))
        if needs_m:
            self.moments.m = <double *>calloc(n, sizeof(double))
        if needs_v:
            self.moments.v = <double *>calloc(n, sizeof(double))
        if needs_max:
            self.moments.v_max = <double *>calloc(n, sizeof(double))
        if (self.work == NULL or needs_m and self.moments.m == NULL or needs_v and self.moments.v == NULL
                or needs_max and self.moments.v_max == NULL):
            raise MemoryError
        self.values = values
        return 0

    def _set_up_sgd(self, params, double lr, double momentum, bint nesterov, double weight_decay,
                    bint maximize):
        self.set_up(params, SGD, momentum != 0, False, False)
        self.rule.lr, self.rule.momentum, self.rule.weight_decay = lr, momentum, weight_decay
        self.rule.nesterov, self.rule.maximize = nesterov, maximize

    def _set_up_adam(self, params, double lr, double beta1, double beta2, double eps, double weight_decay,
                     bint amsgrad, bint maximize, bint decoupled):
        self.set_up(params, ADAMW if decoupled else ADAM, True, True, amsgrad)
        self.rule.lr, self.rule.beta1, self.rule.beta2, self.rule.eps = lr, beta1, beta2, eps
        self.rule.weight_decay, self.rule.amsgrad, self.rule.maximize = weight_decay, amsgrad, maximize

    def __dealloc__(self):
        free(self.work)
        free(self.moments.m)
        free(self.moments.v)
        free(self.moments.v_max)

    @property
    def params(self):
        """The Values that step() updates."""
        return list(self.values)

    @property
    def steps(self):
        """How many steps have been made, those in fit included."""
        return self.moments.steps

    @property
    def lr(self):
        """The learning rate; assignable between steps."""
        return self.rule.lr

    @lr.setter
    def lr(self, lr):
        cdef double rate = real(lr, 'lr')
        if not rate >= 0:
            raise ValueError(f'lr: expected at least 0, got {lr!r}')
        self.rule.lr = rate

    def step(self):
        """Updates every parameter's data by its grad."""
        cdef Py_ssize_t n = PyList_GET_SIZE(self.values), k
        cdef double *p = self.work
        cdef double *g = self.work + n
        cdef uint32_t i
        if is_recording:
            for value in self.values:
                check_write(value, '.data, by an optimiser,')
        for k in range(n):
            i = anchor_of(<PyObject *>PyList_GET_ITEM(self.values, k)).index
            p[k] = tape.value[i]
            g[k] = tape_adjoint(&tape, i)
        self.moments.steps += 1
        kernels.update(&self.rule, &self.moments, p, g, <size_t>n, 0)
        for k in range(n):
            tape.value[anchor_of(<PyObject *>PyList_GET_ITEM(self.values, k)).index] = p[k]

    def zero_grad(self):
        """Sets every parameter's grad to 0."""
        cdef Py_ssize_t k
        for k in range(PyList_GET_SIZE(self.values)):
            tape_set_adjoint(&tape, anchor_of(<PyObject *>PyList_GET_ITEM(self.values, k)).index, 0.0)

# -- recorded functions -----------------------------------------------------------------------------

CompiledStats = collections.namedtuple(
    'CompiledStats', 'recorded_nodes optimised_nodes bytes lanes parameters level')
CompiledStats.__doc__ = """nodes that the result depends on, as recorded; nodes after optimisation; bytes of
the program with its memory; samples that one instruction stream computes at a time, in the last run;
parameters; the level of vector units."""

@cython.final
cdef class Recorded:
    """A function's graph for one structure of arguments, and the programs made of it."""
    cdef Arena raw          # of the graph as recorded
    cdef Arena arena        # of the optimised graph
    cdef Arena scratch
    cdef Graph graph
    cdef Program *forward       # made when first needed
    cdef Program *backward
    cdef readonly list parameters
    cdef readonly list guards
    cdef readonly bint is_list      # the function returns a list
    cdef readonly uint32_t n_outputs

    def __cinit__(self):
        self.graph.arena = &self.raw
        self.graph.scratch = &self.scratch

    def __dealloc__(self):
        program_free(self.forward)
        program_free(self.backward)
        arena_free(&self.raw)
        arena_free(&self.arena)
        arena_free(&self.scratch)

    def still_holds(self):
        """Whether the numbers that the function read while it was recorded are what they were."""
        for value, data in self.guards:
            if tape.value[(<Handle>value).anchor.index] != data:
                return False
        return True

    cdef Program *program(self, bint gradients) except NULL:
        cdef Program **program = &self.backward if gradients else &self.forward
        cdef MakeStatus status
        if program[0] == NULL:
            status = program_make(&self.graph, gradients, program)
            arena_free(&self.scratch)
            check_made(status, &self.graph)
        return program[0]

    def stats(self):
        cdef size_t bytes = self.arena.bytes
        cdef uint32_t lanes = 0
        cdef Program *program
        for gradients in (False, True):
            program = self.backward if gradients else self.forward
            if program != NULL:
                bytes += program_bytes(program)
                lanes = program.lanes or lanes
        return CompiledStats(self.graph.recorded, self.graph.size, bytes, lanes,
                             len(self.parameters), kernels.name.decode())

    def listing(self, gradients):
        """The program as text."""
        cdef char *text = program_listing(self.program(gradients))
        if text == NULL:
            raise MemoryError
        try:
            return text.decode()
        finally:
            free(text)

    cdef void load(self, Program *program) noexcept:
        cdef Py_ssize_t k
        cdef double *p
        for k in range(PyList_GET_SIZE(self.parameters)):
            p = program_parameter(program, <uint32_t>k)
            if p != NULL:
                p[0] = tape.value[anchor_of(<PyObject *>PyList_GET_ITEM(self.parameters, k)).index]

    cdef void store_grads(self, Program *program) noexcept:
        cdef Py_ssize_t k
        cdef double *p
        for k in range(PyList_GET_SIZE(self.parameters)):
            p = program_parameter(program, <uint32_t>k)
            tape_set_adjoint(&tape, anchor_of(<PyObject *>PyList_GET_ITEM(self.parameters, k)).index,
                             p[program.plan.n_once] if p != NULL else 0.0)

    def evaluate(self, Arguments arguments, int threads):
        cdef Program *program = self.program(False)
        cdef Outputs outputs = Outputs(arguments.size, self.n_outputs if self.is_list else -1)
        cdef Batch batch = new_batch(arguments, threads)
        cdef RunStatus status
        batch.outputs = outputs.numbers
        self.load(program)
        if program.plan.work * <double>arguments.size > LONG_WORK:
            with nogil:
                status = program_evaluate(program, &batch)
        else:
            status = program_evaluate(program, &batch)
        check_run(status, &batch)
        return outputs

    def value_and_grad(self, Arguments arguments, bint is_mean, int threads):
        cdef Program *program = self.program(True)
        cdef Batch batch = new_batch(arguments, threads)
        cdef RunStatus status
        batch.is_mean = is_mean
        self.load(program)
        if program.plan.work * <double>arguments.size * 3 > LONG_WORK:
            with nogil:
                status = program_gradients(program, &batch)
        else:
            status = program_gradients(program, &batch)
        check_run(status, &batch)
        self.store_grads(program)
        return batch.loss

cdef Batch new_batch(Arguments arguments, int threads):
    cdef Batch batch
    memset(&batch, 0, sizeof(batch))
    batch.columns = arguments.columns
    batch.size = <size_t>arguments.size
    batch.threads = threads
    batch.is_mean = True
    batch.kernels = kernels
    batch.poll = poll_signals
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

def record(fn, Arguments arguments, skip=()):
    """Calls fn on new inputs and freezes the graph of its result: a Recorded.

    skip: names of optimiser passes to leave out.
    """
    with recording_lock:
        return record_locked(fn, arguments, skip_set(skip))

cdef unsigned skip_set(names) except? 0xFFFF:
    cdef unsigned skip = 0
    known = [name for name, _ in optimiser_passes()]
    for name in names:
        if name not in known:
            raise ValueError(f'skip: expected passes among {", ".join(known)}; got {name!r}')
        skip |= 1 << known.index(name)
    return skip

cdef Recorded record_locked(fn, Arguments arguments, unsigned skip):
    global recording, is_recording
    cdef Recording own = Recording()
    cdef Recorded recorded = Recorded()
    cdef list inputs, leaves = [], results
    cdef uint32_t *roots
    cdef uint32_t *parameters
    cdef Py_ssize_t k
    cdef FreezeStatus status
    own.guards = []
    own.thread = threading.get_ident()
    own.outer = recording
    own.inputs = <uint32_t *>malloc((arguments.n_columns + 1) * sizeof(uint32_t))
    if own.inputs == NULL:
        raise MemoryError
    tape.busy += 1      # so that nodes stay where they are
    roots = NULL
    try:
        own.mark = tape.size
        inputs = arguments.inputs()
        for value in inputs:
            leaves += value if isinstance(value, list) else [value]
        for k in range(len(leaves)):
            own.inputs[k] = anchor_of(<PyObject *>leaves[k]).index
        own.n_inputs = arguments.n_columns
        recording, is_recording = own, True
        depth = suspend_pause(own.thread)
        try:
            result = fn(*inputs)
        finally:
            restore_pause(own.thread, depth)
            recording, is_recording = own.outer, own.outer is not None
        recorded.is_list = isinstance(result, (list, tuple))
        results = list(result) if recorded.is_list else [result]
        for value in results:
            if not is_handle(value):
                raise TypeError(f'compile: expected the function to return a Value or a list of Values, '
                                f'got {"a list with " if recorded.is_list else ""}{type(value).__name__}')
        recorded.n_outputs = <uint32_t>len(results)
        recorded.guards = own.guards
        roots = <uint32_t *>malloc(<size_t>(len(results) + 1) * sizeof(uint32_t))
        if roots == NULL:
            raise MemoryError
        for k in range(len(results)):
            roots[k] = anchor_of(<PyObject *>results[k]).index
        status = graph_freeze(&recorded.graph, &tape, own.mark, own.inputs, own.n_inputs, roots,
                              <uint32_t>len(results), &parameters)
        if status == FREEZE_CLOSURE:
            raise TraceError('compile: the function made a Value with a _backward of its own, which cannot be '
                             'replayed; compose it of operations')
        if status == FREEZE_CUSTOM:
            raise TraceError('compile: the function called custom() on a Value that depends on an input: its value '
                             'and partials would be those of one sample; compose it of operations')
        if status == FREEZE_NO_MEMORY:
            raise MemoryError
        recorded.parameters = [value_at(parameters[k]) for k in range(recorded.graph.n_parameters)]
    finally:
        free(roots)
        tape.busy -= 1
    check_made(graph_optimise(&recorded.graph, skip, &recorded.arena), &recorded.graph)
    return recorded
