# SPDX-License-Identifier: MIT
"""Value as its users meet it: numbers in, fields, operators, attributes, classes, copies."""

import copy
import enum
import gc
import math
import operator
import pickle
import subprocess
import sys
import textwrap
import weakref
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_c
from micrograd_c import Value, _core, engine, no_grad, tape_stats

inf, nan = math.inf, math.nan


class Whole(int):
    """A subclass of int, as enums and NumPy's friends make them."""


class Real(float):
    """A subclass of float."""


class Size(enum.IntEnum):
    TWO = 2


NUMPY_TYPES = ["float16", "float32", "float64", "longdouble", "bool_"]
NUMPY_TYPES += [sign + f"int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]

# Every kind of real number, each positive, with the float that it is.
NUMBERS = {
    "int": (2, 2.0),
    "bool": (True, 1.0),
    "float": (0.5, 0.5),
    "Fraction": (Fraction(3, 4), 0.75),
    "int subclass": (Whole(3), 3.0),
    "float subclass": (Real(0.25), 0.25),
    "IntEnum": (Size.TWO, 2.0),
    "large int": (2**70, 2.0**70),
    **{name: (getattr(np, name)(1), 1.0) for name in NUMPY_TYPES},
    "float16 fraction": (np.float16(0.1), 0.0999755859375),
    "float32 fraction": (np.float32(0.1), 0.10000000149011612),
    "uint64 maximum": (np.uint64(2**64 - 1), 2.0**64),
    "0-d float array": (np.array(1.5), 1.5),
    "0-d float32 array": (np.array(1.5, dtype=np.float32), 1.5),
    "0-d int array": (np.array(3), 3.0),
    "0-d bool array": (np.array(True), 1.0),
}
each_number = pytest.mark.parametrize(("number", "as_float"), NUMBERS.values(), ids=NUMBERS)

# What is no real number, with the name that an error gives it.
NO_NUMBERS = {
    "str": ("1.0", "str"),
    "bytes": (b"1", "bytes"),
    "None": (None, "NoneType"),
    "complex": (1j, "complex"),
    "complex without imaginary part": (complex(1), "complex"),
    "complex128": (np.complex128(1), "complex128"),
    "list": ([1.0], "list"),
    "tuple": ((1.0,), "tuple"),
    "dict": ({}, "dict"),
    "function": (len, "builtin_function_or_method"),
    "class": (float, "type"),
    "object": (object(), "object"),
    "array of one": (np.array([1.0]), "ndarray"),
    "empty array": (np.array([]), "ndarray"),
    "0-d complex array": (np.array(1j), "ndarray"),
    "0-d str array": (np.array("1"), "ndarray"),
    "datetime64": (np.datetime64(1, "s"), "datetime64"),
    "timedelta64": (np.timedelta64(1, "s"), "timedelta64"),
    "timedelta64 in nanoseconds": (np.timedelta64(1, "ns"), "timedelta64"),
    "Value": (Value(1.0), "Value"),
}
each_no_number = pytest.mark.parametrize(("thing", "kind"), NO_NUMBERS.values(), ids=NO_NUMBERS)

TOO_LARGE = 10**400

OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
each_operator = pytest.mark.parametrize("op", OPERATORS.values(), ids=OPERATORS)


@pytest.fixture(params=["calm", "restless"])
def either_tape(request):
    """The usual tape, and one on which nodes move all the time."""
    if request.param == "restless":
        request.getfixturevalue("restless")


@pytest.fixture(autouse=True)
def no_collection_meanwhile():
    """Counts of nodes must not depend on when Python's collector happens to run."""
    gc.disable()
    yield
    gc.enable()


def churn():
    """Makes garbage and has it removed, so that living nodes move."""
    for _ in range(3):
        garbage = [Value(0.0) for _ in range(50)]
        newest = Value(1.0)
        del garbage, newest
        gc.collect(1)  # what is young: a full collection takes long beside large modules
        _core.compact()


def nodes_without_garbage():
    """How many nodes there are now, such that only recording changes the number."""
    _core.compact()
    return tape_stats().nodes


def run_python(code):
    """What the code prints in a process of its own, where it may crash."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def operand(node, label):
    (found,) = [v for v in node._prev if v.label == label]
    return found


# -- making one ------------------------------------------------------------------------------------


@each_number
def test_a_value_is_made_of_any_real_number(number, as_float):
    v = Value(number)
    assert (v.data, v.grad, v._op, v._prev, v.label) == (as_float, 0.0, "", set(), "")
    assert type(v.data) is float and type(v.grad) is float


@given(st.floats() | st.integers(-(2**1000), 2**1000) | st.fractions())
def test_the_data_of_a_value_is_the_float_of_the_number(number):
    expected = float(number)
    assert Value(number).data == expected or math.isnan(expected)


@each_no_number
def test_what_is_no_real_number_is_refused_by_its_name(thing, kind):
    before = nodes_without_garbage()
    for make in (lambda: Value(thing), lambda: Value(data=thing, label="x")):
        with pytest.raises(TypeError, match=rf"\b{kind}\b"):
            make()
    assert tape_stats().nodes == before


def test_an_int_too_large_for_a_float_is_pythons_overflow_error():
    before = nodes_without_garbage()
    with pytest.raises(OverflowError):
        Value(TOO_LARGE)
    with pytest.raises(OverflowError):
        Value(Fraction(TOO_LARGE))
    assert tape_stats().nodes == before


def test_the_arguments_have_the_lessons_names_and_order():
    a, b = Value(1.0), Value(2.0)
    for out in (
        Value(3.0, (a, b), "sum", "total"),
        Value(data=3.0, _children=(a, b), _op="sum", label="total"),
        Value(3.0, label="total", _op="sum", _children=[a, b]),
    ):
        assert (out.data, out._prev, out._op, out.label) == (3.0, {a, b}, "sum", "total")
    leaf = Value(4.0, (), "", "leaf")
    assert (leaf._prev, leaf._op, leaf.label) == (set(), "", "leaf")


@pytest.mark.parametrize("container", [list, tuple, set, iter], ids=lambda c: c.__name__)
def test_children_come_in_any_iterable(container):
    a, b = Value(1.0), Value(2.0)
    assert Value(3.0, container([a, b]))._prev == {a, b}


@pytest.mark.parametrize(
    "arguments",
    [(), (1.0, (), "", "", "more"), (1.0, 2.0), (1.0, (2.0,)), (1.0, "ab"), (1.0, (None,))],
    ids=repr,
)
def test_wrong_arguments_are_a_type_error(arguments):
    before = nodes_without_garbage()
    with pytest.raises(TypeError):
        Value(*arguments)
    with pytest.raises(TypeError):
        Value(1.0, children=())
    assert tape_stats().nodes == before


def test_the_names_of_the_class():
    assert Value is engine.Value is micrograd_c.Value
    assert (Value.__name__, Value.__qualname__) == ("Value", "Value")
    assert Value.__module__ == "micrograd_c.engine"


# -- data and grad ---------------------------------------------------------------------------------


@each_number
def test_data_and_grad_are_assignable_on_every_node(number, as_float):
    leaf = Value(3.0)
    inner = leaf * 2.0
    for node in (leaf, inner):
        node.data = number
        node.grad = number
        assert (node.data, node.grad) == (as_float, as_float)
        assert type(node.data) is float and type(node.grad) is float


def test_data_and_grad_add_and_subtract_in_place():
    v = Value(2.0)
    inner = v * 3
    for node in (v, inner):
        node.data = 2.0
        node.data -= 0.5
        node.data += np.float64(1.0)
        node.data *= 2
        node.grad += 1
        node.grad -= 0.25
        assert (node.data, node.grad) == (5.0, 0.75)


@each_no_number
def test_a_bad_assignment_leaves_the_number(thing, kind):
    v = Value(2.0)
    v.grad = 3.0
    with pytest.raises(TypeError, match=rf"\b{kind}\b"):
        v.data = thing
    with pytest.raises(TypeError, match=rf"\b{kind}\b"):
        v.grad = thing
    for name in ("data", "grad"):
        with pytest.raises(OverflowError):
            setattr(v, name, TOO_LARGE)
    assert (v.data, v.grad) == (2.0, 3.0)


@pytest.mark.parametrize("number", [inf, -inf, nan, -0.0, 5e-324])
def test_data_and_grad_keep_every_float(number):
    v = Value(number)
    v.grad = number
    assert repr((v.data, v.grad)) == repr((number, number))


def test_nodes_keep_their_numbers_while_they_move(either_tape):
    nodes = [Value(0.0)]
    for k in range(200):
        garbage = Value(-1.0)
        nodes.append(nodes[-1] + 1.0)
        nodes[-1].grad = k
        del garbage
    churn()
    assert [v.data for v in nodes] == [float(k) for k in range(201)]
    assert [v.grad for v in nodes[1:]] == [float(k) for k in range(200)]


@pytest.mark.parametrize("name", ["data", "grad", "label", "_op", "_prev", "_backward"])
def test_a_field_cannot_be_deleted(name):
    v = Value(1.0) * 2
    with pytest.raises(AttributeError):
        delattr(v, name)
    assert (v.data, v.grad, v.label, v._op, len(v._prev)) == (2.0, 0.0, "", "*", 2)


# -- the graph -------------------------------------------------------------------------------------


def test_operands_are_a_set_of_the_same_objects(either_tape):
    a, b = Value(1.0), Value(2.0)
    y = a * b
    identities = {id(a), id(b)}
    for _ in range(3):
        assert type(y._prev) is set
        assert {id(v) for v in y._prev} == identities
        churn()
    assert any(v is a for v in y._prev) and a in y._prev
    assert (a + a)._prev == {a}


def test_an_operand_found_again_stays_the_same_object():
    y = Value(3.0) * 2.0
    found = {v.data: v for v in y._prev}
    assert {v.data: v for v in y._prev} == found
    assert (found[3.0].data, found[2.0].data) == (3.0, 2.0)


# expression, the operation's name
NAMES = [
    (lambda v: v + 1, "+"),
    (lambda v: 1 + v, "+"),
    (lambda v: v - 1, "-"),
    (lambda v: 1 - v, "-"),
    (lambda v: v * 2, "*"),
    (lambda v: v / 2, "/"),
    (lambda v: 2 / v, "/"),
    (lambda v: -v, "neg"),
    (lambda v: abs(v), "abs"),
    (lambda v: v.tanh(), "tanh"),
    (lambda v: v.relu(), "relu"),
    (lambda v: v.exp(), "exp"),
    (lambda v: v.log(), "log"),
    (lambda v: v.leaky_relu(), "leaky_relu"),
    (lambda v: v.maximum(0), "maximum"),
    (lambda v: v**v, "**"),
    (lambda v: 2**v, "**"),
]


@pytest.mark.parametrize(("expression", "name"), NAMES, ids=[row[1] for row in NAMES])
def test_a_node_names_its_operation(expression, name):
    assert expression(Value(1.5))._op == name


EXPONENTS = [2, 0, 1, -1, -3, 2.0, 0.5, -0.5, 0.0, -0.0, 1e-7, 1e22, inf, True, False]
EXPONENTS += [2**53, 2**53 + 1, 2**60, -(2**60), 10**30, Fraction(1, 2), Fraction(3)]
EXPONENTS += [np.int64(3), np.uint8(2), np.bool_(True), np.float64(2), np.float32(0.1)]
EXPONENTS += [np.float16(0.5), np.array(2.0), np.array(3), Whole(3), Size.TWO, Real(0.25)]


@pytest.mark.parametrize("n", EXPONENTS, ids=lambda n: f"{type(n).__name__} {n}")
def test_a_power_names_its_exponent_as_it_was_written(n):
    assert (Value(1.0) ** n)._op == f"**{n}"


def test_the_name_of_an_operation_can_be_changed():
    v = Value(1.0) + 1
    v._op = "plus"
    assert v._op == "plus"


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x.detach(), lambda x: Value(x.data)])
def test_a_leaf_has_no_operands_and_no_name(make):
    leaf = make(Value(1.0))
    assert (leaf._op, leaf._prev) == ("", set())


# -- the chain rule by hand ------------------------------------------------------------------------


def test_the_lectures_neuron_by_hand():
    x1, x2, w1, w2 = Value(2.0), Value(0.0), Value(-3.0), Value(1.0)
    b = Value(6.8813735870195432)
    x1w1, x2w2 = x1 * w1, x2 * w2
    both = x1w1 + x2w2
    n = both + b
    o = n.tanh()
    o.grad = 1.0
    for node in (o, n, b, both, x2w2, x1w1):
        assert node._backward() is None
    assert [v.grad for v in (n, b, both, x1w1, x2w2)] == pytest.approx([0.5] * 5)
    assert [v.grad for v in (x1, w1, x2, w2)] == pytest.approx([-1.5, 1.0, 0.5, 0.0])


def test_the_chain_rule_by_hand_adds_and_zeroes_nothing():
    a, b = Value(3.0), Value(4.0)
    y = a * b
    a.grad, y.grad = 10.0, 2.0
    y._backward()
    y._backward()
    assert (a.grad, b.grad, y.grad) == (10.0 + 2 * 8.0, 2 * 6.0, 2.0)


def test_a_chain_rule_fetched_early_runs_later(either_tape):
    a = Value(3.0)
    y = a * a
    rule = y._backward
    churn()
    y.grad = 1.0
    rule()
    assert a.grad == 6.0
    del a, y
    gc.collect()
    rule()


def test_a_node_with_a_chain_rule_of_its_own_is_a_full_citizen(either_tape):
    a, b = Value(2.0), Value(3.0)
    out = Value(a.data * b.data, (a, b), "product")

    def _backward():
        a.grad += out.grad * b.data
        b.grad += out.grad * a.data

    out._backward = _backward
    assert out._backward is _backward
    assert (out._op, out._prev) == ("product", {a, b})
    churn()
    (out * out + a).tanh().backward()
    slope = 1 - math.tanh(38.0) ** 2
    assert [a.grad, b.grad] == pytest.approx([slope * 37, slope * 24])
    (out + a).backward()
    assert [a.grad, b.grad] == [4.0, 2.0]
    out.grad = 10.0
    out._backward()
    assert [a.grad, b.grad] == [34.0, 22.0]


def test_a_node_whose_chain_rule_was_never_written_stops_the_sweep():
    a = Value(2.0)
    out = Value(4.0, (a,), "opaque")
    (out * 3).backward()
    assert (out.grad, a.grad) == (3.0, 0.0)


def test_a_leaf_may_have_a_chain_rule():
    a, calls = Value(1.0), []
    a._backward = lambda: calls.append(a.grad)
    (a * 3).backward()
    assert calls == [3.0]


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
        for operand in node._prev:
            operand.parents = [node]


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


# -- operators -------------------------------------------------------------------------------------


def slopes(op, x, y):
    """The derivatives of x op y by both."""
    return {
        operator.add: lambda: (1.0, 1.0),
        operator.sub: lambda: (1.0, -1.0),
        operator.mul: lambda: (y, x),
        operator.truediv: lambda: (1 / y, -x / y**2),
        operator.pow: lambda: (y * x ** (y - 1), x**y * math.log(x)),
    }[op]()


@each_operator
@each_number
def test_a_number_of_any_kind_on_the_right(op, number, as_float):
    v = Value(1.0)
    result = op(v, number)
    assert type(result) is Value
    assert result.data == pytest.approx(op(1.0, as_float), rel=1e-15)
    result.backward()
    assert v.grad == pytest.approx(slopes(op, 1.0, as_float)[0])


@each_operator
@each_number
def test_a_number_of_any_kind_on_the_left(op, number, as_float):
    v = Value(3.0)
    result = op(number, v)
    assert type(result) is Value
    assert result.data == pytest.approx(op(as_float, 3.0), rel=1e-15)
    result.backward()
    assert v.grad == pytest.approx(slopes(op, as_float, 3.0)[1])


@each_operator
def test_two_values(op):
    v, w = Value(3.0), Value(0.5)
    result = op(v, w)
    assert (type(result), result.data) == (Value, op(3.0, 0.5))
    result.backward()
    assert (v.grad, w.grad) == pytest.approx(slopes(op, 3.0, 0.5))


def test_signs():
    v = Value(-3.0)
    assert ((-v).data, abs(v).data) == (3.0, 3.0)
    assert +v is v
    (-v).backward()
    assert v.grad == -1.0
    abs(v).backward()
    assert v.grad == -1.0


IN_PLACE = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "**=": operator.ipow,
}


@pytest.mark.parametrize("symbol", IN_PLACE)
def test_in_place_forms_make_new_nodes(symbol):
    v, w = Value(3.0), Value(2.0)
    expected = OPERATORS[symbol[:-1]](3.0, 2.0)
    with_value, with_number = IN_PLACE[symbol](v, w), IN_PLACE[symbol](v, 2)
    number = IN_PLACE[symbol](3.0, w)
    for result in (with_value, with_number, number):
        assert type(result) is Value and result is not v and result is not w
        assert result.data == expected
    assert v in with_value._prev and v in with_number._prev
    assert (v.data, w.data) == (3.0, 2.0)


def test_a_running_total_is_a_chain_of_nodes():
    a = Value(2.0)
    total = 0
    for _ in range(3):
        total += a * 2
    total.backward()
    assert (total.data, a.grad) == (12.0, 6.0)


def test_pythons_own_sum_works():
    values = [Value(float(k)) for k in range(4)]
    for total in (sum(values), sum(values, Value(0.0)), sum(values, 0.0)):
        total.backward()
        assert (total.data, [v.grad for v in values]) == (6.0, [1.0] * 4)


UNSUPPORTED = {
    name: pair[0]
    for name, pair in NO_NUMBERS.items()
    if not isinstance(pair[0], Value | np.generic)
}
UNSUPPORTED = {n: thing for n, thing in UNSUPPORTED.items() if not isinstance(thing, np.ndarray)}


def error_of(operation, *operands):
    with pytest.raises(TypeError) as error:
        operation(*operands)
    return str(error.value)


@pytest.mark.parametrize("thing", UNSUPPORTED.values(), ids=UNSUPPORTED)
@pytest.mark.parametrize(
    "op",
    [*OPERATORS.values(), operator.lt, operator.le, operator.gt, operator.ge],
    ids=lambda op: op.__name__,
)
def test_an_unsupported_operand_gives_pythons_own_type_error(op, thing):
    v = Value(1.0)
    stranger = type("Value", (), {})()  # a class of that name that supports nothing
    before = nodes_without_garbage()
    for _ in range(3):
        assert error_of(op, v, thing) == error_of(op, stranger, thing)
        assert error_of(op, thing, v) == error_of(op, thing, stranger)
    assert tape_stats().nodes == before


@pytest.mark.parametrize(
    "op",
    [operator.floordiv, operator.mod, operator.matmul, operator.lshift, operator.and_, divmod],
    ids=lambda op: op.__name__,
)
def test_an_operator_that_is_not_there_gives_pythons_own_type_error(op):
    v, stranger = Value(1.0), type("Value", (), {})()
    assert error_of(op, v, 2) == error_of(op, stranger, 2)
    assert error_of(op, 2, v) == error_of(op, 2, stranger)
    assert error_of(op, v, v) == error_of(op, stranger, stranger)


@pytest.mark.parametrize("protocol", [len, iter, next, hex, list, lambda v: v[0], lambda v: v()])
def test_a_value_is_a_scalar_and_nothing_else(protocol):
    assert error_of(protocol, Value(1.0))


def test_a_power_modulo_is_a_type_error():
    with pytest.raises(TypeError):
        pow(Value(2.0), 2, 3)


@each_operator
def test_an_operand_of_another_class_gets_its_turn(op):
    class Other:
        def answer(self, value):
            return "other", value

        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = answer

    v = Value(1.0)
    kind, value = op(v, Other())
    assert kind == "other" and value is v


@each_operator
def test_an_int_too_large_for_a_float_overflows_as_it_does_with_floats(op):
    v = Value(2.0)
    before = nodes_without_garbage()
    for _ in range(3):
        with pytest.raises(OverflowError):
            op(v, TOO_LARGE)
        with pytest.raises(OverflowError):
            op(TOO_LARGE, v)
    assert tape_stats().nodes == before


METHODS = [
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
]
METHODS += [
    "cosh",
    "tanh",
    "sigmoid",
    "relu",
    "leaky_relu",
    "softplus",
    "gelu",
    "silu",
    "erf",
    "abs",
]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_contract_returns_a_new_node(name):
    v = Value(0.5)
    result = getattr(v, name)()
    assert type(result) is Value and result is not v
    assert (result._op, result._prev) == (name, {v})
    with pytest.raises(TypeError):
        getattr(v, name)(1, 2)


@pytest.mark.parametrize("slope", [0.01, 0.2, 0, -1, Fraction(1, 2), np.float32(0.25)])
def test_leaky_relu_takes_its_slope_in_any_way(slope):
    v = Value(-2.0)
    for result in (v.leaky_relu(slope), v.leaky_relu(slope=slope)):
        assert result.data == -2.0 * float(slope)
    assert v.leaky_relu().data == -0.02


@each_number
def test_maximum_and_minimum_take_any_number(number, as_float):
    v = Value(1.25)
    assert v.maximum(number).data == max(1.25, as_float)
    assert v.minimum(number).data == min(1.25, as_float)


@pytest.mark.parametrize("thing", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_bad_argument_is_a_type_error_that_names_the_method(thing):
    v = Value(1.0)
    before = nodes_without_garbage()
    for name in ("maximum", "minimum", "leaky_relu"):
        with pytest.raises(TypeError, match=rf"{name}.*\b{type(thing).__name__}\b"):
            getattr(v, name)(thing)
        assert tape_stats().nodes == before
    with pytest.raises(TypeError, match="leaky_relu"):
        v.leaky_relu(v)


# -- NumPy -----------------------------------------------------------------------------------------


def values(*numbers):
    return np.array([Value(x) for x in numbers])


def data_of(array):
    return [v.data for v in np.asarray(array, dtype=object).ravel()]


def test_numpy_makes_object_arrays_of_values():
    a = Value(1.0)
    array = np.array([[a, a], [a, a]])
    assert (array.dtype, array.shape) == (object, (2, 2))
    assert array[0, 1] is a


@each_operator
def test_object_arrays_work_elementwise(op):
    a, b = values(1.0, 2.0, 3.0), values(0.5, 1.5, 2.5)
    plain = np.array([0.5, 1.5, 2.5])
    expected = op(np.array([1.0, 2.0, 3.0]), plain).tolist()
    for result in (op(a, b), op(a, plain), op(np.array([1.0, 2.0, 3.0]), b)):
        assert data_of(result) == pytest.approx(expected)
        assert all(type(v) is Value for v in result)


@each_operator
def test_an_array_beside_a_value_is_left_to_numpy(op):
    v, array = Value(2.0), np.array([[1.0, 2.0], [3.0, 4.0]])
    right, left = op(v, array), op(array, v)
    assert right.shape == left.shape == (2, 2)
    assert data_of(right) == pytest.approx(op(2.0, array).ravel().tolist())
    assert data_of(left) == pytest.approx(op(array, 2.0).ravel().tolist())
    right.sum().backward()
    assert v.grad == pytest.approx(sum(slopes(op, 2.0, y)[0] for y in array.ravel()))
    left.sum().backward()
    assert v.grad == pytest.approx(sum(slopes(op, x, 2.0)[1] for x in array.ravel()))


def test_an_array_beside_a_value_in_a_comparison_is_left_to_numpy():
    v, array = Value(2.0), np.array([1.0, 2.0, 3.0])
    assert (v < array).tolist() == [False, False, True]
    assert (array <= v).tolist() == [True, True, False]
    assert (values(1.0, 2.0, 3.0) > v).tolist() == [False, False, True]


def test_matrix_products_sums_and_means_of_object_arrays():
    w, x = values(1.0, 2.0, 3.0), np.array([4.0, 5.0, 6.0])
    for product in (w @ x, x @ w, w.dot(x), np.dot(w, x)):
        assert (type(product), product.data) == (Value, 32.0)
        product.backward()
        assert [v.grad for v in w] == [4.0, 5.0, 6.0]
    square = w @ w
    square.backward()
    assert (square.data, [v.grad for v in w]) == (14.0, [2.0, 4.0, 6.0])
    matrix = np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
    assert data_of(matrix @ matrix) == [7.0, 10.0, 15.0, 22.0]
    assert (matrix.sum().data, matrix.mean().data) == (10.0, 2.5)
    assert data_of(matrix.sum(axis=0)) == [4.0, 6.0]
    matrix.mean().backward()
    assert [v.grad for v in matrix.ravel()] == [0.25] * 4


UFUNCS = ["exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"]


@pytest.mark.parametrize("name", UFUNCS)
def test_numpys_functions_work_on_object_arrays(name):
    result = getattr(np, name)(values(0.25, 0.75))
    assert data_of(result) == pytest.approx([getattr(math, name)(x) for x in (0.25, 0.75)])
    assert all(v._op == name for v in result)
    assert getattr(np, name)(Value(0.25)).data == pytest.approx(getattr(math, name)(0.25))


def test_more_of_numpy_on_object_arrays():
    array = values(-1.0, 2.0)
    assert data_of(np.abs(array)) == [1.0, 2.0]
    assert data_of(-array) == [1.0, -2.0]
    assert data_of(array**2) == data_of(np.square(array)) == [1.0, 4.0]
    assert (array.max().data, array.min().data, array.prod().data) == (2.0, -1.0, -2.0)
    assert [v.data for v in np.sort(array)] == [-1.0, 2.0]
    array += 1
    assert data_of(array) == [0.0, 3.0]


def test_a_value_in_place_with_an_array_becomes_an_array():
    v = Value(1.0)
    v += np.array([1.0, 2.0])
    assert data_of(v) == [2.0, 3.0]


# -- comparisons, text, identity -------------------------------------------------------------------

COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
each_comparison = pytest.mark.parametrize("compare", COMPARISONS.values(), ids=COMPARISONS)


@each_comparison
@given(st.floats(), st.floats() | st.integers() | st.fractions() | st.booleans())
def test_comparisons_are_those_of_the_data(compare, x, number):
    v = Value(x)
    assert compare(v, number) is compare(x, number)
    assert compare(number, v) is compare(number, x)
    y = float(number)
    assert compare(v, Value(y)) is compare(x, y)


@each_comparison
@each_number
def test_comparisons_with_a_number_of_any_kind(compare, number, as_float):
    for x in (as_float / 2, as_float * 2):
        assert bool(compare(Value(x), number)) is bool(compare(x, number))
        assert bool(compare(number, Value(x))) is bool(compare(number, x))


@each_comparison
@pytest.mark.parametrize(
    "number",
    [TOO_LARGE, -TOO_LARGE, Fraction(TOO_LARGE), 2**53 + 1, Fraction(1, 3)],
    ids=["10**400", "-10**400", "Fraction(10**400)", "2**53 + 1", "1/3"],
)
def test_comparisons_are_exact_as_pythons(compare, number):
    for x in (0.0, inf, -inf, nan, 2.0**53, 1 / 3):
        assert compare(Value(x), number) is compare(x, number)
        assert compare(number, Value(x)) is compare(number, x)


def test_values_sort_by_their_data():
    a, b, c = Value(3.0), Value(1.0), Value(2.0)
    assert [v.data for v in sorted([a, b, c])] == [1.0, 2.0, 3.0]
    assert max(a, b, c) is a and min([a, b, c], key=lambda v: v) is b
    assert 0 < c < 3


def test_comparing_records_nothing():
    v, w = Value(1.0), Value(2.0)
    before = nodes_without_garbage()
    results = [v < w, v <= 1, v > 0.0, v >= Fraction(1, 2), v == w, v != w]
    assert results == [True, True, True, True, False, True]
    assert tape_stats().nodes == before


def test_equality_and_hash_are_identity():
    a, b = Value(2.0), Value(2.0)
    for x, y in [(a, b), (a, 2.0), (2.0, a), (a, None), (a, "a")]:
        assert operator.ne(x, y) is True and operator.eq(x, y) is False
    assert operator.eq(a, a) is True and operator.ne(a, a) is False
    before = hash(a)
    a.data = 3.0
    assert hash(a) == before
    assert len({a, b, a}) == 2 and {a: 1, b: 2}[b] == 2
    assert b not in [a] and [a, b].index(b) == 1


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, nan])
def test_the_truth_value_stays_true(number):
    assert bool(Value(number)) is True


@pytest.mark.parametrize(
    "spec", [".4f", "+.3e", "10.2f", ">10", "<12.1f", "g", "%", "08.3f", ",.2f"]
)
@pytest.mark.parametrize("number", [2.0, -1234.5678, inf, nan, 1e-9])
def test_a_format_is_that_of_the_data(number, spec):
    assert format(Value(number), spec) == format(number, spec)
    assert f"{Value(number):.4f}" == f"{number:.4f}"


def test_a_bad_format_is_pythons_value_error():
    for bad in ("d", "s", "zz"):
        with pytest.raises(ValueError):
            format(Value(1.0), bad)


@pytest.mark.parametrize(
    ("data", "grad", "text"),
    [
        (2.0, 0.0, "Value(data=2.0, grad=0.0)"),
        (-10, 1, "Value(data=-10.0, grad=1.0)"),
        (0.1, 1e-300, "Value(data=0.1, grad=1e-300)"),
        (nan, inf, "Value(data=nan, grad=inf)"),
        (-0.0, -inf, "Value(data=-0.0, grad=-inf)"),
    ],
)
def test_the_text_of_a_value(data, grad, text):
    v = Value(data, label="not shown")
    v.grad = grad
    assert repr(v) == str(v) == f"{v}" == f"{v!r}" == "%s" % v == text  # noqa: UP031
    assert repr([v]) == f"[{text}]"


NO_FLOAT = {
    "float": float,
    "int": int,
    "complex": complex,
    "math.exp": math.exp,
    "math.floor": math.floor,
    "round": round,
    "index": operator.index,
    "list index": lambda v: [1][v],
    "range": range,
    "np.float64": np.float64,
    "float array": lambda v: np.array([v], dtype=float),
    "array element": lambda v: np.zeros(1).__setitem__(0, v),
}


@pytest.mark.parametrize("convert", NO_FLOAT.values(), ids=NO_FLOAT)
def test_no_gradient_is_lost_in_a_silent_conversion(convert):
    with pytest.raises(TypeError):
        convert(Value(1.0))
    assert not hasattr(Value, "__float__") and not hasattr(Value, "__index__")


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


# -- subclasses ------------------------------------------------------------------------------------


class Parameter(Value):
    """With a constructor of its own and attributes in a dict."""

    def __init__(self, name, data, decay=0.0):
        super().__init__(data, label=name)
        self.name = name
        self.decay = decay

    def shrunk(self):
        return self * (1 - self.decay)


class Slotted(Value):
    __slots__ = ("name",)


class Bare(Value):
    """No dict, no slots: its attributes are kept as Value's are."""

    __slots__ = ()


class Unmade(Value):
    def __init__(self):
        """Never calls Value's."""


def test_a_subclass_may_have_a_constructor_of_its_own():
    p = Parameter("w", 2.0, decay=0.5)
    assert (p.data, p.label, p.name, p.decay) == (2.0, "w", "w", 0.5)
    assert vars(p) == {"name": "w", "decay": 0.5}
    assert isinstance(p, Value) and isinstance(p, Parameter) and issubclass(Parameter, Value)
    y = p.shrunk()
    y.backward()
    assert (y.data, p.grad) == (1.0, 0.5)
    assert Unmade().data == 0.0


@each_operator
def test_operators_of_a_subclass_return_value(op):
    p = Parameter("p", 2.0)
    for result in (op(p, p), op(p, 2), op(2, p), op(p, Value(2.0)), op(Value(2.0), p)):
        assert type(result) is Value
        assert result.data == op(2.0, 2.0)
        assert any(v is p for v in result._prev)


def test_methods_of_a_subclass_return_value():
    p = Parameter("p", 2.0)
    for result in (-p, abs(p), p.tanh(), p.maximum(1), p.leaky_relu(), p.detach()):
        assert type(result) is Value


@pytest.mark.parametrize("cls", [Slotted, Bare])
def test_a_subclass_may_have_slots(cls, either_tape):
    p = cls(3.0, label="p")
    p.name = "weight"
    p.more = [1]
    y = p * 2
    del p
    churn()
    p = operand(y, "p")
    assert (type(p), p.name, p.more, p.data) == (cls, "weight", [1], 3.0)
    del p.name
    assert not hasattr(p, "name")


@pytest.mark.parametrize("cls", [Bare, Slotted, Parameter], ids=lambda cls: cls.__name__)
def test_attributes_of_a_subclass_beside_its_own_getattr(cls):
    class Dynamic(cls):
        __slots__ = ()

        def __getattr__(self, name):
            if name.startswith("no"):
                return f"dynamic {name}"
            raise AttributeError(name)

    p = Dynamic.__new__(Dynamic)
    p.kept = 1
    assert (p.kept, p.nothing, hasattr(p, "missing")) == (1, "dynamic nothing", False)


def test_attributes_of_a_subclass_survive_while_only_a_graph_refers_to_it(either_tape):
    p = Parameter("w", 2.0)
    p.history = [p]
    y = (p * 3).tanh()
    identity = id(p)
    del p
    churn()
    product = y._prev.pop()
    found = operand(product, "w")
    assert type(found) is Parameter and id(found) == identity
    assert (found.name, found.history) == ("w", [found])
    y.backward()
    assert found.grad == pytest.approx(3 * (1 - math.tanh(6.0) ** 2))


def test_operators_overridden_in_a_subclass_have_the_first_word():
    class Loud(Value):
        def __add__(self, other):
            return "add", super().__add__(other)

        def __radd__(self, other):
            return "radd", super().__radd__(other)

        def __neg__(self):
            return "neg", super().__neg__()

    for expression, word, data in [
        (lambda: Loud(2.0) + 1, "add", 3.0),
        (lambda: 1 + Loud(2.0), "radd", 3.0),
        (lambda: Value(1.0) + Loud(2.0), "radd", 3.0),
        (lambda: -Loud(2.0), "neg", -2.0),
    ]:
        called, result = expression()
        assert (called, result.data) == (word, data)
    assert (Loud(2.0) * 3).data == 6.0


def test_methods_overridden_in_a_subclass():
    class Clamped(Value):
        def exp(self):
            return self.minimum(100.0).exp() if self.data > 100 else super().exp()

        def backward(self, **options):
            super().backward(**options)
            self.grad = -1.0

    p = Clamped(1000.0)
    assert p.exp().data == math.exp(100.0)
    p.backward()
    assert p.grad == -1.0


def test_a_subclass_of_a_subclass_and_with_another_base():
    class Named:
        def title(self):
            return self.name.title()

    class Both(Parameter, Named):
        pass

    p = Both("weight", 1.0)
    assert (p.title(), p.data, (p + 1).data) == ("Weight", 1.0, 2.0)


def test_changing_the_class_of_a_value_does_no_harm():
    code = """
        import gc
        from micrograd_c import Value

        class Bare(Value):
            __slots__ = ()

        for old, new in [(Value, Bare), (Bare, Value)]:
            v = old(2.0)
            y = v * 3
            try:
                v.__class__ = new
            except TypeError:
                pass
            for _ in range(2):
                v = None
                gc.collect()
                fresh = [Value(float(k)) for k in range(3000)]
                del fresh
                y.backward()
                print(sorted(v.data for v in y._prev), sorted(v.grad for v in y._prev))
    """
    assert run_python(code) == "[2.0, 3.0] [2.0, 3.0]\n" * 4


# -- copies ----------------------------------------------------------------------------------------

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy}
COPIES |= {f"pickle {p}": lambda v, p=p: pickle.loads(pickle.dumps(v, p)) for p in PROTOCOLS}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@each_copy
def test_a_copy_of_a_leaf_keeps_what_it_has(copied):
    v = Value(0.1, label="weight")
    v.grad = -3.5
    v.momentum, v.history = 0.5, [1, 2]
    w = copied(v)
    assert type(w) is Value and w is not v
    assert (w.data, w.grad, w.label, w._op, w._prev) == (0.1, -3.5, "weight", "", set())
    assert vars(w) == {"momentum": 0.5, "history": [1, 2]}
    w.data, w.label, w.momentum = 9.0, "other", 1.0
    assert (v.data, v.label, v.momentum) == (0.1, "weight", 0.5)
    (w * w).backward()
    assert (w.grad, v.grad) == (18.0, -3.5)


@each_copy
@pytest.mark.parametrize("number", [inf, -inf, nan, -0.0, 5e-324, 0.1])
def test_a_copy_keeps_every_float(copied, number):
    v = Value(number)
    v.grad = number
    assert repr(copied(v)) == repr(v)


@each_copy
def test_a_copy_of_a_leaf_in_a_graph_is_outside_of_it(copied):
    a = Value(2.0)
    y = a * 3
    b = copied(a)
    y.backward()
    assert (a.grad, b.grad) == (3.0, 0.0)
    assert b not in y._prev


@each_copy
def test_a_copy_of_a_subclass_instance(copied):
    p = Parameter("w", 2.0, decay=0.25)
    p.grad = 1.5
    q = copied(p)
    assert type(q) is Parameter and q is not p
    assert (q.data, q.grad, q.label, q.name, q.decay) == (2.0, 1.5, "w", "w", 0.25)
    assert q.shrunk().data == 1.5


@each_copy
@pytest.mark.parametrize("cls", [Slotted, Bare])
def test_a_copy_of_an_instance_with_slots(copied, cls):
    p = cls(2.0, label="p")
    p.name, p.more = "weight", 1
    q = copied(p)
    assert type(q) is cls
    assert (q.data, q.label, q.name, q.more) == (2.0, "p", "weight", 1)


def test_a_shallow_copy_shares_attributes_and_a_deep_one_does_not():
    for v in (Value(1.0), Parameter("p", 1.0)):
        v.history = [1]
        assert copy.copy(v).history is v.history
        assert copy.deepcopy(v).history is not v.history
        copy.copy(v).only = 1
        assert not hasattr(v, "only")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_what_is_one_object_stays_one_object(copied):
    v = Value(1.0)
    v.me, v.others = v, [v]
    a, b, container = copied([v, v, {"v": v}])
    assert a is b is container["v"] is a.me is a.others[0]
    assert a is not v


def test_a_list_of_parameters_survives_pickling():
    parameters = [Value(k / 7, label=f"p{k}") for k in range(20)]
    loaded = pickle.loads(pickle.dumps(parameters))
    assert [(p.data, p.label) for p in loaded] == [(p.data, p.label) for p in parameters]


NON_LEAVES = {
    "+": lambda a: a + 1,
    "**2": lambda a: a**2,
    "tanh": lambda a: a.tanh(),
    "mine": lambda a: Value(1.0, (a,), "mine"),
    "sum": lambda a: micrograd_c.sum([a, a]),
    "custom": lambda a: micrograd_c.custom(1.0, [a], [2.0]),
}


@each_copy
@pytest.mark.parametrize("make", NON_LEAVES.values(), ids=NON_LEAVES)
def test_a_copy_of_an_inner_node_is_a_type_error_that_names_detach(copied, make):
    node = make(Value(1.0))
    before = nodes_without_garbage()
    for thing in (node, [node]):
        if copied is copy.copy and thing is not node:
            continue  # a shallow copy of a list holds the same nodes
        with pytest.raises(TypeError, match=r"detach\(\)"):
            copied(thing)
    assert tape_stats().nodes == before
    assert copied(node.detach()).data == node.data


@each_copy
def test_results_inside_no_grad_can_be_copied(copied):
    with no_grad():
        y = Value(3.0) * 2
    assert copied(y).data == 6.0


# -- detach and item -------------------------------------------------------------------------------


def test_detach_is_a_new_leaf_with_the_same_data():
    a = Value(3.0, label="a")
    y = a * 2
    y.backward()
    for node in (a, y, Parameter("p", 6.0)):
        leaf = node.detach()
        assert type(leaf) is Value and leaf is not node
        assert (leaf.data, leaf.grad, leaf._op, leaf._prev) == (node.data, 0.0, "", set())
    leaf = y.detach()
    (leaf * a).backward()
    assert (a.grad, leaf.grad) == (6.0, 3.0)
    leaf.data = 0.0
    assert y.data == 6.0


@pytest.mark.parametrize("node", [Value(3), Value(1.5) * 2, Parameter("p", 3.0)])
def test_item_is_the_float(node):
    assert (node.item(), type(node.item())) == (3.0, float)


@pytest.mark.parametrize("options", [{"accumulate": None}, {"accumulate": False}, {}])
def test_backward_takes_its_option_by_name_only(options):
    v = Value(3.0)
    v.grad = 5.0
    assert (v * v).backward(**options) is None
    assert v.grad == 6.0
    with pytest.raises(TypeError):
        v.backward(True)
    with pytest.raises(TypeError):
        v.backward(retain_graph=True)
