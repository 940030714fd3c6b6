# SPDX-License-Identifier: MIT
"""compile: a plain function of one sample, recorded once and replayed over whole batches."""

import contextlib
import copyreg
import functools
import inspect
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, SupportsIndex, TypeAlias, overload

from ._core import (
    Arguments,
    CompiledStats,
    Exchange,
    Optimizer,
    Outputs,
    Products,
    Recorded,
    TraceError,
    Value,
    check_executor,
    record,
)
from ._types import Number
from .fitting import Fit, History
from .hessians import SampleHessians
from .objectives import Objective, Residuals
from .optim.lr_scheduler import LRScheduler
from .ranks import Ranks
from .results import describe, put_together, read_result
from .transforms import hessian_products

__all__ = ["CompiledFunction", "Outputs", "TraceError", "compile"]


_Reduction: TypeAlias = Literal["mean", "sum"]
_DType: TypeAlias = Literal["float64", "float32"]


@overload
def compile(
    fn: Callable[..., Any],
    *,
    reduction: _Reduction = "mean",
    threads: int | None = None,
    skip: str | Iterable[str] = (),
    executor: str | None = None,
    dtype: _DType = "float64",
) -> "CompiledFunction": ...
@overload
def compile(
    fn: None = None,
    *,
    reduction: _Reduction = "mean",
    threads: int | None = None,
    skip: str | Iterable[str] = (),
    executor: str | None = None,
    dtype: _DType = "float64",
) -> Callable[[Callable[..., Any]], "CompiledFunction"]: ...
def compile(
    fn: Callable[..., Any] | None = None,
    *,
    reduction: _Reduction = "mean",
    threads: int | None = None,
    skip: str | Iterable[str] = (),
    executor: str | None = None,
    dtype: _DType = "float64",
) -> Any:
    """Wraps fn, a function of one sample, for whole batches: a CompiledFunction.

    fn: plain Value code; each argument is a Value or a list of Values. The result is a Value; or,
    where only outputs are asked for, a list of Values, a list of lists of them, or a tuple or dict
    of all these; a number among them is a constant. What fn reads besides, such as a model's
    weights, are its parameters. fn runs once for each structure of its arguments; afterwards its
    graph is replayed. It must not branch on numbers that depend on its arguments: TraceError; a
    comparison of them gives a Condition, for where(). A number of another Value that it reads, such
    as w.data, is watched: when it has changed, fn runs again. detach() and no_grad() stop the
    gradient, as in a plain call.

    reduction: 'mean' or 'sum', the loss of a batch from its samples'.
    threads: that share the blocks of a batch; None: one, until a batch is large enough to gain by
    more. Results are the same for any number.
    skip: names of optimiser passes to leave out, for debugging.
    executor: 'native', 'vector' or 'scalar', what runs the program, for tests and debugging; None:
    the best that there is for it. ValueError for another name, and, when the program is made, where
    the named one cannot run it.
    dtype: 'float64' or 'float32', what samples are computed in: 'float32' has twice the lanes, and
    no machine code. Parameters, what no sample changes, sums over the batch, gradients, moments and
    outputs stay float64. ValueError for another dtype.

    A decorator as it is, and with options: `@compile(reduction="sum")`.
    """
    if fn is None:
        return functools.partial(
            compile,
            reduction=reduction,
            threads=threads,
            skip=skip,
            executor=executor,
            dtype=dtype,
        )
    return CompiledFunction(
        fn, reduction=reduction, threads=threads, skip=skip, executor=executor, dtype=dtype
    )


class CompiledFunction:
    """A function of one sample that takes batches: see compile().

    Calls may meet: in several threads, in callbacks of fit and in signal handlers, each has a
    working memory of its own. Copies and pickles keep the function and the options; programs are
    recorded anew.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        reduction: _Reduction = "mean",
        threads: int | None = None,
        skip: str | Iterable[str] = (),
        executor: str | None = None,
        dtype: _DType = "float64",
    ) -> None:
        if not callable(fn):
            raise TypeError(f"compile: expected a function, got {type(fn).__name__}")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"compile: expected reduction 'mean' or 'sum', got {reduction!r}")
        if threads is not None and (type(threads) is not int or not 1 <= threads <= 64):
            raise ValueError(f"compile: expected threads from 1 to 64 or None, got {threads!r}")
        check_executor(executor)
        if type(dtype) is not str or dtype not in ("float64", "float32"):
            raise ValueError(f"compile: expected dtype 'float64' or 'float32', got {dtype!r}")
        functools.update_wrapper(self, fn, updated=())
        self._fn: Callable[..., Any] = fn
        self._reduction: _Reduction = reduction
        self._threads: int = threads or 0
        self._skip: tuple[str, ...] = (skip,) if isinstance(skip, str) else tuple(skip)
        self._executor: str | None = executor
        self._is_float32: bool = dtype == "float32"
        self._programs: dict[tuple[int, ...], Recorded] = {}
        self._hessians: dict[tuple[int, ...], SampleHessians] = {}
        self._last: Recorded | SampleHessians | None = None  # the program used last
        self.history: History | None = None  # of the last fit, one that was interrupted, too

    def __call__(
        self, *arrays: Any, samples: SupportsIndex | None = None, seed: SupportsIndex | None = None
    ) -> Any:
        """The results for a batch, float64: of shape (B,) for a Value that fn returns, (B, n) for a
        list of n, (B, m, n) for a list of m lists of n; for a tuple or a dict, one of these.

        arrays: for each argument of fn a float32 or float64 buffer, or a nested sequence, of
        shape (B,) for a Value, (B, n) for a list of n Values.

        samples: B, of a function without arguments; with arrays, it has to agree with them.
        seed: of what micrograd_c.random draws, any whole number; None: from Python's random module.

        NumPy arrays where an argument is one; else buffers, which numpy.asarray() takes without a
        copy, and which have len(), indexing and tolist().
        """
        if any(_holds_values(array) for array in arrays):
            if samples is not None or seed is not None:
                raise TypeError("a call with Values is of one sample: no samples=, no seed=")
            return self._fn(*arrays)  # called by a function of one sample: part of its graph
        arguments = Arguments(arrays, self._name_of, samples, seed)
        program = self._sample_hessians(arguments) or self._program(arguments)
        outputs: list[Any] = program.evaluate(arguments, self._threads)
        numpy: Any = sys.modules.get("numpy")
        # Another thread may be importing it: then nobody has an array so far.
        ndarray = getattr(numpy, "ndarray", ())
        if any(isinstance(array, ndarray) for array in arrays):
            outputs = [numpy.asarray(output) for output in outputs]
        return put_together(program.layout, iter(outputs))

    def value_and_grad(
        self,
        *arrays: Any,
        samples: SupportsIndex | None = None,
        seed: SupportsIndex | None = None,
        comm: Any = None,
    ) -> float:
        """The reduced loss of a batch; sets the grad of each parameter to its derivative.

        samples, seed: as in a call; one seed gives the same draws here and there.
        comm: a communicator of mpi4py whose ranks all call this, each with its own samples: all get
        the loss of all samples, and its derivatives, the same to the bit. What is drawn is drawn by
        rank 0's seed, as if it had all samples. RuntimeError with its message where another rank
        fails; ValueError where they do not do the same.
        """
        if comm is not None:
            return self._value_and_grad_of_all(arrays, comm, samples, seed)
        last = self._last
        if type(last) is Recorded and samples is None and seed is None:
            loss = last.again(arrays, self._reduction == "mean", self._threads)
            if loss is not None:
                return loss
        arguments = Arguments(arrays, self._name_of, samples, seed)
        program = self._program(arguments, "value_and_grad")
        return program.value_and_grad(arguments, self._reduction == "mean", self._threads)

    def _value_and_grad_of_all(
        self,
        arrays: tuple[Any, ...],
        comm: Any,
        samples: SupportsIndex | None,
        seed: SupportsIndex | None,
    ) -> float:
        ranks = Ranks(comm, "value_and_grad")
        with ranks.together() as facts:
            arguments = Arguments(arrays, self._name_of, samples, seed)
            program = self._program(arguments, "value_and_grad")
            facts.update(self._facts(program), count=arguments.size, seed=arguments.seed)
            exchange = Exchange(comm, ranks.size, len(program.parameters))
        try:
            ranks.share_draws(arguments, ranks.counts)
            return program.value_and_grad(
                arguments, self._reduction == "mean", self._threads, exchange
            )
        finally:
            ranks.leave()

    def _facts(self, program: Recorded) -> dict[str, Any]:
        """What has to be the same on every rank."""
        size, numbers = program.fingerprint()
        function = f"{getattr(self, '__qualname__', '?')} of {size}"
        return {"function": function, "reduction": self._reduction, "parameters": numbers}

    def fit(
        self,
        *arrays: Any,
        optimizer: Optimizer,
        steps: SupportsIndex | None = None,
        epochs: SupportsIndex | None = None,
        samples: SupportsIndex | None = None,
        batch_size: SupportsIndex | None = None,
        shuffle: bool = False,
        seed: SupportsIndex | None = None,
        scheduler: LRScheduler | None = None,
        clip_norm: Number | None = None,
        validation: tuple[Any, ...] | list[Any] | None = None,
        patience: SupportsIndex | None = None,
        progress: bool = False,
        callback: Callable[[int, float], object] | None = None,
        comm: Any = None,
    ) -> History:
        """Trains for so many steps, or epochs, and returns the loss before each step: a History.

        A step is value_and_grad on a batch and optimizer.step(), as in a loop in Python, but in
        the core. An epoch has as many as there are batches.

        optimizer: of micrograd_c.optim; its parameters are updated in place.
        samples: how many, of a function without arguments.
        batch_size: samples a step, in order, the rest of an epoch in a smaller batch; None: all.
        shuffle: draws a new order for every epoch.
        seed: of the orders, and of what micrograd_c.random draws, anew in every step; None: from
        Python's random module.
        scheduler: of optim.lr_scheduler; its step() comes after each epoch where epochs are given,
        else after each step. ReduceLROnPlateau gets the validation loss, or else that of training:
        the mean over the epoch, or the step's.
        clip_norm: gradients that are longer are shortened to this, as by optim.clip_grad_norm_().
        validation: a tuple of arrays like those of the training; their loss is measured after each
        epoch (History.validation), and nothing is trained on them.
        patience: after so many epochs without a lower validation loss, training ends. With it, the
        parameters at the end are those of the lowest one.
        progress: shows a bar, tqdm's where that is installed.
        callback(step, loss) is called after every step, and may change data and the optimizer's
        settings, call this function, and train; if it returns True, Python's or NumPy's, training
        ends.
        comm: a communicator of mpi4py whose ranks all call this, each with its own samples: each
        step's gradient is that of all of them, and all ranks keep the same parameters, to the bit.
        All of the arguments but the samples, seed, progress and callback have to be the same. An
        epoch is that of the rank with the most samples. RuntimeError with its message where another
        rank fails.

        Ctrl-C ends it with the parameters of the last whole step; the losses so far are in
        `history`. Between two calls of callback the parameters are the core's: what other threads
        and signal handlers assign to them is lost. A fit of the same parameters in another thread
        waits, one in a signal handler is a RuntimeError. TraceError if fn reads a number that
        training changes.
        """
        if comm is not None:
            ranks = Ranks(comm, "fit")
            stack: Any = ranks.together()
        else:
            ranks, stack = None, contextlib.nullcontext({})
        with stack as facts:
            plan = Fit(
                optimizer,
                steps,
                epochs,
                batch_size,
                shuffle,
                seed,
                scheduler,
                clip_norm,
                validation,
                patience,
                progress,
                callback,
            )
            arguments = Arguments(arrays, self._name_of, samples, plan.seed)
            held_out = None
            if plan.validation is not None:
                apart = Arguments(plan.validation, self._name_of, None, plan.seed)
                held_out = self._program(apart, "fit: validation"), apart
                held_out[0].check_movable("fit: validation", optimizer.params)
            program = self._program(arguments, "fit")
            history = History()
            if held_out and program.draws:
                held_out[1].seed = arguments.seed
            if ranks:
                counts = {"count": arguments.size, "held_out": held_out[1].size if held_out else 0}
                facts.update(self._facts(program), **plan.facts(), **counts, seed=arguments.seed)
        self.history = history
        is_mean = self._reduction == "mean"
        try:
            if ranks:
                ranks.share_draws(arguments, ranks.counts)
            if ranks and held_out:
                ranks.share_draws(held_out[1], ranks.held_out)
            plan.run(program, arguments, held_out, is_mean, self._threads, history, ranks)
        finally:
            if ranks:
                ranks.leave()
        return history

    def objective(
        self,
        *arrays: Any,
        params: Iterable[Value] | None = None,
        sparse: bool = False,
        samples: SupportsIndex | None = None,
        seed: SupportsIndex | None = None,
    ) -> Objective:
        """The reduced loss of a batch as a function of a vector of parameters: for SciPy.

        params: which parameters, in the vector's order; None: all that the function reads. sparse:
        whether hess gives a scipy.sparse.csr_matrix. samples, seed: as in a call; all that the
        objective computes has the same draws, so that it is one function. An Objective with x0,
        fun(theta), jac(theta), fun_and_jac(theta), hess(theta), hessp(theta, v) and assign(theta),
        on NumPy arrays.

        ImportError without NumPy; TypeError if fn returns anything but a Value; ValueError if it
        has no parameters, or reads a Value that was computed outside of it; TraceError if it reads
        a parameter's number.
        """
        arguments = Arguments(arrays, self._name_of, samples, seed)
        return Objective(self, self._alike, arguments, params, sparse=sparse)

    def residuals(
        self,
        *arrays: Any,
        params: Iterable[Value] | None = None,
        sparse: bool = False,
        samples: SupportsIndex | None = None,
        seed: SupportsIndex | None = None,
    ) -> Residuals:
        """All results of a batch as a function of a vector of parameters: for SciPy, too.

        fn returns a Value, a list of Values, or a list of lists of them. A Residuals with x0,
        fun(theta), jac(theta) and assign(theta), on NumPy arrays.

        params, samples, seed: as in objective(). sparse: whether jac gives a
        scipy.sparse.csr_matrix. Errors: as in objective().
        """
        arguments = Arguments(arrays, self._name_of, samples, seed)
        return Residuals(self, self._alike, arguments, params, sparse=sparse)

    def source(self, language: str, *arrays: Any) -> str:
        """The function's source text for whole batches, in 'c', 'numpy', 'jax' or 'torch'.

        It needs nothing of this package. Matrix products, vectors and the names of parameters are
        those of the function where they are known; its docstring or comment says what it takes.
        The C and the NumPy text of a function that returns a Value has one for the value and the
        gradients, too.

        arrays: an example of arguments, whose structure is printed; none: that of the last call.
        ValueError for another language, before the first call, and for a function that has what a
        language has no text for, such as custom().
        """
        from . import export  # 10 ms that only those who print wait for

        export.check_language(language)
        return export.source(export.prepare(self, "source", arrays), language)

    def to_numpy(self, *arrays: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
        """A function of parameters and arrays, from source('numpy'), and its parameters.

        Parameters are a dict of arrays, by their names in the source. arrays and errors: as in
        source(). ImportError without NumPy.
        """
        from . import export

        return export.to_numpy(export.prepare(self, "to_numpy", arrays))

    def to_jax(self, *arrays: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
        """A function of parameters and arrays, from source('jax'), and its parameters.

        Parameters are a dict of arrays, by their names in the source; of float64 where JAX's x64 is
        enabled and samples are computed in it. arrays and errors: as in source(). ImportError, with
        the line that installs it, without JAX.
        """
        from . import export

        return export.to_jax(export.prepare(self, "to_jax", arrays))

    def to_torch(self, *arrays: Any) -> Any:
        """A torch.nn.Module, from source('torch'), that holds the parameters.

        They are of the dtype that samples are computed in. arrays and errors: as in source().
        ImportError, with the line that installs it, without PyTorch.
        """
        from . import export

        return export.to_torch(export.prepare(self, "to_torch", arrays))

    def _alike(self, fn: Callable[..., Any]) -> "CompiledFunction":
        """Another function, compiled with this one's options."""
        return CompiledFunction(
            fn,
            reduction=self._reduction,
            threads=self._threads or None,
            skip=self._skip,
            executor=self._executor,
            dtype="float32" if self._is_float32 else "float64",
        )

    def stats(self) -> CompiledStats:
        """Of the program used last: a CompiledStats. Before the first call: ValueError."""
        if self._last is None:
            raise ValueError("stats: nothing has been recorded yet; call the function first")
        return self._last.stats()

    def __str__(self) -> str:
        """The programs, step by step: what became of the graph."""
        name = getattr(self, "__qualname__", repr(self._fn))
        programs: dict[tuple[int, ...], Recorded | SampleHessians] = {}
        programs.update(self._programs)
        programs.update(self._hessians)
        lines = [f"compiled function {name}, {len(programs)} program(s)"]
        for structure, program in programs.items():
            shapes = ", ".join(
                f"{self._name_of(k)}: {'(B,)' if n < 0 else f'(B, {n})'}"
                for k, n in enumerate(structure)
            )
            stats, listing = program.stats(), program.listing(_is_value(program)).rstrip()
            executor = program.choice_of_executor() if isinstance(program, Recorded) else None
            lines += [
                "",
                f"program for {shapes or 'no arguments'}",
                f"  {stats.recorded_nodes} nodes recorded, {stats.optimised_nodes} after"
                f" optimisation, {stats.parameters} parameters",
                *([f"  {executor}"] if executor else []),
                listing,
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        name = getattr(self, "__qualname__", repr(self._fn))
        count = len(self._programs) + len(self._hessians)
        return f"<compiled function {name}, {count} program(s)>"

    def _name_of(self, k: int) -> str:
        """The name of argument k, for messages."""
        try:
            names = list(inspect.signature(self._fn).parameters)
        except Exception:  # a callable may answer with any
            names = []
        return names[k] if k < len(names) else str(k)

    def _program(self, arguments: Arguments, loss_for: str | None = None) -> Recorded:
        """The program for arguments of this structure, recorded now if there is none that holds.

        Two threads that both find none both record one; either will do.
        """
        program = self._programs.get(arguments.structure)
        if program is None or not program.still_holds():
            program = record(
                self._fn, read_result, arguments, self._skip, self._executor, self._is_float32
            )
            self._programs[arguments.structure] = program
        self._last = program
        _seed(program, arguments)
        if loss_for and not _is_value(program):
            got = describe(program.layout, program.shapes)
            raise TypeError(f"{loss_for}: expected a function that returns a Value, got {got}")
        return program

    def _sample_hessians(self, arguments: Arguments) -> SampleHessians | None:
        """The program of a function that hessian() has given, where that is the quicker way.

        None: of any other function, and once there is a program of the other way.
        """
        structure = arguments.structure
        if structure in self._programs:
            return None
        program = self._hessians.get(structure)
        if program is None or not program.still_holds():
            of_hessian = hessian_products(self._fn, structure)
            if of_hessian is None:
                return None
            products, n = of_hessian
            options = self._skip, self._executor, self._is_float32
            found = record(products, read_result, arguments, *options, directions=n)
            program = SampleHessians(Products(found))
            self._hessians[structure] = program
        _seed(program, arguments)
        if not program.suits(arguments.size):
            del self._hessians[structure]
            return None
        self._last = program
        return program

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(str(getattr(self, "__module__", "")))
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name  # a decorated function is pickled as functions are: by its name
        state = {**vars(self), "_programs": {}, "_hessians": {}, "_last": None, "history": None}
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]


def _is_value(program: Recorded | SampleHessians) -> bool:
    """Whether the function returns a Value, and no structure of them."""
    return program.layout is None and program.shapes[0] == ()


def _seed(program: Recorded | SampleHessians, arguments: Arguments) -> None:
    """A seed for what is drawn, if anything is, and the caller has given none."""
    if program.draws and arguments.seed is None:
        arguments.seed = random.getrandbits(64)


_NUMBERS = {float, int, list, tuple}


def _holds_values(array: Any) -> bool:
    return isinstance(array, Value) or (
        isinstance(array, list | tuple)
        and not _NUMBERS.issuperset(map(type, array))  # much the fastest for long lists
        and any(isinstance(element, Value) for element in array)
    )
