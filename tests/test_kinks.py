# SPDX-License-Identifier: MIT
"""Derivatives at kinks, extreme operands, and agreement with PyTorch."""

import itertools
import math

import pytest
from common import BINARY, SCALED, UNARY, any_float, gradients, leaves, same, unary
from hypothesis import given, settings

import micrograd_c
from micrograd_c import Value, clip, dot, take, where

inf, nan = math.inf, math.nan


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
    ("sign at 0", lambda x: x.sign(), [0.0], [0.0]),
    ("floor at a whole number", lambda x: x.floor(), [0.0], [2.0]),
    ("remainder at a multiple", lambda x, y: x % y, [1.0, -2.0], [6.0, 3.0]),
    ("remainder just below", lambda x, y: x % y, [1.0, -9.0], [1.0, 0.1]),
    ("remainder of signs", lambda x, y: x % y, [1.0, 3.0], [-7.0, 3.0]),
    ("fmod of signs", lambda x, y: x.fmod(y), [1.0, 2.0], [-7.0, 3.0]),
    ("quotient", lambda x, y: x // y, [0.0, 0.0], [7.0, 3.0]),
    ("hypot at 0", lambda x, y: x.hypot(y), [nan, nan], [0.0, 0.0]),
    ("atan2 behind", lambda x, y: x.atan2(y), [-0.5, 0.0], [0.0, -2.0]),
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
    ("erfc", 20.0, math.erfc(20.0), -2 / math.sqrt(math.pi) * math.exp(-400.0)),
    ("erfc", -inf, 2.0, 0.0),
    (
        "normal_cdf",
        -20.0,
        math.erfc(20 / math.sqrt(2)) / 2,
        math.exp(-200) / math.sqrt(2 * math.pi),
    ),
    ("normal_cdf", inf, 1.0, 0.0),
    ("exp2", -1100.0, 0.0, 0.0),
    ("log2", inf, inf, 0.0),
    ("log10", 1e-300, -300.0, 1e300 / math.log(10)),
    ("cbrt", -8.0, -2.0, 1 / 12),
    ("cbrt", 0.0, 0.0, inf),
    ("asinh", 1e200, math.asinh(1e200), 0.0),
    ("asinh", 1e-20, 1e-20, 1.0),
    ("acosh", 1.0, 0.0, inf),
    ("atanh", 1e-20, 1e-20, 1.0),
    ("sign", -inf, -1.0, 0.0),
    ("sign", -5e-324, -1.0, 0.0),
    ("floor", inf, inf, 0.0),
    ("floor", -0.5, -1.0, 0.0),
    ("ceil", 1e300, 1e300, 0.0),
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

# What PyTorch says of NaN here is not what a number that propagates says.
ORDINARY = [-3.0, -1.5, -1.0, -0.25, 0.25, 0.5, 1.5, 3.0, 30.0]
ON_ORDINARY_NUMBERS = {"sign", "floor", "ceil", "normal_cdf", "mod", "floordiv", "fmod"}
ON_ORDINARY_NUMBERS |= {"atan2", "hypot", "asinh", "acosh", "atanh", "erfc", "exp2"}


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
        if name == "normal_cdf":
            return torch.special.ndtr(x)
        return getattr(torch.nn.functional if name in TORCH_FUNCTIONAL else torch, name)(x)

    if name == "cbrt":
        pytest.skip("PyTorch has none")
    for x in ORDINARY if name in ON_ORDINARY_NUMBERS else GRID:
        assert_agrees(torch, lambda v: unary(name, v), theirs, x)


@pytest.mark.parametrize("name", BINARY)
def test_an_operator_agrees_with_pytorch(torch, name):
    theirs = getattr(torch, {"truediv": "div", "mod": "remainder"}.get(name, name), None)
    if name == "floordiv":  # whose other name, floor_divide, has no derivative there
        theirs = lambda x, y: torch.div(x, y, rounding_mode="floor")  # noqa: E731
    grid = ORDINARY if name in ON_ORDINARY_NUMBERS else GRID
    for x, y in itertools.product(grid, repeat=2):
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


# -- kinks behind an infinite slope ----------------------------------------------------------------

ROOTS = {"sqrt": (Value.sqrt, 0.0), "cbrt": (Value.cbrt, 0.0), "asin": (Value.asin, 1.0)}
FLAT = {
    "relu": lambda z: (z - 9.0).relu(),
    "maximum": lambda z: z.maximum(9.0),
    "clip": lambda z: clip(z, 3.0, 4.0),
    "times 0": lambda z: z * Value(0.0),
    "sum of kinks": lambda z: (z - 9.0).relu() + (z - 8.0).relu() + 1.0,
}


@pytest.mark.parametrize("flat", FLAT.values(), ids=FLAT.keys())
@pytest.mark.parametrize("root, x", ROOTS.values(), ids=ROOTS.keys())
def test_a_slope_of_0_after_an_infinite_one_is_nan_by_every_reverse_way(root, x, flat):
    """As in PyTorch: only what where() and take() leave out is nothing at all."""

    def fn(v):
        return flat(root(v))

    operand = Value(x)
    fn(operand).backward()
    grads = [operand.grad, micrograd_c.grad(fn)(x).data, micrograd_c.value_and_grad(fn)(x)[1].data]
    grads.append(micrograd_c.vjp(fn, x)[1](1.0)[0].data)
    assert all(map(math.isnan, grads)), grads
