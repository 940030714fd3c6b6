# SPDX-License-Identifier: MIT
"""viz.draw_program: a compiled function's steps as boxes."""

import functools
import random
import re
import xml.etree.ElementTree

import pytest

import micrograd_c
from micrograd_c import Value, nn, viz
from micrograd_c.layered import Node, drawing
from micrograd_c.steps import steps_of


def boxes(f, **options):
    """What stands in the boxes, in order; and the arrows, as pairs of these."""
    pytest.importorskip("graphviz")
    text = viz.draw_program(f, **options).source
    labels = dict(re.findall(r'(step\w+) \[label="(.*?)" fillcolor', text))
    labels = {name: label.replace("\\ ", " ") for name, label in labels.items()}
    arrows = re.findall(r"(step\w+) -> (step\w+)", text)
    return [*labels.values()], {(labels[a], labels[b]) for a, b in arrows}, text


def test_a_layer_is_two_boxes():
    model = nn.MLP(3, [4, 1], output_activation="linear")
    f = micrograd_c.compile(lambda x, y: (model(x) - y) ** 2)
    f.value_and_grad([[1.0, 2.0, 3.0]], [1.0])
    labels, arrows, _ = boxes(f)
    assert sorted(labels) == sorted(
        [
            "layers.0.w | (4, 3)",
            "layers.0.b | 4 numbers",
            "layers.1.w | (1, 4)",
            "layers.1.b | one number",
            "x | (B, 3)",
            "y | (B,)",
            "matrix 4 x 3 and bias | (B, 4)",
            "tanh | (B, 4)",
            "matrix 1 x 4 and bias | (B,)",
            "- | (B,)",
            "x * x | (B,)",
            "result (B,)",
        ]
    )
    assert ("x | (B, 3)", "matrix 4 x 3 and bias | (B, 4)") in arrows
    assert ("layers.0.w | (4, 3)", "matrix 4 x 3 and bias | (B, 4)") in arrows
    assert ("matrix 4 x 3 and bias | (B, 4)", "tanh | (B, 4)") in arrows
    assert ("x * x | (B,)", "result (B,)") in arrows
    assert len(arrows) == 11


def test_numbers_stand_where_they_are_used_and_names_are_labels():
    share, size = Value(100.0, label="share of {x}"), Value(0.2)
    f = micrograd_c.compile(
        lambda x: {"price": (2 - size.exp() * x).relu() ** 3, "share": [share + x, x / 4]}
    )
    f([1.0, 2.0])
    labels, arrows, _ = boxes(f)
    assert {"size | one number", "exp | one number", "relu | (B,)", "x ** 3 | (B,)"} <= {*labels}
    assert "share of \\{x\\} | one number" in {label.replace("\\\\", "\\") for label in labels}
    assert "x / 4 | (B,)" in labels and "price (B,) | share (B, 2)" in labels
    assert ("size | one number", "exp | one number") in arrows


def test_alike_operations_with_different_numbers_are_one_box():
    f = micrograd_c.compile(lambda x: [x + 1, x + 2, x * x])
    f([1.0])
    labels, _, _ = boxes(f)
    assert sorted(labels) == ["result (B, 3)", "x * x | (B,)", "x + … | (B, 2)", "x | (B,)"]


def test_a_maximum_of_maxima_is_one_box():
    f = micrograd_c.compile(lambda x: functools.reduce(Value.maximum, x) + x[0].maximum(x[1]))
    f([[1.0, 2.0, 3.0]])
    labels, _, _ = boxes(f)
    assert "maximum | (B,)" in labels  # the one that is asked for twice
    g = micrograd_c.compile(lambda x: functools.reduce(Value.maximum, x))
    g([[1.0, 2.0, 3.0]])
    assert boxes(g)[0] == ["x | (B, 3)", "maximum of 3 | (B,)", "result (B,)"]


def test_a_scan_is_a_box_around_its_body():
    rate = Value(0.1)

    def path(s):
        def body(carry, z):
            x, total = carry
            return (x * (rate * z).exp(), total + x), x

        draws = [micrograd_c.random.normal() for _ in range(20)]
        (_, total), seen = micrograd_c.scan(body, (s, 0.0), draws)
        return [total / 20, seen[3]]

    f = micrograd_c.compile(path)
    f([1.0, 2.0], seed=1)
    _, arrows, text = boxes(f)
    assert text.count("subgraph cluster_") == 1
    assert 'label="scan, 20 steps (B,)"' in text
    after = "after each step: 2 carried, 1 given | (B,)"
    for arrow in (
        ("s | (B,)", "carried | (B, 2)"),
        ("normal | (B, 20)", "of each step | (B,)"),
        ("rate | one number", "rate | one number"),
        ("rate | one number", "* | (B,)"),
        (after, "carried | (B, 2)"),
        (after, "x / 20 | (B,)"),
        ("x / 20 | (B,)", "result (B, 2)"),
        (after, "result (B, 2)"),
    ):
        assert arrow in arrows
    assert text.count("constraint=false style=dashed") == 1


def test_what_a_loop_in_a_loop_draws_makes_a_number_for_each_sample():
    w = Value(0.5)

    def f():
        def inner(c, _):
            return c * w + micrograd_c.random.normal(), None

        def outer(c, _):
            return micrograd_c.scan(inner, c, length=3)[0], None

        return micrograd_c.scan(outer, 1.0, length=4)[0]

    f = micrograd_c.compile(f)
    f(samples=3, seed=1)
    labels, arrows, text = boxes(f)
    assert text.count("cluster_") == 2 and text.count("steps (B,)") == 2
    assert labels.count("carried | (B,)") == 2 and labels.count("w | one number") == 3
    assert "normal | (B,)" in labels
    assert ("normal | (B,)", "+ | (B,)") in arrows


def test_loops_in_loops_are_drawn_in_each_other():
    w = Value(0.5)

    def f(x):
        def outer(carry, _):
            inner, _ = micrograd_c.scan(lambda c, _: (c * w, None), carry, length=3)
            return inner + 1, None

        return micrograd_c.scan(outer, x, length=4)[0]

    f = micrograd_c.compile(f)
    f([1.0])
    picture = viz.draw_program(f) if pytest.importorskip("graphviz") else None
    assert picture.source.count("subgraph cluster_") == 2
    svg = picture._fallback[1]()
    assert svg.count("<svg") == 1 and svg.count("<g transform=") == 2
    for text in ("scan, 3 steps", "scan, 4 steps", "x + 1", ">w<"):
        assert text in svg
    xml.etree.ElementTree.fromstring(svg)


def test_the_program_drawn_is_the_one_used_last():
    f = micrograd_c.compile(lambda x: sum(x) if isinstance(x, list) else x.tanh())
    f([1.0])
    assert "tanh | (B,)" in boxes(f)[0]
    f([[1.0, 2.0]])
    assert "tanh | (B,)" not in boxes(f)[0] and "x | (B, 2)" in boxes(f)[0]
    f([1.0])
    assert "tanh | (B,)" in boxes(f)[0]


def test_a_function_of_draws_alone_and_one_of_parameters_alone():
    w = Value(2.0)
    f = micrograd_c.compile(lambda: w * micrograd_c.random.uniform())
    f.value_and_grad(samples=3)
    labels = ["uniform | (B,)", "w | one number", "* | (B,)", "result (B,)"]
    assert sorted(boxes(f)[0]) == sorted(labels)
    g = micrograd_c.compile(lambda: w * w)
    g(samples=3)
    assert sorted(boxes(g)[0]) == ["result (B,)", "w | one number", "x * x | one number"]


def test_the_program_of_a_hessian():
    w = Value(1.0)
    f = micrograd_c.compile(micrograd_c.hessian(lambda x: (x[0] * x[1] * w).sin() + x[0].exp()))
    f([[1.0, 2.0]] * 100)
    labels, _, _ = boxes(f)
    assert "x | (B, 2)" in labels and "w | one number" in labels


def test_programs_that_cannot_be_drawn():
    pytest.importorskip("graphviz")
    f = micrograd_c.compile(lambda x: functools.reduce(lambda v, _: v.tanh(), range(400), x))
    with pytest.raises(ValueError, match="draw_program: nothing has been recorded yet; call"):
        viz.draw_program(f)
    with pytest.raises(TypeError, match=r"expected a compiled function, got function; compile"):
        viz.draw_program(lambda x: x)
    f([1.0])
    with pytest.raises(ValueError, match="has 402 steps, too many to read"):
        viz.draw_program(f)
    assert len(boxes(f, max_nodes=402)[0]) == 402
    with pytest.raises(ValueError, match="draw_program: expected rankdir among LR, RL, TB, BT"):
        viz.draw_program(f, rankdir="up")


def random_function(rng, weights, depth=2):
    """Of a list of Values, which may hold loops within loops."""
    names = [rng.choice(["+", "*", "max", "tanh", "sum", "draw", "scan"]) for _ in range(12)]
    picks = [rng.sample(range(5), 3) for _ in names]
    body = random_function(rng, weights, depth - 1) if depth else None

    def step(carry, element):
        first, *rest = body([*carry, element, *weights])
        return (first, carry[0] + element), rest[0]

    def f(values):
        values = list(values)
        for name, (a, b, c) in zip(names, picks, strict=True):
            x, y, z = values[-a - 1], values[-b - 1], values[-c - 1]
            if name == "scan" and body:
                (x, y), seen = micrograd_c.scan(step, (x, y), [x, z, 0.5])
                values += [x + y, seen[1]]
            elif name == "draw":
                values.append(x * micrograd_c.random.normal())
            elif name == "sum":
                values.append(micrograd_c.sum([x, y, z, weights[0]]))
            else:
                one = {"+": x + y, "*": x * y - 2, "max": x.maximum(y).maximum(z)}
                values.append(one.get(name, x.tanh()))
        return values[-3:]

    return f


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_are_drawn(seed):
    """Whatever is recorded: boxes stand behind those that lead to them, and the picture is one."""
    pytest.importorskip("graphviz")
    rng = random.Random(seed)
    weights = [Value(rng.gauss(0, 1)) for _ in range(3)]
    f = micrograd_c.compile(random_function(rng, weights))
    f([[1.0, 2.0, 3.0, 4.0, 5.0]] * 2, seed=1)
    rest, loops = [steps_of(f)], 0
    while rest:
        steps = rest.pop()
        for k, step in enumerate(steps):
            assert all(operand < k for operand in step.operands)
            if step.body:
                loops += 1
                rest.append(step.body)
                assert all(outer < k for inner in step.body for outer in inner.sources)
    picture = viz.draw_program(f, rankdir=rng.choice(viz.DIRECTIONS), max_nodes=1000)
    assert picture.source.count("subgraph cluster_") == loops
    if picture._fallback:
        xml.etree.ElementTree.fromstring(picture._fallback[1]())


@pytest.mark.parametrize("rankdir", ["TB", "LR", "BT", "RL"])
def test_boxes_within_boxes_stay_within(rankdir):
    inside = drawing([Node(["a", "b"], "#fff", True), Node(["c"], "#fff", True)], [(0, 1)], rankdir)
    around = Node(["loop"], "#fff", True, inside=inside)
    assert around.width >= inside.width and around.height >= inside.height + around.head
    both = drawing([around, Node(["end"], "#fff", True)], [(0, 1)], rankdir)
    assert both.width > around.width and both.height > around.height
