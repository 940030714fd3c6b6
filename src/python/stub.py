# SPDX-License-Identifier: MIT
"""Writes the methods that come from the operation table into micrograd_c/_core.pyi."""

import re
import sys
from pathlib import Path

from micrograd_c import _core

STUB = Path(__file__).parents[2] / "micrograd_c" / "_core.pyi"


def with_methods(stub):
    """The stub's text with the table's methods between the marks."""
    arguments = {
        "unary": "self",
        "binary": "self, other: _Operand, /",
        "ternary": "self, y: _Operand, w: _Operand, /",
    }
    lines = "".join(
        f"    def {row['name']}({arguments[row['shape']]}) -> Value: ...\n"
        for row in _core.operations()
        if row["is_method"]
    )
    marks = r"(    # from the operation table\n).*?(    # end of the operation table\n)"
    return re.sub(marks, lambda match: match[1] + lines + match[2], stub, flags=re.DOTALL)


if __name__ == "__main__":
    before = STUB.read_text(encoding="utf-8")
    after = with_methods(before)
    if "--check" in sys.argv:
        sys.exit(before != after and f"{STUB.name} is not what the table says: run {__file__}")
    STUB.write_text(after, encoding="utf-8")
