# SPDX-License-Identifier: MIT
"""A class of the user's own, such as the lesson's Value, on this engine.

The class is not read but asked. Its statement runs as written; then objects of it are built, and its
attributes, operators, methods and backward are tried beside this engine's on many small graphs:

    anatomy.py   which attribute holds the number, the gradient, the operands; what __init__ takes
    probes.py    the small graphs, and what counts as a difference
    watch.py     what trying leaves behind: it is seen, and put back
    attributes.py  the class's names on this engine's Value
    adopter.py   replaces what agrees, keeps the rest as written where that agrees, or refuses
    source.py    where in a module the class is handed to the adopter
"""

from .adopter import Adopter
from .attributes import Refusal

__all__ = ["Adopter", "Refusal"]
