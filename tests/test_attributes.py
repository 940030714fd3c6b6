# SPDX-License-Identifier: MIT
"""Labels and attributes of Values, and what may be done to their class."""

import math
import weakref

import numpy as np
import pytest
from common import churn, operand, run_python

import micrograd_c
from micrograd_c import Value

pytestmark = pytest.mark.usefixtures("no_collection_meanwhile")


# -- label and attributes --------------------------------------------------------------------------


def test_attributes_come_and_go_as_on_any_object():
    v = Value(1.0)
    assert vars(v) == {}
    v.momentum, v._vis_color = 0.5, "red"
    assert (v.momentum, v._vis_color) == (0.5, "red")
    assert vars(v) == v.__dict__ == {"momentum": 0.5, "_vis_color": "red"}
    assert hasattr(v, "momentum") and "momentum" in dir(v)
    v.momentum += 1
    assert v.momentum == 1.5
    del v.momentum
    assert not hasattr(v, "momentum") and getattr(v, "momentum", None) is None
    assert vars(v) == {"_vis_color": "red"}
    vars(v)["added"] = 1
    assert v.added == 1
    assert vars(Value(1.0)) == {}


def test_a_missing_attribute_is_an_attribute_error_that_names_it():
    v = Value(1.0)
    v.other = 1
    for node in (v, Value(1.0)):
        with pytest.raises(AttributeError, match="momentum"):
            _ = node.momentum
        with pytest.raises(AttributeError, match="momentum"):
            del node.momentum


def test_an_attribute_hides_a_method_of_its_node_only():
    v, w = Value(1.0), Value(1.0)
    v.tanh = lambda: "mine"
    assert v.tanh() == "mine"
    assert w.tanh().data == math.tanh(1.0)
    del v.tanh
    assert v.tanh().data == math.tanh(1.0)


@pytest.mark.parametrize("label", ["x", "ö" * 100, "", 3, None, ("a", 1), ["list"]], ids=repr)
def test_a_label_is_what_was_given(label):
    assigned = Value(1.0)
    assigned.label = label
    assert assigned.label == Value(1.0, label=label).label == label
    inner = Value(1.0) * 2
    inner.label = label
    assert inner.label == label


ATTRIBUTES = {
    "float": lambda: 0.5,
    "str": lambda: "red",
    "list": lambda: [1, [2]],
    "dict": lambda: {"a": 1},
    "tuple of lists": lambda: ([1], [2]),
    "array": lambda: np.zeros(3).tolist(),
    "Value": lambda: Value(7.0),
    "function": lambda: len,
}


@pytest.mark.parametrize("make", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attributes_survive_while_only_a_graph_refers_to_the_node(make, either_tape):
    thing = make()
    a = Value(2.0, label="a")
    a.thing = thing
    y = (a * 3.0).tanh()
    inner = y._prev.pop()
    inner.label, inner.thing = "inner", thing
    del a, inner
    churn()
    inner = operand(y, "inner")
    assert inner.thing is thing
    assert operand(inner, "a").thing is thing
    assert operand(inner, "a").data == 2.0
    operand(inner, "a").thing = "new"
    churn()
    assert operand(inner, "a").thing == "new"


def test_attributes_that_refer_to_their_own_node_survive(either_tape):
    a = Value(2.0, label="a")
    a.me = a
    a.doubled = y = a * 2
    del a
    churn()
    a = operand(y, "a")
    assert a.me is a and a.doubled is y


def test_an_attribute_given_after_the_graph_was_recorded_survives(either_tape):
    a = Value(2.0)
    y = a * 3.0
    a.label, a.notes = "a", []
    del a
    churn()
    assert operand(y, "a").notes == []


def test_attributes_that_refer_back_survive_when_given_after_the_graph(either_tape):
    a = Value(2.0, label="a")
    y = a * 3.0
    a.me, a.result, a.note = a, [y], "kept"
    del a
    churn()
    a = operand(y, "a")
    assert (a.note, a.me, a.result) == ("kept", a, [y])


def last_result():
    a = Value(2.0)
    a.result = a * 2.0


def parents():
    y = (Value(2.0) * Value(3.0)).tanh()
    for node in micrograd_c.topological_sort(y):
        for v in node._prev:
            v.parents = [node]


def late_rule():
    a = Value(2.0)
    b = a * 3.0
    y = b + 1.0
    b._backward = lambda: y.grad


@pytest.mark.parametrize("make", [last_result, parents, late_rule], ids=lambda make: make.__name__)
def test_what_refers_back_is_collected_when_given_after_the_graph(make, clean):
    before = clean()
    for _ in range(10):
        make()
    assert clean() == before


def test_a_chain_rule_given_after_the_graph_runs_when_only_the_graph_is_left():
    code = """
        import gc
        from micrograd_c import Value

        def graph():
            a = Value(2.0)
            b = a * 3.0
            y = b + 1.0

            def rule():
                a.grad += 100 * b.grad

            b._backward = rule
            return a, y

        a, y = graph()
        gc.collect()
        y.backward()
        print(a.grad)
    """
    assert run_python(code) == "100.0\n"


def test_attributes_belong_to_one_node(either_tape):
    nodes = [Value(float(k)) for k in range(50)]
    for k, node in enumerate(nodes):
        node.k = k
        node.label = f"v{k}"
    del nodes[::2]
    churn()
    assert [(v.k, v.label, v.data) for v in nodes] == [(k, f"v{k}", k) for k in range(1, 50, 2)]


def test_optimizers_keep_their_state_on_parameters(either_tape):
    parameters = [Value(float(k)) for k in range(5)]
    for p in parameters:
        p.m = p.v = 0.0
    for _ in range(20):
        loss = sum((p * p for p in parameters), Value(0.0))
        loss.backward()
        for p in parameters:
            p.m = 0.9 * p.m + p.grad
            p.data -= 0.05 * p.m
    expected = []
    for k in range(5):
        x, m = float(k), 0.0
        for _ in range(20):
            m = 0.9 * m + 2 * x
            x -= 0.05 * m
        expected.append((x, m))
    assert [p.data for p in parameters] == pytest.approx([x for x, _ in expected])
    assert [p.m for p in parameters] == pytest.approx([m for _, m in expected])
    assert [p.v for p in parameters] == [0.0] * 5


# -- the class -------------------------------------------------------------------------------------


def test_methods_can_be_added_and_removed(monkeypatch):
    v = Value(3.0)
    with monkeypatch.context() as patch:
        patch.setattr(Value, "square", lambda v: v * v, raising=False)
        patch.setattr(Value, "half", property(lambda v: v / 2), raising=False)
        patch.setattr(Value, "of", classmethod(lambda cls, x: cls(x)), raising=False)
        patch.setattr(Value, "scale", 10, raising=False)
        assert (v.square().data, v.half.data, Value.of(2).data, v.scale) == (9.0, 1.5, 2.0, 10)
        v.square().backward()
        assert v.grad == 6.0
        v.scale = 20
        assert (v.scale, Value.scale) == (20, 10)
        del v.scale
        with pytest.raises(AttributeError):
            v.half = 3
    for name in ("square", "half", "of", "scale"):
        assert not hasattr(Value, name) and not hasattr(v, name)


def test_a_method_can_be_replaced(monkeypatch):
    def tanh(self):
        out = Value(math.tanh(self.data), (self,), "mine")

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    with monkeypatch.context() as patch:
        patch.setattr(Value, "tanh", tanh)
        v = Value(0.5)
        y = v.tanh() * 2
        y.backward()
        assert {operand._op for operand in y._prev} == {"mine", ""}
        assert v.grad == pytest.approx(2 * (1 - math.tanh(0.5) ** 2))
    assert v.tanh()._op == "tanh"


def test_special_methods_can_be_added_and_removed(monkeypatch):
    v, w = Value(2.0), Value(3.0)
    with monkeypatch.context() as patch:
        patch.setattr(Value, "__matmul__", lambda a, b: a * b, raising=False)
        patch.setattr(Value, "__repr__", lambda self: f"<{self.data}>")
        patch.setattr(Value, "__add__", lambda a, b: "added")
        patch.setattr(Value, "__len__", lambda self: 7, raising=False)
        assert ((v @ w).data, repr(v), v + w, len(v)) == (6.0, "<2.0>", "added", 7)
    assert (repr(v), (v + w).data, (1 + v).data) == ("Value(data=2.0, grad=0.0)", 5.0, 3.0)
    with pytest.raises(TypeError):
        v @ w
    with pytest.raises(TypeError):
        len(v)


def test_the_constructor_can_be_replaced(monkeypatch):
    original = Value.__init__

    def counted(self, data, *arguments, **keywords):
        original(self, data, *arguments, **keywords)
        self.counted = True

    with monkeypatch.context() as patch:
        patch.setattr(Value, "__init__", counted)
        v = Value(2.0, label="v")
        assert (v.data, v.label, v.counted) == (2.0, "v", True)
    assert not hasattr(Value(2.0), "counted")


def test_attributes_work_beside_a_getattr_of_the_class(monkeypatch):
    v = Value(1.0)
    v.early = 1
    with monkeypatch.context() as patch:
        patch.setattr(Value, "__getattr__", lambda self, name: f"no {name}", raising=False)
        v.late = 2
        assert (v.early, v.late, v.other, v.data) == (1, 2, "no other", 1.0)
    v.last = 3
    assert (v.early, v.late, v.last) == (1, 2, 3)
    assert not hasattr(v, "other")


def test_a_value_can_be_referred_to_weakly():
    v, ended = Value(1.0), []
    ref = weakref.ref(v, ended.append)
    proxy = weakref.proxy(v)
    names = weakref.WeakKeyDictionary({v: "v"})
    assert (ref() is v, proxy.data, names[v]) == (True, 1.0, "v")
    del v
    assert (ref(), ended, len(names)) == (None, [ref], 0)
    with pytest.raises(ReferenceError):
        _ = proxy.data


def test_a_tuple_may_be_deep_and_its_parts_shared():
    deep = wide = (1,)
    for _ in range(200_000):
        deep = (deep,)
    for _ in range(60):
        wide = (wide, wide)
    v = Value(1.0, label=deep)
    v.wide = wide
    w = v * 2
    assert v.wide is wide and v.label is deep and w.data == 2.0
