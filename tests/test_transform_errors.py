# SPDX-License-Identifier: MIT
"""What derivatives as functions refuse, and what they say of it."""

from functools import partial

import numpy as np
import pytest

from micrograd_c import (
    Value,
    custom,
    grad,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    value_and_grad,
    vjp,
)


def partials(x):
    return [x, 2.0]


X = Value(1.0)
NESTED = {"a": [1.0, 2.0]}

# the call, the exception, what its message says
MISUSE = [
    (lambda: grad(lambda x: "3")(1.0), TypeError, "grad: expected fn to return a Value, got str"),
    (lambda: grad(lambda x: True)(1.0), TypeError, "grad: expected fn to return a Value, got bool"),
    (lambda: grad(lambda x: [x])(1.0), TypeError, "got list"),
    (lambda: value_and_grad(lambda x: None)(1.0), TypeError, "value_and_grad: .* got NoneType"),
    (lambda: hessian(lambda x: (x, x))(1.0), TypeError, "hessian: .* got tuple"),
    (lambda: hvp(lambda x: 1j, [1.0], [1.0]), TypeError, "hvp: .* got complex"),
    (lambda: jacobian(lambda x: x)(1.0), TypeError, "jacobian: .* list of Values, got Value"),
    (lambda: jacobian(lambda x: [x, False])(1.0), TypeError, "jacobian: .* got bool"),
    (lambda: jvp(lambda x: [x, "a"], [1.0], [1.0]), TypeError, "jvp: .* got str"),
    (lambda: vjp(lambda x: {5.0}, 1.0), TypeError, "vjp: .* got set"),
    (lambda: grad(abs)(1.0, c=2), TypeError, r"grad: arguments of abs\(\) .*, got 'c' by name"),
    (
        lambda: jacobian(partials)(x=1.0),
        TypeError,
        r"jacobian: arguments of partials\(\) .*, got 'x' by name",
    ),
    (lambda: hessian(partial(pow))(b=1, c=2), TypeError, r"of fn\(\) .*, got 'b', 'c' by name"),
    (lambda: vjp(lambda x: x, x=1.0), TypeError, "vjp.* 'x'"),
    (lambda: grad(3), TypeError, "grad: expected a function, got int"),
    (lambda: value_and_grad(None), TypeError, "value_and_grad: expected a function, got NoneType"),
    (lambda: jacobian(X), TypeError, "jacobian: expected a function, got Value"),
    (lambda: hessian(1.0), TypeError, "hessian: expected a function, got float"),
    (lambda: vjp(X, 1.0), TypeError, "vjp: expected a function, got Value"),
    (lambda: hvp([], [1.0], [1.0]), TypeError, "hvp: expected a function, got list"),
    (
        lambda: gradients(X * X, X),
        TypeError,
        "gradients: expected a list of Values as xs, got Value",
    ),
    (lambda: gradients(X * X, None), TypeError, "a list of Values as xs, got NoneType"),
    (lambda: grad(lambda x: x, 1)(1.0), ValueError, r"argnums 1, but fn got 1 argument"),
    (lambda: grad(lambda x: x, -2)(1.0), ValueError, "argnums -2"),
    (lambda: grad(lambda: X)(), ValueError, "argnums 0, but fn got 0"),
    (lambda: grad(lambda x: x, 0.0)(1.0), TypeError, "int or a tuple of them, got 0.0"),
    (lambda: grad(lambda x: x, True)(1.0), TypeError, "got True"),
    (lambda: grad(lambda x: x, [0])(1.0), TypeError, r"got \[0\]"),
    (lambda: grad(lambda x: x, ())(1.0), ValueError, r"each once, got \(\)"),
    (lambda: grad(lambda x, y: x, (0, -2))(1.0, 2.0), ValueError, "each once"),
    (lambda: grad(lambda x: X)([]), ValueError, "argument 0 has no numbers"),
    (lambda: hessian(lambda x, y: x, 1)(1.0, [[], ()]), ValueError, "argument 1 has no numbers"),
    (lambda: grad(lambda x: x)("a"), TypeError, "grad: argument 0: .* got str"),
    (lambda: grad(lambda x: x[0])([1.0, None]), TypeError, "got NoneType"),
    (lambda: grad(lambda x: x)(np.ones(2)), TypeError, "got ndarray"),
    (lambda: jvp(lambda x: x, 1.0, 1.0), TypeError, "jvp: .* as primals, got float"),
    (lambda: jvp(lambda x: x, [1.0], 1.0), TypeError, "jvp: tangents: expected a list or tuple"),
    (lambda: jvp(lambda x: x, [1.0], [1.0, 2.0]), ValueError, r"expected 1 item\(s\), got 2"),
    (lambda: jvp(lambda x: x, [1.0], [[1.0]]), TypeError, "a Value or a number, got list"),
    (lambda: jvp(lambda x: x[0], [[1.0]], [1.0]), TypeError, "a list or tuple, got float"),
    (lambda: jvp(lambda x: x, [1.0], ["a"]), TypeError, "tangents: .* got str"),
    (lambda: jvp(lambda x: X, [], []), ValueError, "at least one argument"),
    (lambda: vjp(lambda x: [x, x], 1.0)[1]([1.0]), ValueError, "vjp: cotangent: expected 2"),
    (lambda: vjp(lambda x: {"a": x}, 1.0)[1]({"b": 1}), ValueError, "expected keys"),
    (lambda: vjp(lambda x: {"a": x}, 1.0)[1]([1]), TypeError, "expected a dict, got list"),
    (lambda: hvp(lambda x: x, [1.0], [[1.0]]), TypeError, "hvp: vectors"),
    (lambda: jacobian(lambda x: [x], mode="sideways"), ValueError, "'sideways'"),
]


@pytest.mark.parametrize(("call", "exception", "message"), MISUSE)
def test_misuse_is_an_error_that_says_what_was_expected(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


def test_what_a_function_raises_comes_through():
    with pytest.raises(ZeroDivisionError):
        hessian(lambda x: 1 / (x - 1.0))(1.0)
    with no_grad(), pytest.raises(ZeroDivisionError):
        grad(lambda x: 1 / (x - 1.0))(1.0)
    assert grad(lambda x: x * x)(2.0).data == 4.0


def test_chain_rules_in_python_are_refused():
    def own(x):
        out = Value(x.data, (x,), "mine")
        out._backward = lambda: None
        return out * x

    for made in (grad(own), hessian(own), lambda x: jvp(own, [x], [1.0]), jacobian(spiral_of(own))):
        with pytest.raises(TypeError, match="'mine'"):
            made(1.0)
    square = lambda x: custom(x.data**2, [x], [2 * x.data], "square")  # noqa: E731
    assert grad(square)(3.0).data == 6.0
    assert jvp(square, [3.0], [2.0])[1].data == 12.0
    with pytest.raises(TypeError, match=r"'square': .* first order only"):
        hessian(square)(3.0)


def spiral_of(f):
    return lambda x: [f(x), x]
