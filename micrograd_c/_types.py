# SPDX-License-Identifier: MIT
"""The names of types in signatures."""

from collections.abc import Collection
from typing import TYPE_CHECKING, SupportsFloat, TypeAlias

from ._core import Value

Number: TypeAlias = SupportsFloat  # int, float, Fraction, NumPy's scalars; no Value
Operand: TypeAlias = Value | SupportsFloat
Operands: TypeAlias = Collection[Operand]  # a list, a tuple, a NumPy array

if TYPE_CHECKING:

    class ValueOrList(Value, list[Value]):  # type: ignore[misc]
        """What a layer gives: a Value or a list of them. Its size decides, which is a number and no
        type; so type checkers let it be used as either."""

else:
    ValueOrList = Value | list[Value]
