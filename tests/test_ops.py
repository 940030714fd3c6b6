# SPDX-License-Identifier: MIT
"""Every row of the operation table: its value, its derivative, its edges, and what it refuses."""

import itertools
import math
import operator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import micrograd_c
from micrograd_c import Value, _core, clip, custom, dot, take, tape_stats, where

ROWS = {row["name"]: row for row in _core.operations()}
inf, nan = math.inf, math.nan

# -- the oracle: each operation said once more, in Python ------------------------------------------


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def gelu(x):
    return x * (0.5 * math.erfc(-x / math.sqrt(2)))


def power(x, y):
    """Python's float ** float, except that it refuses where that turns complex."""
    if x < 0 and math.isfinite(x) and isinstance((-1.0) ** y, complex):
        raise ValueError("complex")
    return x**y


def maximum(x, y):
    return nan if math.isnan(x) or math.isnan(y) else max(x, y)


def minimum(x, y):
    return nan if math.isnan(x) or math.isnan(y) else min(x, y)


# name -> value; the call is Value's method of that name.
UNARY = {
    "neg": operator.neg,
    "abs": abs,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: 0.0 if x <= 0 else x,
    "softplus": softplus,
    "gelu": gelu,
    "silu": lambda x: x * sigmoid(x),
    "erf": math.erf,
}

# name -> (call, value)
BINARY = {
    "add": (operator.add, operator.add),
    "sub": (operator.sub, operator.sub),
    "mul": (operator.mul, operator.mul),
    "truediv": (operator.truediv, operator.truediv),
    "pow": (operator.pow, power),
    "maximum": (lambda x, y: x.maximum(y), maximum),
    "minimum": (lambda x, y: x.minimum(y), minimum),
}

# name -> (call, value); the second argument is a plain number.
SCALED = {
    "pow_number": (operator.pow, power),
    "leaky_relu": (
        lambda x, slope: x.leaky_relu(slope),
        lambda x, slope: x if x > 0 else x * slope,
    ),
}


def closure_product(a, b):
    out = Value(a.data * b.data, (a, b))

    def _backward():
        a.grad += out.grad * b.data
        b.grad += out.grad * a.data

    out._backward = _backward
    return out


# name -> (call, value, number of operands)
VARIADIC = {
    "sum": (lambda *v: micrograd_c.sum(v), lambda *x: math.fsum(x), 4),
    "dot": (
        lambda a, b, c, d, e: dot([a, b], [c, d], e),
        lambda a, b, c, d, e: a * c + b * d + e,
        5,
    ),
    "where": (where, lambda condition, a, b: a if condition > 0 else b, 3),
    "clip": (clip, lambda v, low, high: min(max(v, low), high), 3),
    "take": (lambda a, b, c: take([a, b, c], Value(1)), lambda a, b, c: b, 3),
    "custom": (lambda a, b: custom(a.data * b.data, [a, b], [b.data, a.data]), operator.mul, 2),
    "opaque": (closure_product, operator.mul, 2),
}

KINKS_AT_ZERO = {"abs", "relu", "leaky_relu"}

# Those whose value a function of the math module gives: the engine calls the same libm.
LIBM = [name for name in UNARY if hasattr(math, name)]


def unary(name, x):
    return getattr(x, name)()


def interval(name):
    return st.floats(*ROWS[name]["interval"])


def leaves(*numbers):
    return [Value(x) for x in numbers]


def gradients(call, *numbers):
    operands = leaves(*numbers)
    call(*operands).backward()
    return [operand.grad for operand in operands]


def central_difference(function, numbers, k, h=1e-5):
    def at(step):
        return function(*numbers[:k], numbers[k] + step, *numbers[k + 1 :])

    return (at(h) - at(-h)) / (2 * h)


def slope_of(function, *numbers):
    return [
        pytest.approx(central_difference(function, numbers, k), rel=1e-6, abs=1e-7)
        for k in range(len(numbers))
    ]


def same(ours, theirs, rel=1e-12):
    return math.isclose(ours, theirs, rel_tol=rel) or (math.isnan(ours) and math.isnan(theirs))


# -- the table -----------------------------------------------------------------------------------


def test_every_row_of_the_table_is_tested_here_and_nothing_else():
    tested = {
        **dict.fromkeys(UNARY, "unary"),
        **dict.fromkeys(BINARY, "binary"),
        **dict.fromkeys(SCALED, "scaled"),
        **dict.fromkeys(VARIADIC, "variadic"),
    }
    assert {name: row["shape"] for name, row in ROWS.items()} == tested


def test_names_in_the_table_are_unique():
    assert len(ROWS) == len(_core.operations())


@pytest.mark.parametrize("name", [*UNARY, *BINARY, *SCALED])
def test_every_interval_lies_inside_the_domain(name):
    low, high = ROWS[name]["interval"]
    assert low < high
    for x, y in itertools.product((low, high), repeat=2):
        if name in UNARY:
            UNARY[name](x)
        else:
            {**BINARY, **SCALED}[name][1](x, y)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_a_method_is_pythons(name, data):
    x = data.draw(interval(name))
    assert same(unary(name, Value(x)).data, UNARY[name](x))


@pytest.mark.parametrize("name", LIBM)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_a_math_function_has_libms_quality(name, data):
    x = data.draw(interval(name))
    theirs = UNARY[name](x)
    assert abs(unary(name, Value(x)).data - theirs) <= 2 * math.ulp(theirs)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_an_operator_is_pythons(name, data):
    call, value = BINARY[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    expected = pytest.approx(value(x, y), rel=1e-15, abs=0)
    assert call(Value(x), Value(y)).data == expected
    assert call(Value(x), y).data == expected
    if name not in ("maximum", "minimum"):
        assert call(x, Value(y)).data == expected


@pytest.mark.parametrize("name", SCALED)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_an_operation_with_a_number(name, data):
    call, value = SCALED[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    assert call(Value(x), y).data == pytest.approx(value(x, y), rel=1e-15, abs=0)


@pytest.mark.parametrize("name", VARIADIC)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_value_of_a_function_of_many(name, data):
    call, value, count = VARIADIC[name]
    numbers = data.draw(st.tuples(*[st.floats(-3, 3)] * count))
    assert call(*leaves(*numbers)).data == pytest.approx(value(*numbers), rel=1e-12, abs=1e-12)


# -- derivatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_a_method(name, data):
    x = data.draw(interval(name))
    assume(name not in KINKS_AT_ZERO or abs(x) > 1e-4)
    assert gradients(lambda v: unary(name, v), x) == slope_of(UNARY[name], x)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_an_operator_by_either_side(name, data):
    call, value = BINARY[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    assume(name not in ("maximum", "minimum") or abs(x - y) > 1e-4)
    both = slope_of(value, x, y)
    assert gradients(call, x, y) == both
    assert gradients(lambda v: call(v, y), x) == both[:1]
    if name not in ("maximum", "minimum"):
        assert gradients(lambda v: call(x, v), y) == both[1:]


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_where_both_sides_are_one_value(name, data):
    call, value = BINARY[name]
    x = data.draw(interval(name))
    assert gradients(lambda v: call(v, v), x) == slope_of(lambda x: value(x, x), x)


@pytest.mark.parametrize("name", SCALED)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_an_operation_with_a_number(name, data):
    call, value = SCALED[name]
    x, y = data.draw(interval(name)), data.draw(interval(name))
    assume(name not in KINKS_AT_ZERO or abs(x) > 1e-4)
    assert gradients(lambda v: call(v, y), x) == slope_of(lambda x: value(x, y), x)


@pytest.mark.parametrize("name", VARIADIC)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_derivative_of_a_function_of_many(name, data):
    call, value, count = VARIADIC[name]
    numbers = data.draw(st.tuples(*[st.floats(-3, 3)] * count))
    if name in ("where", "clip"):
        edges = [0.0, *numbers]
        assume(all(abs(x - y) > 1e-4 for x, y in itertools.combinations(edges, 2)))
    assert gradients(call, *numbers) == slope_of(value, *numbers)


def one_call_of(name):
    """The operation on fresh operands inside its interval: (operands, result)."""
    low, high = ROWS[name]["interval"]
    x, y = low + 0.7 * (high - low), low + 0.4 * (high - low)
    if name in UNARY:
        operands = leaves(x)
        return operands, unary(name, *operands)
    if name in BINARY:
        operands = leaves(x, y)
        return operands, BINARY[name][0](*operands)
    if name in SCALED:
        operands = leaves(x)
        return operands, SCALED[name][0](*operands, 2.5)
    call, _, count = VARIADIC[name]
    operands = leaves(*[0.5 + k for k in range(count)])
    return operands, call(*operands)


@pytest.mark.parametrize("name", ROWS)
def test_the_chain_rule_multiplies_and_adds(name):
    operands, result = one_call_of(name)
    result.grad = 1.0
    result._backward()
    slopes = [operand.grad for operand in operands]
    assert any(slopes)
    result.grad = -3.0
    result._backward()
    assert [operand.grad for operand in operands] == pytest.approx([-2 * s for s in slopes])
    (result * 5.0).backward()
    assert [operand.grad for operand in operands] == pytest.approx([5 * s for s in slopes])


# -- what the graph shows --------------------------------------------------------------------------

SHOWN = {"pow_number": "**2.5", "opaque": ""}


@pytest.mark.parametrize("name", ROWS)
def test_a_node_shows_its_operation_and_its_operands(name):
    operands, result = one_call_of(name)
    assert result._op == SHOWN.get(name, ROWS[name]["symbol"])
    assert {id(v) for v in operands} <= {id(v) for v in result._prev}
    if name != "take":  # which has its index as an operand, too
        assert result._prev == set(operands)
    assert (result.grad, [v.grad for v in operands]) == (0.0, [0.0] * len(operands))


def test_symbols_are_the_contracts():
    contract = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}
    for name in [*UNARY, *BINARY, "leaky_relu"]:
        assert ROWS[name]["symbol"] == contract.get(name, name)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow"])
@pytest.mark.parametrize("swapped", [False, True], ids=["number right", "number left"])
def test_a_number_becomes_a_leaf(name, swapped):
    v = Value(3.0)
    result = BINARY[name][0](2.0, v) if swapped else BINARY[name][0](v, 2.0)
    if name == "pow" and not swapped:  # whose exponent stands in _op
        assert (result._op, result._prev) == ("**2.0", {v})
        return
    (number,) = result._prev - {v}
    assert (number.data, number._op, number._prev) == (2.0, "", set())
    assert v in result._prev


# -- kinks, as PyTorch has them --------------------------------------------------------------------

# what, its derivatives at the operands, the operands
KINKS = [
    ("relu at 0", lambda x: x.relu(), [0.0], [0.0]),
    ("relu at -0", lambda x: x.relu(), [0.0], [-0.0]),
    ("relu beside 0", lambda x: x.relu(), [1.0], [5e-324]),
    ("abs at 0", abs, [0.0], [0.0]),
    ("abs at -0", abs, [0.0], [-0.0]),
    ("abs method at 0", lambda x: x.abs(), [0.0], [0.0]),
    ("leaky_relu at 0", lambda x: x.leaky_relu(0.25), [0.25], [0.0]),
    ("leaky_relu default slope", lambda x: x.leaky_relu(), [0.01], [-1.0]),
    ("maximum of equals", lambda x, y: x.maximum(y), [0.5, 0.5], [2.0, 2.0]),
    ("minimum of equals", lambda x, y: x.minimum(y), [0.5, 0.5], [2.0, 2.0]),
    ("maximum of zeros", lambda x, y: x.maximum(y), [0.5, 0.5], [0.0, -0.0]),
    ("maximum with an equal number", lambda x: x.maximum(2.0), [0.5], [2.0]),
    ("maximum of one value twice", lambda x: x.maximum(x), [1.0], [2.0]),
    ("clip at low", lambda x: clip(x, 0.0, 1.0), [1.0], [0.0]),
    ("clip at high", lambda x: clip(x, 0.0, 1.0), [1.0], [1.0]),
    ("clip below", lambda x: clip(x, 0.0, 1.0), [0.0], [-5e-324]),
    ("clip above", lambda x: clip(x, 0.0, 1.0), [0.0], [1.0 + 1e-15]),
    ("clip at a bound that is a Value", clip, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
    ("x ** 0", lambda x: x**0, [0.0], [3.0]),
    ("0 ** 0", lambda x: x**0, [0.0], [0.0]),
    ("nan ** 0", lambda x: x**0, [0.0], [nan]),
    ("x ** Value(0)", lambda x, y: x**y, [0.0, math.log(3.0)], [3.0, 0.0]),
    ("0 ** Value(0)", lambda x, y: x**y, [0.0, 0.0], [0.0, 0.0]),
    ("0 ** 1", lambda x: x**1, [1.0], [0.0]),
    ("0 ** 2", lambda x: x**2, [0.0], [0.0]),
    ("0 ** Value(2)", lambda x, y: x**y, [0.0, 0.0], [0.0, 2.0]),
    ("0 ** 0.5", lambda x: x**0.5, [inf], [0.0]),
    ("0 ** 1.5", lambda x: x**1.5, [0.0], [0.0]),
    ("sqrt at 0", lambda x: x.sqrt(), [inf], [0.0]),
    ("asin at 1", lambda x: x.asin(), [inf], [1.0]),
    ("acos at -1", lambda x: x.acos(), [-inf], [-1.0]),
    ("-2 ** Value(2)", lambda x, y: x**y, [-4.0, nan], [-2.0, 2.0]),
]


@pytest.mark.parametrize(
    ("call", "slopes", "numbers"), [row[1:] for row in KINKS], ids=[row[0] for row in KINKS]
)
def test_the_derivative_at_a_kink_is_pytorchs(call, slopes, numbers):
    assert gradients(call, *numbers) == pytest.approx(slopes, nan_ok=True)


# (call on the operand that is not passed through, its data)
STOPS = {
    "relu below 0": (lambda x: x.relu(), -1.0),
    "relu at 0": (lambda x: x.relu(), 0.0),
    "x ** 0": (lambda x: x**0, 3.0),
    "x ** Value(0)": (lambda x: x ** Value(0.0), 3.0),
    "the smaller of a maximum": (lambda x: x.maximum(2.0), 1.0),
    "the larger of a minimum": (lambda x: x.minimum(0.0), 1.0),
    "clip outside": (lambda x: clip(x, 2.0, 3.0), 1.0),
    "where, the other": (lambda x: where(False, x, 1.0), 1.0),
    "take, another": (lambda x: take([x, 1.0], Value(1)), 1.0),
}


@pytest.mark.parametrize("adjoint", [inf, -inf, nan])
@pytest.mark.parametrize(("call", "x"), STOPS.values(), ids=STOPS)
def test_what_does_not_depend_on_the_operand_stops_any_adjoint(call, x, adjoint):
    v = Value(x)
    result = call(v)
    result.grad = adjoint
    result._backward()
    assert v.grad == 0.0


# -- extreme operands ------------------------------------------------------------------------------

# method, operand, value, derivative
EXTREMES = [
    ("tanh", 1000.0, 1.0, 0.0),
    ("tanh", -1000.0, -1.0, 0.0),
    ("tanh", 1e-20, 1e-20, 1.0),
    ("tanh", inf, 1.0, 0.0),
    ("sigmoid", 1000.0, 1.0, 0.0),
    ("sigmoid", -1000.0, 0.0, 0.0),
    ("sigmoid", -700.0, math.exp(-700.0), math.exp(-700.0)),
    ("sigmoid", -inf, 0.0, 0.0),
    ("softplus", 1000.0, 1000.0, 1.0),
    ("softplus", -1000.0, 0.0, 0.0),
    ("softplus", -700.0, math.exp(-700.0), math.exp(-700.0)),
    ("softplus", inf, inf, 1.0),
    ("softplus", -inf, 0.0, 0.0),
    ("gelu", 1000.0, 1000.0, 1.0),
    ("gelu", -1000.0, 0.0, 0.0),
    ("gelu", -20.0, -20 * math.erfc(20 / math.sqrt(2)) / 2, -1.1014360483133464e-86),
    ("silu", 1000.0, 1000.0, 1.0),
    ("silu", -1000.0, 0.0, 0.0),
    ("silu", -700.0, -700 * math.exp(-700.0), -699 * math.exp(-700.0)),
    ("erf", 40.0, 1.0, 0.0),
    ("erf", -inf, -1.0, 0.0),
    ("erf", 1e-20, 2e-20 / math.sqrt(math.pi), 2 / math.sqrt(math.pi)),
    ("log1p", 1e-20, 1e-20, 1.0),
    ("expm1", 1e-20, 1e-20, 1.0),
    ("expm1", -1000.0, -1.0, 0.0),
    ("exp", -1000.0, 0.0, 0.0),
    ("exp", -inf, 0.0, 0.0),
    ("exp", inf, inf, inf),
    ("log", 5e-324, math.log(5e-324), inf),
    ("log", inf, inf, 0.0),
    ("sqrt", 5e-324, math.sqrt(5e-324), 0.5 / math.sqrt(5e-324)),
    ("atan", inf, math.pi / 2, 0.0),
    ("atan", -1e200, -math.pi / 2, 0.0),
    ("relu", inf, inf, 1.0),
    ("relu", -inf, 0.0, 0.0),
    ("abs", -inf, inf, -1.0),
    ("neg", inf, -inf, -1.0),
    ("sin", 1e300, math.sin(1e300), math.cos(1e300)),
]


@pytest.mark.parametrize(("name", "x", "value", "slope"), EXTREMES)
def test_extreme_operands_have_their_limits(name, x, value, slope):
    v = Value(x)
    result = unary(name, v)
    result.backward()
    assert result.data == pytest.approx(value, rel=1e-12, abs=0)
    assert v.grad == pytest.approx(slope, rel=1e-12, abs=0)


@pytest.mark.parametrize("name", UNARY)
def test_nan_propagates_through_every_method(name):
    v = Value(nan)
    result = unary(name, v)
    assert math.isnan(result.data)
    result.backward()
    assert result.grad == 1.0


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("numbers", [(nan, 2.0), (2.0, nan), (nan, nan)])
def test_nan_propagates_through_every_operator(name, numbers):
    assert math.isnan(BINARY[name][0](*leaves(*numbers)).data)


@pytest.mark.parametrize("x", [inf, -inf, nan])
def test_infinity_and_nan_pass_through_functions_of_many(x):
    v, index = Value(x), Value(1)
    results = [
        micrograd_c.sum([1.0, v]),
        dot([2.0, v], [1.0, 1.0]),
        where(True, v, 0.0),
        where(Value(-1.0), 0.0, v),
        clip(v),
        take([0.0, v], index),
        v.leaky_relu(1.0),
    ]
    assert [r.data for r in results] == pytest.approx([x] * len(results), nan_ok=True)
    for result in results:
        result.backward()
        assert v.grad == 1.0


any_float = st.floats() | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e308, inf, -inf, nan])


@pytest.mark.parametrize("name", [*UNARY, *BINARY, *SCALED])
@settings(max_examples=50, deadline=None)
@given(any_float, any_float, any_float)
def test_backward_never_raises_for_a_value(name, x, y, adjoint):
    v, w = Value(x), Value(y)
    try:
        if name in UNARY:
            result = unary(name, v)
        elif name in BINARY:
            result = BINARY[name][0](v, w)
        else:
            result = SCALED[name][0](v, y)
    except (ValueError, ArithmeticError):
        return
    result.backward()
    result.grad = adjoint
    result._backward()
    assert type(v.grad) is float


# -- PyTorch ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


# PyTorch's own tails are coarser than ours further out (gelu) or switch formulas (softplus).
GRID = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 1e-12, -1e-12, 1e-300, 30.0, 700.0]
GRID += [-700.0, 1e10, -1e10, 1e154, 1e300, inf, -inf, nan]
TORCH_FUNCTIONAL = {"relu", "softplus", "gelu", "silu"}


def theirs_and_ours(torch, ours, theirs, numbers):
    """((value, gradients) by the engine, the same by PyTorch), or None where the engine refuses."""
    operands = leaves(*numbers)
    try:
        result = ours(*operands)
    except (ValueError, ArithmeticError):
        return None
    result.backward()
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers]
    expected = theirs(*tensors)
    expected.backward()
    return (
        [result.data, *[v.grad for v in operands]],
        [expected.item(), *[t.grad.item() for t in tensors]],
    )


def assert_agrees(torch, ours, theirs, *numbers):
    pair = theirs_and_ours(torch, ours, theirs, numbers)
    if pair is not None:
        assert all(map(same, *pair)), (numbers, *pair)


@pytest.mark.parametrize("name", UNARY)
def test_a_method_agrees_with_pytorch(torch, name):
    def theirs(x):
        if name == "softplus":
            return torch.nn.functional.softplus(x, threshold=1000)
        return getattr(torch.nn.functional if name in TORCH_FUNCTIONAL else torch, name)(x)

    for x in GRID:
        assert_agrees(torch, lambda v: unary(name, v), theirs, x)


@pytest.mark.parametrize("name", BINARY)
def test_an_operator_agrees_with_pytorch(torch, name):
    theirs = getattr(torch, {"truediv": "div"}.get(name, name))
    for x, y in itertools.product(GRID, repeat=2):
        assert_agrees(torch, BINARY[name][0], theirs, x, y)


@pytest.mark.parametrize("number", [0, 1, 2, 3, -1, -2, 0.25, 2.5, -0.5, 0.01, 10])
def test_an_operation_with_a_number_agrees_with_pytorch(torch, number):
    leaky = torch.nn.functional.leaky_relu
    for x in GRID:
        if not (x == -inf and number == -0.5):  # Python gives 0, PyTorch the NaN of 1/sqrt
            assert_agrees(torch, lambda v: v**number, lambda t: t**number, x)
        assert_agrees(torch, lambda v: v.leaky_relu(number), lambda t: leaky(t, number), x)


@pytest.mark.parametrize("low", [-1.0, 0.0, -inf])
@pytest.mark.parametrize("high", [0.5, 1.0, inf])
def test_clip_agrees_with_pytorch(torch, low, high):
    for x in [-3.0, -1.0, -0.0, 0.0, 0.25, 0.5, 1.0, 3.0, inf, -inf]:
        assert_agrees(torch, clip, torch.clamp, x, low, high)
        assert_agrees(torch, lambda v: clip(v, low, high), lambda t: t.clamp(low, high), x)


# -- refusals --------------------------------------------------------------------------------------

NASTY = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1.5, -1.5, 5e-324, 1e308, -1e308, 1000.0]
NASTY += [-1000.0, 1e10, inf, -inf, nan]


def outcome(function, *operands):
    """What came of it: (None, result) or (the exception's type, the exception)."""
    try:
        return None, function(*operands)
    except (ValueError, ArithmeticError) as error:
        return type(error), error


def assert_same_outcome(name, ours, theirs, *numbers):
    """The engine refuses exactly what Python refuses, by the same type; or the values agree."""
    before = tape_stats().nodes
    refused, result = outcome(ours)
    expected, value = outcome(theirs, *numbers)
    assert refused == expected, (name, numbers, result, value)
    if refused is None:
        assert same(result.data, value), (name, numbers, result, value)
        return
    message = str(result)
    assert ROWS[name]["symbol"] in message
    for x in numbers:
        assert repr(x) in message
    assert tape_stats().nodes <= before  # fewer, if garbage was collected meanwhile


@pytest.mark.parametrize("name", UNARY)
def test_a_method_refuses_what_pythons_math_refuses(name):
    for x in NASTY:
        v = Value(x)
        assert_same_outcome(name, lambda v=v: unary(name, v), UNARY[name], x)


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=100, deadline=None)
@given(st.floats())
def test_a_method_refuses_what_pythons_math_refuses_anywhere(name, x):
    v = Value(x)
    assert_same_outcome(name, lambda: unary(name, v), UNARY[name], x)


def ways_to_call(name, x, y):
    call = BINARY[name][0]
    v, w = Value(x), Value(y)
    yield lambda: call(v, w)
    yield lambda: call(v, y)
    if name not in ("maximum", "minimum"):
        yield lambda: call(x, w)


@pytest.mark.parametrize("name", BINARY)
def test_an_operator_refuses_what_pythons_floats_refuse(name):
    for x, y in itertools.product(NASTY, repeat=2):
        for way in ways_to_call(name, x, y):
            assert_same_outcome(name, way, BINARY[name][1], x, y)


@pytest.mark.parametrize("name", ["truediv", "pow"])
@settings(max_examples=200, deadline=None)
@given(any_float, any_float)
def test_an_operator_refuses_what_pythons_floats_refuse_anywhere(name, x, y):
    for way in ways_to_call(name, x, y):
        assert_same_outcome(name, way, BINARY[name][1], x, y)


# operation, exception, what the message says
REFUSALS = [
    (lambda: Value(0.0) ** -1, ZeroDivisionError, ["**", "0.0", "-1"]),
    (lambda: 0 ** Value(-1), ZeroDivisionError, ["**", "0.0", "-1"]),
    (lambda: Value(0.0) ** Value(-0.5), ZeroDivisionError, ["**", "0.0", "-0.5"]),
    (lambda: Value(1.0) / 0, ZeroDivisionError, ["/", "1.0", "0.0"]),
    (lambda: 1 / Value(0.0), ZeroDivisionError, ["/", "1.0", "0.0"]),
    (lambda: Value(0.0) / Value(-0.0), ZeroDivisionError, ["/", "0.0", "-0.0"]),
    (lambda: Value(nan) / 0, ZeroDivisionError, ["/", "nan", "0.0"]),
    (lambda: Value(0.0).log(), ValueError, ["log", "0.0"]),
    (lambda: Value(-1.5).log(), ValueError, ["log", "-1.5"]),
    (lambda: Value(-1.0).log1p(), ValueError, ["log1p", "-1.0"]),
    (lambda: Value(-4.0).sqrt(), ValueError, ["sqrt", "-4.0"]),
    (lambda: Value(2.0).asin(), ValueError, ["asin", "2.0"]),
    (lambda: Value(inf).sin(), ValueError, ["sin", "inf"]),
    (lambda: Value(-2.0) ** 0.5, ValueError, ["**", "-2.0", "0.5"]),
    (lambda: (-2) ** Value(0.5), ValueError, ["**", "-2.0", "0.5"]),
    (lambda: Value(-2.0) ** Value(0.5), ValueError, ["**", "-2.0", "0.5"]),
    (lambda: Value(1000.0).exp(), OverflowError, ["exp", "1000.0"]),
    (lambda: Value(1000.0).expm1(), OverflowError, ["expm1", "1000.0"]),
    (lambda: Value(-1000.0).sinh(), OverflowError, ["sinh", "-1000.0"]),
    (lambda: Value(1000.0).cosh(), OverflowError, ["cosh", "1000.0"]),
    (lambda: Value(1e200) ** 2, OverflowError, ["**", "1e+200", "2"]),
    (lambda: 10 ** Value(400), OverflowError, ["**", "10.0", "400.0"]),
]


@pytest.mark.parametrize(("operation", "exception", "words"), REFUSALS)
def test_a_refusal_names_the_operation_and_the_operand(operation, exception, words):
    with pytest.raises(exception) as refusal:
        operation()
    assert type(refusal.value) is exception
    for word in words:
        assert word in str(refusal.value)


def test_nothing_is_recorded_when_an_operation_refuses(clean):
    before = clean()
    for operation, exception, _ in REFUSALS:
        for _ in range(10):
            with pytest.raises(exception):
                operation()
        assert tape_stats().nodes == before


@pytest.mark.parametrize("heavy", [False, True], ids=["plain", "with a closure below"])
def test_a_refusal_leaves_the_operands_as_they_were(heavy, clean):
    a = Value(2.0)
    v = closure_product(a, a) if heavy else a * a
    v.grad = 7.0
    before = clean()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            v / 0
        with pytest.raises(ValueError, match="log"):
            (-v).log()
        with pytest.raises(OverflowError):
            v**1000
        with pytest.raises(TypeError):
            v + "x"
        with pytest.raises(TypeError):
            v.maximum("x")
    assert clean() == before
    assert (v.data, v.grad, v._prev) == (4.0, 7.0, {a})
    v.backward()
    assert a.grad == 4.0
