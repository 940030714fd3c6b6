# SPDX-License-Identifier: MIT
# Gradients of samples that are spread over ranks: one exchange a step.
cimport cython
from libc.math cimport NAN
from libc.string cimport memcpy, memset

from headers.program cimport *
from .outputs cimport Outputs
from .runs cimport check_run

cdef enum:
    FINE, ENOUGH, FAILED, UNDONE    # what a rank says of itself; the later, the stronger
    STATE = 0, SAMPLES, LOSS, GRADIENT
    MESSAGE = 64                    # doubles: 512 bytes of text

@cython.final
cdef class Exchange:
    """What the ranks of a communicator tell each other after each run for gradients, in one Allgather.

    Each sends how it fares, how many samples it has had, their loss, the adjoint of each parameter, and of an
    error its text. Each adds up the parts of all by itself, in the order of the ranks: so all have the same, to
    the bit, whatever the communicator's own sums would do. A rank that fails, or has enough, says so in place of
    its part, so that nobody waits for it.
    """
    def __init__(self, comm, int size, Py_ssize_t n_parameters):
        self.comm, self.size = comm, size
        self.n = n_parameters
        self.stride = GRADIENT + n_parameters + MESSAGE
        self.sent, self.all = Outputs(self.stride, ()), Outputs(self.size * self.stride, ())

    cdef int pass_round(self, int state, str message) except -1:
        """Sends what stands in self.sent, and hears of the others. Raises the first error that there is."""
        cdef double *sent = self.sent.numbers
        cdef const double *part = self.all.numbers
        cdef char *text = <char *>(sent + GRADIENT + self.n)
        cdef bytes said = message.encode(errors='replace')[:MESSAGE * sizeof(double) - 1]
        cdef int rank, worst = FINE, who = 0
        sent[STATE] = state
        memset(text, 0, MESSAGE * sizeof(double))
        memcpy(text, <const char *>said, <size_t>len(said))
        self.comm.Allgather(memoryview(self.sent), memoryview(self.all))
        for rank in range(self.size):
            if part[STATE] > worst:
                worst, who = <int>part[STATE], rank
            part += self.stride
        if worst == FINE:
            return 0
        self.is_over = True
        self.is_undone = worst == UNDONE
        self.teller = who
        if worst != ENOUGH and state < FAILED:
            part = self.all.numbers + who * self.stride + GRADIENT + self.n
            raise RuntimeError(f'rank {who}: {(<const char *>part).decode(errors="replace")}')
        return 0

    cdef size_t total(self) noexcept:
        """Samples of all ranks."""
        cdef size_t samples = 0
        cdef int rank
        for rank in range(self.size):
            samples += <size_t>self.all.numbers[rank * self.stride + SAMPLES]
        return samples

    cdef double share(self, int rank, size_t total) noexcept:
        """By how much a rank's part counts: by its samples of so many, or, of 0, as one of a sum. 0: it has none."""
        cdef double samples = self.all.numbers[rank * self.stride + SAMPLES]
        return samples / <double>total if total else <double>(samples > 0)

    cdef double whole_loss(self, bint is_mean) noexcept:
        """Of all ranks' samples: the sum of their parts, or the mean by their counts."""
        cdef size_t total = self.total() if is_mean else 0
        cdef double loss = NAN if is_mean and total == 0 else 0.0
        cdef double share
        cdef int rank
        for rank in range(self.size):
            share = self.share(rank, total)
            if share > 0:
                loss += share * self.all.numbers[rank * self.stride + LOSS]
        return loss

    cdef void put_together(self, Program *program, Batch *batch) noexcept:
        """Loss and adjoints of all samples, from all ranks' parts."""
        cdef const double *part
        cdef int rank, k
        cdef double share
        cdef double *adjoint
        cdef size_t total = self.total() if batch.is_mean else 0
        batch.loss = self.whole_loss(batch.is_mean)
        for k in range(self.n):
            adjoint = program_parameter(program, <uint32_t>k)
            if adjoint != NULL:
                adjoint[program.to_adjoint] = 0.0
        for rank in range(self.size):
            share = self.share(rank, total)
            if share == 0:
                continue
            part = self.all.numbers + rank * self.stride + GRADIENT
            for k in range(self.n):
                adjoint = program_parameter(program, <uint32_t>k)
                if adjoint != NULL:
                    adjoint[program.to_adjoint] += share * part[k]

    def loss_of_all(self, double loss, size_t samples, bint is_mean):
        """The loss of all ranks' samples, of which these are this rank's."""
        self.sent.numbers[SAMPLES], self.sent.numbers[LOSS] = <double>samples, loss
        self.pass_round(FINE, '')
        return self.whole_loss(is_mean)

    cdef void take_over(self, Program *program) noexcept:
        """The gradients of the rank that has had enough, in place of those of a step that is not made."""
        cdef const double *theirs = self.all.numbers + self.teller * self.stride + GRADIENT
        cdef double *number
        cdef uint32_t k
        for k in range(<uint32_t>self.n):
            number = program_parameter(program, k)
            if number != NULL:
                number[program.to_adjoint] = theirs[k]

    cdef RunStatus meet(self, Program *program, Batch *batch, RunStatus status) noexcept:
        """Puts together what the ranks have found. RUN_STOPPED: see check()."""
        cdef double *sent = self.sent.numbers
        cdef uint32_t k
        batch.is_known = 0      # Python's code runs, which may change the samples
        try:
            try:
                check_run(status, batch)
            except BaseException as error:
                self.error = error
                self.pass_round(UNDONE if status == RUN_BAD_INDEX else FAILED, described(error))
                return RUN_STOPPED
            sent[SAMPLES], sent[LOSS] = <double>batch.size, batch.loss
            for k in range(<uint32_t>self.n):
                sent[GRADIENT + k] = program_adjoint(program, k)
            self.pass_round(FINE, '')
            if self.is_over:
                self.take_over(program)
                return RUN_STOPPED
            self.put_together(program, batch)
            return RUN_DONE
        except BaseException as error:
            self.is_over = True
            if self.error is None:
                self.error = error
            return RUN_STOPPED

    cdef int check(self) except -1:
        """Raises what has ended it; where a rank has had enough, nothing."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        return 0

    def end(self, list parameters, error=None):
        """The last word: that this rank has come to its end, has had enough (an error of True), or failed.

        Raises the error of another rank.
        """
        cdef double *sent = self.sent.numbers
        cdef Py_ssize_t k
        if self.is_over:
            return
        self.is_over = True     # whatever comes of it
        for k in range(self.n):
            sent[GRADIENT + k] = parameters[k].grad
        if error is None or error is True:
            self.pass_round(FINE if error is None else ENOUGH, '')
        else:
            self.pass_round(FAILED, described(error))

def described(error):
    """The error's class and message, as other ranks hear of it; without the message where that fails."""
    try:
        message = str(error)
    except Exception:
        message = ''
    return f'{type(error).__name__}: {message}' if message else type(error).__name__

cdef RunStatus meet_ranks(void *exchange, Program *program, Batch *batch, RunStatus status) noexcept nogil:
    with gil:
        return (<Exchange>exchange).meet(program, batch, status)
