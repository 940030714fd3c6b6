# SPDX-License-Identifier: MIT
"""Loops: scan, which a compiled function holds as one node, and checkpoint, which keeps less.

Structures are Values and numbers, and lists, tuples and dicts of them; None is a structure of no
numbers.
"""

import functools
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, SupportsIndex, TypeAlias, TypeVar, overload

from . import _core
from ._core import Condition, TraceError, Value
from .results import is_number

__all__ = ["Steps", "checkpoint", "scan"]

Structure: TypeAlias = Any
_Body: TypeAlias = Callable[[Structure, Structure], tuple[Structure, Structure]]
_F = TypeVar("_F", bound=Callable[..., Any])


def scan(
    body: _Body,
    carry: Structure,
    xs: Sequence[Structure] | None = None,
    length: SupportsIndex | None = None,
    checkpoint: SupportsIndex = 1,
) -> tuple[Structure, Any]:
    """Carries a structure through steps: the last carry, and what the steps have made.

    body(carry, x): one step, which returns (carry, y). carry: a structure of Values and numbers,
    which keeps its shape from step to step. xs: a list of structures of one shape, an element a
    step; None: x is None. length: how many steps, where xs does not say so. y: a structure of one
    shape, too. The result's second part is a list of the steps' ys; None where y has no numbers.

    Eagerly, a loop. In a function that is being compiled, the body runs once, and one node stands
    for all steps: the program does not grow with them. What micrograd_c.random draws in the body
    is another number in every step. Its ys are then a Steps, which makes a
    Value only of what is asked for, and which is xs for another scan as it is.

    checkpoint: a derivative keeps the carry of every step, or of every checkpoint-th, and computes
    the steps in between again. Eagerly it changes nothing: see checkpoint().

    ValueError if length and xs disagree, or say nothing; TypeError, or ValueError for lists of
    other lengths, if carry, x or y change their shape; TraceError if a body that is being recorded
    branches on its carry, its x or a draw.
    """
    if not callable(body):
        raise TypeError(f"scan: expected a function as body, got {_kind(body)}")
    n = _steps("scan", xs, length)
    block = _whole("checkpoint", checkpoint, least=1)
    first, model = _flatten(carry, "scan: carry")
    if not _core.is_recorded():
        return _loop(body, first, model, xs, n)
    if n == 0:
        return _rebuild(model, first), []
    elements = _Elements(xs, n)
    if block == 1 or n <= block:
        last, steps = _record(body, first, model, elements, (n, 0, 1))
    else:
        last, steps = _record_blocks(body, first, model, elements, block)
    return _rebuild(model, last), steps


class Steps(Sequence[Any]):
    """What the steps of a recorded scan have made: a list that makes its elements when asked."""

    def __init__(self, length: int, element: Callable[[int], Structure], scan: Any = None) -> None:
        self._length = length
        self._element = element
        self.scan = scan  # whose sequences these are, the first of them on; None: of several

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: SupportsIndex) -> Structure: ...
    @overload
    def __getitem__(self, index: slice) -> list[Structure]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Structure:
        if isinstance(index, slice):
            return [self._element(k) for k in range(*index.indices(self._length))]
        k = operator.index(index)
        if not -self._length <= k < self._length:
            raise IndexError(f"scan: step {k} is out of range for {self._length} steps")
        return self._element(k % self._length)

    def __add__(self, other: object) -> list[Structure]:
        return [*self, *other] if isinstance(other, list | Steps) else NotImplemented

    def __radd__(self, other: object) -> list[Structure]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __repr__(self) -> str:
        return f"<what {self._length} steps of a scan have made>"


def checkpoint(fn: _F) -> _F:
    """fn, a function of Values, whose inner nodes are not kept: backward() computes them again.

    fn is called once more when an adjoint arrives at what it has returned, with the numbers that
    its arguments have then: it must do the same again. What it draws from Python's random module,
    as micrograd_c.random does, it draws again. It may read other Values, such as a model's weights,
    and returns a structure of Values. Derivatives that are Values themselves, as
    gradients() and grad() give them, cannot be taken through it: TypeError. In a function that is
    being compiled it is fn itself; there, scan() has a checkpoint of its own.
    """
    if not callable(fn):
        raise TypeError(f"checkpoint: expected a function, got {_kind(fn)}")

    @functools.wraps(fn, updated=())
    def checkpointed(*args: Structure, **named: Structure) -> Structure:
        if _core.is_recorded() or _core.is_in_no_grad():
            return fn(*args, **named)
        return _Checkpoint(lambda: fn(*args, **named)).results()

    return checkpointed  # type: ignore[return-value]


# -- eager loops -----------------------------------------------------------------------------------


def _loop(
    body: _Body, carry: list[Value], model: Structure, xs: Sequence[Structure] | None, n: int
) -> tuple[Structure, Any]:
    ys: list[Structure] = []
    y_model: Structure = None
    x_model: Structure = None
    for step in range(n):
        x = None
        if xs is not None:
            leaves, x_shape = _flatten(xs[step], f"scan: xs[{step}]", x_model)
            x_model = _expect_shape(x_shape, x_model if step else x_shape, f"scan: xs[{step}]")
            x = _rebuild(x_model, leaves)
        carry, made, y_shape = _step(body, _rebuild(model, carry), x, model, y_model)
        y_model = _expect_shape(y_shape, y_model if step else y_shape, "scan: y")
        ys.append(_rebuild(y_model, made))
    return _rebuild(model, carry), None if n and not _count(y_model) else ys


def _step(
    body: _Body, carry: Structure, x: Structure, model: Structure, y_model: Structure = None
) -> tuple[list[Value], list[Value], Structure]:
    """The next carry and y of one call of body, taken apart in the order of their models, and the
    shape of y."""
    result = body(carry, x)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"scan: expected body to return (carry, y), got {_describe(result)}")
    following, shape = _flatten(result[0], "scan: the carry that body returned", model)
    _expect_shape(shape, model, "scan: the carry that body returned")
    made, y_shape = _flatten(result[1], "scan: the y that body returned", y_model)
    return following, made, y_shape


# -- recorded loops --------------------------------------------------------------------------------


class _Elements:
    """The xs of a recorded scan: as many sequences as an element has numbers."""

    def __init__(self, xs: Sequence[Structure] | None, n: int) -> None:
        self.length = n
        self.model: Structure = None
        self.steps: list[list[Value]] = []  # of each step the numbers
        self.sequences: list[Any] = []  # made of all steps
        if xs is None:
            return
        if isinstance(xs, Steps) and xs.scan is not None and xs.scan.is_here():
            self.model = xs.scan.model
            self.sequences = xs.scan.sequences()
            self._xs = xs
            return
        for step, x in enumerate(xs):
            leaves, shape = _flatten(x, f"scan: xs[{step}]", self.model)
            if step == 0:
                self.model = shape
            _expect_shape(shape, self.model, f"scan: xs[{step}]")
            self.steps.append(leaves)
        self.sequences = [_core.list_of(list(column)) for column in zip(*self.steps, strict=True)]

    def part(self, first: int, end: int) -> "_Elements":
        """Some of the steps."""
        return _Elements([self._at(k) for k in range(first, end)], end - first)

    def _at(self, k: int) -> Structure:
        return _rebuild(self.model, self.steps[k]) if self.steps else self._xs[k]


class _Scan:
    """One node, and what it gives."""

    def __init__(self, node: Any, model: Structure) -> None:
        self._node = node
        self.model = model  # of a step's y
        self._body = _core.body_being_recorded()  # in which the scan stands
        self._sequences: list[Any] = []
        self._made: dict[int, list[Value]] = {}

    def is_here(self) -> bool:
        """Whether a scan beside this one can take its sequences whole."""
        return self._body is _core.body_being_recorded()

    def last(self, n: int) -> list[Value]:
        return [_core.number_of(self._node, k) for k in range(n)]

    def sequences(self) -> list[Any]:
        if not self._sequences:
            self._sequences = [_core.sequence_of(self._node, k) for k in range(_count(self.model))]
        return self._sequences

    def element(self, k: int) -> Structure:
        if k not in self._made:
            self._made[k] = [_core.number_of(one, k) for one in self.sequences()]
        return _rebuild(self.model, self._made[k])


def _record(
    body: _Body,
    carry: list[Value],
    model: Structure,
    elements: _Elements,
    numbering: tuple[int, int, int],
) -> tuple[list[Value], Steps | None]:
    y_model: Structure = None

    def once(numbers: list[Value], taken: list[Value]) -> tuple[list[Value], list[Value]]:
        nonlocal y_model
        x = _rebuild(elements.model, taken)
        following, made, y_model = _step(body, _rebuild(model, numbers), x, model)
        return following, made

    node = _core.record_scan(once, carry, elements.sequences, elements.length, numbering)
    made = _Scan(node, y_model)
    steps = Steps(elements.length, made.element, made) if _count(y_model) else None
    return made.last(len(carry)), steps


def _record_blocks(
    body: _Body, carry: list[Value], model: Structure, elements: _Elements, block: int
) -> tuple[list[Value], Steps | None]:
    """A scan of scans of `block` steps, and one of what is left. Their draws are those of one."""
    n_blocks, rest = divmod(elements.length, block)
    whole = n_blocks * block

    def steps_of_block(numbers: Structure, xs: Structure) -> tuple[Structure, Structure]:
        last, made = _record(body, numbers, model, _Elements(xs, block), (1, 0, 1))
        return last, None if made is None else made[:]

    # An element of the outer scan is the list of a block's elements.
    rows = None
    if elements.sequences:
        rows = [
            [elements._at(k) for k in range(first, first + block)]
            for first in range(0, whole, block)
        ]
    numbers = [0] * len(carry)
    n = elements.length
    before = _core.drawn_in_bodies()
    last, blocks = _record(steps_of_block, carry, numbers, _Elements(rows, n_blocks), (n, 0, block))
    left: Steps | None = None
    if rest:
        tail = elements.part(whole, n) if elements.sequences else _Elements(None, rest)
        behind = _core.drawn_in_bodies(before)
        last, left = _record(body, last, model, tail, (n, whole, 1))
        _core.drawn_in_bodies(max(behind, _core.drawn_in_bodies()))
    if blocks is None:
        return last, None

    def element(k: int) -> Structure:
        if k < whole:
            return blocks[k // block][k % block]
        assert left is not None
        return left[k - whole]

    return last, Steps(elements.length, element)


# -- checkpoints -----------------------------------------------------------------------------------


class _Checkpoint:
    """One call of a function whose inner nodes are dropped.

    Its operands are what its results depend on and what was there before: Values among the
    arguments, and others that the function has read. One node stands for the call, and one for
    each of its results, which leaves its adjoint here.
    """

    def __init__(self, call: Callable[[], Structure]) -> None:
        self._call = call
        self._model: Structure = None
        before = random.getstate()
        outputs, self._sources = _core.apart(self._outputs)
        self._random = None if random.getstate() == before else before  # None: nothing was drawn
        self._node = Value(0.0, self._sources, "checkpoint")
        self._node._backward = self._pull_back
        self._arrived = [0.0] * len(outputs)
        self._results = [self._result(k, output.data) for k, output in enumerate(outputs)]

    def _outputs(self) -> list[Value]:
        outputs, self._model = _flatten(self._call(), "checkpoint: the result of fn", self._model)
        return outputs

    def _outputs_again(self) -> list[Value]:
        if self._random is None:
            return self._outputs()
        now = random.getstate()
        random.setstate(self._random)
        try:
            return self._outputs()
        finally:
            random.setstate(now)

    def _result(self, k: int, data: float) -> Value:
        result = Value(data, (self._node,), "checkpoint")

        def rule() -> None:
            if self._node.grad == 0.0:  # the first one of this backward pass
                self._arrived = [0.0] * len(self._arrived)
            self._node.grad += 1.0
            self._arrived[k] = result.grad

        result._backward = rule
        return result

    def _pull_back(self) -> None:
        if self._node.grad == 0.0:
            return
        gains = _core.pull_back_apart(self._outputs_again, self._arrived, self._sources)
        for source, gain in zip(self._sources, gains, strict=True):
            source.grad += gain
        self._node.grad = 0.0

    def results(self) -> Structure:
        return _rebuild(self._model, self._results)


# -- structures ------------------------------------------------------------------------------------


def _steps(what: str, xs: Sequence[Structure] | None, length: SupportsIndex | None) -> int:
    """How many steps there are."""
    n = None if length is None else _whole("length", length, least=0)
    if xs is None:
        if n is None:
            raise ValueError(f"{what}: expected xs or length, got neither")
        return n
    if isinstance(xs, Value | dict | set | frozenset | str) or not (
        hasattr(xs, "__len__") and hasattr(xs, "__getitem__")
    ):
        raise TypeError(
            f"{what}: expected a list as xs, an element a step, got {_kind(xs)}; sequences that "
            "belong together are one list of tuples: list(zip(a, b, strict=True))"
        )
    if n is not None and n != len(xs):
        raise ValueError(f"{what}: length is {n}, but xs has {len(xs)} element(s)")
    return len(xs)


def _whole(name: str, number: SupportsIndex, least: int) -> int:
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise TypeError(f"scan: expected a whole number as {name}, got {_kind(number)}")
    whole = operator.index(number)
    if not least <= whole < 2**32 - 1:
        raise ValueError(f"scan: expected {name} from {least} to {2**32 - 2}, got {whole}")
    return whole


def _flatten(
    structure: Structure, where: str, model: Structure = None
) -> tuple[list[Value], Structure]:
    """The Values of a structure in order, numbers among them too, and its shape: with 0 in place of
    each. model: a shape whose dicts say in which order, where they have the same keys."""
    leaves: list[Value] = []
    return leaves, _take_apart(structure, where, model, leaves)


def _take_apart(
    structure: Structure, where: str, model: Structure, leaves: list[Value]
) -> Structure:
    if structure is None:
        return None
    if isinstance(structure, dict):
        like = model if isinstance(model, dict) and model.keys() == structure.keys() else {}
        return {
            key: _take_apart(structure[key], f"{where}[{key!r}]", like.get(key), leaves)
            for key in like or structure
        }
    if isinstance(structure, list | tuple | Steps):
        models = model[: len(structure)] if isinstance(model, list | tuple) else ()
        parts = [
            _take_apart(part, f"{where}[{k}]", like, leaves)
            for k, (part, like) in enumerate(zip_longest(structure, models))
        ]
        return _like(structure, parts)
    if isinstance(structure, Value):
        leaves.append(structure)
    elif is_number(structure):
        leaves.append(Value(structure))
    elif isinstance(structure, Condition):
        raise TraceError(f"{where} is a condition; where(condition, 1.0, 0.0) makes a Value of it")
    else:
        raise TypeError(
            f"{where}: expected Values, numbers, or lists, tuples and dicts of them, "
            f"got {_kind(structure)}"
        )
    return 0


def _like(structure: Structure, parts: list[Any]) -> Structure:
    if not isinstance(structure, tuple):
        return parts
    return structure._make(parts) if hasattr(structure, "_make") else tuple(parts)


def _rebuild(model: Structure, leaves: list[Value]) -> Structure:
    return _fill(model, iter(leaves))


def _fill(model: Structure, leaves: Iterator[Value]) -> Structure:
    if model is None:
        return None
    if isinstance(model, dict):
        return {key: _fill(part, leaves) for key, part in model.items()}
    if isinstance(model, list | tuple):
        return _like(model, [_fill(part, leaves) for part in model])
    return next(leaves)


def _count(model: Structure) -> int:
    """How many numbers a structure of this shape has."""
    if isinstance(model, dict):
        return sum(map(_count, model.values()))
    if isinstance(model, list | tuple):
        return sum(map(_count, model))
    return 0 if model is None else 1


def _expect_shape(got: Structure, expected: Structure, where: str) -> Structure:
    """The expected shape, which the other one has to be."""
    if type(got) is not type(expected):
        raise TypeError(f"{where}: expected {_describe(expected)}, got {_describe(got)}")
    if isinstance(expected, dict):
        if got.keys() != expected.keys():
            raise ValueError(f"{where}: expected keys {[*expected]}, got {[*got]}")
        for key in expected:
            _expect_shape(got[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, list | tuple):
        if len(got) != len(expected):
            raise ValueError(f"{where}: expected {len(expected)} item(s), got {len(got)}")
        for k, (part, like) in enumerate(zip(got, expected, strict=True)):
            _expect_shape(part, like, f"{where}[{k}]")
    return expected


def _describe(shape: Structure) -> str:
    if shape is None:
        return "None"
    if isinstance(shape, list | tuple):
        return f"a {_kind(shape)} of {len(shape)} item(s)"
    return "a dict" if isinstance(shape, dict) else "a Value"


def _kind(thing: object) -> str:
    return type(thing).__name__
