# SPDX-License-Identifier: MIT
"""What several test files share: numbers of every kind, oracles, graphs, processes."""

import contextlib
import enum
import gc
import importlib.util
import math
import operator
import os
import subprocess
import sys
import textwrap
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

import micrograd_c
from micrograd_c import Value, _core, clip, custom, dot, take, tape_stats, where

inf, nan = math.inf, math.nan


# -- numbers and operators -------------------------------------------------------------------------


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
    "%": operator.mod,
    "//": operator.floordiv,
}
each_operator = pytest.mark.parametrize("op", OPERATORS.values(), ids=OPERATORS)


def slopes(op, x, y):
    """The derivatives of x op y by both."""
    return {
        operator.add: lambda: (1.0, 1.0),
        operator.sub: lambda: (1.0, -1.0),
        operator.mul: lambda: (y, x),
        operator.truediv: lambda: (1 / y, -x / y**2),
        operator.pow: lambda: (y * x ** (y - 1), x**y * math.log(x)),
        operator.mod: lambda: (1.0, -(x // y)),
        operator.floordiv: lambda: (0.0, 0.0),
    }[op]()


# -- Values and graphs -----------------------------------------------------------------------------


def leaves(*numbers):
    return [Value(x) for x in numbers]


def grads(*nodes):
    return [v.grad for v in nodes]


def operand(node, label):
    (found,) = [v for v in node._prev if v.label == label]
    return found


def data(structure):
    """The same structure with the Values' numbers."""
    if isinstance(structure, dict):
        return {key: data(part) for key, part in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_make"):
        return structure._make(map(data, structure))
    if isinstance(structure, list | tuple):
        return type(structure)(map(data, structure))
    assert type(structure) is Value
    return structure.data


def closure_node(*operands):
    out = Value(sum(v.data for v in operands), operands, "closure")

    def _backward():
        for v in operands:
            v.grad += out.grad

    out._backward = _backward
    return out


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


# -- the tape --------------------------------------------------------------------------------------


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


def stats_at_rest():
    """After more looks at the tape than it ever waits for until it gives memory back."""
    nodes_without_garbage()
    for _ in range(100):
        _core.compact()
    return tape_stats()


# -- the oracle: each operation said once more, in Python ------------------------------------------

# What compiled functions record of loops: no number, and tests of their own (test_scan.py).
LOOPS = {"scan", "part", "sequence", "list"}

ROWS = {
    row["name"]: row
    for row in _core.operations()
    if row["shape"] != "stopped" and not row["is_inner"] and row["name"] not in LOOPS
}

# Those that let no adjoint through, which only compiled functions record.
STOPPED = [row for row in _core.operations() if row["shape"] == "stopped"]

# Those that are no method and no operator, which derivatives and conditions are made of.
INNER = [row for row in _core.operations() if row["is_inner"]]


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def sign(x):
    return x if x == 0 or math.isnan(x) else math.copysign(1.0, x)


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def gelu(x):
    return x * normal_cdf(x)


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
    "sign": sign,
    "floor": lambda x: float(np.floor(x)),
    "ceil": lambda x: float(np.ceil(x)),
    "exp": math.exp,
    # Python's math module has these two from 3.11 on.
    "exp2": getattr(math, "exp2", lambda x: 2.0**x),
    "cbrt": getattr(math, "cbrt", lambda x: math.copysign(abs(x) ** (1 / 3), x)),
    "expm1": math.expm1,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
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
    "asinh": math.asinh,
    "acosh": math.acosh,
    "atanh": math.atanh,
    "sigmoid": sigmoid,
    "normal_cdf": normal_cdf,
    "relu": lambda x: 0.0 if x <= 0 else x,
    "softplus": softplus,
    "gelu": gelu,
    "silu": lambda x: x * sigmoid(x),
    "erf": math.erf,
    "erfc": math.erfc,
}

# name -> (call, value)
BINARY = {
    "add": (operator.add, operator.add),
    "sub": (operator.sub, operator.sub),
    "mul": (operator.mul, operator.mul),
    "truediv": (operator.truediv, operator.truediv),
    "pow": (operator.pow, power),
    "mod": (operator.mod, operator.mod),
    "floordiv": (operator.floordiv, operator.floordiv),
    "fmod": (lambda x, y: x.fmod(y), math.fmod),
    "atan2": (lambda x, y: x.atan2(y), math.atan2),
    "hypot": (lambda x, y: x.hypot(y), math.hypot),
    "maximum": (lambda x, y: x.maximum(y), maximum),
    "minimum": (lambda x, y: x.minimum(y), minimum),
}

# Those that take a number on the left, too.
OPERATOR_ROWS = ["add", "sub", "mul", "truediv", "pow", "mod", "floordiv"]

# Where a derivative jumps, or a value does: at these multiples of the last operand, or of 1.
STEPS = {"floor", "ceil", "floordiv", "mod", "fmod"}
FLAT = {"sign", "floor", "ceil", "floordiv"}  # the derivative is 0

# name -> (call, value)
TERNARY = {
    "where": (where, lambda condition, a, b: a if condition > 0 else b),
    "clip": (clip, lambda v, low, high: min(max(v, low), high)),
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
    "take": (lambda a, b, c: take([a, b, c], Value(1)), lambda a, b, c: b, 3),
    "custom": (lambda a, b: custom(a.data * b.data, [a, b], [b.data, a.data]), operator.mul, 2),
    "opaque": (closure_product, operator.mul, 2),
}


def unary(name, x):
    return getattr(x, name)()


def gradients(call, *numbers):
    operands = leaves(*numbers)
    call(*operands).backward()
    return [operand.grad for operand in operands]


def same(ours, theirs, rel=1e-12):
    return math.isclose(ours, theirs, rel_tol=rel) or (math.isnan(ours) and math.isnan(theirs))


any_float = st.floats() | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e308, inf, -inf, nan])


# -- executors -------------------------------------------------------------------------------------


def runs(executor):
    """Whether this processor and system have what the executor needs."""
    try:
        micrograd_c.compile(lambda x: x, executor=executor)([1.0])
    except ValueError:
        return False
    return True


EXECUTORS = [name for name in _core.executor_names() if runs(name)]

# All ways to run a program: executors, each on its levels of vector units.
NATIVE_WAYS = [f"native {level}" for level in _core.levels()[1:] if "native" in EXECUTORS]
WAYS = ["scalar"] + [f"vector {level}" for level in _core.levels()] + NATIVE_WAYS


def run_on(way):
    """Compiled functions that are recorded from now on run this way; None: the best there is."""
    executor, _, level = (way or "").partition(" ")
    _core.set_level(level or None)
    _core.set_executor(executor or None)


# -- the collector ---------------------------------------------------------------------------------


@contextlib.contextmanager
def collecting_after(*thresholds):
    """Python's collector runs so often meanwhile."""
    before = gc.get_threshold()
    gc.set_threshold(*thresholds)
    try:
        yield
    finally:
        gc.set_threshold(*before)


# -- processes -------------------------------------------------------------------------------------

SCRIPTS = Path(__file__).parent / "scripts"
PROGRAM = "python -m micrograd_c"
IS_SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
ENVIRONMENT = {**os.environ, "PYTHONIOENCODING": "utf-8"}
HAS_MICROGRAD = importlib.util.find_spec("micrograd") is not None


def run_python(code):
    """What the code prints in a process of its own, where it may crash."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def start(*command, cwd, **options):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        **options,
    )


def assert_one_line(run, status=2):
    assert run.returncode == status, run
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1 and run.stderr.endswith("\n"), run.stderr
    assert run.stderr.startswith(PROGRAM)


def resident():
    """Bytes of memory that this process has at the moment."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


needs_proc = pytest.mark.skipif(
    not sys.platform.startswith("linux") or IS_SANITIZED,
    reason="reads /proc, which says nothing about us under a sanitizer's allocator",
)


# -- several threads at once -----------------------------------------------------------------------

PATIENCE = 30  # seconds after which a test has failed, not passed


def in_threads(*works):
    """Runs them at the same time; raises what one of them has raised."""
    raised = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    for error in raised:
        raise error


def wait(event):
    assert event.wait(PATIENCE)


def records():
    """Whether this thread records."""
    x = Value(3.0)
    (x * x).backward()
    return x.grad == 6.0


# -- what a recording leaves behind ----------------------------------------------------------------

LEAKED = "has left it.*Return it"  # in the message of each error


def leak(make=lambda x: x * x):
    """What make(x) gives, kept from the recording of a function."""
    kept = []

    @micrograd_c.compile
    def f(x):
        kept.append(make(x))
        return x * 2.0

    assert f([3.0, 4.0]).tolist() == [6.0, 8.0]
    return kept[0]
