# SPDX-License-Identifier: MIT
"""Modules as PyTorch has them: forward, Linear, activations, Sequential."""

import copy
import dataclasses
import pickle
import random

import numpy as np
import pytest

from micrograd_c import Value, compile, nn, optim
from micrograd_c.nn import parameter_names

X = [2.0, 3.0, -1.0]


def in_a_row():
    """The lesson's network, as its section on PyTorch writes it."""
    random.seed(42)
    return nn.Sequential(
        nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1), nn.Tanh()
    )


# -- forward ---------------------------------------------------------------------------------------


class Scaled(nn.Module):
    def __init__(self):
        self.body = nn.Linear(3, 1)
        self.scale = Value(2.0)

    def forward(self, x, *, shift=0.0):
        return self.body(x) * self.scale + shift


def test_calling_a_module_is_calling_its_forward():
    model = Scaled()
    assert model(X).data == model.forward(X).data == 2 * model.body(X).data
    assert model(X, shift=1.0).data == model(X).data + 1.0
    assert len(model.parameters()) == 5
    assert compile(model)([X]).tolist() == pytest.approx([model(X).data])


@pytest.mark.parametrize("base", [nn.MLP, nn.Layer, nn.Neuron, nn.Sequential, nn.Tanh])
def test_a_subclass_may_write_either(base):
    class Forward(base):
        def forward(self, x):
            return ["forward", super().forward(x)]

    class Call(base):
        def __call__(self, x):
            return ["call", super().__call__(x)]

    class Both(Call, Forward):
        pass

    class ForwardAgain(Call):
        def forward(self, x):
            return ["again"]

    arguments = {nn.MLP: (1, [1]), nn.Layer: (1, 1), nn.Neuron: (1,)}.get(base, ())
    assert Forward(*arguments)([0.5])[0] == "forward"
    assert Call(*arguments)([0.5])[0] == "call"
    assert Both(*arguments)([0.5])[0] == "call"
    assert ForwardAgain(*arguments)([0.5]) == ["again"]


def test_a_forward_from_a_class_beside_counts_too():
    class Doubled:
        def forward(self, x):
            return 2 * super().forward(x)

    class Model(Doubled, nn.MLP):
        pass

    random.seed(0)
    model = Model(1, [2, 1])
    assert model([1.0]).data == 2 * nn.MLP.__call__(model, [1.0]).data


def test_neurons_with_a_forward_of_their_own_in_a_layer():
    class Odd(nn.Neuron):
        def forward(self, x):
            return super().forward(x) * 0.0 + 7.0

    layer = nn.Layer(2, 2)
    layer.neurons[1] = Odd(2)
    assert layer([1.0, 2.0])[1].data == 7.0


def test_a_module_without_either_cannot_be_called():
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match="Empty cannot be called: it has neither forward nor"):
        Empty()(1.0)


def test_a_forward_may_be_given_to_a_single_module():
    class Empty(nn.Module):
        pass

    module = Empty()
    module.forward = lambda x: x + 1
    assert module(1) == 2


# -- Linear ----------------------------------------------------------------------------------------


def test_linear_is_a_layer_without_activation():
    random.seed(5)
    linear = nn.Linear(3, 2)
    random.seed(5)
    layer = nn.Layer(3, 2, "linear")
    assert linear.state_dict() == layer.state_dict()
    assert [v.data for v in linear(X)] == [v.data for v in layer(X)]
    assert isinstance(nn.Linear(3, 1)(X), Value)


def test_linear_without_biases():
    linear = nn.Linear(3, 2, bias=False)
    weights = [[w.data for w in neuron.w] for neuron in linear.neurons]
    outputs = linear(X)
    assert [v.data for v in outputs] == pytest.approx((np.array(weights) @ X).tolist())
    assert len(linear.parameters()) == 6
    assert list(linear.state_dict()) == [f"neurons.{k}.w.{j}" for k in range(2) for j in range(3)]
    (outputs[0] + outputs[1]).backward()
    assert [p.grad for p in linear.parameters()] == X * 2
    assert compile(linear)([X]).tolist()[0] == pytest.approx([v.data for v in outputs])
    assert copy.deepcopy(linear).state_dict() == linear.state_dict()


@pytest.mark.parametrize("bias", [True, False])
def test_linear_wants_its_number_of_inputs(bias):
    with pytest.raises(ValueError, match="length 3, got 2"):
        nn.Linear(3, 2, bias=bias)([1.0, 2.0])


def test_an_activation_in_the_place_of_bias_is_refused():
    with pytest.raises(TypeError, match=r"bias to be True or False, got 'relu'.*Layer\("):
        nn.Linear(3, 2, "relu")


# -- activations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Tanh", "ReLU", "Sigmoid"])
def test_an_activation_is_the_method_of_that_name(name):
    module, method = getattr(nn, name)(), getattr(Value, name.lower())
    x = Value(0.5)
    assert module(x).data == method(x).data and module(x)._op == name.lower()
    for numbers in ([0.5, x, -1], (0.5, x, -1), np.array([0.5, 0.5, -1.0])):
        assert [v.data for v in module(numbers)] == [method(Value(v)).data for v in (0.5, 0.5, -1)]
    assert module(0.5).data == module(np.array(0.5)).data == method(x).data
    assert module.parameters() == [] and repr(module) == f"{name}()"
    with pytest.raises(TypeError):
        module("0.5")
    with pytest.raises(TypeError):
        module({0.5})


@pytest.mark.parametrize("order", [{}, {"frozen": True}, {"unsafe_hash": True}])
def test_a_module_may_be_a_dataclass(order):
    @dataclasses.dataclass(**order)
    class Line(nn.Module):
        slope: Value
        offset: Value

        def forward(self, x):
            return self.slope * x + self.offset

    line = Line(Value(2.0), Value(1.0))
    assert line(3.0).data == 7.0
    assert [name for name, _ in line.named_parameters()] == ["slope", "offset"]
    assert parameter_names()[id(line.slope)] == "slope"


def test_a_module_may_be_of_another_class_too():
    class Unit:
        def __new__(cls, name, *, count):
            return super().__new__(cls)

    class Both(nn.Module, Unit):
        def __init__(self, name, *, count):
            self.w = [Value(1.0) for _ in range(count)]

    assert len(Both("w", count=3).parameters()) == 3
    assert len(nn.MLP(2, [1]).parameters()) == 3


@pytest.mark.parametrize("made", [lambda: nn.Module(1), lambda: nn.Tanh(0.5), lambda: nn.ReLU(k=1)])
def test_what_takes_no_arguments_says_so(made):
    with pytest.raises(TypeError, match="takes no arguments"):
        made()


# -- Sequential ------------------------------------------------------------------------------------


def test_the_lessons_network_as_pytorch_writes_it():
    random.seed(42)
    mlp, row = nn.MLP(3, [4, 4, 1]), in_a_row()
    assert len(row.parameters()) == 41
    for model in (mlp, row):
        model.zero_grad()
        model(X).backward()
    assert row(X).data == mlp(X).data
    assert [p.grad for p in row.parameters()] == [p.grad for p in mlp.parameters()]


def test_a_row_is_trained_and_kept():
    row = in_a_row()
    f = compile(lambda x, y: (row(x) - y) ** 2)
    adam = optim.Adam(row.parameters(), lr=0.05)
    f.fit([X, [3.0, -1.0, 0.5]], [1.0, -1.0], optimizer=adam, steps=100)
    assert row(X).data > 0.9
    other = in_a_row()
    other.load_state_dict(row.state_dict())
    twin = pickle.loads(pickle.dumps(row))
    assert row(X).data == other(X).data == twin(X).data
    assert next(iter(row.state_dict())) == "layers.0.neurons.0.w.0"


def test_a_row_takes_functions_and_rows():
    row = nn.Sequential(
        nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 2)), lambda x: [2 * v for v in x], nn.ReLU()
    )
    first, second = row[0].layers
    expected = [max(0.0, 2 * v.data) for v in second([first(X)])]
    assert [v.data for v in row(X)] == pytest.approx(expected)
    assert len(row) == 3 and len(row.parameters()) == 4 + 4
    assert nn.Sequential()(X) is X
    assert repr(nn.Sequential(nn.Tanh(), nn.ReLU())) == "Sequential(Tanh(), ReLU())"


def test_a_part_of_a_row_is_a_row():
    row = in_a_row()
    head, tail = row[:3], row[3:]
    assert isinstance(head, nn.Sequential) and len(head) == 3
    assert tail(head(X)).data == row(X).data
    assert row[-1] is tail[-1] is row.layers[-1]
    assert list(row) == row.layers


@pytest.mark.parametrize("bad", [[nn.Tanh()], nn.Tanh, None, "tanh"])
def test_a_row_of_what_cannot_be_called_is_refused(bad):
    with pytest.raises(TypeError, match="Sequential: expected modules or functions"):
        nn.Sequential(nn.Linear(1, 1), bad)
