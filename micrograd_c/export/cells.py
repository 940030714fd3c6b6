# SPDX-License-Identifier: MIT
"""The cells of the operation table as trees, by the row's name."""

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

from .._core import cell_tree, operations

ROWS = {row["name"]: row for row in operations()}
_PLACES = {name: place for place, name in enumerate(ROWS, start=1)}

# A number, a name, or (a row, '?' or a comparison, *trees).
Tree = Any
COMPARISONS = {"less": "<", "less_equal": "<=", "equal": "=="}
NAMES = "xywzg"  # in this order a gain's operands stand behind g


@functools.cache
def tree_of(row: str, which: int = -1) -> Tree:
    """The row's value; with `which`, what that operand gains."""
    return cell_tree(_PLACES[row], which)


@functools.cache
def gain_names(row: str, which: int) -> list[str]:
    """What a gain's operands are called in its cell."""
    found = names_in(tree_of(row, which))
    if ROWS[row]["shape"] == "scaled":
        found.pop("y", None)
    return ["g", *[name for name in NAMES[:-1] if name in found]]


def names_in(tree: Tree) -> dict[str, int]:
    """How often each name stands in a tree."""
    found: dict[str, int] = {}
    rest = [tree]
    while rest:
        part = rest.pop()
        if isinstance(part, tuple):
            rest += part[1:]
        elif isinstance(part, str):
            found[part] = found.get(part, 0) + 1
    return found


def with_numbers(tree: Tree, numbers: Mapping[str, float]) -> Tree:
    """The tree where names are numbers: choices that these decide are made, and sums are done."""
    if isinstance(tree, str):
        return numbers.get(tree, tree)
    if not isinstance(tree, tuple):
        return tree
    if tree[0] == "?":
        sign, left, right = (with_numbers(part, numbers) for part in tree[1])
        if isinstance(left, float) and isinstance(right, float):
            return with_numbers(tree[2 if _HOLDS[sign](left, right) else 3], numbers)
        return "?", (sign, left, right), *[with_numbers(part, numbers) for part in tree[2:]]
    row, *parts = tree[0], *[with_numbers(part, numbers) for part in tree[1:]]
    if row in _ARITHMETIC and all(isinstance(part, float) for part in parts):
        return _ARITHMETIC[row](*parts)
    return row, *parts


_HOLDS = {"<": operator.lt, "<=": operator.le, "==": operator.eq}
_ARITHMETIC: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "neg": operator.neg,
}
