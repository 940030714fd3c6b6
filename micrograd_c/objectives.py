# SPDX-License-Identifier: MIT
"""Compiled functions as SciPy wants them: of one flat vector, with derivatives as NumPy arrays.

Nothing here changes a parameter's data or grad but `assign`: numbers are given to the program for
each run, so nothing has to be put back, whatever happens.
"""

import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ._core import Arguments, Recorded, Value, dot, gradients, push_forward
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
        program = compiled._program(self._arguments)
        program.check_movable(self._name, self._params)
        for value in [*program.parameters, *self._params]:
            if value._prev:
                raise ValueError(
                    f"{self._name}: the function reads a Value that {value._op!r} has computed"
                    " outside of it, which does not follow the parameters; compute it inside, or"
                    " detach() it"
                )
        return program

    def _numbers(
        self, program: Recorded, theta: Any, others: tuple[list[Value], Any] = ([], ())
    ) -> Arguments:
        """Of the program's parameters: theta's, those of others, and else their own."""
        given = dict(zip(map(id, self._params), theta.tolist(), strict=True))
        given.update(zip(map(id, others[0]), others[1], strict=True))
        numbers = [given.get(id(value), value.data) for value in program.parameters]
        return Arguments((numbers,), str)

    def _value_and_grad(
        self,
        compiled: "CompiledFunction",
        theta: Any,
        by: list[Value],
        others: tuple[list[Value], Any] = ([], ()),
    ) -> tuple[float, Any]:
        """The loss, and its derivatives by these Values."""
        program = self._current(compiled)
        numbers = self._numbers(program, theta, others)
        loss, found = program.value_and_grad_at(
            self._arguments, numbers, compiled._reduction == "mean", compiled._threads
        )
        derivatives = dict(zip(map(id, program.parameters), found, strict=True))
        return loss, self._numpy.array([derivatives.get(id(value), 0.0) for value in by])


class Objective(_OfParameters):
    """A loss as a function of its parameters, for scipy.optimize.minimize.

    theta, everywhere: a number for each of `parameters`, in that order, of shape (n,). The
    parameters themselves stay as they are until `assign`. NumPy arrays that the objective was made
    of are read anew at each call.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__("objective", *args)
        self._compiled._program(self._arguments, "objective")
        self._hessian: CompiledFunction | None = None
        self._weights: list[Value] = []  # of the Hessian's entries: 0
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
        return self._value_and_grad(self._compiled, theta, self._params)

    def hess(self, theta: Any) -> Any:
        """The Hessian at theta, of shape (n, n), symmetric to the bit."""
        theta = self._vector("theta", theta)
        if self._hessian is None:
            count = len(self._params) * (len(self._params) + 1) // 2
            self._weights = [Value(0.0) for _ in range(count)]
            self._hessian = self._compile(self._weighted_triangle)
        _, triangle = self._value_and_grad(self._hessian, theta, self._weights)
        matrix = self._numpy.zeros((len(theta), len(theta)))
        rows, columns = self._numpy.triu_indices(len(theta))
        matrix[rows, columns] = matrix[columns, rows] = triangle
        return matrix

    def hessp(self, theta: Any, v: Any) -> Any:
        """The Hessian at theta times v, both of shape (n,); the Hessian itself is not computed."""
        theta, v = self._vector("theta", theta), self._vector("v", v)
        if self._product is None:
            self._directions = [Value(0.0) for _ in self._params]
            self._product = self._compile(self._slope)
        directions = (self._directions, v.tolist())
        return self._value_and_grad(self._product, theta, self._params, directions)[1]

    def _weighted_triangle(self, *args: Any) -> Value:
        """For one sample, the Hessian's upper triangle times weights.

        Its gradient by the weights is the triangle, reduced over the batch in the core.
        """
        loss = self._compiled._fn(*args)
        slopes = gradients(loss, self._params)
        triangle = [
            entry.detach()
            for k, param in enumerate(self._params)
            for entry in push_forward(slopes[k:], [param], [1.0])
        ]
        return dot([*self._weights, self._zero], [*triangle, loss.detach()])

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
        numbers = self._numbers(program, theta)
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
