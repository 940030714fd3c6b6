# SPDX-License-Identifier: MIT
"""What fit does besides steps: each option against the loop in Python that it stands for."""

import math
import random

import pytest

import micrograd_c as mc
from micrograd_c import Value, _core, fitting, nn, optim
from micrograd_c.optim import lr_scheduler as schedules

N = 23


@pytest.fixture
def data():
    rng = random.Random(4)
    inputs = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(N)]
    return inputs, [math.sin(3 * a) + b * c for a, b, c in inputs]


def network():
    random.seed(8)
    return nn.MLP(3, [5, 1], output_activation="linear")


def compiled(model, **options):
    return mc.compile(lambda x, y: (model(x) - y) ** 2, **options)


def data_of(model):
    return [p.data for p in model.parameters()]


def batches(arrays, size, steps):
    """The first so many batches, in order."""
    n = len(arrays[0])
    borders = [(k, min(k + size, n)) for k in range(0, n, size)]
    for step in range(steps):
        first, last = borders[step % len(borders)]
        yield tuple(array[first:last] for array in arrays)


# -- how long ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "epoch"), [(None, 1), (N, 1), (50, 1), (5, 5), (1, N)])
def test_an_epoch_has_as_many_steps_as_there_are_batches(data, batch_size, epoch):
    runs = []
    for length in ({"epochs": 3}, {"steps": 3 * epoch}):
        model = network()
        optimizer = optim.Adam(model.parameters())
        losses = compiled(model).fit(*data, optimizer=optimizer, batch_size=batch_size, **length)
        runs.append((losses, data_of(model)))
    assert len(runs[0][0]) == 3 * epoch
    assert runs[0] == runs[1]


def test_steps_or_epochs(data):
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(TypeError, match="expected steps= or epochs=, got neither"):
        compiled(model).fit(*data, optimizer=optimizer)
    with pytest.raises(TypeError, match="expected steps= or epochs=, got both"):
        compiled(model).fit(*data, optimizer=optimizer, steps=1, epochs=1)
    with pytest.raises(ValueError, match="expected epochs of at least 0, got -1"):
        compiled(model).fit(*data, optimizer=optimizer, epochs=-1)
    assert compiled(model).fit(*data, optimizer=optimizer, epochs=0) == []


# -- schedules -----------------------------------------------------------------------------------

SCHEDULES = {
    "StepLR": lambda o: schedules.StepLR(o, 3, gamma=0.5),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 7, eta_min=0.001),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 0.1, total_steps=40),
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda step: 1 / (1 + step)),
}
RULES = {
    "SGD": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.02),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("length", ["steps", "epochs"])
def test_a_scheduler_steps_as_in_the_loop(data, rule, schedule, length):
    """After each epoch where epochs are given, else after each step."""
    fitted, looped = network(), network()
    ours, theirs = (RULES[rule](model.parameters()) for model in (fitted, looped))
    ours_schedule, their_schedule = SCHEDULES[schedule](ours), SCHEDULES[schedule](theirs)
    count = 32 if length == "steps" else 7
    losses = compiled(fitted).fit(
        *data, optimizer=ours, scheduler=ours_schedule, batch_size=5, **{length: count}
    )
    f, expected = compiled(looped), []
    for step, batch in enumerate(batches(data, 5, count if length == "steps" else 5 * count)):
        expected.append(f.value_and_grad(*batch))
        theirs.step()
        if length == "steps" or step % 5 == 4:
            their_schedule.step()
    assert losses == pytest.approx(expected, rel=1e-12)
    assert data_of(fitted) == pytest.approx(data_of(looped), rel=1e-11)
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]
    assert ours_schedule.state_dict() == their_schedule.state_dict()


@pytest.mark.parametrize("callback", [None, lambda step, loss: None])
def test_pieces_of_a_schedule_are_the_whole(data, callback):
    """Whether the rates were known ahead or not."""
    runs = []
    for pieces in ([30], [1, 12, 17]):
        model = network()
        optimizer = optim.Adam(model.parameters(), 0.02)
        schedule = schedules.CosineAnnealingLR(optimizer, 30)
        f = compiled(model)
        for steps in pieces:
            f.fit(*data, optimizer=optimizer, scheduler=schedule, steps=steps, callback=callback)
        runs.append((data_of(model), schedule.state_dict(), optimizer.lr))
    assert runs[0] == runs[1]


class Interrupted:
    """A Session that Ctrl-C ends after so many steps, within a call of train()."""

    after = 3

    def __init__(self, *options):
        self.session = _core.Session(*options)

    def __getattr__(self, name):
        return getattr(self.session, name)

    def train(self, steps):
        self.session.train(min(steps, self.after - self.session.done))
        if self.session.done == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("made", [1, 3, 4096, 5000])
def test_where_fewer_steps_were_made_the_scheduler_stands_there(data, made, monkeypatch):
    """It was asked ahead for more."""
    monkeypatch.setattr(fitting, "Session", Interrupted)
    monkeypatch.setattr(Interrupted, "after", made)
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.5)
    schedule = schedules.OneCycleLR(optimizer, 0.2, total_steps=10**4)
    f = compiled(model)
    with pytest.raises(KeyboardInterrupt):
        f.fit(*data, optimizer=optimizer, scheduler=schedule, steps=10**4)
    assert schedule.last_epoch == optimizer.steps == len(f.history) == made
    alone = optim.SGD([mc.Value(0.0)], 0.1, momentum=0.5)
    other = schedules.OneCycleLR(alone, 0.2, total_steps=10**4)
    for _ in range(made):
        alone.step()
        other.step()
    assert (alone.lr, alone.momentum) == (optimizer.lr, optimizer.momentum)


def test_a_schedule_that_ends_too_early_says_so_after_its_last_step(data):
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.5)
    schedule = schedules.OneCycleLR(optimizer, 0.2, total_steps=4)
    f = compiled(model)
    with pytest.raises(ValueError, match="step 5 of a run of total_steps=4"):
        f.fit(*data, optimizer=optimizer, scheduler=schedule, steps=9)
    assert len(f.history) == optimizer.steps == 5


def test_reduce_on_plateau_looks_at_the_validation_loss_or_at_that_of_training(data):
    for options in ({"validation": data}, {}):
        model = network()
        optimizer = optim.SGD(model.parameters(), 0.0)  # nothing gets better
        schedule = schedules.ReduceLROnPlateau(optimizer, patience=2)
        optimizer.lr = 1e-12
        schedule.eps = 0.0
        compiled(model).fit(
            *data, optimizer=optimizer, scheduler=schedule, epochs=4, batch_size=8, **options
        )
        assert optimizer.lr == pytest.approx(1e-13)


def test_a_scheduler_of_another_optimizer_or_what_is_none(data):
    model = network()
    optimizer, other = (optim.SGD(model.parameters(), 0.1) for _ in range(2))
    with pytest.raises(ValueError, match="fit: the scheduler is that of another optimizer"):
        compiled(model).fit(
            *data, optimizer=optimizer, steps=1, scheduler=schedules.StepLR(other, 1)
        )
    with pytest.raises(TypeError, match="fit: expected a scheduler of micrograd_c"):
        compiled(model).fit(*data, optimizer=optimizer, steps=1, scheduler=0.1)


# -- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [1e-3, 0.3, 10.0, math.inf, 0.0])
@pytest.mark.parametrize("rule", RULES)
def test_clip_norm_is_clip_grad_norm_before_each_step(data, clip_norm, rule):
    fitted, looped = network(), network()
    idle = mc.Value(3.0)  # an optimiser's parameter that the function does not read
    ours = RULES[rule]([*fitted.parameters(), idle])
    theirs = RULES[rule](looped.parameters())
    losses = compiled(fitted).fit(*data, optimizer=ours, steps=20, clip_norm=clip_norm)
    f, expected = compiled(looped), []
    for _ in range(20):
        expected.append(f.value_and_grad(*data))
        optim.clip_grad_norm_(looped.parameters(), clip_norm)
        theirs.step()
    assert losses == pytest.approx(expected, rel=1e-12)
    assert data_of(fitted) == pytest.approx(data_of(looped), rel=1e-11)
    assert [p.grad for p in fitted.parameters()] == pytest.approx(
        [p.grad for p in looped.parameters()], rel=1e-9, abs=1e-300
    )
    assert idle.data == 3.0 and idle.grad == 0.0


def test_clipping_by_a_norm_that_is_no_number_is_pytorchs():
    """An infinite gradient behind a NaN does not hide it: all of them become NaN."""
    w = [mc.Value(1.0) for _ in range(3)]
    f = mc.compile(lambda x, y, z: w[0] * x + w[1] * y + w[2] * z)
    f.fit([math.nan], [math.inf], [1.0], optimizer=optim.SGD(w, 1.0), steps=1, clip_norm=0.5)
    assert all(math.isnan(v.data) for v in w)


@pytest.mark.parametrize("factor", [1e200, 1e-200, math.inf, math.nan])
def test_clipping_of_gradients_whose_squares_have_no_number(factor):
    fitted, looped = ([mc.Value(1.0), mc.Value(-2.0)] for _ in range(2))
    make = lambda w: mc.compile(lambda x: (w[0] - w[1] * 0.5) * x)  # noqa: E731
    make(fitted).fit([factor], optimizer=optim.SGD(fitted, 1.0), steps=1, clip_norm=0.5)
    make(looped).value_and_grad([factor])
    optim.clip_grad_norm_(looped, 0.5)
    optim.SGD(looped, 1.0).step()
    assert [w.data for w in fitted] == pytest.approx([w.data for w in looped], nan_ok=True)


@pytest.mark.parametrize("clip_norm", [-1.0, math.nan])
def test_a_clip_norm_that_is_none(data, clip_norm):
    model = network()
    with pytest.raises(ValueError, match="fit: expected clip_norm of at least 0"):
        compiled(model).fit(
            *data, optimizer=optim.SGD(model.parameters(), 0.1), steps=1, clip_norm=clip_norm
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda sgd: schedules.LambdaLR(sgd, lambda k: 1 / (k + 1)),
        lambda sgd: schedules.ReduceLROnPlateau(sgd, patience=0),
        lambda sgd: schedules.StepLR(sgd, 2),
    ],
)
def test_ctrl_c_between_a_step_and_its_schedules(make, monkeypatch):
    monkeypatch.setattr(fitting, "Session", Interrupted)
    w = Value(1.0)
    sgd = optim.SGD([w], 0.1)
    schedule = make(sgd)
    f = mc.compile(lambda x: (w * x) ** 2)
    with pytest.raises(KeyboardInterrupt):
        f.fit([1.0], optimizer=sgd, steps=9, scheduler=schedule)
    assert len(f.history) == sgd.steps == schedule.last_epoch == 3


# -- validation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("batch_size", [None, 6])
def test_the_validation_loss_is_measured_after_each_epoch(data, reduction, batch_size):
    xs, ys = data
    train, held_out = (xs[:18], ys[:18]), (xs[18:], ys[18:])
    fitted, looped = network(), network()
    epoch = 3 if batch_size else 1
    history = compiled(fitted, reduction=reduction).fit(
        *train,
        optimizer=optim.SGD(fitted.parameters(), 0.01),
        steps=4 * epoch + (epoch > 1),
        batch_size=batch_size,
        validation=held_out,
    )
    f, optimizer, expected = compiled(looped, reduction=reduction), None, []
    optimizer = optim.SGD(looped.parameters(), 0.01)
    for step, batch in enumerate(batches(train, batch_size or 18, len(history))):
        f.value_and_grad(*batch)
        optimizer.step()
        if step % epoch == epoch - 1 or step == len(history) - 1:
            losses = [(looped(x).data - y) ** 2 for x, y in zip(*held_out, strict=True)]
            expected.append(math.fsum(losses) / (len(losses) if reduction == "mean" else 1))
    assert history.validation == pytest.approx(expected, rel=1e-11)
    last = [len(history)] if epoch > 1 else []
    assert history.validation_steps == [k * epoch for k in range(1, 5)] + last
    assert data_of(fitted) == pytest.approx(data_of(looped), rel=1e-12)


def test_patience_ends_training_and_brings_back_the_best_parameters(data):
    xs, ys = data
    model = network()
    seen = []
    history = compiled(model).fit(
        xs[:6],
        ys[:6],
        optimizer=optim.Adam(model.parameters(), 0.1),
        epochs=500,
        validation=(xs[6:], ys[6:]),
        patience=7,
        callback=lambda step, loss: seen.append(data_of(model)) or False,
    )
    assert len(history) == len(seen) < 500
    assert len(history.validation) - 1 - history.best == 7
    assert history.validation[history.best] == min(history.validation)
    assert data_of(model) == seen[history.validation_steps[history.best] - 1]


def test_without_patience_training_goes_on(data):
    model = network()
    history = compiled(model).fit(
        *data, optimizer=optim.SGD(model.parameters(), 0.0), epochs=9, validation=data
    )
    assert len(history.validation) == 9 and history.best == 0


def test_validation_by_a_number_that_training_changes():
    w = Value(1.0)

    def loss(row):  # for rows of two, another program, which reads w's number
        return (row[0] * w * (w.data if len(row) == 2 else 1.0)) ** 2

    f, sgd = mc.compile(loss), optim.SGD([w], 0.1)
    with pytest.raises(mc.TraceError, match="fit: validation: the function reads the number"):
        f.fit([[1.0]], optimizer=sgd, steps=2, validation=([[1.0, 2.0]],))
    assert w.data == 1.0 and sgd.steps == 0


def test_validation_that_is_none(data):
    model = network()
    f, optimizer = compiled(model), optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="patience looks at the validation loss"):
        f.fit(*data, optimizer=optimizer, steps=1, patience=3)
    with pytest.raises(TypeError, match="expected a tuple of arrays as validation"):
        f.fit(*data, optimizer=optimizer, steps=1, validation=3)
    with pytest.raises(ValueError, match="expected patience of at least 1, got 0"):
        f.fit(*data, optimizer=optimizer, steps=1, validation=data, patience=0)
    before = data_of(model)
    with pytest.raises(ValueError, match="y"):
        f.fit(*data, optimizer=optimizer, steps=1, validation=(data[0], data[1][:-1]))
    for nothing in ((), []):
        with pytest.raises(ValueError, match="an array for each argument as validation, got none"):
            f.fit(*data, optimizer=optimizer, steps=1, validation=nothing)
    assert data_of(model) == before


# -- the history ---------------------------------------------------------------------------------


def test_the_history_is_a_list_of_losses_and_stays_with_the_function(data):
    model = network()
    f = compiled(model)
    assert f.history is None
    history = f.fit(*data, optimizer=optim.SGD(model.parameters(), 0.1), steps=3)
    assert isinstance(history, list) and len(history) == 3
    assert f.history is history and history.best is None


def test_after_ctrl_c_it_has_the_losses_so_far(data):
    model = network()
    f = compiled(model)

    def callback(step, loss):
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        f.fit(*data, optimizer=optim.SGD(model.parameters(), 0.1), steps=50, callback=callback)
    assert len(f.history) == 5
    again = network()
    assert f.history == compiled(again).fit(
        *data, optimizer=optim.SGD(again.parameters(), 0.1), steps=5
    )


def test_plot_losses_draws_both_curves(data):
    pytest.importorskip("matplotlib").use("Agg")
    from micrograd_c import viz

    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1)
    history = compiled(model).fit(
        *data, optimizer=optimizer, epochs=4, batch_size=8, validation=data
    )
    ax = viz.plot_losses(history)
    training, validation = ax.lines
    assert list(training.get_ydata()) == history
    assert list(validation.get_xdata()) == [step - 1 for step in history.validation_steps]
    assert list(validation.get_ydata()) == history.validation
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]
