# SPDX-License-Identifier: MIT
"""A compiled function's program as the boxes of a picture, for `viz.draw_program`.

Nodes that are computed alike, one beside the other, are one *step*: a layer's four tanh are one box
of shape (B, 4), where B is the number of samples. A number in the program's text is part of the box
that uses it. A scan is a step with a body, whose steps are boxes within it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._core import ProgramNode, ProgramScan, Recorded, Value, operations, program_nodes
from .export.extremes import EXTREMES, extremes_in
from .export.names import arrays_of
from .nn import parameter_names

if TYPE_CHECKING:
    from .compiled import CompiledFunction

# Nodes that stand for others' numbers, and have no box.
TRANSPARENT = ("part", "sequence", "list")


@dataclass
class Step:
    """A box. kind: 'argument', 'parameter', 'draw', 'step', 'scan' or 'results'; in a body also
    'state', which is carried, 'element', of a sequence, and 'outside', what all steps read alike.
    """

    kind: str
    text: str
    operands: list[int] = field(default_factory=list)  # steps before it, of the same list
    count: int = 1  # of numbers
    shape: tuple[int, ...] | None = None  # of an array of so many
    of_samples: bool = False  # a number for each sample, or one for all
    body: "list[Step] | None" = None  # the last of its boxes is the state after a step
    sources: list[int] = field(default_factory=list)  # in a body: the steps outside that it gets

    @property
    def size(self) -> str:
        """The shape in words: B is the number of samples."""
        shape = self.shape or ((self.count,) if self.count > 1 else ())
        if self.of_samples:
            return "(B,)" if not shape else f"(B, {', '.join(map(str, shape))})"
        if len(shape) > 1:
            return f"({', '.join(map(str, shape))})"
        return f"{shape[0]} numbers" if shape and shape[0] > 1 else "one number"


def steps_of(compiled: "CompiledFunction") -> list[Step]:
    """The steps of the program used last, each behind its operands; the results are the last."""
    last = compiled._last
    if last is None:
        raise ValueError("draw_program: nothing has been recorded yet; call the function first")
    recorded = last if isinstance(last, Recorded) else last._program
    nodes, roots = program_nodes(recorded)
    boxes = Boxes(nodes, roots)
    arrays, columns = (
        parameters_of(compiled._fn, recorded.parameters),
        columns_of(compiled, recorded),
    )
    for node in nodes:
        if node.kind == "parameter":
            text, shape = arrays[node.at]
            boxes.put_leaf(Step("parameter", text, shape=shape), text)
        elif node.kind == "input":
            text, shape = columns[node.at]
            boxes.put_leaf(Step("argument", text, shape=shape, of_samples=True), ("argument", text))
        else:
            boxes.put(node)
    results = Step("results", "", boxes.steps_at(roots), of_samples=True)
    parts = zip(names_of_parts(recorded.layout), recorded.shapes, strict=True)
    texts = [f"{name} {Step('', '', shape=shape, of_samples=True).size}" for name, shape in parts]
    results.text = "\n".join(texts)
    return [*boxes.steps, results]


def columns_of(compiled: "CompiledFunction", recorded: Recorded) -> list[tuple[str, Any]]:
    """Of each column of the arguments, which argument it is of, and that one's shape."""
    columns: list[tuple[str, Any]] = []
    for k, n in enumerate(recorded.structure):
        columns += [(compiled._name_of(k), None if n < 0 else (n,))] * max(n, 1)
    return columns


def parameters_of(fn: Any, parameters: list[Value]) -> list[tuple[str, Any]]:
    """Of each parameter, the name of what it stands in, and that one's shape: of an array's, the
    array's; of another, its label, or its name in a module."""
    arrays: dict[int, tuple[str, Any]] = {}
    for array in arrays_of(fn, parameters):
        for value in array.values:
            arrays[id(value)] = array.path, array.shape
    names = parameter_names()

    def name(value: Value) -> tuple[str, Any]:
        path, shape = arrays.get(id(value), ("", ()))
        own = value.label or path or names.get(id(value)) or "parameters"
        return (path, shape) if shape else (str(own), None)

    return [name(value) for value in parameters]


def names_of_parts(layout: Any) -> list[str]:
    """What the results are called, by their places in a tuple or dict."""
    names: list[str] = []
    rest: list[tuple[str, Any]] = [("", layout)]
    while rest:
        name, part = rest.pop()
        if part is None:
            names.append(name or "result")
        else:
            items = part.items() if isinstance(part, dict) else enumerate(part)
            rest += [(f"{name}.{key}" if name else str(key), each) for key, each in [*items][::-1]]
    return names


class Boxes:
    """The boxes of a program or a body."""

    def __init__(self, nodes: Sequence[ProgramNode], roots: Sequence[int]) -> None:
        self.nodes = nodes
        self.steps: list[Step] = []
        self.of: list[list[int]] = []  # of each node, the boxes whose numbers it stands for
        self._by_likeness: dict[Any, int] = {}
        uses = Counter([*roots, *(k for node in nodes for k in node.operands)])
        self._extremes = extremes_in(nodes, lambda i: nodes[i].operands, lambda i: uses[i] > 1)

    def steps_at(self, nodes: Iterable[int]) -> list[int]:
        return sorted({step for node in nodes for step in self.of[node]})

    def put_leaf(self, step: Step, likeness: Any) -> None:
        """A node without operands; those alike are one box."""
        self._put(step, likeness)

    def _put(self, step: Step, likeness: Any) -> None:
        known = self._by_likeness.get(likeness) if likeness is not None else None
        if known is None:
            known = len(self.steps)
            self.steps.append(step)
            if likeness is not None:
                self._by_likeness[likeness] = known
        else:
            self.steps[known].count += 1
        self.of.append([known])

    def put(self, node: ProgramNode) -> None:
        """Any other node: the next one."""
        if node.kind in EXTREMES:
            of_all = self._extremes.get(len(self.of))
            if of_all is None:
                self.of.append([])
                return
            node = node._replace(operands=tuple(of_all))
        operands = self.steps_at(node.operands)
        of_samples = any(self.steps[k].of_samples for k in operands)
        if node.kind == "number" or node.kind in TRANSPARENT:
            self.of.append(operands)
        elif node.kind == "draw":
            self._put(Step("draw", node.of, of_samples=True), ("draw", node.of))
        elif node.scan is not None:
            self._put_scan(node, node.scan, of_samples)
        elif node.kind == "matrix product":
            n_in = node.at
            n_out = (len(node.operands) - n_in) // (n_in + node.which)
            text = f"matrix {n_out} x {n_in}" + (" and bias" if node.which else "")
            self._put(Step("step", text, operands, n_out, of_samples=of_samples), None)
        else:
            text, likeness = text_of(node, self.nodes, "%g"), text_of(node, self.nodes, "…")
            self._put(
                Step("step", text, operands, of_samples=of_samples), (likeness, tuple(operands))
            )
            step = self.steps[self.of[-1][0]]
            step.text = text if step.text == text else likeness

    def _put_scan(self, node: ProgramNode, scan: ProgramScan, of_samples: bool) -> None:
        ends = scan.n_carries, scan.n_carries + scan.n_taken
        carried, taken = node.operands[: ends[0]], node.operands[ends[0] : ends[1]]
        captured = node.operands[ends[1] :]
        of_samples |= has_draws(scan)
        inside = Boxes(scan.nodes, scan.roots)
        for inner in scan.nodes:
            if inner.kind == "parameter":
                sources = self.of[captured[inner.at]]
                outer = self.steps[sources[0]] if sources else Step("step", "a number")
                leaf = Step("outside", outer.text, of_samples=outer.of_samples, sources=sources)
                inside.put_leaf(leaf, ("outside", *sources))
            elif inner.kind == "input" and inner.at < ends[0]:
                sources = self.steps_at(carried)
                leaf = Step("state", "carried", of_samples=of_samples, sources=sources)
                inside.put_leaf(leaf, "carried")
            elif inner.kind == "input":
                sources = self.steps_at([taken[inner.at - ends[0]]])
                leaf = Step("element", "of each step", of_samples=of_samples, sources=sources)
                inside.put_leaf(leaf, ("element", *sources))
            else:
                inside.put(inner)
        for step in inside.steps:
            if step.kind == "outside" and step.sources:
                outer = self.steps[step.sources[0]]
                step.shape = outer.shape if step.count == outer.count else None
        text = f"after each step: {ends[0]} carried"
        text += f", {scan.n_made} given" if scan.n_made else ""
        after = Step("state", text, inside.steps_at(scan.roots), of_samples=of_samples)
        text = f"scan, {scan.length:,} steps" + (", the last first" if scan.is_reverse else "")
        step = Step("scan", text, self.steps_at(node.operands), of_samples=of_samples)
        step.body = [*inside.steps, after]
        self._put(step, None)


def has_draws(scan: ProgramScan) -> bool:
    """Whether its body draws, or that of a loop in it."""
    rest = [scan]
    while rest:
        nodes = rest.pop().nodes
        if any(node.kind == "draw" for node in nodes):
            return True
        rest += [node.scan for node in nodes if node.scan]
    return False


ROWS = {row["name"]: row for row in operations()}


def text_of(node: ProgramNode, nodes: Sequence[ProgramNode], number: str) -> str:
    """What a node computes; `number`: how numbers among its operands are written."""
    if node.kind == "sum":
        counts = {"product": node.at, "number": len(node.operands) - 2 * node.at}
        parts = [f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n]
        return f"sum of {' and '.join(parts)}"
    row: dict[str, Any] = ROWS.get(node.kind, {"symbol": node.kind, "shape": ""})
    symbol, is_infix = row["symbol"], not row["symbol"].isidentifier()
    if row["shape"] == "variadic":
        return f"{symbol} of {len(node.operands) - 1}" if node.kind == "take" else symbol
    if row["shape"] == "scaled":
        own = _written(node.number, number)
        return f"x {symbol} {own}" if is_infix else f"{symbol}, {own}"
    if node.kind in EXTREMES and len(node.operands) > 2:
        return f"{symbol} of {len(node.operands)}"
    letters: dict[int, str] = {}
    said: list[str] = []
    for k in node.operands:
        if nodes[k].kind == "number":
            said.append(_written(nodes[k].number, number))
        else:
            said.append(letters.setdefault(k, "xyzw"[len(letters)]))
    if len(letters) == len(said):
        return symbol
    return f" {symbol} ".join(said) if is_infix else f"{symbol}({', '.join(said)})"


def _written(value: float, how: str) -> str:
    return how % value if "%" in how else how
