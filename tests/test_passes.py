# SPDX-License-Identifier: MIT
"""The optimiser: what each pass makes of a graph by itself, and that it changes no result."""

import math

import numpy as np
import pytest

import micrograd_c as mc
from micrograd_c import Value, _core

PASSES = [name for name, _ in _core.optimiser_passes()]
NUMBERS = [0.0, -0.0, 1.5, -2.0, math.inf, -math.inf, math.nan, 5e-324, 1e308]


def only(*names):
    """The passes to skip so that these are left, with the dropping of what they leave unused."""
    return [name for name in PASSES if name not in (*names, "dead_code")]


def nodes(fn, *arrays, skip=()):
    """(nodes after optimisation, listing of the outputs' program)."""
    f = mc.compile(fn, skip=skip, executor="vector")
    f(*arrays)
    return f.stats().optimised_nodes, str(f)


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    both_nan = np.isnan(a) & np.isnan(b)
    return bool(np.all(both_nan | ((a == b) & (np.signbit(a) == np.signbit(b)))))


def test_the_table_of_passes():
    assert PASSES[0] == "constants" and PASSES[-1] == "dead_code"
    assert all(text for _, text in _core.optimiser_passes())


def test_constants_are_computed_when_recorded():
    def fn(x):
        return x * (Value(2.0) ** 3 + Value(1.0).exp())

    count, _ = nodes(fn, [1.0], skip=only("constants"))
    assert count == 3  # the input, the number, the product
    assert nodes(fn, [1.0], skip=PASSES)[0] > 3
    assert mc.compile(fn)([1.0]).tolist() == [8.0 + math.e]


def test_a_number_decides_where_and_take_when_recorded():
    w = Value(3.0)
    assert nodes(lambda x: mc.where(True, x, w), [1.0], skip=only("constants"))[0] == 1
    assert nodes(lambda x: mc.take([w, x], Value(1.0)), [1.0], skip=only("constants"))[0] == 1


IDENTITIES = {
    "x * 1": lambda x: x * 1,
    "1 * x": lambda x: 1 * x,
    "x / 1": lambda x: x / 1,
    "x - 0": lambda x: x - 0.0,
    "x + -0": lambda x: x + -0.0,
    "-(-x)": lambda x: -(-x),  # noqa: B002
    "x ** 1": lambda x: x**1,
}


@pytest.mark.parametrize("fn", IDENTITIES.values(), ids=IDENTITIES)
def test_identities_that_leave_the_operand(fn):
    assert nodes(fn, [1.0], skip=only("identities"))[0] == 1
    assert same_bits(mc.compile(fn)(NUMBERS), NUMBERS)


REWRITTEN = {
    "x * -1": (lambda x: x * -1, "neg"),
    "x / -1": (lambda x: x / -1, "neg"),
    "x ** 2": (lambda x: x**2, "mul"),
    "x + -y": (lambda x: x + -(x * x), "sub"),
    "x - -y": (lambda x: x - -(x * x), "add"),
    "abs(-x)": (lambda x: abs(-x), "abs"),
    "relu of relu": (lambda x: x.relu().relu(), "relu"),
}


@pytest.mark.parametrize(("fn", "name"), REWRITTEN.values(), ids=REWRITTEN)
def test_identities_that_make_a_simpler_operation(fn, name):
    simpler, listing = nodes(fn, [1.0], skip=only("identities"))
    assert name in listing and simpler < nodes(fn, [1.0], skip=PASSES)[0] + 1
    assert same_bits(mc.compile(fn)(NUMBERS), mc.compile(fn, skip=PASSES)(NUMBERS))


NO_IDENTITIES = {
    "x + 0 for -0": lambda x: x + 0.0,
    "x * 0 for inf": lambda x: x * 0.0,
    "x - x for inf": lambda x: x - x,
    "x / x for 0": lambda x: x / x,
    "0 - x for 0": lambda x: 0.0 - x,
}


@pytest.mark.parametrize("fn", NO_IDENTITIES.values(), ids=NO_IDENTITIES)
def test_what_does_not_hold_for_every_number_is_computed(fn):
    assert nodes(fn, [1.0])[0] > 1
    with np.errstate(all="ignore"):
        assert same_bits(mc.compile(fn)(NUMBERS), [fn(np.float64(x)) for x in NUMBERS])


def test_common_subexpressions_are_computed_once():
    w = Value(2.0)

    def fn(x):
        return (x * w).tanh() + (w * x).tanh()

    count, listing = nodes(fn, [1.0], skip=only("subexpressions"))
    assert count == 5 and listing.count("tanh(") == 1


def test_numbers_that_differ_only_in_sign_of_zero_are_not_common():
    results = mc.compile(lambda x: [x * 0.0, x * -0.0])([1.0])
    assert math.copysign(1, results[0][0]) == 1 and math.copysign(1, results[0][1]) == -1


def test_chains_become_one_sum_of_products():
    w = [Value(float(k)) for k in range(3)]

    def fn(a, b, c):
        return a * b + c * a + b * c + a

    count, listing = nodes(fn, [1.0], [2.0], [3.0], skip=only("sums"))
    assert count == 4 and "sum(" in listing and "mul(" not in listing
    assert mc.compile(fn)([1.0], [2.0], [3.0]).tolist() == [2 + 3 + 6 + 1]
    shared = nodes(lambda a, b: [a * b, a * b + b * b + a], [1.0], [2.0], skip=only("sums"))
    assert "mul(" in shared[1]  # a product that is also used elsewhere stays
    assert len(w) == 3


def test_sums_that_share_their_inputs_become_a_matrix_product():
    rows = [[Value(float(3 * j + k)) for k in range(3)] for j in range(4)]
    biases = [Value(0.5) for _ in range(4)]

    def fn(xs):
        return [
            sum((w * x for w, x in zip(row, xs, strict=True)), b)
            for row, b in zip(rows, biases, strict=True)
        ]

    _, listing = nodes(fn, [[1.0, 2.0, 3.0]])
    assert "= matrix 4x3" in listing and "sum(" not in listing
    assert "= matrix" not in nodes(fn, [[1.0, 2.0, 3.0]], skip=["matrices"])[1]
    assert mc.compile(fn)([[1.0, 2.0, 3.0]]).tolist() == [[8.5, 26.5, 44.5, 62.5]]


def test_weights_that_two_products_share_are_summed_over_both():
    w, v = Value(2.0), Value(3.0)
    f = mc.compile(lambda x, y: mc.dot([w, v], [x, y]) * mc.dot([v, w], [y, x]))
    f.value_and_grad([2.0], [5.0])
    a, b = Value(2.0), Value(3.0)
    (mc.dot([a, b], [2.0, 5.0]) * mc.dot([b, a], [5.0, 2.0])).backward()
    assert (w.grad, v.grad) == pytest.approx((a.grad, b.grad))


def test_what_no_sample_changes_is_computed_once_a_batch():
    ws = [Value(float(k)) for k in range(50)]
    f = mc.compile(lambda x: x.exp() + mc.sum(w * w for w in ws), executor="vector")
    f.value_and_grad([1.0, 2.0, 3.0])
    listing = str(f)
    once, sample = listing.split("for every sample", 1)
    assert "p0..49 * p0..49" in once and "p0..49 * p0..49" not in sample
    assert [w.grad for w in ws] == [2.0 * k for k in range(50)]


def test_dead_code_is_dropped():
    def fn(x):
        return mc.where(True, x, (x * 2).tanh().exp())

    assert nodes(fn, [1.0])[0] == 1
    assert nodes(fn, [1.0], skip=["dead_code"])[0] > 4


# -- what a number decides depends on no sample ----------------------------------------------------


DECIDED = {
    "of one operand": lambda p, q, x, choice: choice(p, x).tanh() + x * q,
    "to a power": lambda p, q, x, choice: choice(p, x) ** 3 + x * q,
    "times an input": lambda p, q, x, choice: choice(p, x).exp() * x,
    "of two parameters": lambda p, q, x, choice: choice(p * q, x).sigmoid() + x,
    "with a kink": lambda p, q, x, choice: choice(p, x).relu() + x,
    "of a number": lambda p, q, x, choice: -choice(3.0, x) + x * p,
    "of two operands": lambda p, q, x, choice: choice(p, x) * q + x,
    "clip": lambda p, q, x, choice: mc.clip(choice(p, x), 0.0, 1.0) + x,
    "clip between": lambda p, q, x, choice: mc.clip(x, choice(p, x), choice(q, x)),
    "where": lambda p, q, x, choice: mc.where(choice(p, x), q, x) + mc.where(x, choice(p, x), q),
    "take": lambda p, q, x, choice: mc.take([p, x, q], choice(Value(1.0), x)) * q,
    "sum": lambda p, q, x, choice: mc.sum([choice(p, x), q]) + x,
    "dot": lambda p, q, x, choice: mc.dot([choice(p, x), q], [x, choice(q, x)]),
    "rows": lambda p, q, x, choice: mc.sum(
        mc.dot([w, choice(q, x)], [x, choice(p, x)], choice(p, x)).tanh() for w in (p, q)
    ),
    "the result": lambda p, q, x, choice: choice(p, x),
    "a function as the result": lambda p, q, x, choice: choice(p, x).tanh(),
    "choices of choices": lambda p, q, x, choice: choice(choice(p, x), x).cos() * choice(q, x * p),
}

CHOICES = {
    "where True": lambda a, b: mc.where(True, a, b),
    "where False": lambda a, b: mc.where(False, b, a),
    "where a number": lambda a, b: mc.where(Value(2.0), a, b),
    "take": lambda a, b: mc.take([a, b], Value(0.0)),
    "take from the end": lambda a, b: mc.take([b, a], Value(-1.0)),
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("form", DECIDED.values(), ids=DECIDED)
def test_what_a_number_has_chosen_is_what_eager_code_computes(form, choice):
    p, q = Value(0.5), Value(2.0)
    xs = [1.0 + 0.25 * k for k in range(5)]

    def fn(x):
        return form(p, q, x, choice)

    total = mc.sum(fn(Value(x)) for x in xs)
    p.grad = q.grad = 0.0
    total.backward()
    expected = [p.grad, q.grad]
    for skip in [(), ("constants",), only("constants"), PASSES]:
        f = mc.compile(fn, reduction="sum", skip=skip)
        assert f.value_and_grad(xs) == pytest.approx(total.data)
        assert [p.grad, q.grad] == pytest.approx(expected)
        assert f(xs).tolist() == pytest.approx([fn(Value(x)).data for x in xs])


def test_what_a_number_has_chosen_is_computed_once_a_batch():
    w = Value(0.5)
    f = mc.compile(lambda x: mc.where(True, w, x).tanh() * x)
    f([1.0, 2.0])
    once, sample = str(f).split("for every sample", 1)
    assert "tanh(" in once and "tanh(" not in sample


@pytest.mark.parametrize("above", [lambda v: v, lambda v: v.exp(), lambda v: v + 1.0])
def test_a_number_that_is_no_index_is_found_when_the_program_runs(above):
    f = mc.compile(lambda x: above(mc.take([Value(1.0), 2.0], mc.where(True, 7.0, x))))
    with pytest.raises(IndexError, match=r"index 7 .* 2 values, for every sample"):
        f([1.0])


# -- adjoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        lambda p, x: p.sqrt(),
        lambda p, x: (p * x).sqrt(),
        lambda p, x: mc.dot([p, p], [x, x * x]).sqrt(),
    ],
    ids=["once", "for every sample", "a row"],
)
@pytest.mark.parametrize("skip", [(), PASSES], ids=str)
def test_what_only_chooses_gets_no_adjoint_and_no_product_with_an_infinite_derivative(
    condition, skip
):
    p, q = Value(0.0), Value(2.0)
    f = mc.compile(lambda x: mc.where(condition(p, x), x, q * x), skip=skip)
    assert f.value_and_grad([1.0, 2.0]) == 3.0
    assert (p.grad, q.grad) == (0.0, 1.5)
    g = mc.compile(lambda x: mc.take([q * x, x], condition(p, x)), skip=skip)
    assert g.value_and_grad([1.0, 2.0]) == 3.0
    assert (p.grad, q.grad) == (0.0, 1.5)
