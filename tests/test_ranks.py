# SPDX-License-Identifier: MIT
"""Samples spread over ranks: the same loss, gradients and parameters on each, to the bit.

Ranks are threads here, whose communicator does what mpi4py's does; with mpi4py and an mpiexec at
hand, the same holds for processes.
"""

import importlib.util
import json
import math
import random
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import Value, nn, optim

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


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_value_and_grad_is_that_of_all_samples(size, reduction):
    def work(comm):
        model = network()
        f = mc.compile(squared_error(model), reduction=reduction)
        loss = f.value_and_grad(*part(samples(), comm.rank, size), comm=comm)
        return loss, [p.grad for p in model.parameters()]

    found = on_ranks(size, work)
    assert all(theirs == found[0] for theirs in found)
    model = network()
    loss = mc.compile(squared_error(model), reduction=reduction).value_and_grad(*samples())
    assert found[0][0] == pytest.approx(loss, rel=1e-13)
    assert found[0][1] == pytest.approx([p.grad for p in model.parameters()], rel=1e-12, abs=1e-15)


def drawing(w):
    """Of the draws of the function and of those of a loop in it."""

    def fn(x):
        def body(c, _):
            return c * 0.5 + w * mc.random.normal(), None

        last, _ = mc.scan(body, x, length=3)
        return (w * x - mc.random.normal()) ** 2 + w * mc.random.uniform() + last * last

    return mc.compile(fn)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_draws_are_those_of_one_rank_that_has_all_samples(size):
    xs = (np.linspace(-1, 1, SAMPLES),)

    def train(f, w, arrays, held_out, **options):
        loss = f.value_and_grad(*arrays, seed=4, **options)
        slope = w.grad
        history = f.fit(
            *arrays,
            optimizer=optim.SGD([w], lr=0.1),
            epochs=5,
            validation=held_out,
            seed=6,
            **options,
        )
        return loss, slope, [*history], history.validation, w.data

    def work(comm):
        w = Value(0.5)
        mine = part(xs, comm.rank, size)
        return train(drawing(w), w, mine, mine, comm=comm)

    found = on_ranks(size, work)
    assert all(theirs == found[0] for theirs in found)
    w = Value(0.5)
    expected = train(drawing(w), w, xs, xs)
    for theirs, ours in zip(found[0], expected, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-12)


def test_without_a_seed_draws_are_by_that_of_rank_0():
    def work(comm):
        f = drawing(Value(0.5))
        return [f.value_and_grad(np.ones(3), comm=comm) for _ in range(2)]

    found = on_ranks(2, work)
    assert found[0] == found[1] and found[0][0] != found[0][1]


def test_more_samples_than_draws_tell_apart_are_refused_on_all_ranks():
    def work(comm):
        return mc.compile(mc.random.normal).value_and_grad(samples=2**31 + 1, comm=comm)

    for error in on_ranks(2, work):
        assert isinstance(error, ValueError) and "4294967298 samples" in str(error)


def test_monte_carlo_over_ranks_takes_no_arrays():
    def work(comm):
        return mc.compile(mc.random.normal).value_and_grad(samples=500, seed=1, comm=comm)

    whole = mc.compile(mc.random.normal).value_and_grad(samples=1000, seed=1)
    assert on_ranks(2, work) == [pytest.approx(whole, rel=1e-12)] * 2


def test_a_rank_without_samples_adds_nothing():
    def work(comm):
        model = network()
        xs, ys = samples(4)
        mine = (xs, ys) if comm.rank == 0 else (np.empty((0, 3)), np.empty(0))
        loss = mc.compile(squared_error(model)).value_and_grad(*mine, comm=comm)
        return loss, [p.grad for p in model.parameters()]

    found = on_ranks(2, work)
    assert found[0] == found[1]
    model = network()
    loss = mc.compile(squared_error(model)).value_and_grad(*samples(4))
    assert found[0] == (loss, [p.grad for p in model.parameters()])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_samples_at_all_are_as_on_one_rank(reduction):
    def work(comm=None):
        model = network()
        f = mc.compile(squared_error(model), reduction=reduction)
        loss = f.value_and_grad(np.empty((0, 3)), np.empty(0), comm=comm)
        return repr(loss), [p.grad for p in model.parameters()]

    assert on_ranks(2, work) == [work()] * 2


RULES = {
    "SGD": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "groups": lambda p: optim.Adam([{"params": p[::2]}, {"params": p[1::2], "lr": 0.01}]),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [2, 3])
def test_fit_keeps_all_ranks_the_same_to_the_bit_and_is_that_of_all_samples(size, rule):
    def work(comm):
        model = network()
        f = mc.compile(squared_error(model))
        mine = part(samples(), comm.rank, size)
        losses = f.fit(
            *mine, optimizer=RULES[rule](model.parameters()), steps=25, clip_norm=0.5, comm=comm
        )
        return list(losses), numbers(model)

    found = on_ranks(size, work)
    assert all(theirs == found[0] for theirs in found)
    model = network()
    losses = mc.compile(squared_error(model)).fit(
        *samples(), optimizer=RULES[rule](model.parameters()), steps=25, clip_norm=0.5
    )
    assert found[0][0] == pytest.approx(losses, rel=1e-9)
    assert [d for d, _ in found[0][1]] == pytest.approx([p.data for p in model.parameters()], 1e-9)


def test_minibatches_epochs_validation_and_a_scheduler():
    def work(comm):
        model = network()
        f = mc.compile(squared_error(model))
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        history = f.fit(
            *part(samples(), comm.rank, 2),
            optimizer=optimizer,
            epochs=12,
            batch_size=5,
            shuffle=True,
            seed=comm.rank,
            scheduler=optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1),
            validation=part(samples(11), comm.rank, 2),
            patience=6,
            comm=comm,
        )
        return list(history), history.validation, optimizer.lr, [d for d, _ in numbers(model)]

    found = on_ranks(2, work)
    assert found[0] == found[1]
    losses, validation, _, _ = found[0]
    # Of 37 samples, the second rank has 25: five batches an epoch.
    assert len(losses) == 5 * len(validation)
    assert losses[-1] < losses[0]


def test_one_exchange_a_step_beside_the_first_and_the_last():
    def work(comm):
        model = network()
        mc.compile(squared_error(model)).fit(
            *part(samples(), comm.rank, 2),
            optimizer=optim.SGD(model.parameters(), 0.1),
            steps=10,
            comm=comm,
        )
        return comm.exchanges

    found = on_ranks(2, work)
    assert found[0] == found[1]
    assert len(found[0]) == 1 + 10 + 1


# -- errors: all ranks hear of them, none waits ----------------------------------------------------


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


def test_bad_arrays_on_one_rank():
    def work(comm):
        xs, ys = samples(4)
        fit(comm, (xs, ys if comm.rank == 0 else ys[:3]))

    others, own = both(work)
    assert type(own) is ValueError
    assert type(others) is RuntimeError and str(others).startswith("rank 1: ValueError: ")


def test_an_exception_of_a_callback_ends_all_after_the_same_step():
    def work(comm):
        def callback(step, loss):
            if comm.rank == 1 and step == 2:
                raise ZeroDivisionError("in the callback")

        fit(comm, samples(4), steps=50, callback=callback)

    others, own = both(work)
    assert type(own) is ZeroDivisionError
    assert str(others) == "rank 1: ZeroDivisionError: in the callback"
    data = [[p.data for p in fit.models[rank].parameters()] for rank in (0, 1)]
    assert data[0] == data[1]
    alone = network()
    mc.compile(squared_error(alone)).fit(
        *samples(4), optimizer=optim.SGD(alone.parameters(), 0.1), steps=3
    )
    assert data[0] == pytest.approx([p.data for p in alone.parameters()], rel=1e-12)


def test_a_rank_whose_callback_has_enough_ends_all():
    def work(comm):
        enough = (lambda step, loss: step == 3) if comm.rank == 0 else None
        return len(fit(comm, samples(4), steps=50, callback=enough))

    assert on_ranks(2, work) == [4, 4]
    assert numbers(fit.models[0]) == numbers(fit.models[1])


def test_a_bad_index_on_one_rank_undoes_the_run_on_all():
    def work(comm):
        w = [Value(1.0), Value(2.0)]
        f = mc.compile(lambda i, y: (mc.take(w, i) - y) ** 2)
        indices = [0, 1, 1, 0] if comm.rank == 0 else [0, 1, 1, 7]
        try:
            f.fit(
                indices,
                [0.0] * 4,
                optimizer=optim.SGD(w, 0.1),
                steps=8,
                batch_size=1,
                comm=comm,
            )
        finally:
            left[comm.rank] = [value.data for value in w]

    left = {}
    others, own = both(work)
    assert type(own) is IndexError
    assert str(others).startswith("rank 1: IndexError: take: index 7")
    assert left == {0: [1.0, 2.0], 1: [1.0, 2.0]}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (lambda rank: {"steps": 5 + rank}, "steps"),
        (lambda rank: {"batch_size": 2 + rank}, "batch_size"),
        (lambda rank: {"clip_norm": 1.0 + rank}, "clip_norm"),
        (lambda rank: {"model": network(8 + rank)}, "parameters"),
    ],
)
def test_ranks_that_do_different_things(options, name):
    def work(comm):
        fit(comm, samples(4), **options(comm.rank))

    for error in both(work):
        assert type(error) is ValueError
        assert str(error).startswith(f"fit: the ranks do not do the same: {name} is ")


def test_ranks_that_call_different_things():
    def work(comm):
        if comm.rank == 0:
            return fit(comm, samples(4))
        return mc.compile(squared_error(network())).value_and_grad(*samples(4), comm=comm)

    for error in both(work):
        assert type(error) is ValueError
        assert "call is fit on rank 0, value_and_grad on rank 1" in str(error)


def test_an_exception_without_a_message_of_its_own_is_heard_of():
    class Mute(Exception):
        def __str__(self):
            raise ZeroDivisionError

    def fails(comm, *arrays):
        if comm.rank == 1:
            raise Mute

    def in_a_callback(comm):
        fit(comm, samples(4), callback=lambda step, loss: fails(comm))

    def while_recording(comm):
        mc.compile(lambda x: fails(comm) or x).value_and_grad([1.0], comm=comm)

    for work in (in_a_callback, while_recording):
        others, own = both(work)
        assert type(own) is Mute and str(others) == "rank 1: Mute"


def test_messages_and_settings_of_any_length_find_room():
    def fails(comm):
        def loss(x):
            if comm.rank == 1:
                raise ValueError("\N{GRINNING FACE}\0" * 3000)
            return x

        mc.compile(loss).value_and_grad([1.0], comm=comm)

    others, _ = both(fails)
    assert str(others).startswith("rank 1: ValueError: \N{GRINNING FACE}\0\N{GRINNING FACE}")

    def named(last):
        def work(comm):
            w = Value(1.0)
            f = mc.compile(lambda x: w * x)
            f.__qualname__ = "\N{GRINNING FACE}" * 3000 + (last if comm.rank else "")
            return f.value_and_grad([1.0], comm=comm)

        return work

    assert on_ranks(2, named("")) == [1.0, 1.0]
    for error in both(named("x")):
        assert type(error) is ValueError and "function is \N{GRINNING FACE}" in str(error)


def test_a_function_that_fit_refuses_on_one_rank():
    def work(comm):
        w = Value(1.0)
        f = mc.compile(lambda x: w * x * (w.data if comm.rank == 1 else 1.0))
        f.fit([1.0], optimizer=optim.SGD([w], 0.1), steps=3, comm=comm)

    others, own = both(work)
    assert type(own) is mc.TraceError
    assert str(others) == f"rank 1: TraceError: {own}"


@pytest.mark.parametrize("step_sizes", [(1, 2), (2, 2)])
def test_schedules_that_differ_in_their_settings(step_sizes):
    def work(comm):
        w = Value(1.0)
        sgd = optim.SGD([w], 0.1)
        steps = optim.lr_scheduler.StepLR(sgd, step_sizes[comm.rank])
        f = mc.compile(lambda x: (w * x) ** 2)
        return f.fit([1.0], optimizer=sgd, steps=5, scheduler=steps, comm=comm)

    found = on_ranks(2, work)
    if step_sizes[0] == step_sizes[1]:
        assert found[0] == found[1]
    else:
        assert all("scheduler is StepLR" in str(error) for error in found), found


def test_a_schedule_is_not_asked_for_a_step_that_another_rank_has_ended():
    def work(comm):
        w = Value(1.0)
        sgd = optim.SGD([w], 0.1)
        plateau = optim.lr_scheduler.ReduceLROnPlateau(sgd, patience=1)
        mc.compile(lambda x: (w * x) ** 2).fit(
            [1.0],
            optimizer=sgd,
            steps=9,
            scheduler=plateau,
            callback=(lambda step, loss: step == 3) if comm.rank == 0 else None,
            comm=comm,
        )
        return plateau.state_dict()

    found = on_ranks(2, work)
    assert found[0] == found[1]
    assert found[0]["last_epoch"] == 4


def test_a_communicator_in_use_is_refused_within_its_call():
    def work(comm):
        def callback(step, loss):
            mc.compile(squared_error(network())).value_and_grad(*samples(4), comm=comm)

        fit(comm, samples(4), callback=callback if comm.rank == 0 else None)

    own, others = both(work)
    assert str(own) == "value_and_grad: comm is in use by a call that has not ended"
    assert type(others) is RuntimeError


def test_after_an_error_the_communicator_serves_again():
    def work(comm):
        with pytest.raises((ValueError, RuntimeError)):
            fit(comm, samples(4), steps=3 + comm.rank)
        return list(fit(comm, samples(4)))

    found = on_ranks(2, work)
    assert found[0] == found[1] and len(found[0]) == 5


@pytest.mark.parametrize("comm", [1, object(), "world"])
def test_what_is_no_communicator(comm):
    f = mc.compile(squared_error(network()))
    with pytest.raises(TypeError, match="expected a communicator of mpi4py as comm, got"):
        f.value_and_grad(*samples(4), comm=comm)


# -- processes -------------------------------------------------------------------------------------

SCRIPT = Path(__file__).parent / "scripts" / "ranks.py"


def mpiexec():
    """The mpiexec that stands beside this Python, or the system's."""
    beside = Path(sysconfig.get_path("scripts")) / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def test_two_processes():
    if not importlib.util.find_spec("mpi4py") or not mpiexec():
        pytest.skip("without mpi4py and an mpiexec")
    done = subprocess.run(
        [mpiexec(), "-n", "2", sys.executable, "-m", "mpi4py", str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("{"))
    first, second = (json.loads(line) for line in lines)
    assert (first.pop("rank"), second.pop("rank")) == (0, 1)
    said = first.pop("said"), second.pop("said")
    assert first == second
    assert said[1].startswith("ValueError: ")
    assert said[0] == f"RuntimeError: rank 1: {said[1]}"
