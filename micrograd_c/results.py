# SPDX-License-Identifier: MIT
"""What a function may return to compile(): a structure of Values, which is taken apart here.

Each *part* of the structure becomes one batch of numbers: a Value (of shape `()` for one sample), a
list of n Values (`(n,)`), a list of m lists of n Values (`(m, n)`). Tuples and dicts hold parts,
and tuples and dicts of them. The *layout* is the structure with None in place of each part.
"""

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, TypeAlias

from ._core import Condition, TraceError, Value, same

Shape: TypeAlias = tuple[int, ...]

_EXPECTED = "compile: expected the function to return Values, or lists, tuples and dicts of them"


def read_result(result: Any) -> tuple[Any, list[Shape], list[Value]]:
    """The layout of what a function has returned, its parts' shapes, and all Values in order.

    A number among Values is a constant. What is none of these raises TypeError, ValueError, or, for
    a condition, TraceError, with its place.
    """
    shapes: list[Shape] = []
    values: list[Any] = []
    layout = _read(result, "", shapes, values)
    if not any(isinstance(value, Value) for value in values):
        raise TypeError(f"{_EXPECTED}; there is no Value in {result!r:.40}")
    return layout, shapes, [v if isinstance(v, Value) else constant(v) for v in values]


def is_number(thing: object) -> bool:
    """Whether it is a real number, which stands for a constant in what a function returns."""
    return isinstance(thing, Real) and not isinstance(thing, bool)


def constant(number: Any) -> Value:
    """A Value that depends on nothing, and is no parameter of a function that is recorded."""
    return same(Value(number))


def put_together(layout: Any, parts: Iterator[Any]) -> Any:
    """The layout with these parts, in order."""
    if layout is None:
        return next(parts)
    if isinstance(layout, dict):
        return {key: put_together(part, parts) for key, part in layout.items()}
    return _tuple_like(layout, [put_together(part, parts) for part in layout])


def _tuple_like(model: tuple[Any, ...], items: list[Any]) -> Any:
    return model._make(items) if hasattr(model, "_make") else tuple(items)


def describe(layout: Any, shapes: list[Shape]) -> str:
    """What a function returns, in words."""
    if layout is not None:
        return f"a {_kind(layout)}"
    return " of ".join(
        ["a Value"] if not shapes[0] else [f"a list of {shapes[0][0]}", *map(_lists, shapes[0][1:])]
    )


def _lists(n: int) -> str:
    return f"lists of {n}"


def _read(result: Any, place: str, shapes: list[Shape], values: list[Any]) -> Any:
    if isinstance(result, dict):
        return {
            key: _read(part, f"{place}[{key!r}]", shapes, values) for key, part in result.items()
        }
    if isinstance(result, tuple):
        parts = [_read(part, f"{place}[{k}]", shapes, values) for k, part in enumerate(result)]
        return _tuple_like(result, parts)
    if _is_list(result):
        shapes.append(_read_list(list(result), place, values))
    else:
        shapes.append(())
        values.append(_leaf(result, place))
    return None


def _is_list(result: Any) -> bool:
    """Whether it is a list, or what a recorded scan gives in place of one."""
    return isinstance(result, list) or (
        isinstance(result, Sequence) and not isinstance(result, tuple | str | bytes | bytearray)
    )


def _read_list(items: list[Any], place: str, values: list[Any]) -> Shape:
    items = [list(item) if _is_list(item) else item for item in items]
    _check_alike(items, place)
    if not isinstance(items[0], list):
        values += [_leaf(item, f"{place}[{k}]") for k, item in enumerate(items)]
        return (len(items),)
    for j, row in enumerate(items):
        _check_alike(row, f"{place}[{j}]")
        if len(row) != len(items[0]):
            raise ValueError(
                f"compile: expected the function to return lists of one length, got "
                f"{len(items[0])} item(s){_as(f'{place}[0]')} and {len(row)}{_as(f'{place}[{j}]')}"
            )
        values += [_leaf(item, f"{place}[{j}][{k}]") for k, item in enumerate(row)]
    return (len(items), len(items[0]))


def _check_alike(items: list[Any], place: str) -> None:
    """A list holds lists alone, or none."""
    if not items:
        raise ValueError(f"compile: the function returned an empty list{_as(place)}")
    for k, item in enumerate(items):
        if isinstance(item, list) != isinstance(items[0], list):
            raise TypeError(
                f"compile: expected the function to return lists of Values or lists of lists, "
                f"got {_kind(items[0])}{_as(f'{place}[0]')} and {_kind(item)}{_as(f'{place}[{k}]')}"
            )


def _leaf(item: Any, place: str) -> Any:
    if isinstance(item, Value):
        return item
    if isinstance(item, Condition):
        raise TraceError(
            f"compile: the function returned a condition{_as(place)}; where(condition, 1.0, 0.0) "
            "makes a Value of it"
        )
    if is_number(item):
        return item
    hint = ""
    if isinstance(item, list):
        hint = "; lists have up to two levels: use a tuple or a dict around them"
    elif isinstance(item, tuple | dict):
        hint = "; tuples and dicts hold lists, and not the other way round"
    elif isinstance(item, bool) or _kind(item) in ("bool_", "bool"):
        hint = "; where(condition, 1.0, 0.0) makes a Value of it"
    raise TypeError(f"{_EXPECTED}, got {_kind(item)}{_as(place)}{hint}")


def _as(place: str) -> str:
    return f" as result{place}" if place else ""


def _kind(thing: object) -> str:
    return type(thing).__name__
