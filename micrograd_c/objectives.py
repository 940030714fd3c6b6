# SPDX-License-Identifier: MIT
"""Compiled functions as SciPy wants them: of one flat vector, with derivatives as NumPy arrays.

Nothing here changes a parameter's data or grad but `assign`: numbers are given to the program for
each run, so nothing has to be put back, whatever happens.
"""

import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._core import (
    Arguments,
    Products,
    Recorded,
    Value,
    dot,
    gradients,
    hessian_of,
    push_forward,
    record,
)
from .hessians import LossHessian
from .results import read_result

if TYPE_CHECKING:
    from .compiled import CompiledFunction

# Made of the function: (a function of one sample, with the same options) -> compiled.
Compile = Callable[[Callable[..., Any]], "CompiledFunction"]


class _OfParameters:
    """A compiled function with its arrays, as a function of its parameters."""

    def __init__(
        self,
        name: str,
        compiled: "CompiledFunction",
        compile: Compile,
        arguments: Arguments,
        params: Iterable[Value] | None,
    ) -> None:
        self._numpy = _import("numpy", name)
        self._name = name
        self._compiled = compiled
        self._compile = compile
        self._arguments = arguments
        read = compiled._program(arguments).parameters
        if params is not None and (isinstance(params, Value) or not isinstance(params, Iterable)):
            got = type(params).__name__
            raise TypeError(f"{name}: expected a list of Values as params, got {got}")
        self._params = read if params is None else list(params)
        self._maps: WeakKeyDictionary[Recorded, _Map] = WeakKeyDictionary()
        for param in self._params:
            if not isinstance(param, Value):
                raise TypeError(f"{name}: expected Values as params, got {type(param).__name__}")
        if len(set(map(id, self._params))) < len(self._params):
            raise ValueError(f"{name}: a parameter stands in params twice")
        if not self._params:
            raise ValueError(f"{name}: the function has no parameters")
        self._current(compiled)

    @property
    def parameters(self) -> list[Value]:
        """The parameters in theta's order: that of params, or that in which they were made."""
        return list(self._params)

    @property
    def x0(self) -> Any:
        """The parameters' numbers as they are now: a new float64 array of shape (n,)."""
        return self._numpy.array([p.data for p in self._params])

    def assign(self, theta: Any) -> None:
        """Writes theta, of shape (n,), into the parameters' data."""
        for param, number in zip(self._params, self._vector("theta", theta).tolist(), strict=True):
            param.data = number

    def __reduce_ex__(self, protocol: object) -> Any:
        """Raises TypeError: in a copy, the parameters might come in another order."""
        raise TypeError(
            f"{self._name}: cannot be copied or pickled; copy the compiled function, and call its"
            f" {self._name}() again"
        )

    def _vector(self, name: str, numbers: Any) -> Any:
        """The numbers as a float64 array of shape (n,)."""
        array = self._numpy.asarray(numbers)
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"{self._name}: expected real numbers as {name}, got an array of {array.dtype}"
            )
        if array.shape != (len(self._params),):
            raise ValueError(
                f"{self._name}: expected {name} of shape ({len(self._params)},), a number for each"
                f" parameter; got {array.shape}"
            )
        return array.astype(self._numpy.float64)

    def _current(self, compiled: "CompiledFunction") -> Recorded:
        """The program of a function for these arrays, after a look at what it reads."""
        return self._checked(compiled._program(self._arguments))

    def _checked(self, program: Recorded) -> Recorded:
        program.check_movable(self._name, self._params)
        if program not in self._maps:
            for value in [*program.parameters, *self._params]:
                if value._prev:
                    raise ValueError(
                        f"{self._name}: the function reads a Value that {value._op!r} has computed"
                        " outside of it, which does not follow the parameters; compute it inside,"
                        " or detach() it"
                    )
        return program

    def _map(self, program: Recorded, others: list[Value]) -> "_Map":
        if program not in self._maps:
            self._maps[program] = _Map(self._numpy, program, self._params, others)
        return self._maps[program]

    def _value_and_grad(
        self,
        compiled: "CompiledFunction",
        theta: Any,
        others: list[Value] | None = None,
        numbers: Any = (),
    ) -> tuple[float, Any, Any]:
        """The loss, and its derivatives by theta and by others, where these have such numbers."""
        program = self._current(compiled)
        places = self._map(program, others or [])
        loss, found = program.value_and_grad_at(
            self._arguments,
            places.numbers(theta, numbers),
            compiled._reduction == "mean",
            compiled._threads,
        )
        derivatives = places.derivatives(found)
        return loss, derivatives[: len(theta)], derivatives[len(theta) :]


class _Map:
    """Which of theta's numbers, and of others', each parameter of a program gets."""

    def __init__(
        self, numpy: Any, program: Recorded, params: list[Value], others: list[Value]
    ) -> None:
        given = {id(value): place for place, value in enumerate([*params, *others])}
        own = [value for value in program.parameters if id(value) not in given]
        given.update({id(value): place for place, value in enumerate(own, len(given))})
        read = [given[id(value)] for value in program.parameters]
        self._numpy = numpy
        self._own = own  # the others have the numbers that are theirs at the time
        self._read = numpy.array(read, dtype=numpy.intp)
        # By what the program does not read, the derivative is 0: a number behind the last.
        self._found = numpy.full(len(params) + len(others), len(read))
        is_given = self._read < len(self._found)
        self._found[self._read[is_given]] = numpy.flatnonzero(is_given)

    def numbers(self, theta: Any, others: Any = ()) -> Arguments:
        """Of the program's parameters."""
        if len(others) or self._own:
            theta = self._numpy.concatenate([theta, others, [value.data for value in self._own]])
        return Arguments((theta[self._read],), str)

    def derivatives(self, found: Any) -> Any:
        """From those by the program's parameters, those by theta and others."""
        return self._numpy.append(found, 0.0)[self._found]


class Objective(_OfParameters):
    """A loss as a function of its parameters, for scipy.optimize.minimize.

    theta, everywhere: a number for each of `parameters`, in that order, of shape (n,). The
    parameters themselves stay as they are until `assign`. NumPy arrays that the objective was made
    of are read anew at each call.
    """

    def __init__(self, *args: Any, sparse: bool = False) -> None:
        super().__init__("objective", *args)
        self._compiled._program(self._arguments, "objective")
        self._sparse = bool(sparse)
        self._hessian: LossHessian | None = None
        self._product: CompiledFunction | None = None
        self._directions: list[Value] = []
        self._zero = Value(0.0)

    def fun(self, theta: Any) -> float:
        """The reduced loss at theta."""
        return self.fun_and_jac(theta)[0]

    def jac(self, theta: Any) -> Any:
        """The gradient at theta, of shape (n,)."""
        return self.fun_and_jac(theta)[1]

    def fun_and_jac(self, theta: Any) -> tuple[float, Any]:
        """Both, of one run: for `minimize(objective.fun_and_jac, objective.x0, jac=True)`."""
        theta = self._vector("theta", theta)
        return self._value_and_grad(self._compiled, theta)[:2]

    def hess(self, theta: Any, sparse: bool | None = None) -> Any:
        """The Hessian at theta, of shape (n, n), symmetric to the bit.

        Only entries that are not 0 for every theta are computed, by as few products with directions
        as their places allow, or one by one where that takes fewer operations.

        sparse: a scipy.sparse.csr_matrix of these entries, instead of an array; None: what
        objective() was called with.
        """
        theta = self._vector("theta", theta)
        if self._hessian is None or not self._hessian.products.program.still_holds():
            products = Products(self._record_products())
            self._hessian = LossHessian(self._numpy, products, self._arguments.size)
        hessian = self._hessian
        self._checked(hessian.products.program)
        if hessian.is_symbolic:
            entries = self._entries_one_by_one(hessian, theta)
        else:
            entries = self._entries_of_products(hessian, theta)
        if self._sparse if sparse is None else sparse:
            return hessian.sparse(_import("scipy.sparse", "hess(theta, sparse=True)"), entries)
        return hessian.dense(entries)

    def hessp(self, theta: Any, v: Any) -> Any:
        """The Hessian at theta times v, both of shape (n,); the Hessian itself is not computed."""
        theta, v = self._vector("theta", theta), self._vector("v", v)
        if self._product is None:
            self._directions = [Value(0.0) for _ in self._params]
            self._product = self._compile(self._slope)
        return self._value_and_grad(self._product, theta, self._directions, v)[1]

    def _record_products(self) -> Recorded:
        """For one sample, the loss and the Hessian times a direction.

        The loss is there for its refusals: of an index, say.
        """

        def products(*args: Any) -> list[Value]:
            loss = self._compiled._fn(*args[:-1])
            slopes = gradients(loss, self._params)
            return [loss, *push_forward(slopes, self._params, args[-1])]

        compiled, count = self._compiled, len(self._params)
        options = compiled._skip, compiled._executor, compiled._is_float32
        return record(products, read_result, self._arguments, *options, directions=count)

    def _entries_of_products(self, hessian: LossHessian, theta: Any) -> Any:
        numbers = self._map(hessian.products.program, []).numbers(theta)
        sums = hessian.products.sums(self._arguments, numbers, self._compiled._threads)
        scale = self._arguments.size if self._compiled._reduction == "mean" else 1
        return self._numpy.asarray(sums) / max(scale, 1)

    def _entries_one_by_one(self, hessian: LossHessian, theta: Any) -> Any:
        """As derivatives of their weighted sum by the weights: so the core reduces the batch's."""
        if hessian.symbolic is None:
            fn, params, zero = self._compiled._fn, self._params, self._zero
            weights = [Value(0.0) for _ in hessian.rows]
            places = list(zip(hessian.rows.tolist(), hessian.columns.tolist(), strict=True))

            def weighted_sum(*args: Any) -> Value:
                loss = fn(*args)
                rows = hessian_of(loss, params)
                entries = [rows[i][j].detach() for i, j in places]
                return dot([*weights, zero], [*entries, loss.detach()])

            hessian.symbolic = weights, self._compile(weighted_sum)
        weights, compiled = hessian.symbolic
        return self._value_and_grad(compiled, theta, weights, self._numpy.zeros(len(weights)))[2]

    def _slope(self, *args: Any) -> Value:
        """For one sample, the loss's derivative in a direction: its gradient is the product.

        The loss itself, which has no part in it, is there for its refusals: of an index, say.
        """
        loss = self._compiled._fn(*args)
        directions = [direction.detach() for direction in self._directions]
        (slope,) = push_forward([loss], self._params, directions)
        return dot([1.0, self._zero], [slope, loss.detach()])


class Residuals(_OfParameters):
    """A sample's list of residuals as a function of the parameters, for SciPy's least_squares.

    theta, everywhere: a number for each of `parameters`, in that order, of shape (n,). With m
    residuals a sample, all of a batch of B are a vector of B * m, a sample's beside each other. The
    parameters themselves stay as they are until `assign`. NumPy arrays that it was made of are read
    anew at each call.
    """

    def __init__(self, *args: Any, sparse: bool = False) -> None:
        super().__init__("residuals", *args)
        self._sparse = bool(sparse)
        if self._compiled._program(self._arguments).layout is not None:
            raise TypeError(
                "residuals: expected a function that returns a list of Values or a Value, got a"
                " tuple or dict"
            )
        self._rows = self._compile(self._jacobian)
        self._dense: Recorded | None = None  # the program that the next two are made of
        self._places: list[int] = []  # of what is not always 0, in a sample's rows
        self._entries: CompiledFunction | None = None

    def fun(self, theta: Any) -> Any:
        """All residuals at theta, of shape (B * m,)."""
        return self._evaluate(self._compiled, self._vector("theta", theta))

    def jac(self, theta: Any, sparse: bool | None = None) -> Any:
        """The Jacobian at theta, of shape (B * m, n).

        sparse: a scipy.sparse.csr_matrix of what is not 0 for every sample and theta, instead of an
        array; None: what residuals() was called with.
        """
        theta = self._vector("theta", theta)
        if self._sparse if sparse is None else sparse:
            return self._sparse_jacobian(theta)
        return self._evaluate(self._rows, theta).reshape(-1, len(theta))

    def _evaluate(self, compiled: "CompiledFunction", theta: Any) -> Any:
        program = self._current(compiled)
        numbers = self._map(program, []).numbers(theta)
        outputs = program.evaluate(self._arguments, compiled._threads, numbers)
        return self._numpy.asarray(outputs[0]).reshape(-1)

    def _jacobian(self, *args: Any) -> tuple[list[list[Value]], list[Value]]:
        """For one sample, by as many passes as there are parameters or residuals, the fewer.

        The residuals are there for their refusals: of an index, say.
        """
        residuals = read_result(self._compiled._fn(*args))[2]
        if len(residuals) <= len(self._params):
            return [gradients(residual, self._params) for residual in residuals], residuals
        columns = [push_forward(residuals, [param], [1.0]) for param in self._params]
        return [list(row) for row in zip(*columns, strict=True)], residuals

    def _sparse_jacobian(self, theta: Any) -> Any:
        numpy, matrices = self._numpy, _import("scipy.sparse", "jac(theta, sparse=True)")
        dense = self._current(self._rows)
        m, n = dense.shapes[0]
        size = self._arguments.size
        if self._entries is None or dense is not self._dense:
            zeros = dense.zeros()[: m * n]
            self._places = [place for place, is_zero in enumerate(zeros) if not is_zero]
            self._entries = self._compile(self._jacobian_entries)
            self._dense = dense
        rows, columns = numpy.divmod(numpy.array(self._places, dtype=int), n)
        per_row = numpy.tile(numpy.bincount(rows, minlength=m), size)
        starts = numpy.concatenate([[0], numpy.cumsum(per_row)])
        entries = self._evaluate(self._entries, theta)[: starts[-1]]
        return matrices.csr_matrix(
            (entries, numpy.tile(columns, size), starts), shape=(size * m, n)
        )

    def _jacobian_entries(self, *args: Any) -> tuple[list[Any], list[Value]]:
        rows, residuals = self._jacobian(*args)
        entries = [entry for row in rows for entry in row]
        return [entries[place] for place in self._places] or [0.0], residuals


def _import(module: str, what: str) -> Any:
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{what} needs {package}: pip install {package}", name=package) from error
