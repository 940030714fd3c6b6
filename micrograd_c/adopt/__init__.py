# SPDX-License-Identifier: MIT
"""A class of the user's own, such as the lesson's Value, on this engine.

The class is not read but asked. Its statement runs as written; then objects of it are built, and
its attributes, operators, methods and backward are tried beside this engine's on small graphs:

    source.py    where in a module the adopter is called
    adopter.py   the class in, its stand-in out: of each method the first way that agrees
    anatomy.py   which attribute holds the number, the gradient, the operands
    stand_in.py  the names of the class, and its constructor, on this engine's Value
    probes.py    the small graphs, and what counts as a difference
    watch.py     what trying leaves behind: seen, and put back
    refusal.py   one line that ends the script
"""

from .adopter import Adopter
from .refusal import Refusal

__all__ = ["Adopter", "Refusal"]
