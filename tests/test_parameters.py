# SPDX-License-Identifier: MIT
"""What parameters() finds in a module: what named_parameters() does, each once, in its order."""

import gc
import pickle
import weakref

import pytest
from common import Parameter

from micrograd_c import Value, _core, compat, nn

MODELS = {
    "nn": lambda: nn.MLP(2, [3, 2]),
    "micrograd's": lambda: compat.MLP(2, [3, 2]),
    "Layer": lambda: nn.Layer(2, 3),
    "Neuron": lambda: nn.Neuron(2),
}


def agree(model, count):
    """parameters() and named_parameters() give the same so many Values."""
    found, named = model.parameters(), [p for _, p in model.named_parameters()]
    assert list(map(id, found)) == list(map(id, named))
    assert len(found) == len(set(found)) == count
    return found


def parts_of(model):
    layers = getattr(model, "layers", [model])
    neurons = [n for layer in layers for n in getattr(layer, "neurons", [layer])]
    return [model, *layers, *neurons]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_values_added_to_any_part_are_found(make):
    count = len(make().parameters())
    for k in range(len(parts_of(make()))):
        model = make()
        parts_of(model)[k].scale = Value(1.0)
        assert parts_of(model)[k].scale in agree(model, count + 1)
        del parts_of(model)[k].scale
        agree(model, count)


def test_what_is_shared_counts_once():
    layer = nn.Layer(2, 3)
    layer.neurons[2] = layer.neurons[0]
    agree(layer, 6)
    layer.neurons[1].b = layer.neurons[0].w[1]
    agree(layer, 5)
    mlp = nn.MLP(2, [2, 2])
    mlp.layers[1] = mlp.layers[0]
    mlp.again = [mlp, mlp.layers, tuple(mlp.layers), {"w": mlp.layers[0].neurons[0].w}]
    agree(mlp, 6)


def test_what_is_replaced_is_seen():
    mlp = nn.MLP(2, [2, 1])
    agree(mlp, 9)
    mlp.layers.append(nn.Layer(1, 4))
    assert agree(mlp, 17)[9] is mlp.layers[2].neurons[0].w[0]
    mlp.layers[0].neurons.pop()
    mlp.layers[1] = nn.Layer(1, 1)
    mlp.layers[2].neurons[0].w.append(Parameter("w", 2.0))
    assert any(type(p) is Parameter for p in agree(mlp, 3 + 2 + 9))


def test_numbers_among_the_weights_are_no_parameters():
    layer = nn.Layer(2, 1)
    layer.neurons[0].w[0], layer.neurons[0].b = 0.5, None
    agree(layer, 1)
    del layer.neurons[0].b
    agree(layer, 1)
    layer.name, layer.size, layer.is_frozen = "first", 3, False
    agree(layer, 1)


def test_many_parts_of_many_classes_in_depth():
    class Part(nn.Module):
        pass

    inner = Part()
    inner.values = {k: Value(float(k)) for k in range(1000)}
    for depth in range(200):
        outer = type(f"Part{depth % 20}", (Part,), {"__slots__": ("w",) * (depth % 2)})()
        outer.inner, outer.w = (inner,), Value(0.0)
        inner = outer
    agree(inner, 1200)
    agree(inner, 1200)  # by now, Python has noted what their slots are


def test_properties_in_place_of_slots_are_asked():
    class Scaled(nn.Neuron):
        w = property(lambda self: [self.only])

    neuron = Scaled.__new__(Scaled)
    neuron.only, neuron.b, neuron.activation = Value(3.0), Value(0.0), "tanh"
    agree(neuron, 2)
    agree(neuron, 2)


@pytest.mark.parametrize("part", [1, 2, -1])
@pytest.mark.parametrize("where", ["class", "object"])
def test_a_part_with_a_method_parameters_of_its_own_is_asked(part, where):
    """As micrograd's modules ask their layers: so a part may be frozen."""
    model = nn.MLP(2, [2, 1])
    frozen = parts_of(model)[part]
    if where == "class":
        own = type("Frozen", (type(frozen),), {"parameters": lambda self: []})
        copy = own.__new__(own)
        for name in ("neurons", "w", "b", "activation"):
            if hasattr(frozen, name):
                setattr(copy, name, getattr(frozen, name))
        for holder in [model.layers, *[layer.neurons for layer in model.layers]]:
            holder[:] = [copy if item is frozen else item for item in holder]
    else:
        frozen.parameters = list
    others = [p for _, p in model.named_parameters() if p not in nn.Module.parameters(frozen)]
    assert model.parameters() == others and 0 < len(others) < 9
    assert len(model.state_dict()) == 9


def test_a_root_that_extends_parameters_asks_the_class_behind_it():
    class Extended(nn.MLP):
        def parameters(self):
            return [*super().parameters(), *self.extra()]

        def extra(self):
            return [Value(1.0)]

    assert len(Extended(1, [1]).parameters()) == 3


def test_fields_named_parameters_are_parts():
    class Bag(nn.Module):
        pass

    bag, outer = Bag(), Bag()
    bag.parameters = [Value(1.0), Value(2.0)]
    outer.bag = bag
    agree(outer, 2)
    outer.more = {Value}  # known to Python only
    agree(outer, 2)


def test_asking_keeps_nothing_alive():
    model = nn.MLP(2, [2, 1])
    model.parameters()
    gone = weakref.ref(model.layers[0].neurons[0].w[0])
    del model
    gc.collect()
    assert gone() is None


def test_pickled_models_have_their_parameters():
    model = nn.MLP(2, [2, 1])
    model.layers[0].scale = Value(4.0)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.state_dict() == model.state_dict()
    agree(loaded, 10)


def test_the_core_leaves_what_it_does_not_know_to_python():
    model = nn.MLP(2, [2, 1])
    model.parameters()
    assert _core.parameters_of(model, nn.Module, nn.Module.parameters) == model.parameters()
    model.parts = {nn.Neuron}
    assert _core.parameters_of(model, nn.Module, nn.Module.parameters) is None
