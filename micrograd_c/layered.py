# SPDX-License-Identifier: MIT
"""A small graph as an SVG picture, for `draw_dot` where Graphviz's program `dot` is missing.

Four steps (Sugiyama, Tagawa and Toda, 1981): each node gets a layer behind those of its operands;
the order within a layer is chosen for few crossings; positions move towards the neighbours'; then
edges are curves between layers, and straight where they pass through one.

Lengths are pixels. `along` is the direction that the graph grows in, `across` the other one.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from unicodedata import category, east_asian_width

FONT, LINE, PADDING, MARGIN = 11.0, 14.0, 8.0, 8.0
# Of letters, in units of the font's size; most digits and small letters take 0.56.
WIDTHS = {
    letter: width
    for letters, width in ((" .,:;|!'ijl", 0.28), ("()[]{}/\\-rtf", 0.34), ("mwMW@%", 0.9))
    for letter in letters
} | dict.fromkeys("ABCDEFGHKNOPQRSTUVXYZ", 0.7)
BETWEEN_LAYERS, BETWEEN_NODES, BETWEEN_EDGES, TWINS = 34.0, 12.0, 8.0, 8.0


@dataclass
class Drawing:
    """Elements of a picture, and how much room they take."""

    width: float
    height: float
    elements: list[str]


@dataclass
class Node:
    """A box of fields side by side, or an ellipse with one; a box may have a picture below them."""

    fields: Sequence[str]
    colour: str
    is_box: bool
    inside: Drawing | None = None

    def __post_init__(self) -> None:
        self.lines = [[printable(line) for line in field.split("\n")] for field in self.fields]
        self.widths = [max(map(width_of, lines)) + 2 * PADDING for lines in self.lines]
        self.head = max(map(len, self.lines)) * LINE + PADDING
        self.width, self.height = sum(self.widths), self.head
        if self.inside:
            self.widths[0] += max(0.0, self.inside.width - self.width)
            self.width = sum(self.widths)
            self.height += self.inside.height


@dataclass
class Spot:
    """A place in a layer: a node's, or, without one, where a long edge passes through."""

    layer: int
    node: Node | None = None
    before: list["Spot"] = field(default_factory=list)
    after: list["Spot"] = field(default_factory=list)
    order: int = 0
    across: float = 0.0
    breadth: float = 0.0


def printable(text: str) -> str:
    """The text without what XML has no place for."""
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) in ("Cc", "Cs") else c for c in text)


def width_of(text: str) -> float:
    """About what Helvetica needs."""
    return FONT * sum(1.0 if east_asian_width(c) in "WF" else WIDTHS.get(c, 0.58) for c in text)


def svg(nodes: Sequence[Node], edges: Sequence[tuple[int, int]], rankdir: str = "LR") -> str:
    """The picture's text, of what `drawing` draws."""
    picture = drawing(nodes, edges, rankdir)
    width, height = short(picture.width), short(picture.height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="Helvetica, Arial, sans-serif" font-size="{short(FONT)}" '
            'text-anchor="middle" stroke-width="1">',
            '<defs><marker id="arrow" viewBox="0 0 8 6" refX="8" refY="3" markerWidth="8" '
            'markerHeight="6" orient="auto"><path d="M0 0 L8 3 L0 6 z" fill="#555555"/>'
            "</marker></defs>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *picture.elements,
            "</svg>\n",
        ]
    )


def drawing(
    nodes: Sequence[Node], edges: Sequence[tuple[int, int]], rankdir: str = "LR"
) -> Drawing:
    """The graph.

    `nodes`: each behind its operands, the root last. `edges`: pairs of their indices, from operand
    to user; two where it is an operand twice. `rankdir`: 'LR', 'RL', 'TB' or 'BT'.
    """
    lying = rankdir in ("LR", "RL")
    spots, paths = make_spots(nodes, edges)
    layers: list[list[Spot]] = [[] for _ in range(1 + max(spot.layer for spot in spots))]
    for spot in in_depth_first_order(spots[len(nodes) - 1 :: -1]):
        layers[spot.layer].append(spot)
        if spot.node:
            spot.breadth = spot.node.height if lying else spot.node.width
    untangle(layers)
    place(layers)

    starts, depths, end = [], [], MARGIN
    for layer in layers:
        sizes = [spot.node.width if lying else spot.node.height for spot in layer if spot.node]
        starts.append(end)
        depths.append(max(sizes, default=0.0))
        end += depths[-1] + BETWEEN_LAYERS
    end += MARGIN - BETWEEN_LAYERS
    first = min(spot.across - spot.breadth / 2 for spot in spots) - MARGIN
    last = max(spot.across + spot.breadth / 2 for spot in spots) + MARGIN

    def point(along: float, across: float) -> tuple[float, float]:
        along, across = end - along if rankdir in ("RL", "BT") else along, across - first
        return (along, across) if lying else (across, along)

    def pair(along: float, across: float) -> str:
        return " ".join(map(short, point(along, across)))

    def curve(path: Sequence[Spot], shift: float) -> str:
        source, target = path[0], path[-1]
        text, left = "", 0.0
        for spot in path:
            near, far = starts[spot.layer], starts[spot.layer] + depths[spot.layer]
            across = spot.across + (shift if spot in (source, target) else 0.0)
            if spot.node:
                depth = spot.node.width if lying else spot.node.height
                edge = (near + far + (depth if spot is source else -depth)) / 2
            if spot is source:
                text = f"M{pair(edge, across)}" + (f" L{pair(far, across)}" if far > edge else "")
            else:
                middle = near - BETWEEN_LAYERS / 2
                text += f" C{pair(middle, left)} {pair(middle, across)} {pair(near, across)}"
                stop = edge if spot is target else far
                text += f" L{pair(stop, across)}" if stop > near else ""
            left = across
        return f'<path d="{text}"/>'

    parts = []
    for k, path in enumerate(paths):
        twins = [j for j, edge in enumerate(edges) if edge == edges[k]]
        parts.append(curve(path, TWINS * (twins.index(k) - (len(twins) - 1) / 2)))
    for spot in spots:
        if spot.node:
            middle = starts[spot.layer] + depths[spot.layer] / 2
            parts += shapes(spot.node, *point(middle, spot.across))
    width, height = (end, last - first) if lying else (last - first, end)
    edges_first = [
        '<g fill="none" stroke="#555555" marker-end="url(#arrow)">',
        *parts[: len(paths)],
    ]
    return Drawing(width, height, [*edges_first, "</g>", *parts[len(paths) :]])


# -- layers ----------------------------------------------------------------------------------------


def make_spots(
    nodes: Sequence[Node], edges: Sequence[tuple[int, int]]
) -> tuple[list[Spot], list[list[Spot]]]:
    """The spots, those of nodes first, and the spots that each edge leads through."""
    layers = [0] * len(nodes)
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layers[target] = max(layers[target], layers[source] + 1)
    operands = {target for _, target in edges}
    for k in range(len(nodes)):
        users = [layers[target] for source, target in edges if source == k]
        if k not in operands and users:
            layers[k] = min(users) - 1  # a leaf stands right before its first use
    spots = [Spot(layer, node) for layer, node in zip(layers, nodes, strict=True)]
    paths = []
    for source, target in edges:
        path = [spots[source]]
        path += [Spot(layer) for layer in range(layers[source] + 1, layers[target])]
        spots += path[1:]
        path.append(spots[target])
        for left, right in pairwise(path):
            left.after.append(right)
            right.before.append(left)
        paths.append(path)
    return spots, paths


def in_depth_first_order(roots: Iterable[Spot]) -> list[Spot]:
    """Every spot once, operands in written order: a tree comes out without a crossing."""
    order: list[Spot] = []
    seen: set[int] = set()
    for root in roots:
        stack = [(root, iter(root.before))] if id(root) not in seen else []
        seen.add(id(root))
        while stack:
            following = next((other for other in stack[-1][1] if id(other) not in seen), None)
            if following is None:
                order.append(stack.pop()[0])
            else:
                seen.add(id(following))
                stack.append((following, iter(following.before)))
    return order


# -- order and positions ---------------------------------------------------------------------------


def untangle(layers: list[list[Spot]]) -> None:
    """Orders each layer by the mean place of its neighbours, forth and back; keeps the best."""
    number(layers)
    fewest, best = crossings(layers), [list(layer) for layer in layers]
    for sweep in range(12):
        if not fewest:
            break
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            places = {}
            for spot in layer:
                others = spot.before if sweep % 2 == 0 else spot.after
                orders = [other.order for other in others] or [spot.order]
                places[id(spot)] = sum(orders) / len(orders)
            layer.sort(key=lambda spot: places[id(spot)])
            number([layer])
        found = crossings(layers)
        if found < fewest:
            fewest, best = found, [list(layer) for layer in layers]
    layers[:] = best
    number(layers)


def number(layers: list[list[Spot]]) -> None:
    for layer in layers:
        for k, spot in enumerate(layer):
            spot.order = k


def crossings(layers: list[list[Spot]]) -> int:
    """How many pairs of edges cross between two layers."""
    count = 0
    for layer in layers:
        ends: list[int] = []
        for spot in layer:
            following = sorted(other.order for other in spot.after)
            count += sum(len(ends) - bisect_left(ends, end + 1) for end in following)
            for end in following:
                insort(ends, end)
    return count


def place(layers: list[list[Spot]]) -> None:
    """Moves spots across to where their neighbours are, as near as order and room allow."""
    for layer in layers:
        settle(layer, [0.0] * len(layer))
    for sweep in range(40):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wishes = []
            for spot in layer:
                one, other = (spot.before, spot.after)[:: 1 if sweep % 2 == 0 else -1]
                wishes.append(mean_place(spot, (one or other) if sweep < 20 else one + other))
            settle(layer, wishes)


def mean_place(spot: Spot, neighbours: list[Spot]) -> float:
    """Of the neighbours; one that has no other on that side counts more, to be straight ahead."""
    total, places = 0.0, 0.0
    for neighbour in neighbours:
        left, right = (spot, neighbour) if spot.layer < neighbour.layer else (neighbour, spot)
        weight = 6.0 if len(left.after) == len(right.before) == 1 else 1.0
        total, places = total + weight, places + weight * neighbour.across
    return places / total if total else spot.across


def settle(layer: list[Spot], wishes: Sequence[float]) -> None:
    """The positions with the least squared distance to the wishes that keep order and gaps.

    Isotonic regression: neighbours that are in each other's way move as one block. Where an edge
    passes through, its wish counts more, so that long edges are straight.
    """
    offsets = [0.0]
    blocks: list[tuple[float, float, int]] = []
    for left, right in pairwise(layer):
        gap = BETWEEN_NODES if left.node and right.node else BETWEEN_EDGES
        offsets.append(offsets[-1] + (left.breadth + right.breadth) / 2 + gap)
    for spot, wish, offset in zip(layer, wishes, offsets, strict=True):
        mean, weight, count = wish - offset, 1.0 if spot.node else 4.0, 1
        while blocks and blocks[-1][0] > mean:
            mean2, weight2, count2 = blocks.pop()
            mean = (mean * weight + mean2 * weight2) / (weight + weight2)
            weight, count = weight + weight2, count + count2
        blocks.append((mean, weight, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    for spot, mean, offset in zip(layer, means, offsets, strict=True):
        spot.across = mean + offset


# -- shapes ----------------------------------------------------------------------------------------


def shapes(node: Node, x: float, y: float) -> list[str]:
    """The elements of a node whose middle is there."""
    left, top = x - node.width / 2, y - node.height / 2
    look = f'fill="{node.colour}" stroke="#000000"'
    if node.is_box:
        frame = (
            f'<rect x="{short(left)}" y="{short(top)}" width="{short(node.width)}" '
            f'height="{short(node.height)}" {look}/>'
        )
    else:
        radii = f'rx="{short(node.width / 2)}" ry="{short(node.height / 2)}"'
        frame = f'<ellipse cx="{short(x)}" cy="{short(y)}" {radii} {look}/>'
    parts = [frame]
    if node.inside:
        down = top + node.head
        parts += [
            f'<path d="M{short(left)} {short(down)} h{short(node.width)}" stroke="#000000"/>',
            f'<g transform="translate({short(x - node.inside.width / 2)} {short(down)})">',
            *node.inside.elements,
            "</g>",
        ]
    middle = top + node.head / 2
    for k, (lines, width) in enumerate(zip(node.lines, node.widths, strict=True)):
        if k:
            parts.append(
                f'<path d="M{short(left)} {short(top)} v{short(node.head)}" stroke="#000000"/>'
            )
        for j, line in enumerate(lines):
            baseline = middle + (j - (len(lines) - 1) / 2) * LINE + 0.35 * FONT
            place = f'x="{short(left + width / 2)}" y="{short(baseline)}"'
            parts.append(f"<text {place}>{escape(line)}</text>")
        left += width
    return parts


def short(number: float) -> str:
    """One decimal at most."""
    return f"{number:.1f}".removesuffix(".0")
