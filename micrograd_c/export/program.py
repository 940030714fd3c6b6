# SPDX-License-Identifier: MIT
"""What is to be printed: a recorded function, with names for all that it has."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._core import Arguments, ProgramNode, Recorded, Value, program_nodes, record
from ..results import read_result
from ..transforms import hessian_products
from .blocks import Blocks
from .dialects import Dialect
from .draws import Stream
from .loop import drop_unused
from .names import LIBRARY, LOCAL, Array, Names, arrays_of
from .references import ONCE, SAMPLE, Block, Ref, Shape
from .scopes import Scopes

if TYPE_CHECKING:
    from ..compiled import CompiledFunction


@dataclass
class Exported:
    """A recorded function."""

    name: str
    recorded: Recorded
    arguments: list[str]  # their names, as the function has them
    arrays: list[Array]  # its parameters; path: a name
    is_mean: bool
    is_float32: bool
    draws: bool  # whether it does

    @property
    def gradients_name(self) -> str:
        return f"{self.name}_value_and_grad"

    @property
    def has_gradients(self) -> bool:
        recorded = self.recorded
        return recorded.layout is None and recorded.shapes[0] == () and bool(self.arrays)


@dataclass
class Laid:
    """One program of it, as blocks."""

    blocks: Blocks
    arguments: list[Block]
    parameters: list[Block]
    results: list[Ref]  # a reference for each part of the results
    draws: list[Block]  # of the kinds 'normal' and 'uniform', outside of loops
    streams: list[Stream]  # in loops


def prepare(compiled: "CompiledFunction", what: str, arrays: tuple[Any, ...]) -> Exported:
    """What is printed: the program for these arrays, or for those of the last call; with names for
    its parameters: those of what holds them, or by their use."""
    if arrays:
        arguments = Arguments(arrays, compiled._name_of)
    elif compiled._last is None:
        raise ValueError(
            f"{what}: nothing has been recorded yet; call the function first, or give an example "
            "of its arguments"
        )
    elif not compiled._last.structure:
        arguments = Arguments((), compiled._name_of, 1)
    else:
        inside = [0.5 if n < 0 else [0.5] * n for n in compiled._last.structure]
        arguments = Arguments(tuple([number] for number in inside), compiled._name_of)
    fn, structure = compiled._fn, arguments.structure
    if hessian_products(fn, structure) is None or structure in compiled._programs:
        recorded = compiled._program(arguments)
    else:  # and calls go on by products
        recorded = record(fn, read_result, arguments, compiled._skip)
    parameters = recorded.parameters
    names = Names(*LOCAL, members=True)
    held = arrays_of(fn, parameters)
    known = {id(value) for array in held for value in array.values}
    rest = [value for value in parameters if id(value) not in known]
    found = [*held, *_by_use(recorded, rest)]
    own_arrays = [array._replace(path=names.take(array.path, "p")) for array in found]
    name = getattr(fn, "__name__", type(fn).__name__.lower())
    name = Names(*LIBRARY.split()).take("function" if name == "<lambda>" else name, "function")
    own = [compiled._name_of(k) for k in range(len(structure))]
    is_mean = compiled._reduction == "mean"
    draws = any(node.kind == "draw" for node in Scopes(*program_nodes(recorded)).nodes)
    return Exported(name, recorded, own, own_arrays, is_mean, compiled._is_float32, draws)


def _by_use(recorded: Recorded, values: list[Value]) -> Iterable[Array]:
    """Arrays of parameters that nobody is known to hold: the weights and biases of products, what
    has a label, and all others as one."""
    if not values:
        return []
    nodes, _ = program_nodes(recorded)
    missing = {id(value): value for value in values}
    arrays: list[Array] = []

    def take(path: str, shape: Shape, operands: Iterable[int]) -> None:
        kinds = [nodes[i] for i in operands]
        found = [recorded.parameters[node.at] for node in kinds if node.kind == "parameter"]
        ids = {id(value) for value in found}
        if shape == () and found and _has_label(found[0]):
            return
        if ids and len(ids) == len(kinds) and ids <= missing.keys():
            arrays.append(Array(path, shape, found))
            for one in ids:
                del missing[one]

    products = [node for node in nodes if node.kind == "matrix product"]
    for k, node in enumerate(products, start=1):
        n_in = node.at
        n_out = (len(node.operands) - n_in) // (n_in + node.which)
        end = n_in * (n_out + 1)
        weights = (n_out, n_in) if n_out > 1 else (n_in,) if n_in > 1 else ()
        take(f"w{k}", weights, node.operands[n_in:end])
        take(f"b{k}", (n_out,) if n_out > 1 else (), node.operands[end:])
    for value in list(missing.values()):
        if _has_label(value):
            arrays.append(Array(value.label, (), [value]))
            del missing[id(value)]
    if missing:
        left = list(missing.values())
        arrays.append(Array("p", (len(left),) if len(left) > 1 else (), left))
    return arrays


def _has_label(value: Value) -> bool:
    return isinstance(value.label, str) and bool(value.label)


def lay_out(exported: Exported, names: Names, dialect: Dialect, gradients: bool) -> Laid:
    """The function's program, or that of its loss and gradients, as blocks.

    ValueError for what the dialect has no text for.
    """

    def refuse(node: ProgramNode) -> None:
        why = ", whose value only Python knows" if node.kind == "custom" else ""
        raise ValueError(
            f"source: the function has a node of kind {node.kind!r}{why}, which cannot be printed "
            f"in {dialect.name!r}"
        )

    recorded = exported.recorded
    nodes, roots = program_nodes(recorded, gradients)
    scopes = Scopes(nodes, roots)
    blocks, nodes, roots = Blocks(scopes, dialect.kept), scopes.nodes, scopes.roots
    inputs = {node.at: i for i, node in enumerate(nodes) if node.kind == "input"}
    places = {node.at: i for i, node in enumerate(nodes) if node.kind == "parameter"}
    places_of = {id(value): k for k, value in enumerate(recorded.parameters)}
    parameters, arguments, column = [], [], 0
    for array in exported.arrays:
        block = Block("parameter", array.shape, stage=ONCE, name=names.take(array.path))
        own = [places.get(places_of.get(id(value), -1)) for value in array.values]
        parameters.append(blocks.put(block, own))
    for name, n in zip(exported.arguments, recorded.structure, strict=True):
        block = Block("argument", () if n < 0 else (n,), stage=SAMPLE, name=names.take(name))
        count = 1 if n < 0 else n
        arguments.append(blocks.put(block, [inputs.get(column + k) for k in range(count)]))
        column += count
    draws = [blocks.put(*each) for each in _drawn(scopes, names)]
    streams = _streams(scopes, names)
    for body in scopes.bodies.values():
        blocks.put_drawn(body, streams)
    blocks.add(roots, refuse)
    if gradients:
        results = [blocks.ref(roots[:1])]
        for array in exported.arrays:
            derivatives = [places_of.get(id(value)) for value in array.values]
            results.append(_derivatives(blocks, roots, derivatives))
    else:
        results, first = [], 0
        for shape in recorded.shapes:
            size = _size(shape)
            part = roots[first : first + size]
            results.append(blocks.vector(part) if size > 1 else blocks.ref(part))
            first += size
    drop_unused(results)
    return Laid(blocks, arguments, parameters, results, draws, streams)


_KINDS_OF_DRAWS = {"normal": "z", "uniform": "u"}


def _drawn(scopes: Scopes, names: Names) -> Iterable[tuple[Block, list[int]]]:
    """Blocks of the draws of each kind outside of loops, and which nodes they are."""
    nodes = scopes.nodes
    draws = [i for i, node in enumerate(nodes) if node.kind == "draw" and not scopes.scopes[i]]
    for kind, name in _KINDS_OF_DRAWS.items():
        drawn = [i for i in draws if nodes[i].of == kind]
        drawn.sort(key=lambda i: nodes[i].at)
        if drawn:
            shape = (len(drawn),) if len(drawn) > 1 else ()
            block = Block(kind, shape, stage=SAMPLE, name=names.take(name))
            block.numbers = [nodes[i].at for i in drawn]
            yield block, drawn


def _streams(scopes: Scopes, names: Names) -> list[Stream]:
    """What is drawn in loops: of each kind, what has as many steps."""
    steps: dict[tuple[str, int], int] = {}
    for body in scopes.bodies.values():
        for i in body.drawn:
            key = scopes.nodes[i].of, scopes.nodes[i].at
            steps[key] = max(steps.get(key, 0), body.n_steps)
    streams: dict[tuple[str, int], Stream] = {}
    for kind, number in sorted(steps):
        n_steps = steps[kind, number]
        if (kind, n_steps) not in streams:
            name = names.take(f"{_KINDS_OF_DRAWS[kind]}s")
            streams[kind, n_steps] = Stream(kind, n_steps, [], name)
        streams[kind, n_steps].numbers.append(number)
    return list(streams.values())


def _derivatives(blocks: Blocks, roots: list[int], places: list[int | None]) -> Ref:
    """Those by an array's parameters; by one that the function does not read, 0."""
    if None not in places:
        return blocks.ref([roots[1 + k] for k in places if k is not None])
    zero = Ref(None, number=0.0)
    pieces = [zero if k is None else blocks.ref([roots[1 + k]]) for k in places]
    if all(piece.block is None for piece in pieces):
        return zero
    return Ref(Block("collected", (len(places),), [*pieces]), count=len(places))


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
