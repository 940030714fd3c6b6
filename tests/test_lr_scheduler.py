# SPDX-License-Identifier: MIT
"""Learning rate schedules: PyTorch's curves, stored, and PyTorch itself where it is installed."""

import copy
import math
import pickle
import random
import warnings

import pytest

from micrograd_c import Value, compile, optim
from micrograd_c.optim import lr_scheduler
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


def falling(k):
    return 1 / (1 + k)


LINEAR = {"max_lr": 0.3, "total_steps": 12, "anneal_strategy": "linear"}
LINEAR |= {"div_factor": 10, "final_div_factor": 5, "base_momentum": 0.6, "max_momentum": 0.9}
THREE_PHASES = {"max_lr": 0.3, "epochs": 3, "steps_per_epoch": 4, "pct_start": 0.4}
THREE_PHASES |= {"three_phase": True}
# name: class, arguments, and the lr that PyTorch 2.13 has before each of 12 steps, from lr=0.1
CURVES = {
    "StepLR": (
        StepLR,
        {"step_size": 4},
        "0.1 0.1 0.1 0.1 0.01 0.01 0.01 0.01 0.001 0.001 0.001 0.001",
    ),
    "StepLR, each step": (
        StepLR,
        {"step_size": 1, "gamma": 0.7},
        "0.1 0.07 0.049 0.0343 0.02401 0.016807 0.0117649 0.00823543 0.005764801 0.0040353607 "
        "0.00282475249 0.001977326743",
    ),
    "ExponentialLR": (
        ExponentialLR,
        {"gamma": 0.9},
        "0.1 0.09 0.081 0.0729 0.06561 0.059049 0.0531441 0.04782969 0.043046721 0.0387420489 "
        "0.03486784401 0.031381059609",
    ),
    "LambdaLR": (
        LambdaLR,
        {"lr_lambda": falling},
        "0.1 0.05 0.033333333333333 0.025 0.02 0.016666666666667 0.014285714285714 0.0125 "
        "0.011111111111111 0.01 0.0090909090909091 0.0083333333333333",
    ),
    "CosineAnnealingLR": (
        CosineAnnealingLR,
        {"T_max": 4, "eta_min": 0.01},
        "0.1 0.086819805153395 0.055 0.023180194846605 0.01 0.023180194846605 0.055 "
        "0.086819805153395 0.1 0.086819805153395 0.055 0.023180194846605",
    ),
    "CosineAnnealingLR to 0": (
        CosineAnnealingLR,
        {"T_max": 20},
        "0.1 0.099384417029757 0.097552825814758 0.094550326209418 0.090450849718747 "
        "0.085355339059327 0.079389262614624 0.072699524986977 0.065450849718747 "
        "0.057821723252012 0.05 0.042178276747988",
    ),
    "OneCycleLR": (
        OneCycleLR,
        {"max_lr": 0.3, "total_steps": 12},
        "0.012 0.10493689626587 0.26378554773664 0.29832463063527 0.27990389095242 "
        "0.24352369618493 0.19421369930853 0.13879113080009 0.08491829946261 0.040043259056649 "
        "0.010370096227619 1.2e-06",
    ),
    "OneCycleLR, three phases": (
        OneCycleLR,
        THREE_PHASES,
        "0.012 0.058471453685893 0.16789142574802 0.26963623335308 0.29803602768999 "
        "0.23476053476963 0.12065008985173 0.029355779826266 0.011594873893088 "
        "0.0076424137426385 0.0023851537625063 1.2e-06",
    ),
    "OneCycleLR, linear": (
        OneCycleLR,
        LINEAR,
        "0.03 0.13384615384615 0.23769230769231 0.286 0.251 0.216 0.181 0.146 0.111 0.076 0.041 "
        "0.006",
    ),
}
each_curve = pytest.mark.parametrize("name", CURVES)
MOMENTA = (
    "0.95 0.91773024435213 0.86257446259144 0.85055845868874 0.85669872981078 0.86882550990706 "
    "0.88526224127945 0.90373650467932 0.92169418695588 0.93665259359149 0.94654368743221 0.95"
)


def sgd(lr=0.1, **settings):
    return optim.SGD([Value(1.0)], lr=lr, **settings)


def made(name, optimizer=None):
    kind, arguments, curve = CURVES[name]
    return kind(optimizer or sgd(), **arguments), list(map(float, curve.split()))


def rates(scheduler, count):
    """The lr before each of so many steps."""
    found = []
    for _ in range(count):
        found.append(scheduler.optimizer.lr)
        assert scheduler.get_last_lr() == [scheduler.optimizer.lr]
        scheduler.step()
    return found


# -- PyTorch's numbers -----------------------------------------------------------------------------


@each_curve
def test_the_curve_is_pytorchs(name):
    scheduler, curve = made(name)
    assert rates(scheduler, 12) == pytest.approx(curve, rel=1e-12)
    assert scheduler.last_epoch == 12


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_one_cycle_moves_the_momentum_against_the_rate(make):
    optimizer = make([Value(1.0)], lr=0.1)
    scheduler = OneCycleLR(optimizer, max_lr=0.3, total_steps=12)
    for expected in map(float, MOMENTA.split()):
        momentum = optimizer.betas[0] if make is optim.Adam else optimizer.momentum
        assert momentum == pytest.approx(expected, rel=1e-12)
        scheduler.step()
    if make is optim.Adam:
        assert optimizer.betas[1] == 0.999


NUMBERS = [1.0, 0.9, 0.90001, 0.95, 0.95, 0.2, 0.2, 0.3, math.nan, 0.5, 0.6, 0.7, 0.8, 0.9]
PLATEAUS = [
    (
        {"patience": 1, "factor": 0.5, "cooldown": 2, "min_lr": 0.03},
        [0.1] * 3 + [0.05] * 4 + [0.03] * 7,
    ),
    (
        {"mode": "max", "patience": 0, "threshold": 0.3, "threshold_mode": "abs"},
        [0.1**k for k in range(1, 9)] + [1e-8] * 6,
    ),
    ({"patience": 8}, [0.1] * 14),
    ({"patience": 7}, [0.1] * 13 + [0.01]),
]


@pytest.mark.parametrize(("arguments", "expected"), PLATEAUS)
def test_a_plateau_is_pytorchs(arguments, expected):
    optimizer = sgd()
    scheduler = ReduceLROnPlateau(optimizer, **arguments)
    found = []
    for number in NUMBERS:
        scheduler.step(number)
        found.append(optimizer.lr)
        assert scheduler.get_last_lr() == [optimizer.lr]
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_plateau_takes_a_value():
    scheduler = ReduceLROnPlateau(sgd(), patience=0)
    scheduler.step(Value(2.0))
    assert scheduler.best == 2.0 and scheduler.num_bad_epochs == 0
    scheduler.step(Value(2.0) * 1)
    assert scheduler.optimizer.lr == pytest.approx(0.01)


def random_arguments(rng):
    """For each scheduler, settings that nobody has chosen."""
    one_cycle = {
        "max_lr": rng.uniform(0.01, 1),
        "total_steps": rng.randint(15, 40),
        "pct_start": rng.uniform(0.1, 0.45),
        "three_phase": rng.random() < 0.5,
        "anneal_strategy": rng.choice(["cos", "linear"]),
        "cycle_momentum": rng.random() < 0.8,
        "div_factor": rng.uniform(2, 50),
        "final_div_factor": rng.uniform(2, 1e4),
    }
    return {
        "StepLR": {"step_size": rng.randint(1, 6), "gamma": rng.uniform(0.1, 1.1)},
        "ExponentialLR": {"gamma": rng.uniform(0.5, 1.1)},
        "CosineAnnealingLR": {"T_max": rng.randint(1, 12), "eta_min": rng.uniform(0, 0.2)},
        "LambdaLR": {"lr_lambda": falling},
        "OneCycleLR": one_cycle,
    }


@pytest.mark.parametrize("seed", range(10))
def test_both_do_the_same(seed):
    torch = pytest.importorskip("torch")
    rng = random.Random(seed)
    for name, arguments in random_arguments(rng).items():
        for kind in ("SGD", "Adam"):
            lr = rng.uniform(0.01, 0.5)
            weight = torch.tensor(1.0, requires_grad=True)
            ours = getattr(optim, kind)([Value(1.0)], lr=lr)
            theirs = getattr(torch.optim, kind)([weight], lr=lr)
            scheduler = getattr(lr_scheduler, name)(ours, **arguments)
            other = getattr(torch.optim.lr_scheduler, name)(theirs, **arguments)
            for step in range(14):
                (group,) = theirs.param_groups
                assert ours.lr == pytest.approx(group["lr"], rel=1e-12), (name, arguments, step)
                setting = "betas" if kind == "Adam" else "momentum"
                assert getattr(ours, setting) == pytest.approx(group[setting], rel=1e-12)
                if step == 5 and name != "CosineAnnealingLR":  # by hand
                    ours.lr = group["lr"] = ours.lr / 2
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    scheduler.step()
                    other.step()


@pytest.mark.parametrize("seed", range(10))
def test_both_see_the_same_plateaus(seed):
    torch = pytest.importorskip("torch")
    rng = random.Random(seed)
    arguments = {
        "mode": rng.choice(["min", "max"]),
        "factor": rng.uniform(0.1, 0.9),
        "patience": rng.randint(0, 3),
        "threshold": rng.choice([0.0, 1e-4, 0.1]),
        "threshold_mode": rng.choice(["rel", "abs"]),
        "cooldown": rng.randint(0, 3),
        "min_lr": rng.choice([0.0, 0.01]),
    }
    ours, theirs = sgd(), torch.optim.SGD([torch.tensor(1.0, requires_grad=True)], lr=0.1)
    scheduler = ReduceLROnPlateau(ours, **arguments)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **arguments)
    for _ in range(40):
        number = rng.choice([rng.uniform(0, 1), math.nan, 0.5])
        scheduler.step(number)
        other.step(number)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12), arguments
        assert scheduler.num_bad_epochs == other.num_bad_epochs
        assert scheduler.in_cooldown == other.in_cooldown


# -- with others -----------------------------------------------------------------------------------


def test_a_rate_that_is_assigned_is_worked_on():
    scheduler = ExponentialLR(sgd(), gamma=0.5)
    scheduler.optimizer.lr = 8.0
    scheduler.step()
    assert scheduler.optimizer.lr == 4.0


def test_two_schedulers_of_one_optimizer_multiply():
    optimizer = sgd()
    both = ExponentialLR(optimizer, gamma=0.5), StepLR(optimizer, step_size=2, gamma=0.1)
    for scheduler in both * 2:
        scheduler.step()
    assert optimizer.lr == pytest.approx(0.1 * 0.5**2 * 0.1)


def test_the_base_is_what_stood_before_the_first_scheduler():
    optimizer = sgd()
    LambdaLR(optimizer, lambda k: 0.01)
    assert optimizer.lr == pytest.approx(0.001)
    assert LambdaLR(optimizer, lambda k: 1.0).base_lrs == [0.1]
    assert optimizer.lr == 0.1
    assert copy.deepcopy(optimizer).param_groups[0]["initial_lr"] == 0.1


def test_fit_follows_a_scheduler_that_a_callback_steps():
    def run(fitted):
        w = Value(3.0)
        optimizer = optim.SGD([w], lr=0.2)
        scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
        f = compile(lambda x: (w * x - 1) ** 2)
        if fitted:
            f.fit([1.0, 0.5], optimizer=optimizer, steps=7, callback=lambda *_: scheduler.step())
        else:
            for _ in range(7):
                f.value_and_grad([1.0, 0.5])
                optimizer.step()
                scheduler.step()
        return w.data, optimizer.lr

    assert run(True) == pytest.approx(run(False), rel=1e-12)
    assert run(True)[1] == pytest.approx(0.2 / 8)


def test_a_step_before_the_optimizers_first_warns():
    optimizer = sgd()
    scheduler = StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"StepLR.step\(\) comes before .* first learning rate"):
        scheduler.step()
    scheduler = StepLR(optimizer, 1)
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()


def test_a_scheduler_of_ones_own():
    class Inverse(LRScheduler):
        def get_lr(self):
            return [self.base_lrs[0] / (1 + self.last_epoch)]

    assert rates(Inverse(sgd()), 3) == pytest.approx([0.1, 0.05, 0.1 / 3])
    with pytest.raises(NotImplementedError, match="LRScheduler has no get_lr"):
        LRScheduler(sgd())


# -- state -----------------------------------------------------------------------------------------


@each_curve
def test_a_state_goes_on_where_it_was_taken(name):
    scheduler, curve = made(name, sgd(momentum=0.9))
    rates(scheduler, 5)
    state = pickle.loads(pickle.dumps(scheduler.state_dict()))
    rest = rates(copy.deepcopy(scheduler), 7)
    optimizer = sgd(momentum=0.9)
    other, _ = made(name, optimizer)
    other.load_state_dict(state)
    optimizer.load_state_dict(scheduler.optimizer.state_dict())
    assert rates(other, 7) == rest == pytest.approx(curve[5:], rel=1e-12)
    assert other.state_dict() != state  # a copy


@each_curve
def test_a_pickled_scheduler_works_on_the_pickled_optimizer(name):
    scheduler, curve = made(name)
    rates(scheduler, 3)
    optimizer, other = pickle.loads(pickle.dumps((scheduler.optimizer, scheduler)))
    assert other.optimizer is optimizer
    assert rates(other, 9) == pytest.approx(curve[3:], rel=1e-12)
    assert scheduler.last_epoch == 3


@each_curve
def test_last_epoch_goes_on_without_a_jump(name):
    scheduler, curve = made(name)
    rates(scheduler, 5)
    kind, arguments, _ = CURVES[name]
    resumed = kind(scheduler.optimizer, **arguments, last_epoch=4)
    assert rates(resumed, 7) == pytest.approx(curve[5:], rel=1e-12)
    with pytest.raises(ValueError, match="last_epoch=4 wants an optimizer"):
        kind(sgd(), **arguments, last_epoch=4)


def test_a_plateaus_state():
    scheduler, other = (ReduceLROnPlateau(sgd(), patience=2) for _ in range(2))
    for number in (1.0, 2.0, 2.0):
        scheduler.step(number)
    other.load_state_dict(scheduler.state_dict())
    other.step(2.0)
    assert other.optimizer.lr == pytest.approx(0.01) and other.best == 1.0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda state: state.pop("gamma"), ValueError),
        (lambda state: state.update(beta=1.0), ValueError),
        (lambda state: state.update(gamma="0.1"), TypeError),
        (lambda state: state.update(last_epoch=None), TypeError),
        (lambda state: state.update(base_lrs=[]), TypeError),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error):
    scheduler = StepLR(sgd(), 3)
    state = before = scheduler.state_dict()
    state = {**state, "last_epoch": 2}
    change(state)
    with pytest.raises(error, match="load_state_dict"):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: StepLR([Value(1.0)], 2), TypeError, "expected an optimizer .* got list"),
        (lambda: StepLR(sgd(), 0), ValueError, "StepLR: expected step_size of at least 1, got 0"),
        (lambda: StepLR(sgd(), 2.5), TypeError, "whole number as step_size, got 2.5"),
        (lambda: StepLR(sgd(), 2, gamma=-0.1), ValueError, "gamma of at least 0, got -0.1"),
        (lambda: StepLR(sgd(), 2, last_epoch=-2), ValueError, "last_epoch of at least -1"),
        (lambda: ExponentialLR(sgd(), "0.9"), TypeError, "expected a number as gamma, got str"),
        (lambda: ExponentialLR(sgd(), math.nan), ValueError, "gamma of at least 0, got nan"),
        (lambda: CosineAnnealingLR(sgd(), 0), ValueError, "T_max of at least 1"),
        (lambda: CosineAnnealingLR(sgd(), 5, math.inf), ValueError, "a finite eta_min"),
        (lambda: LambdaLR(sgd(), 0.5), TypeError, "expected a function as lr_lambda, got 0.5"),
        (lambda: LambdaLR(sgd(), [falling] * 2), ValueError, "one lr_lambda for each .* got 2"),
        (lambda: LambdaLR(sgd(), [0.5]), TypeError, "expected a function as lr_lambda, got 0.5"),
        (lambda: OneCycleLR(sgd(), [0.1, 0.2], 9), ValueError, "one max_lr for each .* got 2"),
        (
            lambda: OneCycleLR(sgd(), 0.1, 9, max_momentum=[]),
            ValueError,
            "one max_momentum .* got 0",
        ),
        (lambda: LambdaLR(sgd(), lambda k: -1.0), ValueError, "lr: expected at least 0"),
        (lambda: OneCycleLR(sgd(), 0.1), ValueError, "total_steps, or both epochs and"),
        (lambda: OneCycleLR(sgd(), 0.1, epochs=3), ValueError, "total_steps, or both epochs and"),
        (lambda: OneCycleLR(sgd(), 0.1, 0), ValueError, "total_steps of at least 1"),
        (lambda: OneCycleLR(sgd(), 0.1, 9, pct_start=1.5), ValueError, "pct_start from 0 to 1"),
        (lambda: OneCycleLR(sgd(), 0.1, 9, anneal_strategy="sin"), ValueError, "'sin'"),
        (lambda: OneCycleLR(sgd(), 0.1, 9, div_factor=0), ValueError, "div_factor above 0"),
        (
            lambda: OneCycleLR(optim.Adam([Value(1.0)]), 0.1, 9, max_momentum=1.0),
            ValueError,
            "below 1 for Adam",
        ),
        (lambda: ReduceLROnPlateau(sgd(), "low"), ValueError, "expected mode .* got 'low'"),
        (lambda: ReduceLROnPlateau(sgd(), factor=1.0), ValueError, "a factor below 1"),
        (lambda: ReduceLROnPlateau(sgd(), patience=-1), ValueError, "patience of at least 0"),
        (lambda: ReduceLROnPlateau(sgd(), threshold_mode="r"), ValueError, "threshold_mode"),
        (
            lambda: ReduceLROnPlateau(sgd(), min_lr=[0, 0]),
            ValueError,
            "one min_lr for each .* got 2",
        ),
        (lambda: ReduceLROnPlateau(sgd()).step("1"), TypeError, "a number as metrics, got str"),
    ],
)
def test_a_bad_argument_is_refused(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_a_refused_constructor_leaves_the_optimizer_as_it_was():
    optimizer = optim.Adam([Value(1.0)], lr=0.1)
    for make in (
        lambda: OneCycleLR(optimizer, 0.1, 9, base_momentum=1.0),
        lambda: LambdaLR(optimizer, lambda k: 1 / 0),
        lambda: LambdaLR(optimizer, lambda k: "half"),
    ):
        with pytest.raises((ValueError, ZeroDivisionError, TypeError)):
            make()
        assert (optimizer.lr, optimizer.betas) == (0.1, (0.9, 0.999))
        assert "initial_lr" not in optimizer.param_groups[0]


def test_a_step_that_fails_can_be_made_again():
    factors = [1.0, -1.0, 0.5]
    scheduler = LambdaLR(sgd(), lambda k: factors[k])
    with pytest.raises(ValueError, match="at least 0"):
        scheduler.step()
    assert scheduler.last_epoch == 0 and scheduler.optimizer.lr == 0.1
    factors[1] = 0.7
    scheduler.step()
    assert scheduler.optimizer.lr == pytest.approx(0.07)


def test_one_cycle_ends():
    scheduler = OneCycleLR(sgd(), 0.3, 5)
    rates(scheduler, 5)
    with pytest.raises(ValueError, match="step 6 of a run of total_steps=5"):
        scheduler.step()


@pytest.mark.parametrize("three_phase", [False, True])
def test_a_straight_cycle_stays_at_its_end(three_phase):
    optimizer = optim.Adam([Value(1.0)])
    scheduler = OneCycleLR(
        optimizer, 0.5, 8, anneal_strategy="linear", three_phase=three_phase, max_momentum=0.99
    )
    rates(scheduler, 8)
    assert optimizer.lr == pytest.approx(0.5 / 25 / 1e4) and optimizer.betas[0] == 0.99


def test_a_phase_of_one_step_is_at_its_end():
    assert rates(OneCycleLR(sgd(), 0.3, 10, pct_start=0.1), 1) == [0.3]
    scheduler = OneCycleLR(sgd(), 0.3, 4, pct_start=1.0)
    assert rates(scheduler, 4)[-1] == pytest.approx(0.3)
    assert scheduler.optimizer.lr == pytest.approx(1.2e-6)
