# SPDX-License-Identifier: MIT
"""Schedulers of optimisers with several parameter groups: a rate for each."""

import copy

import pytest
from test_param_groups import data, two, values

from micrograd_c import Value, compile, optim
from micrograd_c.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*before the optimizer's first step")

CURVES = {
    "StepLR": (lambda o: StepLR(o, 2, 0.1), [[1.0, 1.0, 0.1, 0.1], [0.2, 0.2, 0.02, 0.02]]),
    "ExponentialLR": (lambda o: ExponentialLR(o, 0.5), [[1.0, 0.5, 0.25], [0.2, 0.1, 0.05]]),
    "LambdaLR": (
        lambda o: LambdaLR(o, [lambda k: 1 / (1 + k), lambda k: 2.0**k]),
        [[1.0, 0.5, 1 / 3], [0.2, 0.4, 0.8]],
    ),
    "LambdaLR, one": (lambda o: LambdaLR(o, lambda k: 2.0**-k), [[1.0, 0.5], [0.2, 0.1]]),
    "CosineAnnealingLR": (
        lambda o: CosineAnnealingLR(o, 2, 0.1),
        [[1.0, 0.55, 0.1, 0.55, 1.0], [0.2, 0.15, 0.1, 0.15, 0.2]],
    ),
    "OneCycleLR": (
        lambda o: OneCycleLR(o, [2.0, 4.0], 5, pct_start=0.6, anneal_strategy="linear"),
        [[0.08, 1.04, 2.0, 1.000004, 8e-06], [0.16, 2.08, 4.0, 2.000008, 1.6e-05]],
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_each_group_follows_the_schedule_from_its_own_start(name):
    make, curves = CURVES[name]
    optimizer = optim.SGD([{"params": values(1)}, {"params": values(1), "lr": 0.2}], lr=1.0)
    scheduler = make(optimizer)
    for lrs in zip(*curves, strict=True):
        found = [group["lr"] for group in optimizer.param_groups]
        assert found == pytest.approx(lrs) and scheduler.get_last_lr() == found
        optimizer.step()
        scheduler.step()
    assert len(scheduler.base_lrs) == 2
    twin, other = copy.deepcopy((optimizer, scheduler))
    assert other.state_dict() == scheduler.state_dict() and other.optimizer is twin
    again = make(copy.deepcopy(optimizer))
    again.load_state_dict(scheduler.state_dict())
    assert again.state_dict() == scheduler.state_dict()


@pytest.mark.parametrize("t_max", range(1, 9))
def test_a_group_that_starts_at_0_comes_back_to_it(t_max):
    """By rounding it would come to -2e-19, which is no lr."""
    optimizer = optim.SGD([{"params": [Value(1.0)]}, {"params": [Value(1.0)], "lr": 0.0}], lr=0.1)
    scheduler = CosineAnnealingLR(optimizer, t_max, eta_min=0.001)
    for _ in range(10):
        for _ in range(2 * t_max):
            optimizer.step()
            scheduler.step()
        assert scheduler.get_last_lr() == pytest.approx([0.1, 0.0], abs=1e-12)


def test_a_plateau_has_a_lowest_rate_for_each_group():
    optimizer = two()
    scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=0, min_lr=[0.2, 0.0])
    scheduler.step(1.0)
    scheduler.step(1.0)
    assert scheduler.get_last_lr() == pytest.approx([0.2, 0.01])
    assert "lr=[0.2, 0.01" in repr(scheduler)


def test_momenta_of_one_cycle():
    optimizer = optim.Adam(
        [{"params": values(1), "betas": (0.5, 0.6)}, {"params": values(1), "betas": (0.5, 0.7)}]
    )
    scheduler = OneCycleLR(optimizer, 0.1, 10, max_momentum=[0.9, 0.8], base_momentum=0.4)
    assert [group["betas"] for group in optimizer.param_groups] == [(0.9, 0.6), (0.8, 0.7)]
    scheduler.step()
    scheduler.step()
    assert [g["betas"] for g in optimizer.param_groups] == [(pytest.approx(0.4), 0.6), (0.4, 0.7)]


def test_fit_with_a_scheduler_is_the_loop():
    runs = []
    for fitted in (True, False):
        a, b = Value(1.0), Value(-2.0)
        optimizer = optim.SGD([{"params": [a]}, {"params": [b], "momentum": 0.5}], lr=0.1)
        scheduler = OneCycleLR(optimizer, [0.1, 0.2], 12, max_momentum=[0.5, 0.9])
        f = compile(lambda x, a=a, b=b: (a * x - b) ** 2)
        if fitted:
            f.fit([1.0, 2.0], optimizer=optimizer, steps=11, scheduler=scheduler)
        else:
            for _ in range(11):
                f.value_and_grad([1.0, 2.0])
                optimizer.step()
                scheduler.step()
        runs.append((data(optimizer), optimizer.state_dict(), scheduler.state_dict()))
    assert runs[0] == runs[1]


def test_a_group_that_comes_after_the_scheduler():
    """What works on the present lr takes it along, as in PyTorch; others say so."""
    optimizer = two()
    along = [StepLR(optimizer, 1, 0.5), ExponentialLR(optimizer, 0.5)]
    apart = [
        LambdaLR(optimizer, lambda k: 1.0),
        OneCycleLR(optimizer, 0.1, 9),
        ReduceLROnPlateau(optimizer),
        CosineAnnealingLR(optimizer, 1),
    ]
    apart[3].step()
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = 0.5, 0.1
    optimizer.add_param_group({"params": values(1), "lr": 0.8})
    for scheduler in along:
        scheduler.step()
    assert along[1].get_last_lr() == pytest.approx([0.125, 0.025, 0.2])
    for scheduler in apart:
        before = dict(scheduler.state_dict())
        with pytest.raises(ValueError, match=r"has 3 parameter groups, .* numbers for 2; .* anew"):
            scheduler.step(*[1.0] if isinstance(scheduler, ReduceLROnPlateau) else [])
        assert scheduler.state_dict() == before
        assert optimizer.param_groups[2]["lr"] == pytest.approx(0.2)


def test_a_scheduler_of_ones_own_gives_a_rate_for_each_group():
    class Own(LRScheduler):
        lrs = (0.3, 0.4)

        def get_lr(self):
            return self.lrs

    optimizer = two()
    scheduler = Own(optimizer)
    assert scheduler.get_last_lr() == [0.3, 0.4]
    for bad, says in (((0.1,), "numbers for 1"), ((0.1, -1.0), "lr: expected at least 0")):
        scheduler.lrs = bad
        with pytest.raises(ValueError, match=says):
            scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.4]
        assert scheduler.last_epoch == 0


def test_the_lr_of_the_start_is_kept_for_a_scheduler_that_goes_on():
    optimizer = two()
    scheduler = ExponentialLR(optimizer, 0.5)
    scheduler.step()
    other = two()
    other.load_state_dict(optimizer.state_dict())
    resumed = ExponentialLR(other, 0.5, last_epoch=0)
    assert resumed.base_lrs == [0.5, 0.1]
    given = [{"params": values(1), "initial_lr": 0.7}, {"params": values(1), "initial_lr": 0.8}]
    assert StepLR(optim.SGD(given, lr=0.1), 3, last_epoch=4).base_lrs == [0.7, 0.8]
    del other.param_groups[1]["initial_lr"]
    with pytest.raises(ValueError, match="last_epoch=0 wants"):
        StepLR(other, 3, last_epoch=0)
