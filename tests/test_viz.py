# SPDX-License-Identifier: MIT
"""Drawing: what stands in the pictures, and what is refused."""

import gc
import math
import random
import sys

import pytest

import micrograd_c
from micrograd_c import Value, nn, topological_sort, viz


@pytest.fixture
def lesson():
    a, b, c = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c")
    y = (a + b) * c
    y.label = "y"
    y.backward()
    return y


# -- draw_dot --------------------------------------------------------------------------------------


def source(root, **options):
    pytest.importorskip("graphviz")
    return viz.draw_dot(root, **options).source


def test_every_value_and_operation_once(lesson):
    text = source(lesson)
    for field in (
        r"a | data\ 2.0000 | grad\ 10.0000",
        r"b | data\ -3.0000 | grad\ 10.0000",
        r"c | data\ 10.0000 | grad\ -1.0000",
        r"data\ -1.0000 | grad\ 10.0000",
        r"y | data\ -10.0000 | grad\ 1.0000",
    ):
        assert text.count(f"{{ {field} }}") == 1
    assert text.count('label="+"') + text.count("label=+") == 1
    assert text.count("shape=record") == 5
    edges = [line.strip() for line in text.splitlines() if "->" in line]
    names = {
        value.label or value._op: f"value{k}" for k, value in enumerate(topological_sort(lesson))
    }
    plus, times = names["+"].replace("value", "op"), names["y"].replace("value", "op")
    assert sorted(edges) == sorted(
        f"{start} -> {end}"
        for start, end in [
            (names["a"], plus),
            (names["b"], plus),
            (plus, names["+"]),
            (names["+"], times),
            (names["c"], times),
            (times, names["y"]),
        ]
    )


def test_the_same_graph_gives_the_same_text(lesson):
    assert source(lesson) == source(lesson)


def test_a_single_leaf():
    assert source(Value(1e-9)).count("data\\ 1.000e-09") == 1


@pytest.mark.parametrize(
    "label", ["{x}", "a|b", "<p>", "back\\slash", 'quo"te', "two words", "ağ", "a\nb", "&lt;"]
)
def test_labels_are_shown_as_they_are(label):
    pytest.importorskip("graphviz")
    picture = viz.draw_dot(Value(1.0, label=label))
    svg = picture.pipe(format="svg", encoding="utf-8")
    shown = [
        line.partition(">")[2].partition("</text>")[0]
        for line in svg.splitlines()
        if "<text" in line
    ]
    shown = [line.replace("\N{NO-BREAK SPACE}", " ").replace("&#160;", " ") for line in shown]
    shown = [line.rstrip() for line in shown]
    expected = (
        label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )
    assert shown[: label.count("\n") + 1] == expected.split("\n")


def test_an_operand_that_is_used_twice_has_two_edges():
    a = Value(3.0)
    assert source(a * a).count("value0 -> op1") == 2
    assert source(-a).count("value0 -> op1") == 1


def test_a_node_without_a_name_for_its_operation_hangs_on_its_operands():
    out = Value(2.0, (Value(1.0),))
    assert "value0 -> value1" in source(out)


def test_format_and_direction(lesson):
    graphviz = pytest.importorskip("graphviz")
    picture = viz.draw_dot(lesson, format="png", rankdir="TB")
    assert isinstance(picture, graphviz.Digraph)
    assert picture.format == "png" and "rankdir=TB" in picture.source
    with pytest.raises(ValueError, match="rankdir among LR, RL, TB, BT; got 'up'"):
        viz.draw_dot(lesson, rankdir="up")
    with pytest.raises(ValueError, match="format"):
        viz.draw_dot(lesson, format="nonsense")
    with pytest.raises(TypeError, match="draw_dot: expected a Value, got float"):
        viz.draw_dot(1.0)


def test_too_many_values_are_refused_in_time_that_does_not_depend_on_them():
    pytest.importorskip("graphviz")
    chain = Value(1.0)
    for _ in range(200_000):
        chain = chain + 1.0
    with pytest.raises(ValueError, match=r"more than 300 Values.*draw a part"):
        viz.draw_dot(chain)
    short = Value(1.0)
    for _ in range(9):
        short = -short
    assert source(short, max_nodes=10).count("shape=record") == 10
    with pytest.raises(ValueError, match="more than 9 Values"):
        viz.draw_dot(short, max_nodes=9)


# -- plots -----------------------------------------------------------------------------------------


@pytest.fixture
def ax():
    matplotlib = pytest.importorskip("matplotlib")
    pytest.importorskip("numpy")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    yield ax
    pyplot.close(figure)


def test_losses_are_drawn_step_by_step(ax):
    assert viz.plot_losses([Value(3.0), 2.0, float("nan"), 1], ax=ax, label="run") is ax
    (line,) = ax.lines
    assert list(line.get_xdata()) == [0, 1, 2, 3]
    assert [y for y in line.get_ydata() if y == y] == [3.0, 2.0, 1.0]
    viz.plot_losses(iter([2.0, 1.0]), ax=ax, log=True)
    assert len(ax.lines) == 2 and ax.get_yscale() == "log"
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    with pytest.raises(ValueError, match="plot_losses: expected at least one loss, got none"):
        viz.plot_losses([])


POINTS = [[0.0, 0.0], [1.0, 0.5], [2.0, -1.0]]


def test_a_score_has_a_boundary(ax):
    viz.plot_decision_boundary(lambda p: p[0] - 1.25, POINTS, [-1, -1, 1], ax=ax)
    mesh = ax.collections[0]
    assert mesh.get_array().size == 200 * 200
    contour = next(c for c in ax.collections if hasattr(c, "levels"))
    crossing = contour.get_paths()[0].vertices[:, 0]
    assert crossing == pytest.approx(1.25, abs=1e-9)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["-1", "1"]


@pytest.mark.parametrize(
    "model",
    [
        lambda p: 1.0 if p[0] > 1.25 else -1.0,
        lambda p: (p[0] - 1.25).data,
        lambda p: math.tanh(p[0].data - 1.25),
        lambda p: p[0] - 1.25 if p[1] > 0 else 1.25 - p[0],
    ],
    ids=["branches", "gives numbers", "leaves Values", "branches on one side"],
)
def test_a_model_that_cannot_be_compiled_is_called_spot_by_spot(ax, model):
    viz.plot_decision_boundary(model, POINTS, [-1, -1, 1], ax=ax, resolution=6)
    top_row = ax.collections[0].get_array()[-1]  # x from -0.4 to 2.4 or so
    assert (top_row[0] < 0, top_row[-1] > 0) == (True, True)
    assert sorted(top_row) == list(top_row)


def test_the_scores_are_the_models(ax):
    model = nn.MLP(2, [4, 1])
    viz.plot_decision_boundary(model, POINTS, [0, 1, 1], ax=ax, resolution=5, margin=1.0)
    scores = ax.collections[0].get_array().ravel()
    expected = [model([-1 + x, -2 + y * 3.5 / 4]).data for y in range(5) for x in range(5)]
    assert list(scores) == pytest.approx(expected)


def test_several_scores_are_classes(ax):
    viz.plot_decision_boundary(lambda p: [p[0], p[1], 1 - p[0]], POINTS, list("abc"), ax=ax)
    assert set(ax.collections[0].get_array().ravel()) == {0, 1, 2}


def test_a_model_that_cannot_be_recorded(ax):
    def model(p):
        return p[0] if p[0] > 0 else -p[1]

    viz.plot_decision_boundary(model, POINTS, [0, 1, 1], ax=ax, resolution=4)
    assert ax.collections[0].get_array().size == 16


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[1.0, 2.0, 3.0]], [1], r"expected X of shape \(n, 2\), got \(1, 3\)"),
        ([1.0, 2.0], [1, 1], r"expected X of shape \(n, 2\), got \(2,\)"),
        ([], [], r"expected X of shape \(n, 2\), got \(0,\)"),
        (POINTS, [1, 2], r"expected y of shape \(3,\) as X has it, got \(2,\)"),
    ],
)
def test_bad_shapes(ax, X, y, message):
    with pytest.raises(ValueError, match=message):
        viz.plot_decision_boundary(lambda p: p[0], X, y, ax=ax)


# -- without the extra, and on the command line ----------------------------------------------------


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("graphviz", lambda: viz.draw_dot(Value(1.0))),
        ("graphviz", lambda: viz.draw_program(micrograd_c.compile(lambda x: x))),
        ("matplotlib", lambda: viz.plot_losses([1.0])),
        ("matplotlib", lambda: viz.plot_decision_boundary(lambda p: p[0], POINTS, [0, 1, 1])),
    ],
)
def test_a_missing_package_gives_the_install_line(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}.*pip install "micrograd_c\[viz\]"'):
        call()


def test_demo_saves_its_pictures(cli, tmp_path):
    pytest.importorskip("graphviz")
    pytest.importorskip("matplotlib")
    run = cli("demo", "--steps", 3, "--plot", "new/pictures")
    assert (run.returncode, run.stderr) == (0, "")
    folder = tmp_path / "new" / "pictures"
    for name in ("loss.png", "boundary.png"):
        picture = (folder / name).read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
        assert name in run.stdout
    assert "digraph" in (folder / "graph.dot").read_text()
    assert "<svg" in (folder / "graph.svg").read_text(encoding="utf-8")


def test_demo_refuses_a_place_that_is_none_before_it_trains(cli, write):
    pytest.importorskip("graphviz")
    pytest.importorskip("matplotlib")
    run = cli("demo", "--plot", write("text", "file"))
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and "cannot write to file" in run.stderr


def test_a_notebook_shows_a_small_graph_of_a_value():
    a, b = Value(2.0, label="a"), Value(-3.0)
    y = a * b
    bundle = y._repr_mimebundle_()
    assert bundle["text/plain"] == repr(y) == "Value(data=-6.0, grad=0.0)"
    assert bundle["text/html"] == y._repr_html_()
    assert bundle == y._repr_mimebundle_(None, None) == y._repr_mimebundle_(include={"text/html"})
    assert repr(y) in bundle["text/html"] and "<svg" in bundle["text/html"]
    assert ">a</text>" in bundle["text/html"]


def test_a_notebook_shows_leaves_and_large_graphs_as_text():
    y = Value(1.0)
    assert y._repr_html_() is None
    for _ in range(40):
        y = y + 1.0
    assert y._repr_html_() is None
    assert y._repr_mimebundle_() == {"text/plain": repr(y)}


def test_a_notebook_shows_a_sample_of_a_function_that_is_recorded_as_text():
    shown = []

    def f(x):
        shown.append((x * 2.0)._repr_mimebundle_())
        return x * 2.0

    micrograd_c.compile(f)([1.0])
    assert shown == [{"text/plain": "Value(data=<of a sample>)"}]


def test_weights_of_a_module_have_their_names_in_the_graph():
    random.seed(1)
    model = nn.MLP(2, [2, 1])
    model.layers[0].neurons[1].b.label = "mine"
    _, nodes, _ = viz.parts_of(model([1.0, 2.0]))
    labels = {node.fields[0] for node in nodes if len(node.fields) == 3}
    expected = {name for name, _ in model.named_parameters()}
    assert labels == expected - {"layers.0.neurons.1.b"} | {"mine"}
    assert model.layers[0].neurons[0].w[0].label == ""  # only the picture names them


def test_a_parameters_name_is_that_in_the_outermost_living_module():
    class Wrapped(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(1, 1)

        def forward(self, x):
            return self.inner(x)

    wrapped = Wrapped()
    _, nodes, _ = viz.parts_of(wrapped([1.0]))
    labels = {node.fields[0] for node in nodes if len(node.fields) == 3}
    assert labels and all(label.startswith("inner.") for label in labels)
    inner = wrapped.inner
    del wrapped
    gc.collect()
    _, nodes, _ = viz.parts_of(inner([1.0]))
    assert not any(node.fields[0].startswith("inner.") for node in nodes)


def test_a_parameter_that_dies_leaves_its_name_to_nobody(lesson, monkeypatch):
    """A collection may come at any time, and a new handle where the old one was."""

    def collect_and_sort(root):
        gc.collect()
        return topological_sort(root)

    model = nn.MLP(3, [4, 4, 1])
    model.myself = model
    del model
    monkeypatch.setattr(viz, "topological_sort", collect_and_sort)
    _, nodes, _ = viz.parts_of(lesson)
    assert [node.fields[0] for node in nodes if len(node.fields) == 3] == ["a", "b", "c", "y"]
