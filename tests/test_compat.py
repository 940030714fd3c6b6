# SPDX-License-Identifier: MIT
"""`install()`: micrograd's names and conventions on this engine."""

import importlib
import importlib.util
import pickle
import random
import sys
import types

import pytest

import micrograd_c
from micrograd_c import Value

NAMES = ["micrograd", "micrograd.engine", "micrograd.nn"]


@pytest.fixture
def installed():
    micrograd_c.install()
    yield
    micrograd_c.uninstall()


@pytest.fixture
def clean():
    """No micrograd in sys.modules, whatever this machine has; as before, afterwards."""
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    yield
    micrograd_c.uninstall()
    micrograd_c.accumulate_grads(False)
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def grad_after_two_backwards():
    x = Value(3.0)
    for _ in range(2):
        (x * 2).backward()
    return x.grad


# -- modules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import micrograd.nn; Value = micrograd.nn.Value; MLP = micrograd.nn.MLP",
        "import micrograd.engine, micrograd.nn as n; Value = micrograd.engine.Value; MLP = n.MLP",
        "import micrograd; Value = micrograd.engine.Value; MLP = micrograd.nn.MLP",
        "from micrograd import engine, nn; Value = engine.Value; MLP = nn.MLP",
        "from micrograd.engine import Value; from micrograd.nn import MLP, Layer, Neuron, Module",
        "from micrograd.engine import *; from micrograd.nn import *",
        "from micrograd.nn import *; random.seed",
        "from micrograd import *; Value = engine.Value; MLP = nn.MLP",
    ],
)
def test_every_way_to_import(installed, statement):
    scope = {}
    exec(statement, scope)
    assert scope["Value"] is Value
    assert issubclass(scope["MLP"], micrograd_c.nn.MLP)


def test_modules_look_like_modules(installed):
    for name in NAMES:
        module = importlib.import_module(name)
        assert module.__name__ == module.__spec__.name == name
        assert importlib.util.find_spec(name) is module.__spec__
    assert sys.modules["micrograd"].__path__ == []
    assert sys.modules["micrograd.nn"].__package__ == "micrograd"
    with pytest.raises(ModuleNotFoundError, match=r"micrograd\.nothing"):
        importlib.import_module("micrograd.nothing")


def test_micrograd_that_was_imported_before_comes_back(clean):
    theirs = {name: types.ModuleType(name) for name in NAMES}
    theirs["micrograd"].__path__ = []
    theirs["micrograd"].engine = theirs["micrograd.engine"]
    sys.modules.update(theirs)
    micrograd_c.install()
    micrograd_c.install()
    import micrograd.engine

    assert micrograd.engine.Value is Value
    micrograd_c.uninstall()
    assert all(sys.modules[name] is theirs[name] for name in NAMES)
    micrograd_c.uninstall()
    assert all(sys.modules[name] is theirs[name] for name in NAMES)


def test_nothing_is_left_where_there_was_nothing(clean):
    micrograd_c.install()
    micrograd_c.uninstall()
    assert not set(NAMES) & sys.modules.keys()


def test_a_module_that_was_only_half_there_comes_back(clean):
    sys.modules["micrograd"] = only = types.ModuleType("micrograd")
    micrograd_c.install()
    micrograd_c.uninstall()
    assert sys.modules["micrograd"] is only
    assert "micrograd.nn" not in sys.modules


def test_install_again_repairs(clean):
    micrograd_c.install()
    del sys.modules["micrograd.nn"]
    micrograd_c.install()
    from micrograd.nn import Neuron

    assert repr(Neuron(2)) == "ReLUNeuron(2)"


# -- accumulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [False, True])
def test_the_default_of_backward_comes_back(clean, before):
    micrograd_c.accumulate_grads(before)
    expected = 4.0 if before else 2.0
    assert grad_after_two_backwards() == expected
    micrograd_c.install()
    micrograd_c.install()
    assert grad_after_two_backwards() == 4.0
    micrograd_c.uninstall()
    assert grad_after_two_backwards() == expected
    micrograd_c.accumulate_grads(not before)
    micrograd_c.uninstall()
    assert grad_after_two_backwards() != expected


# -- nn -------------------------------------------------------------------------------------------


def test_representations(installed):
    from micrograd.nn import MLP, Layer, Neuron

    assert repr(Neuron(2)) == "ReLUNeuron(2)"
    assert repr(Neuron(16, nonlin=False)) == "LinearNeuron(16)"
    assert repr(Layer(2, 2)) == "Layer of [ReLUNeuron(2), ReLUNeuron(2)]"
    assert repr(Layer(3, 1, nonlin=False)) == "Layer of [LinearNeuron(3)]"
    assert str(MLP(2, [2, 1])) == (
        "MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]"
    )


def test_weights_are_drawn_in_the_same_order(installed):
    from micrograd.nn import MLP

    random.seed(1337)
    model = MLP(2, [3, 1])
    random.seed(1337)
    for layer, n_in in zip(model.layers, [2, 3], strict=True):
        for neuron in layer.neurons:
            assert [w.data for w in neuron.w] == [random.uniform(-1, 1) for _ in range(n_in)]
            assert neuron.b.data == 0.0
    parameters = model.parameters()
    assert len(parameters) == 13
    first = model.layers[0].neurons[0]
    assert parameters[:3] == [*first.w, first.b]


def test_relu_between_layers_and_a_linear_output(installed):
    from micrograd.nn import MLP

    random.seed(7)
    model = MLP(3, [4, 4, 2])
    x = [0.3, -1.2, 2.0]
    expected = x
    for i, layer in enumerate(model.layers):
        sums = [
            sum(w.data * xi for w, xi in zip(n.w, expected, strict=True)) for n in layer.neurons
        ]
        expected = sums if i == 2 else [max(0.0, s) for s in sums]
    assert [out.data for out in model(x)] == pytest.approx(expected, rel=1e-12)
    assert [out.data for out in model([Value(xi) for xi in x])] == pytest.approx(expected)
    assert any(out < 0 for out in expected)


def test_nonlin_can_be_changed_later(installed):
    from micrograd.nn import Layer, Neuron

    neuron = Neuron(1)
    neuron.w[0].data = -1.0
    assert (neuron.nonlin, neuron([2.0]).data) == (True, 0.0)
    neuron.nonlin = False
    assert (neuron.nonlin, neuron([2.0]).data) == (False, -2.0)
    assert isinstance(Layer(1, 1)([2.0]), Value)
    assert len(Layer(1, 2)([2.0])) == 2


def test_a_module_of_ones_own(installed):
    from micrograd.nn import Module, Neuron

    class Twice(Module):
        def __init__(self):
            self.neuron = Neuron(1, nonlin=False)

        def __call__(self, x):
            return self.neuron([self.neuron(x)])

        def parameters(self):
            return self.neuron.parameters()

    model = Twice()
    model([2.0]).backward()
    model([2.0]).backward()
    assert model.neuron.b.grad == pytest.approx(2 * (1 + model.neuron.w[0].data))
    model.zero_grad()
    assert all(p.grad == 0 for p in model.parameters())


def test_misuse_of_nn(installed):
    from micrograd.nn import MLP, Neuron

    with pytest.raises(TypeError):
        Neuron(2, linear=True)
    with pytest.raises(ValueError, match="2"):
        MLP(2, [1])([1.0, 2.0, 3.0])


def test_models_are_pickled(clean):
    micrograd_c.install()
    from micrograd.nn import MLP

    model = MLP(2, [3, 1])
    data = pickle.dumps(model)
    micrograd_c.uninstall()
    copy = pickle.loads(data)
    assert [p.data for p in copy.parameters()] == [p.data for p in model.parameters()]
    assert repr(copy) == repr(model)


# -- numbers --------------------------------------------------------------------------------------


def one_input(x):
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    return h + q + q * x


def two_inputs(a, b):
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + (b + a).relu()
    d = d + 3 * d + (b - a).relu()
    f = (c - d) ** 2
    return f / 2.0 + 10.0 / f


def test_values_and_gradients_worked_out_by_hand(installed):
    from micrograd.engine import Value

    x = Value(-4.0)
    y = one_input(x)
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)

    a, b = Value(-4.0), Value(2.0)
    g = two_inputs(a, b)
    g.backward()
    # c = -1, d = 6, f = 49; d(c - d)/da = 3 - 12 b + 1, d(c - d)/db = 4 - 12 (a + 3 b**2) - 1
    assert g.data == pytest.approx(49 / 2 + 10 / 49, rel=1e-14)
    slope = (0.5 - 10 / 49**2) * 2 * -7
    assert a.grad == pytest.approx(slope * (3 - 12 * 2 + 1), rel=1e-14)
    assert b.grad == pytest.approx(slope * (4 - 12 * (-4 + 12) - 1), rel=1e-14)


def test_values_and_gradients_against_pytorch(installed):
    torch = pytest.importorskip("torch")
    from micrograd.engine import Value

    for function, points in (one_input, [-4.0]), (two_inputs, [-4.0, 2.0]):
        ours = [Value(point) for point in points]
        result = function(*ours)
        result.backward()
        theirs = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in points]
        expected = function(*theirs)
        expected.backward()
        assert result.data == pytest.approx(expected.item(), rel=1e-14)
        gradients = [t.grad.item() for t in theirs]
        assert [value.grad for value in ours] == pytest.approx(gradients, rel=1e-14)
