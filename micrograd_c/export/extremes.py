# SPDX-License-Identifier: MIT
"""A maximum of maxima is one of all their operands, and so is a minimum of minima."""

from collections.abc import Callable, Sequence

from .._core import ProgramNode

EXTREMES = ("maximum", "minimum")


def extremes_in(
    nodes: Sequence[ProgramNode],
    operands_of: Callable[[int], Sequence[int]],
    is_shared: Callable[[int], bool],
) -> dict[int, list[int]]:
    """The operands of each maximum and minimum. Where one is made of others that nobody else asks
    for, that is not is_shared(), theirs, and the others are left out."""
    found: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        if node.kind in EXTREMES:
            of_all: list[int] = []
            for k in operands_of(i):
                is_part = nodes[k].kind == node.kind and not is_shared(k)
                part = found.pop(k) if is_part else [k]
                of_all = [*of_all, *part] if of_all else part
            found[i] = of_all
    return found
