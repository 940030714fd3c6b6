# SPDX-License-Identifier: MIT
"""Compiled functions in other languages: how the tests run them, and compare what they give with
what the scalar executor gives."""

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from common import IS_SANITIZED

from micrograd_c import _core, compile
from micrograd_c.export import prepare
from micrograd_c.export.dialects import NUMPY
from micrograd_c.export.names import Names
from micrograd_c.export.program import lay_out

LANGUAGES = ["c", "numpy", "jax", "torch"]
STRICT = "-O1 -std=c99 -Wall -Wextra -Werror -ffp-contract=off -fPIC".split()  # noqa: SIM905
LINKED = ["-shared", "-o", "text.so", "text.o", "-lm"]
COMPILER = os.environ.get("CC", "cc").split()
DOUBLES = ctypes.POINTER(ctypes.c_double)


def need(language):
    """Skips the test where the language is not at hand."""
    if language == "c":
        if sys.platform == "win32" or shutil.which(COMPILER[0]) is None:
            pytest.skip("needs a C compiler")
        if IS_SANITIZED:
            pytest.skip("sanitizers look at the core, not at what a compiler makes of its text")
    elif language == "jax":
        pytest.importorskip("jax").config.update("jax_enable_x64", True)
    else:
        pytest.importorskip(language)


@functools.lru_cache(maxsize=4)
def library(text):
    """The C text as a library, compiled with every warning an error."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "text.c").write_text(text, encoding="utf-8")
        # Two steps, by names without a folder, so that ccache knows what another run compiled.
        for step in ([*COMPILER, *STRICT, "-c", "text.c"], [*COMPILER, *LINKED]):
            run = subprocess.run(step, cwd=folder, capture_output=True, text=True)
            assert run.returncode == 0, f"{run.stderr}\n{text}"
        return ctypes.CDLL(str(Path(folder, "text.so")))


def pointer(array):
    return array.ctypes.data_as(DOUBLES)


def contiguous(arrays):
    return [np.ascontiguousarray(array, dtype=float) for array in arrays]


def flat(parameters):
    """What the C functions take, from a dict of arrays."""
    parts = [np.zeros(0), *[np.ravel(array) for array in parameters.values()]]
    return np.ascontiguousarray(np.concatenate(parts), dtype=float)


def outputs(f, language, name, arrays, shapes, samples=0, seed=None, rng=None):
    """The results of the function's text for these arrays, as NumPy arrays, one after the other.

    shapes: those of a sample's results; samples: how many, where there are no arrays; seed: where
    the function draws; rng: what NumPy draws by, if not by its own generator.
    """
    if language == "c":
        parameters, inputs = flat(f.to_numpy()[1]), contiguous(arrays)
        samples = len(inputs[0]) if inputs else samples
        found = [np.full((samples, *shape), 12.5) for shape in shapes]
        function = getattr(library(f.source("c")), name)
        function.restype = None
        function(
            ctypes.c_size_t(samples),
            *_seeds(seed),
            pointer(parameters),
            *map(pointer, inputs),
            *map(pointer, found),
        )
        return found
    if language == "numpy":
        function, parameters = f.to_numpy()
        more = [] if seed is None else [rng or np.random.default_rng(seed)]
        with np.errstate(all="ignore"):
            return leaves(function(parameters, *(arrays or [samples]), *more))
    if language == "jax":
        import jax

        function, parameters = f.to_jax()
        more = [] if seed is None else [jax.random.key(seed)]
        inputs = [*map(jax.numpy.asarray, arrays)] or [samples]
        found = function(parameters, *inputs, *more)
        return [np.asarray(part) for part in leaves(found)]
    import torch

    more = [] if seed is None else [torch.Generator().manual_seed(seed)]
    found = f.to_torch()(*([*map(torch.tensor, arrays)] or [samples]), *more)
    return [part.detach().numpy() for part in leaves(found)]


def _seeds(seed):
    """The C functions' argument."""
    return [] if seed is None else [ctypes.c_uint64(seed)]


def gradients(f, language, name, arrays, samples=0, seed=None, rng=None):
    """The loss and its derivatives by each parameter, in the order of the source's arrays.

    samples, seed, rng: as of outputs().
    """
    function, parameters = f.to_numpy()
    if language == "c":
        numbers, inputs = flat(parameters), contiguous(arrays)
        found = np.full(len(numbers), 12.5)
        value_and_grad = getattr(library(f.source("c")), f"{name}_value_and_grad")
        value_and_grad.restype = ctypes.c_double
        loss = value_and_grad(
            ctypes.c_size_t(len(inputs[0]) if inputs else samples),
            *_seeds(seed),
            pointer(numbers),
            *map(pointer, inputs),
            pointer(found),
        )
        return loss, found
    if language == "numpy":
        value_and_grad = function.__globals__[f"{name}_value_and_grad"]
        more = [] if seed is None else [rng or np.random.default_rng(seed)]
        with np.errstate(all="ignore"):
            loss, found = value_and_grad(parameters, *(arrays or [samples]), *more)
        assert {k: np.shape(v) for k, v in found.items()} == {
            k: np.shape(v) for k, v in parameters.items()
        }
        return loss, flat(found)
    if language == "jax":
        import jax

        function, parameters = f.to_jax()
        reduced = getattr(jax.numpy, f._reduction)
        more = [] if seed is None else [jax.random.key(seed)]
        inputs = [*(arrays or [samples]), *more]
        loss, found = jax.value_and_grad(lambda p: reduced(function(p, *inputs)))(parameters)
        return float(loss), flat({name: found[name] for name in parameters})
    import torch

    module = f.to_torch()
    more = [] if seed is None else [torch.Generator().manual_seed(seed)]
    inputs = [*map(torch.tensor, arrays)] or [samples]
    loss = getattr(module(*inputs, *more), f._reduction)()
    if loss.requires_grad:
        loss.backward()
    zeros = [p.grad if p.grad is not None else torch.zeros_like(p) for p in module.parameters()]
    return loss.item(), flat(dict(enumerate(zeros)))


def leaves(results):
    """The arrays in a structure."""
    if isinstance(results, dict):
        return [leaf for part in results.values() for leaf in leaves(part)]
    if isinstance(results, tuple):
        return [leaf for part in results for leaf in leaves(part)]
    return [results]


class Ours:
    """A generator for NumPy's text that gives what this package draws."""

    def __init__(self, f, samples, seed):
        laid = lay_out(prepare(f, "source", ()), Names(), NUMPY, False)
        draws = [(block.kind, block.numbers, [0]) for block in laid.draws]
        draws += [(each.kind, each.numbers, range(1, 1 + each.n_steps)) for each in laid.streams]
        self.draws = iter(
            np.array(
                [
                    [
                        [_core.drawn(kind, seed, k, int(n), 0, False, step) for n in numbers]
                        for k in range(samples)
                    ]
                    for step in steps
                ]
            )
            for kind, numbers, steps in draws
        )

    def standard_normal(self, shape):
        return next(self.draws).reshape(shape)

    random = standard_normal


def _drawn_by(f, arrays, seed):
    """The arguments by which the text's draws are those of f; none where it does not draw."""
    if seed is None or not prepare(f, "source", ()).draws:
        return {}
    return {"seed": seed, "rng": Ours(f, len(arrays[0]), seed)}


# -- against the scalar executor -------------------------------------------------------------------

each_language = pytest.mark.parametrize("language", LANGUAGES)


def compiled(fn, name="function", **options):
    """The function, compiled for the scalar executor, under a name."""

    @functools.wraps(fn)
    def function(*arguments):
        return fn(*arguments)

    function.__name__ = name
    return compile(function, executor="scalar", **options)


def check_outputs(f, language, arrays, shapes=((),), name="function", seed=None, **tolerance):
    """The text's results are those of the scalar executor. seed: of the draws, in C and NumPy."""
    need(language)
    wanted = leaves(f(*arrays, seed=seed))
    found = outputs(f, language, name, arrays, shapes, **_drawn_by(f, arrays, seed))
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == np.float64 and one.shape == np.asarray(other).shape
        np.testing.assert_allclose(one, other, **{"rtol": 1e-11, "atol": 1e-13, **tolerance})


def check_gradients(f, language, arrays, name="function", seed=None, **tolerance):
    """The text's loss and derivatives are those of the scalar executor. seed: as above."""
    need(language)
    loss = f.value_and_grad(*arrays, seed=seed)
    order = prepare(f, "source", ()).arrays
    read = {id(p) for p in f._last.parameters}
    wanted = [p.grad if id(p) in read else 0.0 for array in order for p in array.values]
    drawn_by = _drawn_by(f, arrays, seed)
    found_loss, found = gradients(f, language, name, arrays, **drawn_by)
    tolerance = {"rtol": 1e-9, "atol": 1e-12, **tolerance}
    np.testing.assert_allclose(found_loss, loss, **tolerance)
    np.testing.assert_allclose(found, wanted, **tolerance)
