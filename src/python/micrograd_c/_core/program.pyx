# SPDX-License-Identifier: MIT
# Compiled functions: recorded once, replayed over batches.
cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.math cimport NAN, fabs, isfinite
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from headers.objects cimport Py_REFCNT
from headers.program cimport *
from headers.state cimport *
from headers.tape cimport *
from .arguments cimport Arguments, Views, release_views, view
from .executors cimport executor_named, level_in_use, preferred
from .handles cimport anchor_of, find_places, new_leaf, value_at
from .outputs cimport Outputs
from .numbers cimport expect_value, mixed
from .ranks cimport Exchange
from .record cimport record_unary
from .recording cimport Recording, check_change, check_read, refuse_rule, refuse_traced
from .runs cimport batch_of, check_run, new_batch

import collections
import os

from .recording import TraceError

cdef inline bint same_bits(double a, double b) noexcept:
    """Unlike ==: 0.0 is not -0.0, and a NaN is itself."""
    return memcmp(&a, &b, sizeof(double)) == 0

cdef enum:
    LONG_WORK = 200_000     # multiply-adds: what takes longer lets other threads run

# -- the making --------------------------------------------------------------------------------------

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

# -- recorded functions -----------------------------------------------------------------------------

CompiledStats = collections.namedtuple(
    'CompiledStats', 'recorded_nodes optimised_nodes bytes lanes parameters level executor dtype reason draws rows')
CompiledStats.__doc__ = """nodes that the result depends on, as recorded, those of loops' bodies among
them; nodes after optimisation; bytes of
the program with its memory; samples that one instruction stream computes at a time, in the last run;
parameters; the level of vector units; the executor of the last run: 'native', 'vector' or 'scalar';
what samples are computed in: 'float64' or 'float32'; what speaks against the executors that come
first, such as 'not native: ...', or None: nothing does, or this one was asked for; random
numbers drawn for a sample; numbers of a sample that memory holds at a time, in the last run: rows are
used again, and machine code keeps what it can in registers."""

cdef str READS_DATA = 'a call of a compiled function, with numbers, reads the data'

cdef Arena scratch      # for what a making needs meanwhile: one at a time, under the GIL

@cython.final
cdef class Recorded:
    """A function's graph for one structure of arguments, and the programs made of it.

    A program has one working memory, so a run takes one that nobody uses, and gives it back: runs of
    several threads, and those that a signal handler or a callback starts in the middle of another, do
    not meet.
    """
    def __cinit__(self):
        self.graph.arena = &self.raw
        self.gradient.arena = &self.gradient_arena
        self.graph.scratch = self.gradient.scratch = &scratch

    def __dealloc__(self):
        cdef int gradients, k
        cdef Program *program
        for gradients in range(2):
            for k in range(self.n_idle[gradients]):
                program = self.idle[gradients][k]
                program.executor.free(program)
        arena_free(&self.raw)
        arena_free(&self.arena)
        arena_free(&self.gradient_arena)
        free(self.places.spans)

    def still_holds(self):
        """Whether the numbers that the function read while it was recorded are what they were, to the bit."""
        cdef uint32_t i
        for value, is_grad, number in self.guards:
            i = anchor_of(<PyObject *>value).index
            if not same_bits(tape_adjoint(&tape, i) if is_grad else tape.value[i], number):
                return False
        return True

    def check_movable(self, str what, list values):
        """TraceError if the function reads a number that changes where those of these parameters do."""
        cdef set trained, moved
        if not self.guards:
            return
        trained = set([id(value) for value in values])
        moved = trained.union([id(value) for value in self.parameters])
        for value, is_grad, _ in self.guards:
            if id(value) in (moved if is_grad else trained):
                raise TraceError(f'{what}: the function reads {".grad" if is_grad else "the number"} of a parameter '
                                 f'that changes; compute with the Value itself, or with detach(); for a comparison, '
                                 f'where(w - 1.0, a, b) is where(w > 1.0, a, b)')

    cdef int note_reads(self) except -1:
        """A run's numbers are read by the function that this thread is recording, if it is."""
        if not is_recording:
            return 0
        for value in self.parameters:
            check_read(value, READS_DATA)
        for value, is_grad, _ in self.guards:
            check_read(value, READS_DATA, is_grad)
        return 0

    cdef Graph *gradient_graph(self) except NULL:
        """The gradient graph, made now if it is the first time."""
        cdef MakeStatus status
        if self.gradient.size == 0:
            status = graph_differentiate(&self.graph, &self.gradient)
            arena_rest(&scratch)
            if status != MADE:      # nothing is left behind
                self.gradient.size = 0
                arena_free(&self.gradient_arena)
            check_made(status, &self.gradient)
        return &self.gradient

    cdef Program *take(self, bint gradients) except NULL:
        """A program that nobody else uses until it is given back."""
        cdef Program *program = NULL
        cdef Graph *graph
        cdef const Executor *executor
        cdef const char *reason
        cdef MakeStatus status = MADE
        if self.n_idle[gradients] > 0:
            self.n_idle[gradients] -= 1
            return self.idle[gradients][self.n_idle[gradients]]
        graph = self.gradient_graph() if gradients else &self.graph
        executor = preferred(self.wanted)
        if executor == NULL:
            executor = executor_for(graph)
        reason = executor.refuses(graph)
        if reason != NULL:
            raise ValueError(f'compile: executor {executor.name.decode()!r} cannot run this function: '
                             f'{reason.decode()}')
        self.used = executor
        status = executor.make(graph, &program)
        self.places.moves = 0   # where parameters stood in a program that is gone
        arena_rest(&scratch)
        check_made(status, graph)
        return program

    cdef void give_back(self, Program *program, bint gradients) noexcept:
        if program.lanes:
            self.lanes, self.rows = program.lanes, program.rows
        if self.n_idle[gradients] < MOST_IDLE:
            self.idle[gradients][self.n_idle[gradients]] = program
            self.n_idle[gradients] += 1
        else:
            program.executor.free(program)

    cdef const Executor *executor_in_use(self):
        """The one that the last program was made for, or that the next one will be."""
        cdef const Executor *executor = self.used if self.used != NULL else preferred(self.wanted)
        return executor if executor != NULL else executor_for(&self.graph)

    cdef str reason_for(self, const Executor *executor):
        """What speaks against those that come before it; None: nothing does, or it was asked for."""
        cdef const Graph *graph = &self.gradient if self.gradient.size else &self.graph
        cdef const Executor *const *better = executors
        cdef const char *reason
        cdef list reasons = []
        while preferred(self.wanted) == NULL and better[0] != executor:
            reason = reason_against(better[0], graph)
            if reason != NULL:      # made while another was asked for by set_executor()
                reasons.append(f'not {better[0].name.decode()}: {reason.decode()}')
            better += 1
        return ', '.join(reasons) or None

    def choice_of_executor(self):
        """Which executor it is, and what speaks against the better ones; None where it was asked for."""
        cdef const Executor *executor = self.executor_in_use()
        if preferred(self.wanted) != NULL:
            return None
        return ', '.join([f'executor {executor.name.decode()}', *filter(None, [self.reason_for(executor)])])

    def stats(self):
        cdef size_t bytes = self.arena.bytes + self.gradient_arena.bytes
        cdef int gradients, k
        cdef Program *program
        cdef const Executor *executor = self.executor_in_use()
        for gradients in range(2):
            for k in range(self.n_idle[gradients]):
                program = self.idle[gradients][k]
                bytes += program.executor.bytes(program)
        return CompiledStats(self.graph.recorded, count_nodes(&self.graph), bytes, self.lanes, len(self.parameters),
                             level_in_use().name.decode(), executor.name.decode(),
                             'float32' if self.graph.is_float32 else 'float64', self.reason_for(executor),
                             len(self.drawn) + <int64_t>count_draws(&self.graph), self.rows)

    def listing(self, bint gradients):
        """The program as text."""
        cdef Program *program = self.take(gradients)
        cdef char *text = program.executor.listing(program)
        self.give_back(program, gradients)
        if text == NULL:
            raise MemoryError
        try:
            return text.decode()
        finally:
            free(text)

    cdef void load(self, Program *program, Arguments numbers=None) noexcept:
        """Gives the program's parameters their Values' numbers, or these."""
        cdef Py_ssize_t k
        cdef double *p
        cdef Py_ssize_t n = PyList_GET_SIZE(self.parameters)
        if numbers is None:
            find_places(&self.places, self.parameters, program.parameter_at)
            program_load(program, &tape, self.places.spans, self.places.n_spans)
            return
        for k in range(n):
            p = program_parameter(program, <uint32_t>k)
            if p != NULL:
                p[0] = numbers.number(0, k)

    cdef void store_grads(self, Program *program) noexcept:
        find_places(&self.places, self.parameters, program.parameter_at)
        program_store_adjoints(program, &tape, self.places.spans, self.places.n_spans)

    cdef int check_numbers(self, Arguments numbers) except -1:
        if numbers is not None and (numbers.structure != (-1,) or numbers.size != len(self.parameters)):
            raise ValueError(f'expected a number for each of {len(self.parameters)} parameters')
        return 0

    def evaluate(self, Arguments arguments, int threads, Arguments numbers=None):
        """The results for a batch: a list of Outputs. numbers: for the parameters, instead of their own."""
        self.note_reads()
        self.check_numbers(numbers)
        cdef list outputs = [Outputs(arguments.size, shape) for shape in self.shapes]
        cdef Batch batch = batch_of(arguments, True, threads)
        cdef Program *program = self.take(False)
        cdef Target *targets = <Target *>malloc(program.n_roots * sizeof(Target) + 1)
        if targets == NULL:
            self.give_back(program, False)
            raise MemoryError
        place_outputs(outputs, targets)
        batch.targets = targets
        self.load(program, numbers)
        try:
            check_run(self.evaluate_with(program, &batch), &batch)
        finally:
            free(targets)
            self.give_back(program, False)
        return outputs

    cdef RunStatus evaluate_with(self, Program *program, Batch *batch) noexcept:
        if program.work * <double>batch.size > LONG_WORK:
            with nogil:
                return program.executor.evaluate(program, batch)
        return program.executor.evaluate(program, batch)

    cdef RunStatus gradients(self, Program *program, Batch *batch) noexcept:
        if program.work * <double>batch.size * 3 > LONG_WORK:
            with nogil:
                return program.executor.gradients(program, batch)
        return program.executor.gradients(program, batch)

    def value_and_grad(self, Arguments arguments, bint is_mean, int threads, Exchange exchange=None):
        """The loss of a batch, and of those of the other ranks; the parameters get their grads."""
        check_change('value_and_grad(), which sets grads, was called')
        cdef Batch batch = batch_of(arguments, is_mean, threads)
        return self.loss_and_grads(&batch, exchange)

    def fingerprint(self):
        """What tells this program with its parameters' numbers from others, as text."""
        cdef Py_ssize_t k, n = PyList_GET_SIZE(self.parameters)
        cdef uint64_t mark = self.graph.recorded
        for k in range(n):
            mark = mixed(mark, tape.value[anchor_of(PyList_GET_ITEM(self.parameters, k)).index])
        return f'{self.graph.recorded} nodes, {n} parameters', f'{mark:016x}'

    def loss(self, Arguments arguments, bint is_mean, int threads):
        """The loss of a batch, without gradients."""
        cdef Outputs numbers
        cdef double total = 0, rest = 0, number, next
        cdef Py_ssize_t k
        numbers, = self.evaluate(arguments, threads)
        for k in range(arguments.size):     # Neumaier's compensated sum (1974)
            number = numbers.numbers[k]
            next = total + number
            rest += (total - next) + number if fabs(total) >= fabs(number) else (number - next) + total
            total = next
        total += rest if isfinite(rest) else 0.0
        if not is_mean:
            return total
        return total / <double>arguments.size if arguments.size else NAN

    def again(self, tuple arrays, bint is_mean, int threads):
        """value_and_grad(), where that takes no more than the arrays' addresses: None if it takes more."""
        cdef Views views
        cdef Batch batch
        if is_recording or not self.is_loss or self.draws or not self.still_holds():
            return None
        views.n_buffers = 0
        try:
            if not view(&views, arrays, self.structure):
                return None
            batch = new_batch(views.columns, views.size, is_mean, threads)
            return self.loss_and_grads(&batch)
        finally:
            release_views(&views)

    cdef double loss_and_grads(self, Batch *batch, Exchange exchange=None) except? -1:
        cdef Program *program = self.take(True)
        cdef RunStatus status
        self.load(program)
        try:
            status = self.gradients(program, batch)
            if exchange is None:
                check_run(status, batch)
            elif exchange.meet(program, batch, status) != RUN_DONE:
                exchange.check()
            self.store_grads(program)
        finally:
            self.give_back(program, True)
        return batch.loss

    def value_and_grad_at(self, Arguments arguments, Arguments numbers, bint is_mean, int threads):
        """The loss of a batch where the parameters have these numbers, and its derivatives by them, Outputs.

        What the parameters have themselves, data and grads, stays.
        """
        self.note_reads()
        self.check_numbers(numbers)
        cdef Outputs derivatives = Outputs(len(self.parameters), ())
        cdef Batch batch = batch_of(arguments, is_mean, threads)
        cdef Program *program = self.take(True)
        cdef Py_ssize_t k
        self.load(program, numbers)
        try:
            check_run(self.gradients(program, &batch), &batch)
            for k in range(len(self.parameters)):
                derivatives.numbers[k] = program_adjoint(program, <uint32_t>k)
        finally:
            self.give_back(program, True)
        return batch.loss, derivatives

    @property
    def draws(self):
        """Whether it wants a seed."""
        return has_draws(&self.graph) != 0 or len(self.drawn) > 0

    def zeros(self):
        """For each number of a sample's results, whether it is 0 for whatever arguments and parameters."""
        cdef list found = []
        cdef uint32_t r
        cdef const Node *node
        for r in range(self.graph.n_roots):
            node = &self.graph.nodes[self.graph.roots[r]]
            found.append(node.op == NODE_CONSTANT and node.number == 0)
        return found

cdef void place_outputs(list outputs, Target *targets) noexcept:
    """Where each root's numbers go: the roots are the results' numbers, one after the other."""
    cdef size_t root = 0, k, stride
    cdef Outputs part
    for part in outputs:
        stride = <size_t>part.strides[0] // sizeof(double)
        for k in range(stride):
            targets[root].data = part.numbers + k
            targets[root].stride = stride
            root += 1

cdef unsigned skip_set(names) except? 0xFFFF:
    cdef unsigned skip = 0
    known = [name for name, _ in optimiser_passes()]
    for name in names:
        if name not in known:
            raise ValueError(f'skip: expected passes among {", ".join(known)}; got {name!r}')
        skip |= 1 << known.index(name)
    return skip

cdef int hide_own_leaves(Recording recording, list results) except -1:
    """Leaves that the function has made, and that nobody has but these results, are no parameters: a leaf
    that somebody holds would be one."""
    cdef dict count = {}, instead = {}
    cdef PyObject *value
    cdef Py_ssize_t k
    for k in range(len(results)):
        value = PyList_GET_ITEM(results, k)
        count[<uintptr_t>value] = count.get(<uintptr_t>value, 0) + 1
    for k in range(len(results)):
        value = PyList_GET_ITEM(results, k)
        if <uintptr_t>value in instead:
            results[k] = instead[<uintptr_t>value]
        elif (Py_REFCNT(value) == <Py_ssize_t>count[<uintptr_t>value] and anchor_of(value).index > recording.mark
                and tape.op[anchor_of(value).index] == OP_leaf):
            instead[<uintptr_t>value] = record_unary(<object>value, OP_same)
            results[k] = instead[<uintptr_t>value]
    return 0

def record(fn, read_result, Arguments arguments, skip=(), executor=None, bint is_float32=False,
           Py_ssize_t directions=0):
    """Calls fn on new inputs and freezes the graph of its result: a Recorded.

    read_result: takes what fn returns apart, and gives (layout, shapes, Values), the latter in order.
    skip: names of optimiser passes to leave out. executor: by name, or None. is_float32: what samples are computed in.
    directions: if not 0, fn gets a list of so many more Values. These are then the inputs that differ from
    lane to lane, and the arguments' are among the parameters: what depends on them alone is computed once.
    """
    cdef unsigned skipped = skip_set(skip)
    cdef Recording recording = Recording()
    cdef Recorded recorded = Recorded()
    cdef list inputs, leaves = [], results
    cdef uint32_t *roots = NULL
    cdef uint32_t *parameters
    cdef uint32_t n_point = 0
    cdef Varying varying
    cdef Py_ssize_t k
    cdef FreezeStatus status
    cdef MakeStatus made
    recorded.wanted = executor_named(executor)
    recorded.graph.is_float32 = is_float32
    tape.busy += 1      # so that nodes stay where they are
    try:
        recording.marker = new_leaf(0.0)
        inputs = arguments.inputs()
        for value in inputs:
            leaves += value if isinstance(value, list) else [value]
        if directions:
            n_point = <uint32_t>len(leaves)
            inputs.append([new_leaf(0.0) for _ in range(directions)])
            leaves += inputs[len(inputs) - 1]
        recording.begin(leaves)
        try:
            recorded.layout, recorded.shapes, results = read_result(fn(*inputs))
            for value in results:
                expect_value(value, 'compile: the result')
            value = None    # which hide_own_leaves would count as somebody who holds the last one
            hide_own_leaves(recording, results)
            recorded.guards = recording.lasting_guards()
            roots = <uint32_t *>malloc(<size_t>(len(results) + 1) * sizeof(uint32_t))
            if roots == NULL:
                raise MemoryError
            for k in range(len(results)):
                roots[k] = anchor_of(<PyObject *>results[k]).index
            varying.inputs = recording.inputs + n_point
            varying.n_inputs = recording.n_inputs - recording.draws.size - n_point
            varying.draws = recording.draws.items
            varying.n_draws = 0 if directions else recording.draws.size
            status = graph_freeze(&recorded.graph, &tape, recording.mark, &varying, roots, <uint32_t>len(results),
                                  &parameters)
            if status == FREEZE_CLOSURE:
                refuse_rule()
            if status == FREEZE_CUSTOM:
                raise TraceError('compile: the function called custom() on a Value that depends on an input: its '
                                 'value and partials would be those of one sample; compose it of operations')
            if status == FREEZE_NO_MEMORY:
                raise MemoryError
            recorded.parameters = [value_at(parameters[k]) for k in range(recorded.graph.n_parameters)]
        finally:
            recording.end()
        columns = {id(leaf): column for column, leaf in enumerate(leaves[:n_point])}
        recorded.point = [columns.get(id(value)) for value in recorded.parameters]
        draws = {id(leaf): k for k, leaf in enumerate(leaves[len(leaves) - <Py_ssize_t>recording.draws.size:])}
        recorded.drawn = [(place, draws[id(value)], recording.draws.items[<Py_ssize_t>draws[id(value)]].kind)
                          for place, value in enumerate(recorded.parameters) if id(value) in draws]
        # Inputs and draws among them have leaked; their numbers come from the samples, into rows of stand-ins.
        recorded.parameters = [new_leaf(0.0) if id(value) in columns or id(value) in draws else value
                               for value in recorded.parameters]
        recorded.places.spans = <Span *>malloc((recorded.graph.n_parameters + <size_t>1) * sizeof(Span))
        if recorded.places.spans == NULL:
            raise MemoryError
        recorded.structure = arguments.structure
        recorded.is_loss = recorded.layout is None and recorded.shapes[0] == () and not directions
        if is_recording:
            for value in recorded.parameters:
                refuse_traced(value, READS_DATA)
    finally:
        free(roots)
        tape.busy -= 1
    made = graph_optimise(&recorded.graph, skipped, &recorded.arena)
    arena_rest(&scratch)
    check_made(made, &recorded.graph)
    return recorded
