# SPDX-License-Identifier: MIT
"""A class of the user's own, such as the lesson's Value, on this engine.

The class is not read but asked. Its statement runs as written; then objects of it are built, and
its attributes, operators, methods and backward are tried beside this engine's on small graphs:

    anatomy.py      which attribute holds the number, the gradient, the operands
    constructor.py  what __init__ takes
    probes.py       the small graphs, and what counts as a difference
    watch.py        what trying leaves behind: seen, and put back
    attributes.py   the names of the class on this engine's Value
    native.py       this engine's own methods
    graft.py        replaces what agrees, keeps as written what comes to the same, or refuses
    limits.py       what this engine's Value cannot be
    adopter.py      the class in, its stand-in out
    source.py       where in a module the adopter is called
"""

from .adopter import Adopter
from .attributes import Refusal

__all__ = ["Adopter", "Refusal"]
