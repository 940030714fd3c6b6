# SPDX-License-Identifier: MIT
"""Operations of the table in float32, by each executor: against float64, and to the last bit."""

import math
import re

import numpy as np
import pytest
from common import NATIVE_WAYS, WAYS, run_on
from test_replay import binary, unary

import micrograd_c as mc
from micrograd_c import Value, _core

LEVELS = [way for way in WAYS if way != "scalar"]
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = 2.0**-149


@pytest.fixture(params=WAYS)
def way(request):
    run_on(request.param)


needs_native = pytest.mark.skipif(not NATIVE_WAYS, reason="no machine code here")


ROWS = {
    row["name"]: row
    for row in _core.operations()
    if row["shape"] in ("unary", "binary") and not row["is_inner"]
}


@pytest.mark.parametrize("name", ROWS)
def test_each_operation_is_that_of_float64_within_rounding(way, name):
    row = ROWS[name]
    low, high = row["interval"]
    numbers = np.random.default_rng(2).uniform(low, high, size=(2, 203)).astype(np.float32)
    results = []
    for dtype in ("float64", "float32"):
        scale = Value(1.0)

        def fn(x, y, scale=scale):
            if row["shape"] == "binary":
                return binary(name, x * scale, y)
            return unary(row, x * scale)

        f = mc.compile(fn, reduction="sum", dtype=dtype, executor=_executor(dtype))
        f.value_and_grad(*numbers)
        results.append([*f(*numbers), scale.grad])
    np.testing.assert_allclose(results[1], results[0], rtol=2e-5, atol=2e-6)


def _executor(dtype):
    return "scalar" if dtype == "float64" else None


EDGES = [0.0, 1.0, 0.5, 2.0, 3.0, 1e-20, 1e20, LARGEST, SMALLEST, 1e-40, math.inf, math.nan]
EDGES += [88.8, 89.5, 103.5, 104.5, 20.0, 9.3, 12.5, 1e-36, 9e-37, 0.625, 0.6249999, 10.000001]
EDGES += [1.1754944e-38, 0.99999994, 1.0000001, 1.6e6, 1.7e6, 16777216.0, 0.477, 5.3]


@needs_native
@pytest.mark.parametrize("level", _core.levels()[1:])
@pytest.mark.parametrize("name", ROWS)
def test_each_operation_of_machine_code_is_that_of_steps(level, name):
    """Zeros, infinities and NaN are the same; numbers are, but for how products are contracted."""
    row, rng = ROWS[name], np.random.default_rng(3)
    edges = np.array([*EDGES, *(-x for x in EDGES)])
    x, y = (a.ravel() for a in np.meshgrid(edges, edges))
    any_bits = rng.integers(0, 2**32, (2, 500), dtype=np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        numbers = np.hstack([[x, y], any_bits, rng.normal(size=(2, 500))]).astype(np.float32)

    def value(x, y):
        return binary(name, x * 1.0, y) if row["shape"] == "binary" else unary(row, x * 1.0)

    for fn in (value, mc.grad(value, 0), mc.grad(value, 1)):
        found = []
        for executor in ("native", "vector"):
            run_on(f"{executor} {level}")
            found.append(np.asarray(mc.compile(fn, dtype="float32")(*numbers)))
        ours, theirs = found
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(ours - theirs) / np.spacing(np.abs(theirs.astype(np.float32)))
        same = (ours == theirs) & (np.signbit(ours) == np.signbit(theirs))
        assert np.all(same | (apart <= 4) | (np.isnan(ours) & np.isnan(theirs)))


@needs_native
@pytest.mark.parametrize("level", _core.levels()[1:])
def test_machine_code_has_twice_the_lanes_of_float64(level):
    run_on(f"native {level}")
    lanes = {}
    for dtype in ("float64", "float32"):
        f = mc.compile(lambda x: x * x, dtype=dtype)
        f.value_and_grad(np.ones(9))
        f.value_and_grad(np.ones(3))
        lanes[dtype] = [int(n) for n in re.findall(r"machine code for .*, (\d+) lanes", str(f))]
    assert lanes["float64"] == [8 if level == "avx512" else 4, 4]
    assert lanes["float32"] == [2 * n for n in lanes["float64"]]


@needs_native
@pytest.mark.parametrize("level", _core.levels()[1:])
@pytest.mark.parametrize("size", [1, 5, 17, 64])
def test_far_angles_are_the_library_s_and_disturb_nothing(level, size):
    """Values that are alive while the library computes a sine are what they were afterwards."""
    run_on(f"native {level}")
    x = np.random.default_rng(size).uniform(-1.0, 1.0, size) * 1e7
    x[-1] = math.inf
    alive = [0.5 + k for k in range(40)]

    def fn(v):
        products = [v * k for k in alive]
        return [v.sin(), v.cos(), *(p + 0.0 for p in products)]

    found = np.asarray(mc.compile(fn, dtype="float32")(x))
    narrow = x.astype(np.float32)
    with np.errstate(invalid="ignore"):
        sines = np.stack([np.sin(narrow.astype(float)), np.cos(narrow.astype(float))], axis=1)
        expected = narrow[:, None] * np.array(alive, dtype=np.float32)
    np.testing.assert_allclose(found[:, :2], sines, rtol=1e-6, atol=3e-7)
    np.testing.assert_array_equal(found[:, 2:], expected)


FUNCTIONS = {
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "tanh": math.tanh,
    "sin": math.sin,
    "cos": math.cos,
    "sqrt": math.sqrt,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}


def function_value(name, x):
    """As C's library has it."""
    if math.isnan(x):
        return x
    try:
        return FUNCTIONS[name](x)
    except OverflowError:
        return 0.0 if name == "sigmoid" else math.inf
    except ValueError:
        return -math.inf if (name, x) in (("log", 0.0), ("log1p", -1.0)) else math.nan


def every_kind_of_number():
    """Floats of every exponent, of common ranges, and the special ones."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    bits = bits[~np.isnan(bits)]  # signalling ones among them
    special = [0.0, -0.0, 1.0, -1.0, SMALLEST, -SMALLEST, math.inf, -math.inf, math.nan, LARGEST]
    special += [88.72283, 88.72284, -103.972, -103.973, -87.4, 0.625, 10.0, 1.6e6, 1.7e6, 22.0]
    ranges = [rng.uniform(-high, high, 5_000) for high in (1.5, 12.0, 110.0)]
    return np.concatenate([bits, np.array(special, dtype=np.float32), *ranges]).astype(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_exact_to_two_units_in_the_last_place(way, name):
    numbers = every_kind_of_number()
    f = mc.compile(lambda x: getattr(x, name)(), dtype="float32")
    found = np.asarray(f(numbers))
    exact = np.array([function_value(name, x) for x in numbers.tolist()])
    with np.errstate(over="ignore"):
        nearest = exact.astype(np.float32)
    finite = np.isfinite(nearest)
    np.testing.assert_array_equal(found[~finite], nearest[~finite])
    units = np.spacing(np.abs(nearest[finite])).astype(float)
    assert np.max(np.abs(found[finite] - exact[finite]) / units) < (3 if name == "sigmoid" else 2)
    assert np.all(np.signbit(found[nearest == 0]) == np.signbit(nearest[nearest == 0]))
