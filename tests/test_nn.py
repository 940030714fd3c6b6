# SPDX-License-Identifier: MIT
"""Neuron, Layer, MLP and Module."""

import random
import weakref
from collections import deque

import numpy as np
import pytest

from micrograd_c import Value, _core, nn, no_grad, tape_stats, topological_sort
from micrograd_c.benchmarks import reference

XS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
YS = [1.0, -1.0, -1.0, 1.0]


def train_lesson(Value, MLP, steps=50, lr=0.05):
    """The lesson's training loop; returns losses, parameters and predictions."""
    xs = [[Value(x) for x in row] for row in XS]
    random.seed(42)
    mlp = MLP(3, [4, 4, 1])
    losses = []
    for _ in range(steps):
        preds = [mlp(x) for x in xs]
        loss = sum((p - y) ** 2 for p, y in zip(preds, YS, strict=True))
        for p in mlp.parameters():
            p.grad = 0.0
        loss.backward()
        for p in mlp.parameters():
            p.data -= lr * p.grad
        losses.append(loss.data)
    return losses, [p.data for p in mlp.parameters()], [mlp(x).data for x in xs]


def lesson_run():
    return train_lesson(reference.Value, reference.lesson_classes(reference.Value)[2])


@pytest.mark.parametrize(
    "MLP", [nn.MLP, reference.lesson_classes(Value)[2]], ids=["our nn", "the lesson's classes"]
)
def test_seed_42_gives_the_lessons_training_run(MLP):
    for ours, theirs in zip(train_lesson(Value, MLP), lesson_run(), strict=True):
        assert ours == pytest.approx(theirs, rel=0, abs=1e-9)


def test_the_lessons_network_has_41_parameters_and_learns():
    losses, parameters, predictions = train_lesson(Value, nn.MLP)
    assert len(losses) == 50 and len(parameters) == 41
    assert losses[-1] < 0.05 < 1 < losses[0]
    assert all(p * y > 0 for p, y in zip(predictions, YS, strict=True))


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "linear", "softplus", "gelu"])
def test_a_layer_is_its_neurons_one_by_one(activation):
    layer = nn.Layer(3, 4, activation)
    x = [Value(0.3), Value(-1.2), Value(2.0)]
    together, apart = layer(x), [neuron(x) for neuron in layer.neurons]
    assert [v.data for v in together] == [v.data for v in apart]
    gradients = []
    for outs in (together, apart):
        sum(out * out for out in outs).backward()
        gradients.append([p.grad for p in layer.parameters() + x])
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-14)


def test_inputs_may_be_numbers_values_or_both():
    layer = nn.Layer(3, 2)
    outs = [
        [v.data for v in layer(x)]
        for x in ([1, -2.0, 0.5], [Value(1), Value(-2), Value(0.5)], (1.0, Value(-2.0), 0.5))
    ]
    assert outs[0] == outs[1] == outs[2]


def test_inputs_get_gradients():
    x = [Value(1.0), Value(2.0)]
    mlp = nn.MLP(2, [3, 1], activation="sigmoid")
    out = mlp(x)
    out.backward()
    eps = 1e-6
    for k in range(2):
        ahead, behind = ([v.data for v in x] for _ in range(2))
        ahead[k] += eps
        behind[k] -= eps
        numerical = (mlp(ahead).data - mlp(behind).data) / (2 * eps)
        assert x[k].grad == pytest.approx(numerical, rel=1e-6)


def test_a_single_neuron_layer_gives_its_output():
    assert isinstance(nn.Layer(2, 1)([1.0, 2.0]), Value)
    assert isinstance(nn.Layer(2, 2)([1.0, 2.0]), list)


def test_weights_come_in_the_lessons_order():
    random.seed(7)
    mlp = nn.MLP(2, [3, 1])
    random.seed(7)
    for layer in mlp.layers:
        for neuron in layer.neurons:
            assert [w.data for w in neuron.w] == [random.uniform(-1, 1) for _ in neuron.w]
            assert neuron.b.data == 0.0


def test_output_activation():
    mlp = nn.MLP(2, [3, 3, 1], activation="relu", output_activation="linear")
    kinds = [layer.neurons[0].activation for layer in mlp.layers]
    assert kinds == ["relu", "relu", "linear"]
    assert [layer.neurons[0].activation for layer in nn.MLP(2, [3, 1]).layers] == ["tanh", "tanh"]


@pytest.mark.parametrize("module", [nn.Neuron(3), nn.Layer(3, 2), nn.MLP(3, [2, 1])])
@pytest.mark.parametrize("length", [0, 2, 4])
def test_a_wrong_input_length_is_an_error_with_both_lengths(module, length):
    nodes = tape_stats().nodes
    with pytest.raises(ValueError, match=f"3.*{length}"):
        module([1.0] * length)
    assert tape_stats().nodes == nodes


@pytest.mark.parametrize("module", [nn.Neuron(2), nn.Layer(2, 2)])
@pytest.mark.parametrize("x", [["a", 1.0], [None, Value(1.0)]])
def test_a_wrong_input_type_is_a_type_error(module, x):
    nodes = tape_stats().nodes
    with pytest.raises(TypeError, match="number"):
        module(x)
    assert tape_stats().nodes == nodes


@pytest.mark.parametrize("module", [nn.Neuron(2), nn.Layer(2, 2), nn.Layer(2, 1), nn.MLP(2, [1])])
@pytest.mark.parametrize("x", [{1.0, 3.0}, frozenset([1.0, 3.0]), {1.0: 2.0, 3.0: 4.0}])
def test_an_input_whose_numbers_have_no_places_is_a_type_error(module, x):
    with pytest.raises(TypeError, match=f"sequence, got {type(x).__name__}"):
        module(x)


def test_layer_sizes_are_a_list():
    with pytest.raises(TypeError, match="MLP: expected a list of layer sizes, got 3"):
        nn.MLP(2, 3)


@pytest.mark.parametrize(
    "make", [lambda: nn.Neuron(-1), lambda: nn.Layer(2, -1), lambda: nn.MLP(2, [3, -1])]
)
def test_a_size_below_zero_is_an_error(make):
    with pytest.raises(ValueError, match=r"at least 0.*got -1"):
        make()


def test_an_unknown_activation_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match=r"tanh.*swish"):
        nn.MLP(2, [1], activation="swish")


def test_what_an_activation_refuses_is_an_error():
    layer = nn.Layer(1, 1, activation="log")
    layer.neurons[0].w[0].data = -1.0
    with pytest.raises(ValueError, match="log"):
        layer([1.0])


def test_no_grad_gives_leaves():
    mlp = nn.MLP(2, [3, 1])
    with no_grad():
        out = mlp([1.0, 2.0])
    assert out._op == "" and out.data == mlp([1.0, 2.0]).data


def test_a_neuron_of_ones_own_is_respected():
    class Doubled(nn.Neuron):
        def __call__(self, x):
            return super().__call__(x) * 2

    layer = nn.Layer(2, 2)
    plain = [v.data for v in layer([1.0, 2.0])]
    mine = Doubled(2)
    mine.w, mine.b = layer.neurons[1].w, layer.neurons[1].b
    layer.neurons[1] = mine
    assert [v.data for v in layer([1.0, 2.0])] == [plain[0], 2 * plain[1]]


def test_weights_of_a_subclass_take_part():
    class Weight(Value):
        pass

    layer = nn.Layer(1, 2)
    layer.neurons[0].w[0] = Weight(0.5)
    out = layer([2.0])[0]
    assert out.data == pytest.approx(Value(1.0).tanh().data)
    assert any(type(v) is Weight for v in topological_sort(out))


def test_replaced_weights_are_seen():
    layer = nn.Layer(1, 1, "linear")
    layer([1.0])
    layer.neurons[0].w = [Value(3.0)]
    layer.neurons[0].b = Value(1.0)
    assert layer([2.0]).data == 7.0


# -- Module --------------------------------------------------------------------------------------


def test_named_parameters_follow_the_structure():
    mlp = nn.MLP(1, [2])
    named = dict(mlp.named_parameters())
    assert list(named) == [
        "layers.0.neurons.0.w.0",
        "layers.0.neurons.0.b",
        "layers.0.neurons.1.w.0",
        "layers.0.neurons.1.b",
    ]
    assert [id(v) for v in named.values()] == [id(v) for v in mlp.parameters()]


def test_a_module_of_ones_own_finds_its_parameters():
    class Model(nn.Module):
        def __init__(self):
            self.scale = Value(2.0)
            self.parts = {"body": nn.Neuron(1), "rest": [Value(1.0), (Value(2.0),)]}
            self.name = "model"

        def __call__(self, x):
            return self.scale * self.parts["body"](x)

    model = Model()
    assert [name for name, _ in model.named_parameters()] == [
        "scale",
        "parts.body.w.0",
        "parts.body.b",
        "parts.rest.0",
        "parts.rest.1.0",
    ]
    assert len(model.parameters()) == 5
    model([1.0]).backward()
    assert model.scale.grad != 0
    model.zero_grad()
    assert model.scale.grad == 0


class OneSlot(nn.Module):
    __slots__ = "scale"

    def __init__(self):
        self.scale = Value(1.0)


class PrivateSlots(OneSlot):
    __slots__ = ("__hidden", "cache", "last")

    def __init__(self):
        super().__init__()
        self.__hidden = Value(2.0)
        self.last = [Value(3.0)]
        self.other = Value(4.0)


def test_parameters_in_slots():
    assert list(OneSlot().state_dict()) == ["scale"]
    assert PrivateSlots().state_dict() == {
        "_PrivateSlots__hidden": 2.0,
        "last.0": 3.0,
        "scale": 1.0,
        "other": 4.0,
    }


@pytest.mark.parametrize("base", [nn.Neuron, nn.Layer, nn.MLP])
def test_parameters_in_slots_of_a_subclass(base):
    class Scaled(base):
        __slots__ = ("scale",)

    module = Scaled(*{nn.Neuron: (1,), nn.Layer: (1, 1), nn.MLP: (1, [1])}[base])
    module.scale = Value(5.0)
    parameters = module.parameters()
    assert parameters == [p for _, p in module.named_parameters()]
    assert len(parameters) == 3 and module.scale in parameters


def test_parameters_in_containers():
    class Model(nn.Module):
        pass

    model = Model()
    model.table = np.array([[Value(1.0), Value(2.0)], [nn.Neuron(0), None]])
    model.single = np.array(Value(3.0), dtype=object)
    model.numbers, model.names = np.zeros(3), {"a", "b"}
    model.queue = deque([Value(4.0)])
    assert model.state_dict() == {
        "table.0.0": 1.0,
        "table.0.1": 2.0,
        "table.1.0.b": 0.0,
        "single.0": 3.0,
        "queue.0": 4.0,
    }


@pytest.mark.parametrize("make", [set, frozenset])
def test_a_parameter_in_a_set_is_refused(make):
    class Model(nn.Module):
        def __init__(self):
            self.parts = {"known": make([nn.Neuron(1)])}

    with pytest.raises(TypeError, match=f"parts.known is a {make.__name__}.*list"):
        Model().parameters()


def test_a_shared_parameter_counts_once():
    class Tied(nn.Module):
        def __init__(self):
            self.a = self.b = Value(1.0)

    assert len(Tied().parameters()) == 1


def test_modules_may_refer_to_each_other():
    parent, child = nn.Neuron(1), nn.Neuron(1)
    parent.child, child.parent = child, parent
    assert len(dict(child.named_parameters())) == 4


def test_state_dict_round_trip():
    source, target = nn.MLP(2, [2, 1]), nn.MLP(2, [2, 1])
    target.load_state_dict(source.state_dict())
    assert [p.data for p in target.parameters()] == [p.data for p in source.parameters()]
    assert source([1.0, 2.0]).data == target([1.0, 2.0]).data


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda state: state.pop("w.0"), KeyError),
        (lambda state: state.update(extra=1.0), KeyError),
        (lambda state: state.update(b="x"), TypeError),
    ],
)
def test_a_bad_state_dict_changes_nothing(change, error):
    neuron = nn.Neuron(2)
    before = neuron.state_dict()
    state = dict.fromkeys(before, 9.0)
    change(state)
    with pytest.raises(error):
        neuron.load_state_dict(state)
    assert neuron.state_dict() == before


def test_a_weight_that_is_a_number_takes_part():
    layer = nn.Layer(2, 1, "linear")
    layer.neurons[0].w[0] = 3.0
    layer.neurons[0].w[1].data = 1.0
    assert layer([2.0, 5.0]).data == 11.0


def test_parameters_of_a_subclass_are_all_that_its_state_has():
    class Scaled(nn.MLP):
        def __init__(self):
            super().__init__(2, [2, 1])
            self.scale = Value(1.0)

        def __call__(self, x):
            return super().__call__(x) * self.scale

    class Steep(nn.Neuron):
        def __init__(self, n_in):
            super().__init__(n_in)
            self.slope = Value(2.0)

    model = Scaled()
    model.layers[0].neurons[0] = Steep(2)
    assert model.parameters() == [p for _, p in model.named_parameters()]
    assert len(model.parameters()) == 9 + 2
    model([1.0, 2.0]).backward()
    assert model.scale.grad != 0
    model.zero_grad()
    assert model.scale.grad == 0


def test_an_input_that_changes_while_the_layer_is_recorded(restless):
    """Room on the tape is made first, and that may end what a weak reference is told of."""

    def gone(_):
        xs.clear()

    layer = nn.Layer(50, 3)
    kept, refs = [], []
    for _ in range(300):
        tag = np.ones(1)  # nothing that the collector looks at: it ends with its node
        refs.append(weakref.ref(tag, gone))
        v = Value(1.0)
        v.tag = tag
        kept.append(Value(0.0))
        del v, tag
        xs = [Value(1.0) for _ in range(50)]
        _core.set_minimum(1)
        try:
            assert len(layer(xs)) == 3
        except ValueError as error:
            assert "got 0" in str(error)
