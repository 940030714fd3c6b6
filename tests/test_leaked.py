# SPDX-License-Identifier: MIT
"""A Value that depends on an input and outlives the recording stood for every sample: it has no
number, and whatever would read or use one raises TraceError."""

import copy
import gc
import math
import operator
import pickle
import weakref

import numpy as np
import pytest
from common import LEAKED, OPERATORS, leak

import micrograd_c as mc
from micrograd_c import TraceError, Value, _core, nn, optim, viz


@pytest.fixture
def leaked():
    return leak()


NUMBERS = {
    "a Value": lambda: Value(2.0),
    "a float": lambda: 2.0,
    "an int": lambda: 2,
    "a NumPy scalar": lambda: np.float64(2.0),
    "a NumPy array": lambda: np.array([2.0, 3.0], dtype=object),
    "itself": None,
    "another that leaked": leak,
}

USES = OPERATORS | {
    "+=": operator.iadd,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.mark.parametrize("apply", USES.values(), ids=USES)
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_operators_refuse_it_on_either_side(leaked, apply, number):
    other = number() if number else leaked
    with pytest.raises(TraceError, match=LEAKED):
        apply(leaked, other)
    with pytest.raises(TraceError, match=LEAKED):
        apply(other, leaked)


def test_numpy_functions_refuse_it(leaked):
    with pytest.raises(TypeError) as caught:
        np.exp(np.array([leaked], dtype=object))
    assert isinstance(caught.value.__cause__, TraceError)


METHODS = {
    **{
        row["name"]: {"unary": [], "binary": [2.0], "ternary": [2.0, 3.0]}[row["shape"]]
        for row in _core.operations()
        if row["is_method"]
    },
    "leaky_relu": [],
    "backward": [],
    "detach": [],
    "item": [],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_refuse_it(leaked, name):
    with pytest.raises(TraceError, match=LEAKED):
        getattr(leaked, name)(*METHODS[name])


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_were_bound_in_time_refuse_it_too(name):
    method = leak(lambda x: getattr(x * x, name))
    with pytest.raises((TraceError, ValueError)):
        method(*METHODS[name])


def test_a_bound_chain_rule_moves_no_grad():
    w = Value(2.0)
    rule = leak(lambda x: (x * w)._backward)
    with pytest.raises(TraceError, match=LEAKED):
        rule()
    assert w.grad == 0.0


FIELDS = ["data", "grad", "label", "_op", "_prev", "_backward", "an_attribute", "square"]


@pytest.mark.parametrize("name", FIELDS)
def test_fields_and_attributes_can_be_neither_read_nor_written(leaked, name):
    with pytest.raises(TraceError, match=rf"\.{name} of a Value.*{LEAKED}"):
        getattr(leaked, name)
    with pytest.raises(TraceError, match=rf"\.{name} of a Value.*{LEAKED}"):
        setattr(leaked, name, 1.0)
    with pytest.raises(TraceError, match=rf"\.{name} of a Value.*{LEAKED}"):
        delattr(leaked, name)


def compiled_with(use):
    """use(leaked) in a function that is being compiled."""
    return lambda v: mc.compile(lambda x: use(v, x))([1.0])


USES = {
    "unary -": operator.neg,
    "unary +": operator.pos,
    "abs()": abs,
    "bool()": bool,
    "not": operator.not_,
    "float()": float,
    "int()": int,
    "an index": lambda v: [1.0][v],
    "math.exp()": math.exp,
    "math.floor()": math.floor,
    "round()": round,
    "a format": lambda v: f"{v:.2f}",
    "%": lambda v: "%.2f" % v,  # noqa: UP031
    "== a number": lambda v: v == 2.0,
    "a number ==": lambda v: 2.0 == v,  # noqa: SIM300
    "!= a number": lambda v: v != 2,
    "number ** v": lambda v: 2.0**v,
    "pow() of three": lambda v: pow(v, 2, 3),
    "sum()": lambda v: sum([v]),
    "micrograd_c.sum": lambda v: mc.sum([v]),
    "dot": lambda v: mc.dot([1.0], [v]),
    "dot's bias": lambda v: mc.dot([1.0], [1.0], v),
    "where's condition": lambda v: mc.where(v, 1.0, 2.0),
    "where": lambda v: mc.where(True, v, 2.0),
    "clip": lambda v: mc.clip(v, 0.0, 1.0),
    "clip's bound": lambda v: mc.clip(Value(1.0), v, None),
    "take": lambda v: mc.take([v, v], Value(0.0)),
    "take's index": lambda v: mc.take([1.0, 2.0], v),
    "custom's data": lambda v: mc.custom(v, [], []),
    "custom's operand": lambda v: mc.custom(1.0, [v], [1.0]),
    "logical_and": lambda v: mc.logical_and(v, True),
    "logical_not": mc.logical_not,
    "maximum": lambda v: Value(1.0).maximum(v),
    "a slope": lambda v: Value(1.0).leaky_relu(v),
    "Value()": Value,
    "an operand of one's own": lambda v: Value(1.0, (v,), "own"),
    "data": lambda v: setattr(Value(1.0), "data", v),
    "grad": lambda v: setattr(Value(1.0), "grad", v),
    "topological_sort": mc.topological_sort,
    "gradients of it": lambda v: mc.gradients(v, [Value(1.0)]),
    "gradients by it": lambda v: mc.gradients(Value(1.0), [v]),
    "grad at it": lambda v: mc.grad(lambda a: a * a)(v),
    "grad of what uses it": lambda v: mc.grad(lambda a: a * v)(2.0),
    "grad of what gives it": lambda v: mc.grad(lambda a: v)(2.0),
    "value_and_grad": lambda v: mc.value_and_grad(lambda a: a * a)(v),
    "jvp at it": lambda v: mc.jvp(lambda a: a * a, (v,), (1.0,)),
    "jvp along it": lambda v: mc.jvp(lambda a: a * a, (1.0,), (v,)),
    "jvp of what gives it": lambda v: mc.jvp(lambda a: v, (1.0,), (1.0,)),
    "vjp": lambda v: mc.vjp(lambda a: a * a, v),
    "vjp of what gives it": lambda v: mc.vjp(lambda a: v, 1.0)[1](1.0),
    "a cotangent": lambda v: mc.vjp(lambda a: a * a, 1.0)[1](v),
    "jacobian": lambda v: mc.jacobian(lambda a: [a])(v),
    "jacobian of what gives it": lambda v: mc.jacobian(lambda a: [v])(1.0),
    "hessian": lambda v: mc.hessian(lambda a: a * a)(v),
    "hessian of what gives it": lambda v: mc.hessian(lambda a: v)(1.0),
    "hvp": lambda v: mc.hvp(lambda a: a * a, (v,), (1.0,)),
    "gradcheck": lambda v: mc.gradcheck(lambda a: a * a, [v]),
    "no_grad": mc.no_grad()(lambda v: v * 2.0),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of a list": lambda v: copy.deepcopy([v]),
    "pickle": pickle.dumps,
    "an array of floats": lambda v: np.array([v], dtype=float),
    "a NumPy sum": lambda v: np.array([v, v], dtype=object).sum(),
    "np.float64": np.float64,
    "an optimiser": lambda v: optim.SGD([v], lr=0.1),
    "a learning rate": lambda v: optim.SGD([Value(1.0)], lr=v),
    "clip_grad_norm_": lambda v: optim.clip_grad_norm_([v], 1.0),
    "mse_loss": lambda v: mc.losses.mse_loss([v], [1.0]),
    "cross_entropy": lambda v: mc.losses.cross_entropy([v, v], 0),
    "a neuron": lambda v: nn.Neuron(1)([v]),
    "a layer": lambda v: nn.Layer(2, 2)([v, v]),
    "a network": lambda v: nn.MLP(2, [2, 1])([v, 1.0]),
    "a compiled function": lambda v: mc.compile(lambda x: x * 2.0)(v),
    "an array of it": lambda v: mc.compile(lambda x: x[0] * 2.0)([[v]]),
    "value_and_grad of a compiled function": lambda v: mc.compile(lambda x: x * 2.0).value_and_grad(
        v
    ),
    "samples of it": lambda v: mc.compile(lambda x: x * 2.0).value_and_grad([v]),
    "params of an objective": lambda v: mc.compile(lambda x: x * w_).objective([1.0], params=[v]),
    "plot_losses": lambda v: viz.plot_losses([v]),
    "recorded as an operand": compiled_with(lambda v, x: x * v),
    "recorded as a result": compiled_with(lambda v, x: v),
    "recorded beside a result": compiled_with(lambda v, x: [x, v]),
    "recorded in a condition": compiled_with(lambda v, x: mc.where(x > v, x, 0.0)),
    "recorded in a derivative": compiled_with(lambda v, x: mc.gradients(x * x, [v])[0]),
    "recorded, its data": compiled_with(lambda v, x: x * v.data),
}
w_ = Value(3.0)


def test_it_cannot_be_drawn(leaked):
    pytest.importorskip("graphviz")
    with pytest.raises(TraceError, match=LEAKED):
        viz.draw_dot(leaked)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_whatever_would_use_its_number_raises_trace_error(leaked, use):
    nodes = mc.tape_stats().live
    expected = (TraceError, TypeError) if use is round else TraceError
    with pytest.raises(expected):
        use(leaked)
    gc.collect()
    assert mc.tape_stats().live <= nodes + 4  # nothing has been recorded on it


def test_the_error_says_what_was_done_what_has_happened_and_what_to_do(leaked):
    with pytest.raises(TraceError) as caught:
        leaked.data  # noqa: B018
    message = str(caught.value)
    assert message.startswith(
        ".data of a Value that depends on an input or a draw of a compiled function"
    )
    assert "has left it" in message and "Return it from the function" in message
    with pytest.raises(TraceError, match=r"^\+ of a Value"):
        1.0 + leaked
    with pytest.raises(TraceError, match=r"^a comparison of a Value"):
        leaked > 0.0  # noqa: B015


def test_it_is_still_a_value_and_the_same_object():
    kept, seen = {}, []

    @mc.compile
    def f(x):
        y = x * x
        kept[y] = "y"
        seen.extend([y, hash(y), id(y), weakref.ref(y)])
        return y

    assert f([3.0]).tolist() == [9.0]
    y, its_hash, its_id, reference = seen
    assert isinstance(y, Value) and not isinstance(y, float)
    assert hash(y) == its_hash and id(y) == its_id and reference() is y
    assert kept[y] == "y" and y in [1.0, y][1:] and y in kept and y == y and y != Value(1.0)
    assert y != "y" and y is not None and y != None  # noqa: E711
    del seen[:], y
    kept.clear()
    assert reference() is None


def test_its_repr_shows_no_number(leaked):
    assert repr(leaked) == str(leaked) == f"{leaked}" == "<leaked Value of a compiled function>"
    assert "leaked Value" in repr([leaked]) and "3" not in repr(leaked)
    assert "__add__" in dir(leaked)
    assert repr(np.array([leaked], dtype=object))


def test_its_class_can_neither_be_instantiated_nor_subclassed(leaked):
    kind = type(leaked)
    assert not issubclass(kind, Value)
    for make in (kind, lambda: kind(1.0), lambda: kind.__new__(kind), lambda: object.__new__(kind)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        type("Sub", (kind,), {})
    with pytest.raises(TypeError):
        Value.data.__get__(leaked)
    with pytest.raises(TypeError):
        Value.__add__(leaked, 1.0)
    with pytest.raises((TypeError, TraceError)):
        Value.tanh(leaked)
    with pytest.raises((TypeError, TraceError)):
        Value.backward(leaked)
    with pytest.raises((TypeError, AttributeError)):
        object.__setattr__(leaked, "__class__", Value)
