# SPDX-License-Identifier: MIT
"""Where a class counts on what this engine's Value cannot be: refused, at once or when it shows."""

from .. import _core
from .._core import Value
from . import probes
from .attributes import Hidden, Refusal, refuse
from .native import NATIVE, OPERATOR

IMPOSSIBLE = ("__new__", "__setattr__", "__delattr__", "__getattribute__", "__del__")
NEEDED = (*IMPOSSIBLE, "__init__", "__reduce_ex__", "__bool__")  # of Value, whatever the class has


def refuse_parts(kind, members, mentions):
    for name in IMPOSSIBLE:
        if name in members:
            raise Refusal(f"class {kind.__name__} has a {name} of its own")
    for base in kind.__mro__[1:-1]:
        if base.__name__ in mentions:
            raise Refusal(f"class {kind.__name__} is a {base.__name__}, this engine's Value is not")


def refuse_switches(graft):
    """What the class computes must not hang on something that the script switches."""
    asked = [run for _, run in graft.samples()]
    usual = [numbers(graft, run) for run in asked]
    graft.watch.put_back()
    for name, value in graft.watch.switches(graft.mentions.assigned):
        if name in graft.watch.own | graft.watch.others:
            continue  # a counter
        if [numbers(graft, run) for run in asked] != usual:
            what = f"{name} is not {value!r}, and that is assigned"
            raise Refusal(f"class {graft.kind.__name__} computes otherwise where {what}")


def numbers(graft, run):
    there, _ = graft.theirs.answer(run)
    if isinstance(there, BaseException):
        return None
    read, operands = graft.theirs.read, graft.theirs.operands
    nodes = [v for v in there.values() if isinstance(v, graft.kind)]
    return [(read(v, "data"), read(v, "grad"), len(operands(v) or ())) for v in nodes]


def refuse_subclasses(graft):
    """Where operations of a subclass give the subclass: here they give Value."""
    if not graft.mentions.subclassed:
        return
    theirs = graft.theirs
    below = type("Below", (graft.kind,), {})
    side = probes.Side(below, theirs.read, theirs.write, theirs.operands, theirs.names)
    for text, run in graft.samples():
        there, _ = side.answer(run)
        if isinstance(there, dict) and type(there["the result"]) is below:
            what = "of a subclass gives the subclass, here Value"
            raise Refusal(f"{graft.kind.__name__}.{text}: {what}")


def refuse_stale_graphs(name):
    """For rules that keep the numbers of their operands: this engine's read them when they run."""
    sweep = Value.backward

    def backward(self, *positional, **named):
        if _core.is_stale(self):
            why = "backward on a graph whose numbers have been changed since"
            refuse(f"{why}: only the script's own {name} keeps the old ones")
        return sweep(self, *positional, **named)

    Value.backward = backward


def reduce(self, protocol):
    if _core.operands(self):
        refuse("copies or pickles a node of a graph; here only leaves can be")
    return NATIVE["__reduce_ex__"](self, protocol)


def array_ufunc(self, ufunc, method, *inputs, **named):
    """NumPy's operations on Values, as on any object; but an array to the right of one is refused:
    most classes make it the data of a node, and this engine would compute with its elements."""
    import numpy

    if ufunc.nin == 2 and isinstance(inputs[0], Value) and numpy.ndim(inputs[1]):
        refuse("computes a Value with an array: its number would be an array; here it is a float")
    boxes = [numpy.empty((), object) if isinstance(x, Value) else x for x in inputs]
    for box, x in zip(boxes, inputs, strict=True):
        if box is not x:
            box[()] = x
    return getattr(ufunc, method)(*boxes, **named)


def hide(graft):
    """What this engine can do and the class cannot is as missing as it is there."""
    given = {*graft.members, *graft.anatomy.known, *graft.anatomy.others, *NEEDED}
    for name in NATIVE.keys() - given:
        if hasattr(object, name):
            setattr(Value, name, getattr(object, name))
        elif OPERATOR.fullmatch(name):
            setattr(Value, name, lambda value, *other: NotImplemented)
        elif not name.startswith("_"):
            setattr(Value, name, Hidden(name, graft.kind.__name__))
