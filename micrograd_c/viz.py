# SPDX-License-Identifier: MIT
"""Pictures: a graph, a training run, what a classifier has learnt. Needs the extra `viz`."""

import functools
import importlib
import math
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from ._core import operations
from ._types import Operand
from .compiled import CompiledFunction, TraceError, compile
from .engine import Value, no_grad, topological_sort
from .fitting import History
from .layered import Node, drawing, svg
from .nn import parameter_names
from .picture import picture_class

__all__ = ["draw_dot", "draw_program", "plot_decision_boundary", "plot_losses"]

SMALL = 150  # Values: a picture that is drawn without Graphviz's program
SMALL_CELL = 30  # ... and that a notebook shows of a Value by itself
DIRECTIONS = ("LR", "RL", "TB", "BT")
LEAF, INNER, ROOT, OPERATION = "#fdf3d7", "#ffffff", "#d8ecdf", "#e8e8f4"
KINDS = {"argument": "#d6e8f5", "parameter": LEAF, "draw": "#f6e0ec", "step": OPERATION}
KINDS |= {"scan": INNER, "results": ROOT, "state": INNER, "element": INNER, "outside": LEAF}
# Okabe and Ito's colours, which colour-blind people tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def draw_dot(root: Value, format: str = "svg", rankdir: str = "LR", *, max_nodes: int = 300) -> Any:
    """The graph that `root` was computed by, as a `graphviz.Digraph`: a notebook shows it at once.

    A box for each Value, with its label, data and grad; an ellipse for each operation. Leaves are
    yellow, the root is green. A module's parameter without a label has its name there, such as
    `layers.0.neurons.2.w.1`. `format`: of the picture ('svg', 'png', 'pdf', ...); `rankdir`: where
    the graph grows to, one of 'LR', 'RL', 'TB', 'BT'. `.source` is the text, `.pipe()` gives the
    picture, `.render(name)` writes it to a file.

    Graphviz's program `dot` draws it. Where that is not installed, graphs of up to 150 Values are
    drawn all the same, as 'svg'; for others an error of one line says how to install it.

    ValueError for more than `max_nodes` Values, which no screen shows: draw a part then, by an
    inner Value as root. ImportError, with the line that installs it, where the package is missing.
    """
    if not isinstance(root, Value):
        raise TypeError(f"draw_dot: expected a Value, got {type(root).__name__}")
    check_direction("draw_dot", rankdir)
    graphviz = need("graphviz")
    if more_than(max_nodes, root):
        raise ValueError(
            f"draw_dot: the graph has more than {max_nodes} Values, too many to read; draw a part "
            "of it, such as the output of one neuron or the loss of one sample (any Value can be "
            "the root), or raise max_nodes"
        )
    picture = new_picture(format, rankdir)
    names, nodes, edges = parts_of(root)
    for name, node in zip(names, nodes, strict=True):
        if node.is_box:
            put_box(picture, name, node, rankdir)
        else:
            picture.node(name, graphviz.escape(node.fields[0]), fillcolor=node.colour)
    for operand, user in edges:
        picture.edge(names[operand], names[user])
    if sum(node.is_box for node in nodes) <= SMALL:
        picture.draw_without_dot(functools.partial(svg, nodes, edges, rankdir))
    return picture


def check_direction(what: str, rankdir: str) -> None:
    if rankdir not in DIRECTIONS:
        raise ValueError(f"{what}: expected rankdir among {', '.join(DIRECTIONS)}; got {rankdir!r}")


def new_picture(format: str, rankdir: str) -> Any:
    """A graph without nodes."""
    return picture_class()(
        format=format,
        graph_attr={"rankdir": rankdir, "bgcolor": "white", "nodesep": "0.15", "ranksep": "0.3"},
        node_attr={"fontname": "Helvetica", "fontsize": "11", "style": "filled"},
        edge_attr={"arrowsize": "0.6", "color": "#555555"},
    )


def put_box(picture: Any, name: str, node: Node, rankdir: str) -> None:
    text = " | ".join(map(escape_field, node.fields))
    # Braces turn the fields to stand side by side in either direction.
    text = f"{{ {text} }}" if rankdir in ("LR", "RL") else text
    picture.node(name, text, shape="record", fillcolor=node.colour)


def draw_program(
    f: CompiledFunction, format: str = "svg", rankdir: str = "TB", *, max_nodes: int = 300
) -> Any:
    """The program of a compiled function as a `graphviz.Digraph`, which a notebook shows at once.

    It is what is left after optimisation, of the program used last. A box for each step: nodes that
    are computed alike, one beside the other, are one. It says what is computed and the shape of the
    result, where B is the number of samples; `one number` is computed once a batch. Arguments are
    blue, random draws pink, results green, and parameters yellow, with the names of what holds them
    where that is known, such as `layers.0.w`. A scan is a box around the steps of its body.

    `format`, `rankdir`, what is drawn without Graphviz's program `dot`, and ImportError: as in
    draw_dot(). TypeError for what compile() has not made. ValueError before the first call, since
    nothing has been recorded yet, and for more than `max_nodes` boxes, which no screen shows.
    """
    if not isinstance(f, CompiledFunction):
        raise TypeError(
            f"draw_program: expected a compiled function, got {type(f).__name__}; "
            "compile(f) makes one"
        )
    check_direction("draw_program", rankdir)
    need("graphviz")
    from .steps import Step, steps_of  # with the names of export, for those who draw programs

    steps = steps_of(f)
    count, rest = 0, [steps]
    while rest:
        inner = rest.pop()
        count += len(inner)
        rest += [step.body for step in inner if step.body]
    if count > max_nodes:
        raise ValueError(
            f"draw_program: the program has {count:,} steps, too many to read; draw that of a part "
            "of the function, compiled by itself, or raise max_nodes"
        )
    picture = new_picture(format, rankdir)

    def node_of(step: Step) -> Node:
        fields = step.text.split("\n") if step.kind == "results" else [step.text, step.size]
        inside = drawing(*parts(step.body), rankdir) if step.body else None
        return Node(fields, KINDS[step.kind], is_box=True, inside=inside)

    def parts(steps: list[Step]) -> tuple[list[Node], list[tuple[int, int]]]:
        edges = [(operand, k) for k, step in enumerate(steps) for operand in step.operands]
        return [node_of(step) for step in steps], edges

    def put(steps: list[Step], to: Any, prefix: str) -> list[str]:
        """Bodies of loops are as deep in each other as functions in the recorded code."""
        outputs: list[str] = []
        for k, step in enumerate(steps):
            name = f"{prefix}{k}"
            if step.body:
                with to.subgraph(name=f"cluster_{name}") as cluster:
                    cluster.attr(label=f"{step.text} {step.size}", fontname="Helvetica")
                    cluster.attr(fontsize="11", style="rounded", color="#555555")
                    inner = put(step.body, cluster, f"{name}_")
                for source, target in zip(step.body, inner, strict=True):
                    for outer in source.sources:
                        picture.edge(outputs[outer], target)
                    if source.text == "carried":
                        picture.edge(inner[-1], target, style="dashed", constraint="false")
                outputs.append(inner[-1])
                continue
            put_box(to, name, node_of(step), rankdir)
            for operand in step.operands:
                to.edge(outputs[operand], name)
            outputs.append(name)
        return outputs

    put(steps, picture, "step")
    if count <= SMALL:
        picture.draw_without_dot(lambda: svg(*parts(steps), rankdir))
    return picture


def html_of(value: Value) -> str | None:
    """What a notebook shows of a Value: the text, and its graph where that is small."""
    if not value._op or more_than(SMALL_CELL, value):
        return None
    _, nodes, edges = parts_of(value)
    return f"<code>{escape(repr(value))}</code><br>\n{svg(nodes, edges)}"


def parts_of(root: Value) -> tuple[list[str], list[Node], list[tuple[int, int]]]:
    """The picture's nodes, with a name for each, and its edges, as pairs of indices of nodes."""
    names: list[str] = []
    nodes: list[Node] = []
    edges: list[tuple[int, int]] = []
    box: dict[int, int] = {}  # of the Value with that id, its index
    values = topological_sort(root)
    parameters = parameter_names()  # by ids that are theirs: all values are held
    binary = {row["symbol"] for row in operations() if row["shape"] == "binary"}
    for k, value in enumerate(values):
        operands = sorted(box[id(operand)] for operand in value._prev)
        # _prev is a set: of a * a, it holds one.
        operands *= 2 if len(operands) == 1 and value._op in binary else 1
        if value._op:
            names.append(f"op{k}")
            nodes.append(Node([value._op], OPERATION, is_box=False))
            edges += [(operand, len(nodes) - 1) for operand in operands]
            operands = [len(nodes) - 1]
        fields = [f"data {short(value.data)}", f"grad {short(value.grad)}"]
        label = value.label or parameters.get(id(value))
        if label:
            fields.insert(0, str(label))
        box[id(value)] = len(nodes)
        names.append(f"value{k}")
        nodes.append(
            Node(fields, ROOT if value is root else INNER if operands else LEAF, is_box=True)
        )
        edges += [(operand, len(nodes) - 1) for operand in operands]
    return names, nodes, edges


def more_than(count: int, root: Value) -> bool:
    """Whether the graph has more Values than that; looks at no more of them than it has to."""
    seen, stack = {id(root): root}, [root]
    while stack and len(seen) <= count:
        for operand in stack.pop()._prev:
            if id(operand) not in seen:
                seen[id(operand)] = operand
                stack.append(operand)
    return len(seen) > count


def short(number: float) -> str:
    """Four decimals where they say something, else an exponent."""
    if number == 0 or 1e-3 <= abs(number) < 1e5 or not math.isfinite(number):
        return f"{number:.4f}"
    return f"{number:.3e}"


def escape_field(text: str) -> str:
    """Text as a field of a record, where braces, bars, angle brackets and `&` have a meaning."""
    escaped = "".join(f"\\{c}" if c in "\\{}|<> " else c for c in text.replace("&", "&amp;"))
    return escaped.replace("\n", "\\n")


def plot_losses(
    losses: Iterable[Operand], *, ax: Any = None, label: str | None = None, log: bool = False
) -> Any:
    """Draws a loss a step; returns matplotlib's Axes.

    `losses`: Values or numbers, in the order of the steps; what is not finite leaves a gap. Of the
    History that `fit` gives, the validation losses are drawn, too, where they were measured.
    `ax`: the Axes to draw on; None: new ones. `label`: the line's name in a legend. `log`: a
    logarithmic scale. ValueError for no losses at all; ImportError where matplotlib is missing.
    """
    numbers = [as_number(loss) for loss in losses]
    if not numbers:
        raise ValueError("plot_losses: expected at least one loss, got none")
    curves = [(label, list(range(len(numbers))), numbers)]
    if isinstance(losses, History) and losses.validation:
        steps = [step - 1 for step in losses.validation_steps]
        name = f"{label}, validation" if label else "validation"
        curves = [(label or "training", *curves[0][1:]), (name, steps, losses.validation)]
    ax = ax if ax is not None else new_axes()
    for title, steps, heights in curves:
        marker = "." if len(heights) < 3 else ""
        finite = [height if math.isfinite(height) else math.nan for height in heights]
        colour = COLOURS[len(ax.lines) % len(COLOURS)]
        ax.plot(steps, finite, marker=marker, label=title, color=colour, linewidth=1.8)
    if log:
        ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("loss")
    ax.grid(True, color="#dddddd", linewidth=0.7)
    ax.set_axisbelow(True)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    return ax


def plot_decision_boundary(
    model: Callable[..., Any],
    X: Any,
    y: Any,
    *,
    ax: Any = None,
    resolution: int = 200,
    margin: float = 0.4,
    level: float = 0.0,
) -> Any:
    """Draws what a classifier says of every spot of the plane, under its points; returns the Axes.

    `model`: takes a list of two Values and returns its score, a Value or a number, or a list of one
    a class. `X`: the points, shape (n, 2). `y`: their labels, shape (n,). The model is compiled and
    runs on `resolution` times `resolution` spots at once; where it cannot be recorded, it is called
    spot by spot. One score: the boundary stands where it is `level`; several: the largest wins.
    `margin`: how far the picture goes beyond the points.

    ValueError for other shapes; ImportError where matplotlib is missing.
    """
    need("matplotlib")
    import numpy

    X, y = numpy.asarray(X, dtype=float), numpy.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2 or not len(X):
        raise ValueError(f"plot_decision_boundary: expected X of shape (n, 2), got {X.shape}")
    if y.shape != X.shape[:1]:
        raise ValueError(
            f"plot_decision_boundary: expected y of shape ({len(X)},) as X has it, got {y.shape}"
        )
    (left, low), (right, high) = X.min(0) - margin, X.max(0) + margin
    across, up = numpy.linspace(left, right, resolution), numpy.linspace(low, high, resolution)
    spots = numpy.stack(numpy.meshgrid(across, up), -1).reshape(-1, 2)
    scores = scores_of(model, spots)
    scores = scores.reshape(resolution, resolution, -1)

    ax = ax if ax is not None else new_axes()
    classes = numpy.unique(y)
    if scores.shape[2] == 1:
        draw_score(ax, across, up, scores[:, :, 0] - level)
    else:
        draw_classes(ax, across, up, scores.argmax(2), scores.shape[2])
    for k, each in enumerate(classes):
        chosen = X[y == each]
        colour = COLOURS[k % len(COLOURS)]
        name = f"{each:g}" if y.dtype.kind in "iuf" else str(each)
        ax.scatter(*chosen.T, s=26, color=colour, edgecolor="white", linewidth=0.7, label=name)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    ax.legend(title="label", loc="upper right", framealpha=0.9)
    return ax


def scores_of(model: Callable[..., Any], spots: Any) -> Any:
    """The model's results, as an array of doubles; one row, or one number, a spot."""
    import numpy

    try:
        return numpy.asarray(compile(model)(spots))
    except (TraceError, TypeError):  # branches on its numbers, or gives numbers
        with no_grad():
            results = [model([Value(x), Value(y)]) for x, y in spots.tolist()]
    rows = [result if isinstance(result, list | tuple) else [result] for result in results]
    return numpy.array([[as_number(value) for value in row] for row in rows])


def as_number(value: Operand) -> float:
    return value.data if isinstance(value, Value) else float(value)


def draw_score(ax: Any, across: Any, up: Any, scores: Any) -> None:
    """Blue where the score is below 0, orange above, a line between; paler towards it."""
    import numpy
    from matplotlib.colors import LinearSegmentedColormap

    below, above = COLOURS[0], COLOURS[1]
    shades = LinearSegmentedColormap.from_list("score", [below, "#ffffff", above])
    finite = numpy.abs(scores[numpy.isfinite(scores)])
    most = max(float(numpy.quantile(finite, 0.9)) if finite.size else 0.0, 1e-12)
    ax.pcolormesh(
        across, up, scores, cmap=shades, vmin=-most, vmax=most, alpha=0.55, shading="nearest"
    )
    if scores.min() < 0 < scores.max():
        ax.contour(across, up, scores, levels=[0.0], colors="#222222", linewidths=1.4)


def draw_classes(ax: Any, across: Any, up: Any, winners: Any, n_classes: int) -> None:
    from matplotlib.colors import ListedColormap

    shades = ListedColormap([COLOURS[k % len(COLOURS)] for k in range(n_classes)])
    ax.pcolormesh(
        across,
        up,
        winners,
        cmap=shades,
        vmin=-0.5,
        vmax=n_classes - 0.5,
        alpha=0.35,
        shading="nearest",
    )


def new_axes() -> Any:
    """Axes of a new figure."""
    need("matplotlib")
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(6.4, 4.4), layout="constrained")[1]


def need(package: str) -> Any:
    """The package, or ImportError that says how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ImportError(
            f"drawing needs the package {package}, which is not installed: "
            'python -m pip install "micrograd_c[viz]"'
        ) from None
