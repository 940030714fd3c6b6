# SPDX-License-Identifier: MIT
"""The nodes of a program and those of its loops' bodies, as one list.

What a body reads from around it is the node itself, and what is the same in every step stands
around the loop. So each node has a *scope*: the innermost loop whose steps change it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .._core import ProgramNode, ProgramScan


@dataclass(eq=False)
class Body:
    """A scan's body; all are nodes of the list."""

    scan: ProgramScan
    around: "Body | None"  # in which it was written
    carries: list[int] = field(default_factory=list)  # what a step begins with
    elements: list[int] = field(default_factory=list)  # of the sequences that are taken
    following: list[int] = field(default_factory=list)  # carries of the next step
    made: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)  # carries of the first step ...
    taken: list[int] = field(default_factory=list)  # ... and sequences, in the scope around it
    drawn: list[int] = field(default_factory=list)  # random numbers, anew in every step
    draws: bool = False  # whether it does, or a loop in it
    sums: dict[int, int] | None = None  # carries that steps only add to, and what they add

    @property
    def depth(self) -> int:
        return 1 + (self.around.depth if self.around else 0)

    @property
    def n_steps(self) -> int:
        """How many steps draws may tell apart: one more than the number of the last one."""
        span, first, stride = self.scan.numbering
        outer = self.around.n_steps - 1 if self.around else 0
        return 1 + outer * span + first + (self.scan.length - 1) * stride


class Scopes:
    """nodes: operands before their node; those of a scan are its first carries, the sequences that
    it takes, and what its body reads besides. roots: the program's."""

    def __init__(self, nodes: Sequence[ProgramNode], roots: Iterable[int]) -> None:
        self.nodes: list[ProgramNode] = []
        self.scopes: list[Body | None] = []
        self.bodies: dict[int, Body] = {}  # by their scan
        places = self._put(nodes, [], None)
        self.roots = [places[root] for root in roots]

    def _put(
        self, nodes: Sequence[ProgramNode], captured: Sequence[int], body: Body | None
    ) -> list[int]:
        """Adds a body's nodes, or those of all: where each of them is."""
        places: list[int] = []
        for node in nodes:
            operands = [places[k] for k in node.operands]
            if body and node.kind == "parameter":
                places.append(captured[node.at])
            elif body and node.kind == "input":
                places.append(self._add_input(body, node.at))
            elif node.scan:
                places.append(self._add_scan(node, node.scan, operands, body))
            else:
                is_drawn = node.kind == "draw"
                scope = body if is_drawn else self._innermost(operands)
                places.append(self._add(node._replace(operands=tuple(operands)), scope))
                if body and is_drawn:
                    body.drawn.append(places[-1])
        return places

    def _add(self, node: ProgramNode, scope: Body | None) -> int:
        self.nodes.append(node)
        self.scopes.append(scope)
        return len(self.nodes) - 1

    def _add_input(self, body: Body, which: int) -> int:
        n = len(body.carries)
        return body.carries[which] if which < n else body.elements[which - n]

    def _add_scan(
        self, node: ProgramNode, scan: ProgramScan, operands: list[int], around: Body | None
    ) -> int:
        """The body's nodes, and behind them the scan."""
        n = scan.n_carries
        body = Body(scan, around)
        body.first, body.taken = operands[:n], operands[n : n + scan.n_taken]
        begin = len(self.nodes)
        for inputs, kind, count in (
            (body.carries, "carry", n),
            (body.elements, "element", scan.n_taken),
        ):
            model = ProgramNode(kind, 0, (), 0.0, 0, "", 0, None)
            inputs += [self._add(model, body) for _ in range(count)]
        places = self._put(scan.nodes, operands[n + scan.n_taken :], body)
        roots = [places[root] for root in scan.roots]
        body.following, body.made = roots[:n], roots[n:]
        own = [i for i in range(begin, len(self.nodes)) if self.scopes[i] is body]
        read = {k: None for i in own for k in self.nodes[i].operands}
        read.update(dict.fromkeys(roots))
        outer = [k for k in read if self.scopes[k] is not body]
        operands = [*body.first, *body.taken, *outer]
        body.draws = any(self.nodes[i].kind == "draw" for i in range(begin, len(self.nodes)))
        scope = around if body.draws else self._innermost(operands)
        self.bodies[len(self.nodes)] = body
        return self._add(node._replace(operands=tuple(operands)), scope)

    def _innermost(self, operands: Iterable[int]) -> Body | None:
        scopes = [scope for scope in (self.scopes[k] for k in operands) if scope]
        return max(scopes, key=lambda scope: scope.depth, default=None)
