# SPDX-License-Identifier: MIT
"""optim's rules against PyTorch's and the papers' formulas; fit against the loop in Python."""

import io
import math
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import Value, nn, optim

RULES = {
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "SGD nesterov": lambda p: optim.SGD(p, 0.05, 0.9, True),
    "SGD decay": lambda p: optim.SGD(p, lr=0.05, momentum=0.5, weight_decay=0.1),
    "SGD maximize": lambda p: optim.SGD(p, lr=0.001, maximize=True),
    "Adam": lambda p: optim.Adam(p),
    "Adam decay": lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.02, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "AdamW decay": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.2, amsgrad=True),
}


def torch_rule(name, parameters):
    torch = pytest.importorskip("torch")
    sgd, adam, adamw = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
    return {
        "SGD": lambda: sgd(parameters, lr=0.05),
        "SGD momentum": lambda: sgd(parameters, lr=0.05, momentum=0.9),
        "SGD nesterov": lambda: sgd(parameters, lr=0.05, momentum=0.9, nesterov=True),
        "SGD decay": lambda: sgd(parameters, lr=0.05, momentum=0.5, weight_decay=0.1),
        "SGD maximize": lambda: sgd(parameters, lr=0.001, maximize=True),
        "Adam": lambda: adam(parameters),
        "Adam decay": lambda: adam(
            parameters, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1
        ),
        "Adam amsgrad": lambda: adam(parameters, lr=0.02, amsgrad=True),
        "AdamW": lambda: adamw(parameters, lr=0.01),
        "AdamW decay": lambda: adamw(parameters, lr=0.01, weight_decay=0.2, amsgrad=True),
    }[name]()


@pytest.fixture
def data():
    rng = random.Random(4)
    inputs = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(23)]
    targets = [math.sin(3 * a) + b * c for a, b, c in inputs]
    return inputs, targets


def network():
    random.seed(8)
    return nn.MLP(3, [5, 1], output_activation="linear")


def squared_error(model):
    return lambda x, y: (model(x) - y) ** 2


def data_of(model):
    return [p.data for p in model.parameters()]


def steps_in_python(f, batches, optimizer):
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        losses.append(f.value_and_grad(*batch))
        optimizer.step()
    return losses


# -- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_pytorchs_step_by_step(name, data):
    torch = pytest.importorskip("torch")
    model = network()
    weights = [
        (
            torch.tensor(
                [[w.data for w in n.w] for n in layer.neurons], dtype=torch.float64
            ).requires_grad_(),
            torch.tensor([n.b.data for n in layer.neurons], dtype=torch.float64).requires_grad_(),
        )
        for layer in model.layers
    ]
    flat = [tensor for layer in weights for tensor in layer]
    theirs, ours = torch_rule(name, flat), RULES[name](model.parameters())
    inputs, targets = (torch.tensor(numbers, dtype=torch.float64) for numbers in data)
    f = mc.compile(squared_error(model))
    for _ in range(60):
        x = inputs
        for k, (matrix, bias) in enumerate(weights):
            x = x @ matrix.T + bias
            x = torch.tanh(x) if k == 0 else x
        loss = ((x[:, 0] - targets) ** 2).mean()
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        assert steps_in_python(f, [data], ours) == pytest.approx([loss.item()], rel=1e-8)
        for layer, (matrix, bias) in zip(model.layers, weights, strict=True):
            ws = [[w.data for w in n.w] for n in layer.neurons]
            assert np.array(ws) == pytest.approx(matrix.detach().numpy(), rel=1e-8, abs=1e-12)
            bs = [n.b.data for n in layer.neurons]
            assert np.array(bs) == pytest.approx(bias.detach().numpy(), rel=1e-8, abs=1e-12)


def test_adam_is_the_papers_formula():
    p = Value(0.5)
    optimizer = optim.Adam([p], lr=0.1, betas=(0.9, 0.99), eps=1e-8)
    x, m, v = 0.5, 0.0, 0.0
    for t in range(1, 20):
        g = math.cos(x) * t
        p.grad = g
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        x -= 0.1 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.99**t)) + 1e-8)
        assert p.data == pytest.approx(x, rel=1e-12)


def test_the_learning_rate_may_change_between_steps():
    p = Value(1.0)
    optimizer = optim.SGD([p], lr=0.5)
    p.grad = 1.0
    optimizer.step()
    optimizer.lr = 0.25
    optimizer.step()
    assert p.data == 0.25 and optimizer.lr == 0.25
    with pytest.raises(ValueError, match="lr"):
        optimizer.lr = -1.0


def test_zero_grad_and_params():
    values = [Value(1.0), Value(2.0)]
    optimizer = optim.Adam(iter(values))
    values[0].grad = values[1].grad = 3.0
    optimizer.zero_grad()
    assert [v.grad for v in values] == [0.0, 0.0]
    assert all(a is b for a, b in zip(optimizer.params, values, strict=True))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda v: optim.SGD([], lr=0.1), ValueError, "at least one"),
        (lambda v: optim.SGD(v, lr=0.1), TypeError, "iterable"),
        (lambda v: optim.SGD([1.0], lr=0.1), TypeError, "Values, got float"),
        (lambda v: optim.SGD([v, v], lr=0.1), ValueError, "twice"),
        (lambda v: optim.SGD([v * 2], lr=0.1), ValueError, "leaves, got a result of '\\*'"),
        (lambda v: optim.SGD([v], lr=-0.1), ValueError, "lr"),
        (lambda v: optim.SGD([v], lr="0.1"), TypeError, "lr: expected a number, got str"),
        (lambda v: optim.Adam([v], lr=v), TypeError, "lr: expected a number, got Value"),
        (lambda v: optim.SGD([v], lr=math.nan), ValueError, "lr"),
        (lambda v: optim.SGD([v], lr=0.1, momentum=-1.0), ValueError, "momentum"),
        (lambda v: optim.SGD([v], lr=0.1, nesterov=True), ValueError, "nesterov"),
        (lambda v: optim.SGD([v], lr=0.1, weight_decay=-1.0), ValueError, "weight_decay"),
        (lambda v: optim.Adam([v], betas=(1.0, 0.9)), ValueError, "betas"),
        (lambda v: optim.Adam([v], eps=-1.0), ValueError, "eps"),
        (lambda v: optim.AdamW([v], weight_decay=-1.0), ValueError, "weight_decay"),
    ],
)
def test_bad_arguments_of_a_rule(make, error, words):
    with pytest.raises(error, match=words):
        make(Value(1.0))


# -- fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_fit_is_the_loop_in_python(name, data):
    ours, plain = network(), network()
    f, g = mc.compile(squared_error(ours)), mc.compile(squared_error(plain))
    losses = f.fit(*data, optimizer=RULES[name](ours.parameters()), steps=40)
    expected = steps_in_python(g, [data] * 40, RULES[name](plain.parameters()))
    assert losses == pytest.approx(expected, rel=1e-10)
    assert data_of(ours) == pytest.approx(data_of(plain), rel=1e-10)
    grads = [p.grad for p in ours.parameters()]
    assert grads == pytest.approx([p.grad for p in plain.parameters()], rel=1e-8, abs=1e-12)


def test_minibatches_come_in_order_and_the_last_of_an_epoch_is_smaller(data):
    inputs, targets = data
    ours, plain = network(), network()
    losses = mc.compile(squared_error(ours)).fit(
        *data, optimizer=optim.SGD(ours.parameters(), lr=0.1), steps=9, batch_size=8
    )
    cuts = [slice(0, 8), slice(8, 16), slice(16, 23)] * 3
    expected = steps_in_python(
        mc.compile(squared_error(plain)),
        [(inputs[cut], targets[cut]) for cut in cuts],
        optim.SGD(plain.parameters(), lr=0.1),
    )
    assert losses == pytest.approx(expected, rel=1e-10)


def seen_samples(seed, steps, size, batch_size):
    """The samples of each step, told by a loss that adds up a power of two for each."""
    w = Value(0.0)
    f = mc.compile(lambda x: x + w, reduction="sum")
    numbers = [2.0**k for k in range(size)]
    losses = f.fit(
        numbers,
        optimizer=optim.SGD([w], lr=0.0),
        steps=steps,
        batch_size=batch_size,
        shuffle=True,
        seed=seed,
    )
    return [{k for k in range(size) if int(loss) >> k & 1} for loss in losses]


def test_shuffling_shows_every_sample_once_an_epoch_and_follows_the_seed():
    steps = seen_samples(seed=3, steps=12, size=20, batch_size=7)
    for epoch in range(4):
        parts = steps[3 * epoch : 3 * epoch + 3]
        assert [len(part) for part in parts] == [7, 7, 6]
        assert set.union(*parts) == set(range(20))
    assert steps[:3] != steps[3:6]
    assert steps == seen_samples(3, 12, 20, 7) != seen_samples(4, 12, 20, 7)


def test_without_a_seed_shuffling_follows_pythons_random_module():
    orders = []
    for seed in (1, 1, 2):
        random.seed(seed)
        orders.append(seen_samples(None, 6, 20, 5))
    assert orders[0] == orders[1] != orders[2]


def test_no_steps_change_nothing():
    w = Value(2.0)
    w.grad = 5.0
    f = mc.compile(lambda x: x * w)
    assert f.fit([1.0], optimizer=optim.Adam([w]), steps=0) == []
    assert (w.data, w.grad) == (2.0, 5.0)


def test_several_fits_go_on_where_the_last_ended(data):
    ours, plain = network(), network()
    f, g = mc.compile(squared_error(ours)), mc.compile(squared_error(plain))
    optimizer = optim.Adam(ours.parameters(), lr=0.01)
    parts = [f.fit(*data, optimizer=optimizer, steps=n) for n in (3, 0, 1, 16)]
    whole = g.fit(*data, optimizer=optim.Adam(plain.parameters(), lr=0.01), steps=20)
    assert [loss for part in parts for loss in part] == pytest.approx(whole, rel=1e-12)


def test_callback_sees_every_step_and_may_change_the_run(data):
    model, calls = network(), []
    f = mc.compile(squared_error(model))
    optimizer = optim.SGD(model.parameters(), lr=0.05)

    def callback(step, loss):
        calls.append((step, loss, f.value_and_grad(*data)))  # comes back into the same program
        optimizer.lr *= 0.5
        return step == 5

    losses = f.fit(*data, optimizer=optimizer, steps=50, callback=callback)
    assert [step for step, _, _ in calls] == [0, 1, 2, 3, 4, 5]
    assert [loss for _, loss, _ in calls] == losses
    assert [after for _, _, after in calls[:-1]] == pytest.approx(losses[1:], rel=1e-12)
    assert optimizer.lr == 0.05 / 64


@pytest.mark.parametrize(
    ("answer", "steps"),
    [(True, 1), (np.True_, 1), (False, 4), (np.False_, 4), (None, 4), (1, 4), ("yes", 4)],
    ids=repr,
)
def test_training_ends_where_a_callback_returns_true(answer, steps):
    w = Value(1.0)
    f = mc.compile(lambda x: (w - x) ** 2)
    optimizer = optim.SGD([w], lr=0.1)
    losses = f.fit([0.0], optimizer=optimizer, steps=4, callback=lambda step, loss: answer)
    assert len(losses) == steps


def test_data_that_a_callback_assigns_is_trained_from_there():
    w = Value(1.0)
    f = mc.compile(lambda x: (w - x) ** 2)

    def callback(step, loss):
        w.data = 10.0

    losses = f.fit([0.0], optimizer=optim.SGD([w], lr=0.1), steps=3, callback=callback)
    assert losses == [1.0, 100.0, 100.0]


def test_an_exception_of_a_callback_leaves_the_parameters_of_that_step(data):
    ours, plain = network(), network()

    def callback(step, loss):
        if step == 4:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        mc.compile(squared_error(ours)).fit(
            *data, optimizer=optim.SGD(ours.parameters(), lr=0.1), steps=9, callback=callback
        )
    mc.compile(squared_error(plain)).fit(
        *data, optimizer=optim.SGD(plain.parameters(), lr=0.1), steps=5
    )
    assert data_of(ours) == pytest.approx(data_of(plain), rel=1e-12)


def test_parameters_on_one_side_only():
    used, frozen, idle = Value(2.0), Value(3.0), Value(1.0)
    idle.grad = 5.0
    f = mc.compile(lambda x: used * frozen * x)
    optimizer = optim.SGD([idle, used], lr=0.1, weight_decay=0.5)
    f.fit([1.0], optimizer=optimizer, steps=1)
    assert frozen.data == 3.0 and frozen.grad == 2.0
    assert used.data == pytest.approx(2.0 - 0.1 * (3.0 + 0.5 * 2.0))
    assert idle.data == pytest.approx(1.0 - 0.1 * 0.5) and idle.grad == 0.0


def test_a_bad_sample_in_the_middle_leaves_everything_as_it_was():
    w = Value(2.0)
    f = mc.compile(lambda i: mc.take([w, w * w], i))
    optimizer = optim.Adam([w], lr=0.1)
    f.fit([0.0], optimizer=optimizer, steps=2)
    before = (w.data, w.grad)
    with pytest.raises(IndexError, match="take: index 7"):
        f.fit([0.0, 1.0, 7.0], optimizer=optimizer, steps=9, batch_size=1)
    assert (w.data, w.grad) == before
    twin = Value(2.0)
    g = mc.compile(lambda i: mc.take([twin, twin * twin], i))
    g.fit([0.0], optimizer=optim.Adam([twin], lr=0.1), steps=3)
    f.fit([0.0], optimizer=optimizer, steps=1)
    assert w.data == twin.data  # the moments, too, are as they were


@pytest.mark.parametrize("bad", [0, 3, 300])
@pytest.mark.parametrize(
    "order",
    [{}, {"batch_size": 1}, {"batch_size": 7}, {"batch_size": 50, "shuffle": True, "seed": 3}],
    ids=str,
)
def test_a_sample_that_fit_refuses_is_named_by_its_place_in_the_data(bad, order):
    p = Value(2.0)
    indices = [float(k % 2) for k in range(400)]
    indices[bad] = 7.0
    f = mc.compile(lambda k: mc.take([p * 1, p * 2], k))
    with pytest.raises(IndexError, match=rf"index 7 .* 2 values, for sample {bad}$"):
        f.fit(indices, optimizer=optim.SGD([p], lr=0.1), steps=400, **order)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"steps": -1}, ValueError, "steps"),
        ({"steps": 1.5}, TypeError, "steps"),
        ({"steps": 2**64}, ValueError, "at most .* steps, got 18446744073709551616"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"optimizer": None}, TypeError, "optimizer"),
        ({"callback": 3}, TypeError, "callback"),
        ({"seed": "x"}, TypeError, "seed"),
    ],
)
def test_bad_arguments_of_fit(arguments, error, words):
    w = Value(1.0)
    f = mc.compile(lambda x: x * w)
    good = {"optimizer": optim.SGD([w], lr=0.1), "steps": 1}
    with pytest.raises(error, match=words):
        f.fit([1.0], **{**good, **arguments})
    assert w.data == 1.0


def test_a_batch_size_above_all_samples_is_all_of_them():
    w = Value(1.0)
    f = mc.compile(lambda x: (w - x) ** 2)
    optimizer = optim.SGD([w], lr=0.0)
    assert f.fit([0.0, 1.0], optimizer=optimizer, steps=2, batch_size=2**70) == [0.5, 0.5]


def test_progress_is_a_line_where_tqdm_is_missing(capsys, monkeypatch, data):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model = network()
    f = mc.compile(squared_error(model))
    f.fit(*data, optimizer=optim.SGD(model.parameters(), lr=0.1), steps=5, progress=True)
    assert "step 5/5 (100 %), loss " in capsys.readouterr().err


def test_progress_is_a_bar_on_a_terminal(monkeypatch, data):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "stderr", terminal)
    model = network()
    f = mc.compile(squared_error(model))
    f.fit(*data, optimizer=optim.SGD(model.parameters(), lr=0.1), steps=5, progress=True)
    states = terminal.getvalue().split("\r")
    assert "] step 5/5 (100 %), loss " in states[-1]
    assert "[" + "#" * 30 + "]" in states[-1]
    assert states[-1].endswith("\n")
    assert all(len(state.rstrip("\n")) <= 79 for state in states)


def test_progress_in_a_notebook_is_one_line_written_over(monkeypatch, data):
    output = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "stderr", output)
    f = mc.compile(squared_error(network()))
    weights = network().parameters()
    f.fit(
        *data,
        optimizer=optim.SGD(weights, lr=0.1),
        steps=9,
        progress=True,
        callback=lambda step, loss: time.sleep(0.15),
    )
    assert output.getvalue().count("\r") >= 9 and output.getvalue().count("\n") == 1


def test_progress_in_a_log_is_a_line_now_and_then(capsys, monkeypatch, data):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    f = mc.compile(squared_error(network()))
    weights = network().parameters()
    f.fit(
        *data,
        optimizer=optim.SGD(weights, lr=0.1),
        steps=5,
        progress=True,
        callback=lambda step, loss: time.sleep(0.12),
    )
    assert capsys.readouterr().err.count("\n") == 1


def test_progress_goes_to_whatever_can_write(monkeypatch, data):
    class Tee:
        text = ""

        def write(self, text):
            self.text += text

    tee = Tee()
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "stderr", tee)
    model = network()
    f = mc.compile(squared_error(model))
    f.fit(*data, optimizer=optim.SGD(model.parameters(), lr=0.1), steps=5, progress=True)
    assert "step 5/5 (100 %), loss " in tee.text and tee.text.endswith("\n")


def test_progress_without_standard_error_shows_nothing(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "stderr", None)
    model = network()
    f = mc.compile(squared_error(model))
    f.fit(*data, optimizer=optim.SGD(model.parameters(), lr=0.1), steps=5, progress=True)


def test_progress_is_tqdms_where_it_is_installed(monkeypatch, data):
    shown = []

    class Bar:
        def __init__(self, total, unit):
            self.n = 0

        def update(self, n):
            self.n += n
            shown.append(self.n)

        def set_postfix(self, **fields):
            assert "loss" in fields

        def close(self):
            shown.append("closed")

    module = type(sys)("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    model = network()
    f = mc.compile(squared_error(model))
    losses = f.fit(*data, optimizer=optim.SGD(model.parameters(), lr=0.1), steps=50, progress=True)
    assert len(losses) == 50 and shown[-2:] == [50, "closed"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupting_leaves_the_parameters_of_a_whole_step(data):
    ours, plain = network(), network()
    f = mc.compile(squared_error(ours))
    optimizer = optim.SGD(ours.parameters(), lr=0.001)
    f.value_and_grad(*data)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sent = []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, send)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            f.fit(*data, optimizer=optimizer, steps=10**9)
        waited = time.perf_counter() - sent[0]
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert waited < 2.0  # a tenth of a second, were this machine ours alone
    mc.compile(squared_error(plain)).fit(
        *data, optimizer=optim.SGD(plain.parameters(), lr=0.001), steps=optimizer.steps
    )
    assert optimizer.steps > 0 and data_of(ours) == data_of(plain)
