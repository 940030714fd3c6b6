# SPDX-License-Identifier: MIT
"""Compiled functions as text, in four languages: networks, structures, refusals."""

import ast
import collections
import itertools
import random
import subprocess
import sys

import numpy as np
import pytest
from languages import (
    LANGUAGES,
    check_gradients,
    check_outputs,
    compiled,
    each_language,
    need,
    outputs,
)

import micrograd_c as mc
from micrograd_c import Value, _core, compile, dot, nn, take, where

Pair = collections.namedtuple("Pair", ["first", "second"])

# -- networks --------------------------------------------------------------------------------------


def network(sizes, n_in=2, **options):
    random.seed(3)
    layers = itertools.pairwise([n_in, *sizes])
    model = nn.Sequential(*[nn.Layer(*shape, **options) for shape in layers])

    def network(x, y):
        return (model(x) - y) ** 2 + 0.01 * mc.sum([p * p for p in model.parameters()])

    return model, compile(network, executor="scalar")


@each_language
@pytest.mark.parametrize("sizes", [[1], [1, 1], [4, 1], [1, 3, 1], [5, 7, 1]], ids=str)
@pytest.mark.parametrize("n_in", [1, 3])
def test_networks(sizes, n_in, language):
    _, f = network(sizes, n_in)
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(6, n_in)), draw.normal(size=6)]
    check_outputs(f, language, arrays, name="network")
    check_gradients(f, language, arrays, name="network")
    assert sorted(f.to_numpy()[1]) == sorted(
        f"layers_{k}_{name}" for k in range(len(sizes)) for name in "bw"
    )


def test_the_text_of_a_network_is_what_a_person_would_write():
    random.seed(0)
    model = nn.MLP(2, [64, 64, 1])

    @compile
    def network(x):
        return model(x)

    text = network.source("jax", [[1.0, 2.0]])
    assert len(text.splitlines()) < 40
    assert "jnp.tanh(x @ layers_0_w.T + layers_0_b)" in text
    assert "micrograd" not in text
    for language in LANGUAGES:
        assert len(network.source(language).splitlines()) < 120
        assert "[63" not in network.source(language)


@each_language
def test_attention_and_embeddings_stay_vectors(language):
    """Projections of the same inputs, which are one product of the program; rows of a table chosen
    by an index; softmax."""
    random.seed(5)
    draw = lambda m, n: [[Value(random.gauss(0, 0.5)) for _ in range(n)] for _ in range(m)]  # noqa: E731
    table, query, key, head = draw(5, 4), draw(4, 4), draw(4, 4), draw(5, 4)

    def attend(tokens):
        rows = [[take([row[j] for row in table], t) for j in range(4)] for t in tokens]
        queries = [[dot(w, row) for w in query] for row in rows]
        keys = [[dot(w, row) for w in key] for row in rows]
        scores = [dot(queries[-1], k) * 0.5 for k in keys]
        weights = mc.losses.softmax(scores)
        mixed = [dot(weights, [row[j] for row in rows]) for j in range(4)]
        return mc.losses.cross_entropy([dot(w, mixed) for w in head], tokens[0])

    f = compile(attend, executor="scalar")
    tokens = np.array([[0.0, 4, 2], [1, 1, 3], [2, 0, -2]])
    check_outputs(f, language, [tokens], name="attend")
    check_gradients(f, language, [tokens], name="attend")
    text = f.source("numpy")
    assert "table[" not in text.replace("look_up(table", "") or "def look_up" in text
    assert {"look_up(table, tokens[:, 0])", "@ query.T", "@ key.T", "@ head.T"} <= {
        part
        for part in ("look_up(table, tokens[:, 0])", "@ query.T", "@ key.T", "@ head.T")
        if part in text
    }


@each_language
def test_weights_in_columns_and_tied_weights(language):
    rows = [[Value(0.3 * i - j) for j in range(3)] for i in range(2)]

    def tied(x):
        code = [dot([rows[k][j] for k in range(2)], x).tanh() for j in range(3)]
        return [dot(row, code) for row in rows]

    f = compile(tied, executor="scalar")
    x = np.random.default_rng(1).normal(size=(4, 2))
    check_outputs(f, language, [x], [(2,)], name="tied")
    assert "x @ rows)" in f.source("numpy")


# -- results ---------------------------------------------------------------------------------------


@each_language
def test_structures_come_back(language):
    need(language)
    w, b = [Value(0.5), Value(-1.5), Value(2.0)], Value(0.25)

    def function(x, y):
        t = dot(w, x, b)
        return {
            "one": t,
            "list": [t, y, 2.0],
            "rows": [[t, 1.0], [y * t, b]],
            "pair": Pair(y, (b * b, [t * t])),
            "of one": [[y + b]],
            3: x,
        }

    f = compile(function, executor="scalar")
    arrays = [np.arange(12.0).reshape(4, 3), np.arange(4.0) - 1.5]
    wanted = f(*arrays)
    check_outputs(f, language, arrays, [(), (3,), (2, 2), (), (), (1,), (1, 1), (3,)])
    if language == "c":
        return
    if language == "torch":
        import torch

        found = f.to_torch()(*map(torch.tensor, arrays))
    else:
        made, parameters = getattr(f, f"to_{language}")()
        found = made(parameters, *arrays)
    assert list(found) == list(wanted)
    assert found["pair"]._fields == Pair._fields and type(found["pair"]).__name__ == "Pair"
    assert type(found["pair"].second) is tuple


def test_whole_numbers_in_numpy_do_not_wrap_around():
    w = Value(3.0)
    f = compile(lambda x, y: w * (-x * x * x + x.sqrt() - y[0] * y[1]), executor="scalar")
    arrays = [np.array([200, 0], np.uint8), np.array([[10**10, 10**10], [1, 2]])]
    check_outputs(f, "numpy", arrays)
    check_gradients(f, "numpy", arrays)
    function, parameters = f.to_numpy()
    lists = [a.tolist() for a in arrays]
    assert function(parameters, *lists).tolist() == f(*lists).tolist()


@each_language
def test_results_that_no_sample_changes(language):
    w, lists = Value(3.0), [Value(1.0), Value(2.0)]
    f = compiled(lambda x: (w * w, [w, 1.5], [v * 2.0 for v in lists], [0.5, 0.5], [x, w]))
    check_outputs(f, language, [np.zeros(3)], [(), (2,), (2,), (2,), (2,)])


@each_language
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_that_no_sample_changes(language, reduction):
    w = [Value(3.0), Value(0.5)]
    f = compiled(lambda x: (w[0] * w[1]).tanh() + w[1], reduction=reduction)
    check_outputs(f, language, [np.zeros(3)])
    if language in ("c", "numpy"):
        check_gradients(f, language, [np.zeros(3)])


@each_language
def test_no_samples(language):
    w = Value(3.0)
    f = compiled(lambda x, y: [dot([w, 2.0], x), y, w])
    check_outputs(f, language, [np.zeros((0, 2)), np.zeros(0)], [(3,)])


# -- choices by an index ---------------------------------------------------------------------------


@each_language
@pytest.mark.parametrize("of", ["inputs", "parameters", "numbers", "a mixture"])
@pytest.mark.parametrize("by", ["an input", "a parameter"])
def test_take(of, by, language):
    parameters, place = [Value(v) for v in (1.5, -2.0, 0.25)], Value(-1.0)

    def function(x, k):
        values = {
            "inputs": x,
            "parameters": parameters,
            "numbers": [3.0, 4.0, 5.5],
            "a mixture": [x[1], parameters[2], 0.5],
        }[of]
        return take(values, k if by == "an input" else place) * x[0]

    f = compiled(function)
    x = np.random.default_rng(2).normal(size=(6, 3))
    arrays = [x, np.array([0.0, 1, 2, -1, -2, -3])]
    check_outputs(f, language, arrays)
    if f._last.parameters and (language != "torch" or of in ("parameters", "a mixture")):
        check_gradients(f, language, arrays)


@each_language
@pytest.mark.parametrize("index", [3.0, -4.0, 0.5, np.nan])
@pytest.mark.parametrize("of", ["inputs", "parameters"])
def test_an_index_that_is_none(of, index, language):
    need(language)
    parameters = [Value(v) for v in (1.5, -2.0, 0.25)]
    f = compiled(lambda x, k: take(x if of == "inputs" else parameters, k) * 1.0)
    x = np.ones((2, 3))
    f(x, np.zeros(2))
    if language in ("numpy", "torch"):
        with pytest.raises(IndexError, match="no whole number in the range of 3 values"):
            outputs(f, language, "function", [x, np.array([0.0, index])], [()])
    else:  # they have no errors
        (found,) = outputs(f, language, "function", [x, np.array([0.0, index])], [()])
        assert np.isfinite(found[0]) and np.isnan(found[1])


# -- long programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["c", "numpy", "torch"])
def test_a_long_chain(language):
    def chain(x):
        for _ in range(10_000):
            x = (x * 1.0001 + 0.1).tanh()
        return x

    f = compile(chain, executor="scalar")
    need(language)
    f([0.5])
    if language == "c":
        assert f.source("c").count("tanh") == 10_000  # to compile it takes a minute
    else:
        check_outputs(f, language, [np.array([0.5, -1.0])], name="chain")


@pytest.mark.parametrize("language", ["c", "numpy"])
def test_sums_of_many_terms(language):
    """No expression is deeper than a compiler bears."""
    w = [Value(0.001 * k) for k in range(2000)]
    f = compiled(lambda x, y: mc.sum([p * (x if k % 3 else y) for k, p in enumerate(w)]).tanh())
    check_outputs(f, language, [np.array([0.5, -1.0]), np.array([0.25, 3.0])])
    check_gradients(f, language, [np.array([0.5, -1.0]), np.array([0.25, 3.0])])


@pytest.mark.parametrize("names", [(), ("sums",), ("matrices",), ("constants", "identities")])
@each_language
def test_passes_left_out(names, language):
    random.seed(2)
    model, parameter = nn.MLP(2, [3, 1]), Value(0.5)
    f = compiled(lambda x: model(x) * 1.0 + parameter**2.0 * Value(2.0).tanh(), skip=names)
    x = np.random.default_rng(6).normal(size=(4, 2))
    check_outputs(f, language, [x])
    check_gradients(f, language, [x])


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["fortran", "C", "", None, 3])
def test_an_unknown_language(language):
    f = compile(lambda x: x * 2.0)
    with pytest.raises(ValueError, match="'c', 'numpy', 'jax', 'torch'; got"):
        f.source(language)


@pytest.mark.parametrize("what", ["source", "to_numpy", "to_jax", "to_torch"])
def test_before_the_first_call(what):
    f = compile(lambda x: x * 2.0)
    arguments = ["c"] if what == "source" else []
    with pytest.raises(
        ValueError, match=f"{what}: nothing has been recorded yet; call the function"
    ):
        getattr(f, what)(*arguments)


def test_an_example_of_the_arguments_says_which_program():
    f = compile(lambda x: mc.sum(x) if isinstance(x, list) else x)
    assert "x.sum(-1)" in f.source("numpy", [[1.0, 2.0, 3.0]])
    assert "return x\n" in f.source("numpy", [1.0])
    assert "return x\n" in f.source("numpy")


@each_language
def test_custom_has_no_text(language):
    w = Value(2.0)
    f = compile(lambda x: mc.custom(0.75, [w], [0.5]) * x)
    f([1.0])
    with pytest.raises(ValueError, match=f"'custom', whose value only Python knows.*{language!r}"):
        f.source(language)


@each_language
def test_a_kind_of_node_that_no_printer_knows(language, monkeypatch):
    from micrograd_c.export import program

    def with_another(recorded, gradients=False):
        nodes, roots = _core.program_nodes(recorded, gradients)
        return [
            node._replace(kind="new kind") if node.kind == "tanh" else node for node in nodes
        ], roots

    f = compile(lambda x: x.tanh())
    f([1.0])
    monkeypatch.setattr(program, "program_nodes", with_another)
    with pytest.raises(ValueError, match=f"'new kind', which cannot be printed in {language!r}"):
        f.source(language)


def test_a_key_without_a_text():
    f = compile(lambda x: {frozenset([1]): x})
    f([1.0])
    with pytest.raises(ValueError, match=r"the key frozenset\(\{1\}\)"):
        f.source("numpy")


@pytest.mark.parametrize(
    ("what", "package"), [("to_numpy", "numpy"), ("to_jax", "jax"), ("to_torch", "torch")]
)
def test_a_package_that_is_missing(what, package):
    script = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from micrograd_c import compile\n"
        "f = compile(lambda x: x * 2.0)\n"
        "f([1.0])\n"
        "f.source('numpy'), f.source('jax'), f.source('torch')\n"
        f"try: f.{what}()\n"
        "except ImportError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout.strip() == (
        f"{what} needs the package {package}, which is not installed: "
        f"python -m pip install {package}"
    ), run.stderr


# -- the rest --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["numpy", "jax", "torch"])
def test_the_text_needs_nothing_of_ours(language):
    _, f = network([3, 1])
    f([[1.0, 2.0]], [0.5])
    imports = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(f.source(language)))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imports == {language}


@each_language
def test_functions_of_derivatives(language):
    w = Value(0.7)

    def fn(x, y):
        return (x * w).tanh() * y + x**3

    f = compiled(mc.value_and_grad(lambda x, y: fn(x, y), argnums=(0, 1)))
    check_outputs(f, language, list(np.random.default_rng(7).normal(size=(2, 5))), [(), (), ()])
    g = compiled(mc.hessian(lambda v: fn(v[0], v[1])))
    check_outputs(g, language, [np.random.default_rng(8).normal(size=(5, 2))], [(2, 2)])


def test_float32():
    w = Value(0.1)
    f = compile(lambda x: x * w, dtype="float32")
    f([1.0])
    torch = pytest.importorskip("torch")
    module = f.to_torch()
    assert module.w.dtype == torch.float32
    assert module(torch.ones(2)).dtype == torch.float32


@pytest.mark.parametrize("language", ["numpy", "jax", "torch"])
@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "bool"])
def test_whole_numbers_are_floats(kind, language):
    w = Value(0.3)
    numbers = np.array([3, 0, 1, 250, 2**31 - 1, 2**40, -(2**40)]).astype(kind)
    f = compiled(lambda x, k: [x * x * x + 2.0, where(x > 0.5, 0.1, 0.7), x * w, x - 300.0 + k])
    f(numbers.astype(float), np.arange(7.0))
    need(language)
    (found,) = outputs(f, language, "function", [numbers, np.arange(7)], [(4,)])
    np.testing.assert_array_equal(found, f(numbers.astype(float), np.arange(7.0)))


@pytest.mark.parametrize("language", ["c", "numpy"])
def test_derivatives_that_are_0_whatever_comes_in(language):
    random.seed(3)
    model = nn.Linear(2, 3)
    f = compiled(lambda x: mc.sum([v**0.0 for v in model(x)]), skip=["identities", "constants"])
    x = np.random.default_rng(9).normal(size=(4, 2))
    check_outputs(f, language, [x])
    check_gradients(f, language, [x])


def test_hessians_are_still_computed_by_products():
    f = compile(mc.hessian(lambda v: mc.sum([x**3 for x in v]).tanh()))
    x = np.random.default_rng(9).normal(size=(4, 40))
    f(x)
    before = f.stats()
    f.source("numpy")
    f(x)
    assert f.stats() == before


def test_a_recorded_number_that_has_changed_is_recorded_anew():
    w = Value(0.5)
    f = compile(lambda x: x * w.data)
    f([1.0])
    w.data = 3.0
    assert "3.0" in f.source("c")


def test_programs_differ_by_the_arguments_they_were_recorded_for():
    f = compile(mc.hessian(lambda v: v[0] ** 2 * v[1]))
    f([[1.0, 2.0]])
    assert f.source("numpy").startswith("import numpy")
