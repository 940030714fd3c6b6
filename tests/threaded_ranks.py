# SPDX-License-Identifier: MIT
"""Ranks that are threads, whose communicator does what mpi4py's does; and what they train."""

import math
import random
import threading

import micrograd_c as mc
from micrograd_c import nn, optim

SAMPLES = 37


class Meeting:
    """Where the ranks, threads, lay down what they send."""

    def __init__(self, size):
        self.size, self.barrier = size, threading.Barrier(size, timeout=60)
        self.parts = [b""] * size


class Comm:
    """Allgather by threads. It refuses what MPI refuses: parts of different sizes."""

    def __init__(self, meeting, rank):
        self.meeting, self.rank, self.exchanges = meeting, rank, []

    def Get_size(self):
        return self.meeting.size

    def Get_rank(self):
        return self.rank

    def Allgather(self, sent, received):
        meeting, sent = self.meeting, bytes(memoryview(sent).cast("B"))
        self.exchanges.append(len(sent))
        meeting.parts[self.rank] = sent
        meeting.barrier.wait()
        sizes = {len(part) for part in meeting.parts}
        assert len(sizes) == 1, f"the ranks exchange different things: {sizes}"
        memoryview(received).cast("B")[:] = b"".join(meeting.parts)
        meeting.barrier.wait()


def on_ranks(size, work):
    """What work(comm) gives or raises, on each of so many ranks."""
    meeting, found = Meeting(size), [None] * size

    def run(rank):
        try:
            found[rank] = work(Comm(meeting, rank))
        except BaseException as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a rank hangs"
    return found


def samples(n=SAMPLES):
    rng = random.Random(3)
    xs = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(n)]
    return xs, [math.sin(2 * a) + b * c for a, b, c in xs]


def part(columns, rank, size):
    """A rank's samples: the ranks' parts are of different sizes, and the first may be empty."""
    borders = [len(columns[0]) * k * (k + 1) // (size * (size + 1)) for k in range(size + 1)]
    return tuple(column[borders[rank] : borders[rank + 1]] for column in columns)


_making = threading.Lock()


def network(seed=8):
    with _making:  # the ranks share Python's generator here
        random.seed(seed)
        return nn.MLP(3, [5, 1], output_activation="linear")


def squared_error(model):
    def loss(x, y):
        penalty = mc.sum([p * p for p in model.parameters()]) * 1e-3
        return (model(x) - y) ** 2 + penalty

    return loss


def numbers(model):
    return [(p.data, p.grad) for p in model.parameters()]


def both(work):
    """Two ranks' exceptions."""
    found = on_ranks(2, work)
    assert all(isinstance(error, BaseException) for error in found), found
    return found


def fit(comm, arrays, model=None, **options):
    model = model or network()
    f = mc.compile(squared_error(model))
    settings = {"optimizer": optim.SGD(model.parameters(), 0.1), "steps": 5, **options}
    try:
        return f.fit(*arrays, **settings, comm=comm)
    finally:
        fit.models[comm.rank] = model


fit.models = {}
