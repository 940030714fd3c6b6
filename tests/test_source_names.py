# SPDX-License-Identifier: MIT
"""What parameters and arguments are called in the text of a compiled function."""

import ast
import collections
import functools
import itertools

import numpy as np
import pytest
from languages import check_gradients, check_outputs, compiled, each_language

import micrograd_c as mc
from micrograd_c import Value, compile, dot, nn
from micrograd_c.export import names


def clashing():
    np_, lambda_ = Value(2.0), Value(3.0)
    exp = [Value(0.5), Value(0.25)]
    namespace = {"holder": {"lambda": lambda_, "np": np_, "exp": exp, "çağ": Value(1.5), "2": np_}}
    text = (
        "def int(lambda_, np, x, t1, i, j, n, left, parameters, result, exp, double, loss, y1):\n"
        "    h = holder\n"
        "    total = lambda_ * h['lambda'] + np * h['np'] + x * h['çağ']\n"
        "    total = total + t1.exp() * h['exp'][0]\n"
        "    total = total + i * j * n * left * parameters + result\n"
        "    return total + exp.exp() + double + loss * y1\n"
    )
    exec(text, namespace)
    return compile(namespace["int"], executor="scalar")


@each_language
def test_names_that_mean_something_else(language):
    f = clashing()
    arrays = list(np.random.default_rng(4).normal(size=(14, 5)))
    check_outputs(f, language, arrays, name="int_")
    check_gradients(f, language, arrays, name="int_")


@each_language
@pytest.mark.parametrize("name", ["none", "True", "true", "nullptr", "free", "read", "printf"])
def test_functions_called_as_what_there_is(language, name):
    w = Value(2.0)
    f = compiled(lambda x: w * x, name)
    if language != "c":
        ast.parse(f.source(language, [1.0]))
    own = "none" if name == "none" else f"{name}_"
    check_outputs(f, language, [np.ones(3)], name=own)


@pytest.mark.parametrize("language", ["numpy", "jax", "torch"])
@pytest.mark.parametrize("called", ["x", "w", "Score", "score", "np", "jnp", "torch", "_Own"])
def test_named_tuples_called_as_what_there_is(language, called):
    w = Value(2.0)
    kind = collections.namedtuple(called, ["first", "class_", "_1"], rename=True)
    other = collections.namedtuple(called, ["alone"])

    def score(x):
        return kind(w * x, other(x + w), [x, w])

    check_outputs(
        compiled(score, "score"), language, [np.arange(3.0)], [(), (), (2,)], name="score"
    )


def test_no_parameter_has_the_name_of_a_member_of_modules():
    torch = pytest.importorskip("torch")
    free = names.Names(*names.LOCAL, members=True)
    for member in dir(torch.nn.Module()):
        if member[0] != "_":
            assert free.take(member) != member


def of_a_method():
    class Net:
        def __init__(self):
            self.first = nn.Linear(2, 3)
            self.scale = Value(0.5)

        def forward(self, x):
            return mc.sum([v.tanh() for v in self.first(x)]) * self.scale

    return Net().forward


def of_defaults():
    return lambda x, w=(Value(1.0), Value(2.0)), b=Value(3.0): dot(w, x, b)  # noqa: B008


def of_partial():
    def line(w, b, x):
        return dot(w, x, b)

    return functools.partial(line, [Value(1.0), Value(2.0)], Value(3.0))


def of_an_array():
    weights = np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
    return lambda x: mc.sum(list(weights @ np.array(x)))


def of_nobody():
    """Only a generator has them, which nobody looks into."""
    held = iter(())

    def values():
        yield from [Value(float(k)) for k in range(9)]

    kept = list(values())
    held = {"at": lambda k: next(itertools.islice(iter(kept), k, None))}
    del held
    hidden = type("Hidden", (), {"__slots__": (), "get": staticmethod(kept.__getitem__)})
    return lambda x: dot([hidden.get(0), hidden.get(1)], x, hidden.get(2)) * hidden.get(3)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (of_a_method, {"first_w": (3, 2), "first_b": (3,), "scale": ()}),
        (of_defaults, {"w": (2,), "b": ()}),
        (of_partial, {"w": (2,), "b": ()}),
        (of_an_array, {"weights": (2, 2)}),
        (of_nobody, {"w1": (2,), "b1": (), "p": ()}),
        (
            lambda: nn.MLP(2, [3, 1]),
            {
                f"layers_{k}_{n}": s
                for k, n, s in [(0, "w", (3, 2)), (0, "b", (3,)), (1, "w", (1, 3)), (1, "b", (1,))]
            },
        ),
    ],
)
def test_parameters_are_called_by_what_holds_them(make, wanted):
    f = compile(make(), executor="scalar")
    x = np.random.default_rng(5).normal(size=(3, 2))
    result = f(x)
    function, parameters = f.to_numpy()
    assert {k.removeprefix("p"): v.shape for k, v in parameters.items()} == {
        k.removeprefix("p"): v for k, v in wanted.items()
    }
    np.testing.assert_allclose(function(parameters, x), result)


def test_labels_name_what_nobody_holds():
    def hidden():
        made = [Value(2.0, label="rate"), Value(3.0, label="rate")]
        get = made.__getitem__
        return lambda x: x * get(0) + get(1)

    f = compile(hidden())
    f([1.0])
    assert list(f.to_numpy()[1]) == ["rate", "rate_"]


@pytest.mark.parametrize("language", ["c", "numpy", "jax"])
def test_a_parameter_in_two_lists_is_in_one_array(language):
    """Or training elsewhere would pull its copies apart."""
    p, q, r, s, t = map(Value, (0.5, -1.5, 2.5, 0.25, -0.75))
    first, second, twice = [p, q, r], [r, s, t], [t, t, p]
    f = compiled(lambda x: dot(first, x) * dot(second, x).tanh() + dot(twice, x))
    x = np.random.default_rng(3).normal(size=(4, 3))
    check_outputs(f, language, [x])
    check_gradients(f, language, [x])
    assert sum(array.size for array in f.to_numpy()[1].values()) == 5


def test_parameters_that_the_function_does_not_read_keep_their_place():
    weights = [Value(1.0), Value(2.0), Value(3.0)]
    f = compiled(lambda x: x * weights[0] + weights[2].tanh())
    for language in ("c", "numpy"):
        check_outputs(f, language, [np.arange(3.0)])
        check_gradients(f, language, [np.arange(3.0)])
    assert f.to_numpy()[1]["weights"].shape == (3,)
