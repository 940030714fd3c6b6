# SPDX-License-Identifier: MIT
"""Errors on one rank: all ranks hear of them, none waits."""

import pytest
from threaded_ranks import both, fit, network, numbers, on_ranks, samples, squared_error

import micrograd_c as mc
from micrograd_c import Value, optim


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
