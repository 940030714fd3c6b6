# SPDX-License-Identifier: MIT
"""Samples spread over ranks: the same loss, gradients and parameters on each, to the bit.

Ranks are threads here, whose communicator does what mpi4py's does; with mpi4py and an mpiexec at
hand, the same holds for processes.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from threaded_ranks import SAMPLES, network, numbers, on_ranks, part, samples, squared_error

import micrograd_c as mc
from micrograd_c import Value, optim


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
