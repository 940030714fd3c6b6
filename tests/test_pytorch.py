# SPDX-License-Identifier: MIT
"""The same weights and data, trained here and in PyTorch: the loss curves are the same."""

import random

import pytest

from micrograd_c import compile, nn, optim
from micrograd_c.cli.demo import LESSON_XS, LESSON_YS, make_moons

torch = pytest.importorskip("torch")


def in_torch(model):
    """The network in PyTorch, with the same weights."""
    activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "linear": torch.nn.Identity}
    modules = []
    for layer in model.layers:
        rows = [[w.data for w in neuron.w] for neuron in layer.neurons]
        linear = torch.nn.Linear(len(rows[0]), len(rows), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(rows, dtype=torch.float64))
            linear.bias.copy_(torch.tensor([n.b.data for n in layer.neurons]))
        modules += [linear, activations[layer.neurons[0].activation]()]
    return torch.nn.Sequential(*modules)


def torch_curve(network, xs, ys, loss_of, optimizer, steps):
    xs, ys = torch.tensor(xs, dtype=torch.float64), torch.tensor(ys, dtype=torch.float64)
    losses = []
    for _ in range(steps):
        loss = loss_of(network(xs)[:, 0], ys)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def lesson_model():
    random.seed(42)
    return nn.MLP(3, [4, 4, 1])


def squares(outputs, ys):
    return ((outputs - ys) ** 2).sum()


def lesson_in_torch(steps=50):
    network = in_torch(lesson_model())
    sgd = torch.optim.SGD(network.parameters(), lr=0.05)
    return network, torch_curve(network, LESSON_XS, LESSON_YS, squares, sgd, steps)


def numbers(network):
    return [p.item() for tensor in network.parameters() for p in tensor.flatten()]


def in_torchs_order(model):
    return [
        value
        for layer in model.layers
        for value in (
            [w for neuron in layer.neurons for w in neuron.w] + [n.b for n in layer.neurons]
        )
    ]


def test_the_lessons_run():
    model, losses = lesson_model(), []
    for _ in range(50):
        loss = sum((model(x) - y) ** 2 for x, y in zip(LESSON_XS, LESSON_YS, strict=True))
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad
        losses.append(loss.data)
    network, expected = lesson_in_torch()
    assert losses == pytest.approx(expected, rel=1e-9)
    assert [p.data for p in in_torchs_order(model)] == pytest.approx(numbers(network), rel=1e-9)
    gradients = [g.item() for tensor in network.parameters() for g in tensor.grad.flatten()]
    assert [p.grad for p in in_torchs_order(model)] == pytest.approx(gradients, rel=1e-8)


def test_the_lessons_run_compiled():
    model = lesson_model()
    f = compile(lambda x, y: (model(x) - y) ** 2, reduction="sum")
    losses = f.fit(LESSON_XS, LESSON_YS, optimizer=optim.SGD(model.parameters(), 0.05), steps=50)
    network, expected = lesson_in_torch()
    assert losses == pytest.approx(expected, rel=1e-9)
    assert [p.data for p in in_torchs_order(model)] == pytest.approx(numbers(network), rel=1e-9)


def test_moons_with_adam():
    random.seed(7)
    points, labels = make_moons(60)
    model = nn.MLP(2, [8, 8, 1], activation="relu", output_activation="linear")
    network = in_torch(model)
    f = compile(lambda x, y: (1 - y * model(x)).relu())
    adam = optim.Adam(model.parameters(), lr=0.01)
    losses = f.fit(points, labels, optimizer=adam, steps=100)
    expected = torch_curve(
        network,
        points,
        labels,
        lambda outputs, ys: (1 - ys * outputs).relu().mean(),
        torch.optim.Adam(network.parameters(), lr=0.01),
        100,
    )
    assert losses == pytest.approx(expected, rel=1e-9)
