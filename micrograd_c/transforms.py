# SPDX-License-Identifier: MIT
"""Derivatives as functions: they give Values, which can be differentiated again.

Each differentiated argument is replaced by fresh nodes with the same numbers, so that `fn(x, x)`
has a derivative by either argument, and what `fn` gets from elsewhere is constant to it. The fresh
nodes are recorded on the caller's Values: the results depend on these, which is what nesting needs.

`fn` is plain code on Values: positional arguments, each a Value, a number, or a (nested) list,
tuple or dict of them. Of arguments that are not differentiated, floats reach it as Values, all else
(an int, a bool, a string) as it is. A number that it returns is a constant, whose derivatives are
0.
"""

import contextlib
import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from . import _core
from ._core import Value, gradients
from .results import constant, is_number

__all__ = ["grad", "gradients", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

# A Value, a number, or a list, tuple or dict of structures.
Structure: TypeAlias = Any
Argnums: TypeAlias = int | tuple[int, ...]
_T = TypeVar("_T")


def grad(fn: Callable[..., Value], argnums: Argnums = 0) -> Callable[..., Structure]:
    """A function of fn's arguments: the derivative of what fn returns, a Value.

    argnums: by which argument, counted from 0, or from the end where negative; a tuple: by several.
    The result has that argument's structure, with Values for its numbers; for a tuple, it is a
    tuple of these.

    TypeError if fn returns anything but a Value; ValueError if there is no such argument, or no
    number in it.
    """
    return _derivative("grad", fn, lambda args: _value_and_gradient("grad", fn, argnums, args)[1])


def value_and_grad(
    fn: Callable[..., Value], argnums: Argnums = 0
) -> Callable[..., tuple[Value, Structure]]:
    """Like grad, of one call of fn: a function that gives (value, gradient)."""
    name = "value_and_grad"
    return _derivative(name, fn, lambda args: _value_and_gradient(name, fn, argnums, args))


def jvp(
    fn: Callable[..., Structure], primals: Sequence[Structure], tangents: Sequence[Structure]
) -> tuple[Structure, Structure]:
    """What `fn(*primals)` returns, and how it changes where the arguments change by tangents.

    primals: the arguments, a list or tuple. tangents: as many, of the same structures.
    fn may return a structure of Values; its tangent has the same. One forward pass.
    """

    def compute() -> tuple[Structure, Structure]:
        _check_arguments("jvp", primals)
        directions = _directions("jvp: tangents", tangents, primals)
        call = _Call("jvp", fn, primals, range(len(primals)))
        roots = call.values()
        return call.result, _rebuild(call.result, _core.push_forward(roots, call.flat, directions))

    return _despite_no_grad(compute)


def vjp(
    fn: Callable[..., Structure], *primals: Structure
) -> tuple[Structure, Callable[[Structure], tuple[Structure, ...]]]:
    """What `fn(*primals)` returns, and the pullback.

    pullback(cotangent): the derivatives by the arguments of the sum of the result's Values, each
    times its number of the cotangent, which has the result's structure. A tuple with one for each
    argument, in its structure. It can be called any number of times. fn may return a structure of
    Values.
    """
    call = _core.recorded(lambda: _Call("vjp", fn, primals, range(len(primals))))
    roots = call.values()
    model = _rebuild(call.result, roots)  # the caller may change the result itself

    def pullback(cotangent: Structure) -> tuple[Structure, ...]:
        leaves = _match("vjp: cotangent", cotangent, model)
        weights = [_as_value(leaf, "vjp: cotangent") for leaf in leaves]
        return tuple(call.by_argument(_core.pull_back(roots, weights, call.flat)))

    return _detached(call.result) if _core.is_in_no_grad() else call.result, pullback


def jacobian(
    fn: Callable[..., Sequence[Value]],
    argnums: Argnums = 0,
    mode: Literal["forward", "reverse"] | None = None,
) -> Callable[..., list[list[Value]]]:
    """A function of fn's arguments: the derivatives of the list of Values that fn returns.

    The result is a list of rows, one for each of these; a row is a flat list with one derivative
    for each number of the argument (of all the arguments, in order, where argnums is a tuple).
    mode: 'forward', a pass for each number; 'reverse', a pass for each row; None: the fewer.
    """

    def rows(args: Sequence[Structure]) -> list[list[Value]]:
        call = _Call("jacobian", fn, args, _positions("jacobian", argnums, args))
        if not isinstance(call.result, list | tuple):
            got = _kind(call.result)
            raise TypeError(f"jacobian: expected fn to return a list of Values, got {got}")
        ys, xs = call.values(), call.flat
        if mode == "reverse" or (mode is None and len(ys) <= len(xs)):
            return [_core.pull_back([y], [1.0], xs) for y in ys]
        columns = [_core.push_forward(ys, [x], [1.0]) for x in xs]
        return [list(row) for row in zip(*columns, strict=True)]

    derivative = _derivative("jacobian", fn, rows)
    if mode not in (None, "forward", "reverse"):
        raise ValueError(f"jacobian: expected mode 'forward', 'reverse' or None, got {mode!r}")
    return derivative


def hessian(fn: Callable[..., Value], argnums: Argnums = 0) -> Callable[..., list[list[Value]]]:
    """A function of fn's arguments: the second derivatives of the Value that fn returns.

    A list of rows, as many as the argument has numbers (all the arguments, in order, where argnums
    is a tuple), each a list of as many. Forward mode over reverse mode, for one triangle; the other
    is the same Values. What is 0 for every argument is not computed, and one Value for all.
    """

    def compute(args: Sequence[Structure]) -> list[list[Value]]:
        call = _Call("hessian", fn, args, _positions("hessian", argnums, args))
        return _core.hessian_of(call.value(), call.flat)

    rows = _derivative("hessian", fn, compute)
    vars(rows)[_HESSIAN_OF] = rows, fn, argnums
    return rows


# Of what hessian() gives: itself, since functools.wraps hands attributes on, and its arguments.
_HESSIAN_OF = "_micrograd_c_hessian_of"


def hessian_products(
    rows: Callable[..., Any], structure: Sequence[int]
) -> tuple[Callable[..., list[Value]], int] | None:
    """Of a function that hessian() gives, for compile(); None: of any other.

    structure: of each argument, how many Values it is a list of, or -1 for a Value. A function of
    these and a list of n Values, a direction, that gives a list: the value, and the Hessian's
    product with the direction; and n.
    """
    itself, fn, argnums = getattr(rows, "__dict__", {}).get(_HESSIAN_OF, (None, None, 0))
    if itself is not rows:
        return None

    def products(*args: Structure) -> list[Value]:
        call = _Call("hessian", fn, args[:-1], _positions("hessian", argnums, args[:-1]))
        slopes = gradients(call.value(), call.flat)
        return [call.value(), *_core.push_forward(slopes, call.flat, args[-1])]

    numbers = [abs(structure[k]) for k in _positions("hessian", argnums, structure)]
    return products, sum(numbers)


def hvp(
    fn: Callable[..., Value], primals: Sequence[Structure], vectors: Sequence[Structure]
) -> tuple[Structure, ...]:
    """The Hessian of `fn(*primals)`, a Value, times a vector; the Hessian itself is not computed.

    primals: the arguments, a list or tuple. vectors: as many, of the same structures. A tuple with
    one result for each argument, in its structure. Forward mode over reverse mode.
    """

    def compute() -> tuple[Structure, ...]:
        _check_arguments("hvp", primals)
        directions = _directions("hvp: vectors", vectors, primals)
        call = _Call("hvp", fn, primals, range(len(primals)))
        slopes = gradients(call.value(), call.flat)
        return tuple(call.by_argument(_core.push_forward(slopes, call.flat, directions)))

    return _despite_no_grad(compute)


# -- one call of a function ------------------------------------------------------------------------


class _Call:
    """fn(*args), with fresh nodes for the numbers of the arguments at these positions."""

    def __init__(
        self,
        name: str,
        fn: Callable[..., Structure],
        args: Sequence[Structure],
        positions: Iterable[int],
    ) -> None:
        _check_function(name, fn)
        self.name = name
        self.flat: list[Value] = []
        self.arguments: list[Structure] = []  # the differentiated ones: their structures
        fresh = [_with_values(argument) for argument in args]
        for k in positions:
            nodes = [_fresh(leaf, f"{name}: argument {k}") for leaf in _leaves(args[k])]
            if not nodes:
                raise ValueError(f"{name}: argument {k} has no numbers to differentiate by")
            fresh[k] = _rebuild(args[k], nodes)
            self.arguments.append(_rebuild(args[k], nodes))  # whatever becomes of the caller's
            self.flat += nodes
        self.result: Structure = fn(*fresh)
        leaves = list(_leaves(self.result))
        if any(map(is_number, leaves)):
            values = [constant(leaf) if is_number(leaf) else leaf for leaf in leaves]
            self.result = _rebuild(self.result, values)

    def value(self) -> Value:
        """The result, which has to be a Value."""
        if not isinstance(self.result, Value):
            got = _kind(self.result)
            raise TypeError(f"{self.name}: expected fn to return a Value, got {got}")
        return self.result

    def values(self) -> list[Value]:
        """The Values of the result, a structure of them."""
        found = list(_leaves(self.result))
        for value in found:
            if not isinstance(value, Value):
                raise TypeError(
                    f"{self.name}: expected fn to return Values, or a structure of them, "
                    f"got {_kind(value)}"
                )
        return found

    def by_argument(self, flat: Iterable[Value]) -> list[Structure]:
        """Of each differentiated argument, its part, in its structure."""
        parts = iter(flat)
        return [_rebuild(argument, parts) for argument in self.arguments]


def _check_function(name: str, fn: object) -> None:
    if not callable(fn):
        raise TypeError(f"{name}: expected a function, got {_kind(fn)}")


def _derivative(
    name: str, fn: Callable[..., Structure], compute: Callable[[Sequence[Structure]], _T]
) -> Callable[..., _T]:
    """The function of fn's arguments that `name` gives, with fn's name and signature."""
    _check_function(name, fn)

    @functools.wraps(fn, updated=())
    def derivative(*args: Structure, **named: Structure) -> _T:
        if named:
            raise TypeError(
                f"{name}: arguments of {getattr(fn, '__name__', 'fn')}() are given by position, "
                f"got {', '.join(map(repr, named))} by name"
            )
        return _despite_no_grad(lambda: compute(args))

    return derivative


def _value_and_gradient(
    name: str, fn: Callable[..., Value], argnums: Argnums, args: Sequence[Structure]
) -> tuple[Value, Structure]:
    call = _Call(name, fn, args, _positions(name, argnums, args))
    parts = call.by_argument(gradients(call.value(), call.flat))
    return call.value(), tuple(parts) if isinstance(argnums, tuple) else parts[0]


def _positions(name: str, argnums: Argnums, args: Sequence[Structure]) -> list[int]:
    """Which arguments argnums means."""
    positions = []
    for argnum in argnums if isinstance(argnums, tuple) else (argnums,):
        position = _whole(name, argnum, argnums)
        if not -len(args) <= position < len(args):
            raise ValueError(f"{name}: argnums {argnums!r}, but fn got {len(args)} argument(s)")
        positions.append(position % len(args))
    if not positions or len(set(positions)) < len(positions):
        raise ValueError(f"{name}: expected argnums to name arguments, each once, got {argnums!r}")
    return positions


def _whole(name: str, argnum: Any, argnums: Argnums) -> int:
    """An argnum, also one of NumPy's."""
    if not isinstance(argnum, bool):
        with contextlib.suppress(TypeError):
            return operator.index(argnum)
    raise TypeError(f"{name}: expected argnums to be an int or a tuple of them, got {argnums!r}")


def _check_arguments(name: str, primals: Sequence[Structure]) -> None:
    if not isinstance(primals, list | tuple):
        raise TypeError(
            f"{name}: expected a list or tuple of fn's arguments as primals, got {_kind(primals)}"
        )
    if not primals:
        raise ValueError(f"{name}: expected at least one argument in primals")


def _with_values(argument: Structure) -> Structure:
    """An argument that is not differentiated: its floats become Values."""
    leaves = list(_leaves(argument))
    if not any(isinstance(leaf, float) for leaf in leaves):
        return argument
    return _rebuild(argument, [Value(x) if isinstance(x, float) else x for x in leaves])


def _fresh(leaf: Any, where: str) -> Value:
    """A node of its own with a Value's number and derivatives; of a number, a leaf."""
    if isinstance(leaf, Value):
        return _core.same(leaf)
    return _as_value(leaf, where)


def _as_value(leaf: Any, where: str) -> Value:
    if isinstance(leaf, Value):
        return leaf
    try:
        return Value(leaf)
    except TypeError:
        raise TypeError(
            f"{where}: expected Values, numbers, or lists, tuples and dicts of them, "
            f"got {_kind(leaf)}"
        ) from None


def _kind(thing: object) -> str:
    return type(thing).__name__


# -- structures ------------------------------------------------------------------------------------


def _leaves(structure: Structure) -> Iterator[Any]:
    """What stands in a structure, in order."""
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, list | tuple):
        yield structure
        return
    for part in structure:
        yield from _leaves(part)


def _rebuild(structure: Structure, leaves: Iterable[Value]) -> Structure:
    """The structure with other leaves, in order; what is left of an iterator can be taken on."""
    return _fill(structure, iter(leaves))


def _fill(structure: Structure, leaves: Iterator[Any]) -> Structure:
    if isinstance(structure, dict):
        return {key: _fill(part, leaves) for key, part in structure.items()}
    if not isinstance(structure, list | tuple):
        return next(leaves)
    parts = [_fill(part, leaves) for part in structure]
    if isinstance(structure, list):
        return parts
    return structure._make(parts) if hasattr(structure, "_make") else tuple(parts)


def _directions(what: str, structure: Structure, model: Structure) -> list[Value | None]:
    """The leaves as Values, or None for a number 0: what does not move is not multiplied by 0."""
    leaves = _match(what, structure, model)
    return [
        None if not isinstance(leaf, Value) and leaf == 0 else _as_value(leaf, what)
        for leaf in leaves
    ]


def _match(what: str, structure: Structure, model: Structure) -> list[Any]:
    """The leaves of a structure, numbers or Values: those of the model are as many, at the same
    places."""
    if isinstance(model, dict):
        if not isinstance(structure, dict):
            raise TypeError(f"{what}: expected a dict, got {_kind(structure)}")
        if structure.keys() != model.keys():
            raise ValueError(f"{what}: expected keys {[*model]}, got {[*structure]}")
        pairs = [(structure[key], model[key]) for key in model]
    elif isinstance(model, list | tuple):
        if not isinstance(structure, list | tuple):
            raise TypeError(f"{what}: expected a list or tuple, got {_kind(structure)}")
        if len(structure) != len(model):
            raise ValueError(f"{what}: expected {len(model)} item(s), got {len(structure)}")
        pairs = list(zip(structure, model, strict=True))
    else:
        if isinstance(structure, list | tuple | dict):
            raise TypeError(f"{what}: expected a Value or a number, got {_kind(structure)}")
        _as_value(structure, what)
        return [structure]
    return [leaf for part, like in pairs for leaf in _match(what, part, like)]


# -- no_grad ---------------------------------------------------------------------------------------


def _despite_no_grad(compute: Callable[[], _T]) -> _T:
    """What it gives where it is recorded; with leaves as results if no_grad() is around it."""
    result = _core.recorded(compute)
    return _detached(result) if _core.is_in_no_grad() else result


def _detached(structure: Structure) -> Structure:
    return _rebuild(structure, [value.detach() for value in _leaves(structure)])
