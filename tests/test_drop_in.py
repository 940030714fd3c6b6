# SPDX-License-Identifier: MIT
"""Code written for the lesson, the lecture or micrograd runs on this engine as it is."""

import math
import random

import pytest

from micrograd_c import Value, nn
from micrograd_c import sum as fused_sum
from micrograd_c.benchmarks import reference

both = pytest.mark.parametrize("Engine", [Value, reference.Value], ids=["ours", "lesson"])


def expressions(V, relu=lambda v: v.relu()):
    """Two expressions in the manner of micrograd's own tests; works on Values and on tensors."""
    x = V(-4.0)
    z = 2 * x + 2 + x
    q = relu(z) + z * x
    h = relu(z * z)
    first = h + q + q * x

    a, b = V(-4.0), V(2.0)
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + relu(b + a)
    d = d + 3 * d + relu(b - a)
    e = c - d
    f = e**2
    second = f / 2.0
    second = second + 10.0 / f
    return (first, [x]), (second, [a, b])


def test_micrograds_expressions_agree_with_pytorch():
    torch = pytest.importorskip("torch")

    def tensor(x):
        return torch.tensor(x, dtype=torch.double, requires_grad=True)

    for (y, inputs), (t, tensors) in zip(expressions(Value), expressions(tensor), strict=True):
        y.backward()
        t.backward()
        assert y.data == pytest.approx(t.item(), rel=1e-14)
        for v, w in zip(inputs, tensors, strict=True):
            assert v.grad == pytest.approx(w.grad.item(), rel=1e-12)


def test_micrograds_known_answers():
    (first, (x,)), (second, (a, b)) = expressions(Value)
    first.backward()
    assert (first.data, x.grad) == (-20.0, 46.0)
    second.backward()
    assert second.data == pytest.approx(24.70408163265306)
    assert (a.grad, b.grad) == pytest.approx((138.83381924198252, 645.5772594752186))


@both
def test_the_lectures_neuron_by_hand(Engine):
    x1, x2, w1, w2 = Engine(2.0), Engine(0.0), Engine(-3.0), Engine(1.0)
    b = Engine(6.8813735870195432)
    x1w1, x2w2 = x1 * w1, x2 * w2
    total = x1w1 + x2w2
    n = total + b
    o = n.tanh()
    o.grad = 1.0
    for node in (o, n, b, total, x1w1, x2w2):
        node._backward()
    assert [v.grad for v in (x1, w1, x2, w2)] == pytest.approx([-1.5, 1.0, 0.5, 0.0])


@both
def test_code_that_draws_the_graph(Engine):
    def trace(root):
        nodes, edges = set(), set()

        def build(v):
            if v not in nodes:
                nodes.add(v)
                for child in v._prev:
                    edges.add((child, v))
                    build(child)

        build(root)
        return nodes, edges

    a, b = Engine(2.0), Engine(-3.0)
    for value, name in ((a, "a"), (b, "b")):
        value.label = name
    y = (a * b + a).tanh()
    nodes, edges = trace(y)
    assert (len(nodes), len(edges)) == (5, 5)
    assert sorted(n._op for n in nodes) == ["", "", "*", "+", "tanh"]
    assert {n.label for n in nodes if not n._prev} == {"a", "b"}
    for n in nodes:
        n._vis_color = "red" if n._op else "blue"
    assert (a._vis_color, y._vis_color) == ("blue", "red")


@both
def test_an_operation_added_to_the_class_with_a_closure(Engine):
    def cube(self):
        out = Engine(self.data**3, (self,), "cube")

        def _backward():
            self.grad += out.grad * 3 * self.data**2

        out._backward = _backward
        return out

    Engine.cube = cube
    try:
        a = Engine(2.0)
        y = (a * 3).cube() + a.cube().cube()
        y.backward()
        assert a.grad == pytest.approx(3 * 3 * 36 + 9 * 2.0**8)
    finally:
        del Engine.cube


def test_the_lessons_exercise_of_adding_exp():
    def exp(self):
        out = Value(math.exp(self.data), (self,), "my exp")

        def _backward():
            self.grad += out.data * out.grad

        out._backward = _backward
        return out

    theirs = Value.exp
    Value.exp = exp
    try:
        a = Value(2.0)
        y = a.exp()
        y.backward()
        assert (y._op, a.grad) == ("my exp", math.exp(2.0))
    finally:
        Value.exp = theirs
    assert Value(0.0).exp()._op == "exp"


@both
def test_momentum_kept_on_the_parameters(Engine):
    random.seed(3)
    neuron = reference.lesson_classes(Engine)[0](2)
    for p in neuron.parameters():
        p.m = 0.0
    for _ in range(100):
        loss = (neuron([Engine(1.0), Engine(-1.0)]) - 0.5) ** 2
        loss.backward()
        for p in neuron.parameters():
            p.m = 0.9 * p.m + p.grad
            p.data -= 0.02 * p.m
    assert loss.data < 0.01
    assert all(p.m != 0 for p in neuron.parameters())


def test_gradient_by_numerical_differences_as_in_the_lesson():
    def f(a, b, c):
        return (a + b) * c

    a, b, c = Value(2.0), Value(-3.0), Value(10.0)
    f(a, b, c).backward()
    h = 1e-5
    point = [2.0, -3.0, 10.0]
    for k, v in enumerate((a, b, c)):
        up, down = list(point), list(point)
        up[k] += h
        down[k] -= h
        assert v.grad == pytest.approx((f(*up) - f(*down)) / (2 * h))


def test_a_moons_like_training_loop_with_hinge_loss_and_regularisation():
    random.seed(1)
    points = [(random.gauss(s, 0.3), random.gauss(-s, 0.3)) for s in (1, -1) for _ in range(10)]
    labels = [1] * 10 + [-1] * 10
    model = nn.MLP(2, [8, 1], activation="relu", output_activation="linear")
    for _ in range(30):
        scores = [model(list(map(Value, p))) for p in points]
        hinge = [(1 + -y * s).relu() for y, s in zip(labels, scores, strict=True)]
        loss = sum(hinge) * (1.0 / len(hinge)) + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
    assert all((model(list(p)).data > 0) == (y > 0) for p, y in zip(points, labels, strict=True))


# -- two engines in one expression -----------------------------------------------------------------


@pytest.mark.parametrize(
    "mix",
    [
        lambda theirs: Value(theirs),
        lambda theirs: Value(1.0) + theirs,
        lambda theirs: Value(1.0) - theirs,
        lambda theirs: Value(2.0) * theirs,
        lambda theirs: Value(2.0) / theirs,
        lambda theirs: Value(2.0) ** theirs,
        lambda theirs: Value(2.0).maximum(theirs),
        lambda theirs: fused_sum([Value(1.0), theirs]),
        lambda theirs: nn.MLP(2, [3, 1])([theirs, theirs]),
    ],
)
def test_another_engines_value_is_no_number(mix):
    with pytest.raises(TypeError, match=r"another engine's Value, of micrograd_c\.benchmarks"):
        mix(reference.Value(2.0))


def test_other_classes_still_answer_for_themselves():
    class Length:
        def __radd__(self, other):
            return "a length"

    assert Value(1.0) + Length() == "a length"
    with pytest.raises(TypeError, match="unsupported operand"):
        Value(1.0) + "1"
