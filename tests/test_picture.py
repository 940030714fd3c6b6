# SPDX-License-Identifier: MIT
"""Graphs drawn where Graphviz's program `dot` is missing; what is said of those that cannot be."""

import itertools
import random
import re
import xml.etree.ElementTree as ElementTree

import pytest

from micrograd_c import Value, viz
from micrograd_c.layered import Node, svg

graphviz = pytest.importorskip("graphviz")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def without_dot(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.chdir(tmp_path)


def lesson():
    a, b, c = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c")
    y = (a + b) * c
    y.label = "y"
    y.backward()
    return y


def random_graph(seed, size):
    """One root, with nodes that are used twice, far away, or by many."""
    draw = random.Random(seed)
    values = [Value(draw.uniform(-1, 1), label=f"v{k}") for k in range(4)]
    for _ in range(size):
        left, right = draw.choice(values[-6:]), draw.choice(values)
        values.append(
            draw.choice([lambda a, b: a + b, lambda a, b: a * b, lambda a, b: b.tanh()])(
                left, right
            )
        )
    return sum(values[-3:])


def chain(length):
    value = Value(0.5)
    for _ in range(length - 1):
        value = value.tanh()
    return value


# -- the layout ------------------------------------------------------------------------------------


def rectangles(picture):
    """Left, top, right, bottom of each box and ellipse; and of the whole picture."""
    found = []
    for element in picture.iter():
        get = {
            name: float(text) for name, text in element.items() if re.fullmatch("[-0-9.]+", text)
        }
        if element.tag == f"{SVG}rect" and "x" in get:
            x, y = get["x"], get["y"]
            found.append((x, y, x + get["width"], y + get["height"]))
        elif element.tag == f"{SVG}ellipse":
            x, y, rx, ry = get["cx"], get["cy"], get["rx"], get["ry"]
            found.append((x - rx, y - ry, x + rx, y + ry))
    return found, (0.0, 0.0, float(picture.get("width")), float(picture.get("height")))


def curves(picture):
    """The points of each edge, with control points."""
    group = picture.find(f"{SVG}g")
    return [
        [tuple(map(float, pair)) for pair in re.findall(r"([-\d.]+) ([-\d.]+)", path.get("d"))]
        for path in group.iter(f"{SVG}path")
    ]


def drawn(root, **options):
    return ElementTree.fromstring(viz.draw_dot(root, **options).pipe(encoding="utf-8"))


@pytest.mark.parametrize("direction", ["LR", "RL", "TB", "BT"])
@pytest.mark.parametrize("seed", range(8))
def test_nothing_overlaps_and_all_is_inside(seed, direction):
    picture = drawn(random_graph(seed, 5 * seed + 1), rankdir=direction)
    boxes, (_, _, width, height) = rectangles(picture)
    assert len(boxes) > 5
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
    for (left, top, right, bottom), (left2, top2, right2, bottom2) in itertools.combinations(
        boxes, 2
    ):
        assert right < left2 or right2 < left or bottom < top2 or bottom2 < top


@pytest.mark.parametrize("direction", ["LR", "RL", "TB", "BT"])
def test_edges_go_from_the_operand_to_its_user_in_the_direction_asked_for(direction):
    root = random_graph(3, 12)
    picture = drawn(root, rankdir=direction)
    boxes, _ = rectangles(picture)
    paths = curves(picture)
    assert len(paths) == viz.draw_dot(root).source.count("->")
    axis, sign = {"LR": (0, 1), "RL": (0, -1), "TB": (1, 1), "BT": (1, -1)}[direction]
    for path in paths:
        steps = [sign * (b[axis] - a[axis]) for a, b in itertools.pairwise(path)]
        assert min(steps) >= 0 and sum(steps) > 0
        for end, side in ((path[0], 0), (path[-1], 1)):
            touched = [
                box
                for box in boxes
                if box[0] - 0.11 <= end[0] <= box[2] + 0.11
                and box[1] - 0.11 <= end[1] <= box[3] + 0.11
            ]
            assert len(touched) == 1, (end, side)


@pytest.mark.parametrize("seed", range(4))
def test_no_edge_runs_through_a_box(seed):
    picture = drawn(random_graph(seed, 20))
    boxes, _ = rectangles(picture)
    for path in curves(picture):
        for (x0, y0), (x1, y1) in itertools.pairwise(path):
            if y0 == y1:  # a straight piece, or a curve's end
                for left, top, right, bottom in boxes:
                    inside = top < y0 < bottom and x0 < right - 0.2 and left + 0.2 < x1
                    assert not inside, (x0, x1, y0)


def test_every_value_is_there_with_what_it_says():
    texts = [element.text for element in drawn(lesson()).iter(f"{SVG}text")]
    expected = "a data 2.0000 grad 10.0000 b data -3.0000 grad 10.0000 + data -1.0000 grad 10.0000"
    expected += " c data 10.0000 grad -1.0000 * y data -10.0000 grad 1.0000"
    assert sorted(texts) == sorted(re.findall(r"(?:data |grad )?\S+", expected))


def test_a_tree_is_drawn_without_a_crossing():
    a, b, c, d = (Value(float(k)) for k in range(4))
    paths = curves(drawn((a * b) + (c * d)))
    starts = sorted((path[0][1], path[-1][1]) for path in paths if path[0][0] < 200)
    assert [end for _, end in starts] == sorted(end for _, end in starts)


def test_an_operand_that_is_used_twice_has_two_edges():
    a = Value(3.0)
    paths = curves(drawn(a * a))
    assert len(paths) == 3 and paths[0] != paths[1]


def test_the_same_graph_gives_the_same_picture():
    assert viz.draw_dot(lesson()).pipe() == viz.draw_dot(lesson()).pipe()


def test_what_xml_cannot_hold_is_replaced():
    picture = drawn(Value(1.0, label="a\x00<&>\nb"))
    texts = [element.text for element in picture.iter(f"{SVG}text")]
    assert texts[:2] == ["a\N{REPLACEMENT CHARACTER}<&>", "b"]


def test_a_single_node():
    picture = ElementTree.fromstring(svg([Node(["alone"], "#ffffff", is_box=False)], []))
    assert len(list(picture.iter(f"{SVG}ellipse"))) == 1


# -- the object ------------------------------------------------------------------------------------


def test_a_small_graph_draws_itself():
    picture = viz.draw_dot(lesson())
    assert isinstance(picture, graphviz.Digraph) and picture.source.startswith("digraph")
    shown = picture._repr_mimebundle_()
    assert list(shown) == ["image/svg+xml"] and shown["image/svg+xml"].startswith("<svg")
    assert picture.pipe() == picture.pipe("svg") == shown["image/svg+xml"].encode()
    assert picture.copy().pipe() == picture.pipe()


def test_a_small_graph_is_written_to_a_file(tmp_path):
    picture = viz.draw_dot(lesson())
    assert picture.render("folder/graph") == "folder/graph.svg"
    assert (tmp_path / "folder" / "graph").read_text() == picture.source
    assert (tmp_path / "folder" / "graph.svg").read_bytes() == picture.pipe()
    assert picture.render("other", cleanup=True) == "other.svg"
    assert not (tmp_path / "other").exists()
    assert picture.render(outfile="mine.svg") == "mine.svg"
    assert (tmp_path / "mine.svg").read_bytes() == picture.pipe()


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (lambda: viz.draw_dot(chain(151)).pipe(), "a graph as large as this"),
        (lambda: viz.draw_dot(lesson(), format="png").pipe(), "a graph as 'png'"),
        (lambda: viz.draw_dot(lesson()).pipe(format="pdf"), "a graph as 'pdf'"),
        (lambda: viz.draw_dot(lesson()).render(outfile="graph.png"), "a graph as 'png'"),
        (lambda: viz.draw_dot(chain(151)).render("graph"), "a graph as large as this"),
    ],
)
def test_what_needs_dot_says_so_in_one_line(monkeypatch, draw, what):
    monkeypatch.setattr("shutil.which", lambda name, *_, **__: name if name == "brew" else None)
    with pytest.raises(graphviz.ExecutableNotFound) as error:
        draw()
    assert str(error.value) == (
        f"drawing {what} needs Graphviz's program dot, which is not installed: "
        "brew install graphviz"
    )
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_notebook_shows_a_line_instead_of_a_traceback():
    assert viz.draw_dot(chain(150))._repr_mimebundle_().keys() == {"image/svg+xml"}
    shown = viz.draw_dot(chain(151))._repr_mimebundle_()
    assert shown["text/plain"].endswith("not installed: conda install graphviz")
    assert "\n" not in shown["text/plain"]


def test_a_picture_that_was_changed_is_not_drawn_as_it_was():
    picture = viz.draw_dot(lesson())
    picture.node("one more")
    with pytest.raises(graphviz.ExecutableNotFound, match="drawing a graph that was changed needs"):
        picture.pipe()


def test_graphviz_draws_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(graphviz.Digraph, "pipe", lambda self, *_, **__: b"by dot")
    assert viz.draw_dot(lesson()).pipe() == b"by dot"
