# SPDX-License-Identifier: MIT
"""Losses: their values and gradients, eager and compiled, for logits of any size."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_c import Value, compile, gradcheck, losses

LOGITS = st.lists(
    st.one_of(st.floats(-5, 5), st.floats(-1e5, 1e5), st.sampled_from([0.0, 1.0, -1e4, 1e4])),
    min_size=1,
    max_size=6,
)
NUMBERS = st.floats(-50, 50)

# Name: the same loss of plain floats, straight from its definition.
DEFINITIONS = {
    "mse_loss": lambda p, t: (p - t) ** 2,
    "l1_loss": lambda p, t: abs(p - t),
    "hinge_loss": lambda p, t: max(0.0, 1.0 - t * p),
    "binary_cross_entropy_with_logits": lambda z, t: (
        max(z, 0.0) - t * z + math.log1p(math.exp(-abs(z)))
    ),
}
PAIRWISE = sorted(DEFINITIONS)


def plain_log_softmax(logits):
    top = max(logits)
    total = top + math.log(math.fsum(math.exp(z - top) for z in logits))
    return [z - total for z in logits]


def near(numbers):
    return pytest.approx(numbers, rel=1e-12, abs=1e-12)


# -- element by element ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRWISE)
@given(pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_the_mean_over_two_sequences(name, pairs):
    predictions, targets = map(list, zip(*pairs, strict=True))
    expected = math.fsum(DEFINITIONS[name](p, t) for p, t in pairs) / len(pairs)
    loss = getattr(losses, name)
    assert loss([Value(p) for p in predictions], targets).data == near(expected)
    assert loss(tuple(predictions), [Value(t) for t in targets]).data == near(expected)


@pytest.mark.parametrize("name", PAIRWISE)
def test_one_pair(name):
    loss = getattr(losses, name)(Value(0.3), 1.0)
    assert isinstance(loss, Value)
    assert loss.data == near(DEFINITIONS[name](0.3, 1.0))
    assert getattr(losses, name)(0.3, 1.0).data == loss.data


@pytest.mark.parametrize("name", PAIRWISE)
def test_derivatives(name):
    points = [Value(x) for x in (0.3, -1.7, 2.2)]
    assert gradcheck(lambda *p: getattr(losses, name)(p, [1.0, 0.0, -1.0]), points)


def test_logits_too_large_for_exp():
    for z, t, expected in [(800, 0, 800), (-800, 1, 800), (800, 1, 0), (-800, 0, 0)]:
        z = Value(z)
        loss = losses.binary_cross_entropy_with_logits(z, t)
        loss.backward()
        assert (loss.data, z.grad) == (expected, (expected > 0) - 2 * t * (expected > 0))


# -- softmax and cross-entropy ---------------------------------------------------------------------


@given(logits=LOGITS)
def test_softmax(logits):
    logs = plain_log_softmax(logits)
    assert [v.data for v in losses.log_softmax(logits)] == pytest.approx(logs, rel=1e-9, abs=1e-9)
    chances = [v.data for v in losses.softmax([Value(z) for z in logits])]
    assert chances == pytest.approx([math.exp(z) for z in logs], rel=1e-9, abs=1e-12)
    assert math.fsum(chances) == near(1.0)


@given(logits=LOGITS, data=st.data())
def test_cross_entropy_and_its_gradient(logits, data):
    target = data.draw(st.integers(0, len(logits) - 1))
    values = [Value(z) for z in logits]
    loss = losses.cross_entropy(values, target)
    loss.backward()
    logs = plain_log_softmax(logits)
    assert loss.data == pytest.approx(-logs[target], rel=1e-9, abs=1e-9)
    expected = [math.exp(z) - (k == target) for k, z in enumerate(logs)]
    assert [v.grad for v in values] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(logits=LOGITS)
def test_probabilities_as_target(logits):
    chances = [k + 1 for k in range(len(logits))]
    chances = [c / sum(chances) for c in chances]
    expected = -math.fsum(c * z for c, z in zip(chances, plain_log_softmax(logits), strict=True))
    values = [Value(z) for z in logits]
    assert losses.cross_entropy(values, chances).data == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(logits=LOGITS)
def test_compiled_as_eager(logits):
    weights = [Value(1.0) for _ in logits]
    targets = list(range(len(logits)))

    def loss(label):
        scores = [w * z for w, z in zip(weights, logits, strict=True)]
        return losses.cross_entropy(scores, label)

    total = sum(loss(k) for k in targets) / len(targets)
    total.backward()
    expected = [w.grad for w in weights]
    assert compile(loss).value_and_grad(targets) == pytest.approx(total.data, rel=1e-10, abs=1e-9)
    scale = max(map(abs, logits)) + 1
    assert [w.grad for w in weights] == pytest.approx(expected, rel=1e-9, abs=1e-10 * scale)


@pytest.mark.parametrize("target", [-1, -2, -3, 2, 100])
def test_an_index_that_no_class_has_is_refused_however_it_comes(target):
    w = Value(1.0)
    f = compile(lambda label: losses.cross_entropy([w, 2.0], label))
    given = compile(lambda x: losses.cross_entropy([w * x, 2.0], Value(target)))
    for call in (
        lambda: losses.cross_entropy([w, 2.0], target),
        lambda: losses.cross_entropy([w, 2.0], Value(target)),
        lambda: f([1, target]),
        lambda: f.value_and_grad([0, target]),
        lambda: given([1.0]),
    ):
        with pytest.raises(IndexError):
            call()


def test_a_value_as_target():
    scores = [Value(1.0), Value(2.0)]
    for target in (0, 1):
        by_value, index = losses.cross_entropy(scores, Value(target)), Value(target)
        assert by_value.data == losses.cross_entropy(scores, target).data
        losses.cross_entropy(scores, index).backward()
        got = [v.grad for v in scores]
        losses.cross_entropy(scores, target).backward()
        assert got == [v.grad for v in scores] and index.grad == 0.0
    with pytest.raises(TypeError, match="whole number"):
        losses.cross_entropy(scores, Value(0.5))


@pytest.mark.parametrize("name", PAIRWISE)
def test_pairs_compiled_as_eager(name):
    loss = getattr(losses, name)
    w = Value(0.7)
    xs, ts = [0.5, -2.0, 900.0], [1.0, -1.0, 1.0]
    total = sum(loss(w * x, t) for x, t in zip(xs, ts, strict=True)) / 3
    total.backward()
    expected = total.data, w.grad
    f = compile(lambda x, t: loss(w * x, t))
    assert (f.value_and_grad(xs, ts), w.grad) == near(expected)


def test_against_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    logits = [0.3, -1.2, 4000.0, 3999.0, 4000.0]
    chances = [0.1, 0.2, 0.3, 0.4, 0.0]
    for target, theirs in [(0, torch.tensor(0)), (3, torch.tensor(3)), (chances, None)]:
        z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        theirs = torch.tensor(chances, dtype=torch.float64) if theirs is None else theirs
        expected = functional.cross_entropy(z, theirs)
        expected.backward()
        values = [Value(x) for x in logits]
        loss = losses.cross_entropy(values, target)
        loss.backward()
        assert loss.data == near(expected.item())
        assert [v.grad for v in values] == near(z.grad.tolist())
    for name in ("mse_loss", "l1_loss", "binary_cross_entropy_with_logits"):
        z = torch.tensor([0.3, -700.0, 1.0], dtype=torch.float64, requires_grad=True)
        expected = getattr(functional, name)(z, torch.tensor([1.0, 0.0, 1.0]).double())
        expected.backward()
        values = [Value(x) for x in z.tolist()]
        loss = getattr(losses, name)(values, [1.0, 0.0, 1.0])
        loss.backward()
        assert loss.data == near(expected.item())
        assert [v.grad for v in values] == near(z.grad.tolist())


# -- bad input -------------------------------------------------------------------------------------

TWO = [0.5, 0.25]


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("mse_loss", (TWO, [1.0]), ValueError, "mse_loss: expected 2 targets, got 1"),
        ("l1_loss", ([], []), ValueError, "l1_loss: expected at least one prediction, got none"),
        ("hinge_loss", (TWO, 1.0), TypeError, "hinge_loss: expected two sequences or two numbers"),
        ("hinge_loss", (1.0, TWO), TypeError, "got float, list"),
        ("mse_loss", ("a", 1.0), TypeError, "got str"),
        ("softmax", ([],), ValueError, "softmax: expected at least one logit, got none"),
        ("log_softmax", (1.0,), TypeError, "log_softmax: expected a sequence of logits, got float"),
        ("cross_entropy", (TWO, 2), IndexError, "expected a class from 0 to 1 as target, got 2"),
        ("cross_entropy", (TWO, -1), IndexError, "expected a class from 0 to 1 as target, got -1"),
        ("cross_entropy", (TWO, 0.5), TypeError, "expected a class's index .* got float"),
        ("cross_entropy", (TWO, None), TypeError, "expected a class's index .* got NoneType"),
        ("cross_entropy", ([TWO, TWO], [0, 1]), TypeError, "numbers of one sample, got list"),
        ("mse_loss", ([TWO, TWO], [TWO, TWO]), TypeError, "mse_loss: expected numbers of one"),
        ("l1_loss", ([0.5, 1.0], [TWO, TWO]), TypeError, "l1_loss: expected numbers of one"),
        ("cross_entropy", (TWO, [1.0]), ValueError, "expected 2 probabilities, got 1"),
        ("cross_entropy", ([], 0), ValueError, "expected at least one logit, got none"),
        ("cross_entropy", ({1.0, 2.0}, 0), TypeError, "a sequence of logits, got set"),
        ("cross_entropy", (TWO, {0: 0.5, 1: 0.5}), TypeError, "of probabilities .* got dict"),
        ("softmax", ({1.0: 2.0},), TypeError, "a sequence of logits, got dict"),
        ("mse_loss", ({1: 2}, {3: 4}), TypeError, "mse_loss: expected numbers of one .* got dict"),
        ("l1_loss", (TWO, {1.0, 2.0}), TypeError, "two sequences or two numbers, got list, set"),
        ("hinge_loss", (1.0, frozenset([1.0])), TypeError, "numbers of one .* got frozenset"),
    ],
)
def test_bad_input(name, arguments, error, message):
    with pytest.raises(error, match=message):
        getattr(losses, name)(*arguments)
