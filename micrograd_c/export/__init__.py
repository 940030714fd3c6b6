# SPDX-License-Identifier: MIT
"""A compiled function in another language: as source text, and as a function of that language.

program.py finds names for what a function has, blocks.py makes vectors of its scalars; printer.py
and the files `..._statements.py` print these, the files `..._functions.py` the functions around
them. What languages call the rows of the operation table stands in dialects.py.
"""

import importlib
from collections.abc import Callable
from typing import Any

from .array_functions import array_source, class_name
from .c_functions import c_source
from .dialects import DIALECTS
from .names import numbers_of
from .program import Exported, prepare

__all__ = ["check_language", "prepare", "source", "to_jax", "to_numpy", "to_torch"]


def check_language(language: str) -> None:
    """ValueError for one that there is no printer for."""
    if type(language) is not str or language not in DIALECTS:
        known = ", ".join(map(repr, DIALECTS))
        raise ValueError(f"source: expected a language among {known}; got {language!r}")


def source(exported: Exported, language: str) -> str:
    """The function's text in this language."""
    check_language(language)
    return c_source(exported) if language == "c" else array_source(exported, language)


def to_numpy(exported: Exported) -> tuple[Callable[..., Any], dict[str, Any]]:
    numpy = _need("numpy", "to_numpy")
    parameters = {array.path: numpy.array(numbers_of(array)) for array in exported.arrays}
    return _run(exported, "numpy")[exported.name], parameters


def to_jax(exported: Exported) -> tuple[Callable[..., Any], dict[str, Any]]:
    jnp = _need("jax.numpy", "to_jax")
    dtype = jnp.float32 if exported.is_float32 else None
    parameters = {
        array.path: jnp.asarray(numbers_of(array), dtype=dtype) for array in exported.arrays
    }
    return _run(exported, "jax")[exported.name], parameters


def to_torch(exported: Exported) -> Any:
    torch = _need("torch", "to_torch")
    module = _run(exported, "torch")[class_name(exported)]()
    with torch.no_grad():
        for array in exported.arrays:
            own = getattr(module, array.path)
            own.copy_(torch.tensor(numbers_of(array), dtype=own.dtype))
    return module


def _run(exported: Exported, language: str) -> dict[str, Any]:
    """What the source defines."""
    namespace: dict[str, Any] = {"__name__": f"{exported.name}_in_{language}"}
    text = source(exported, language)
    exec(compile(text, f"<{language} source of {exported.name}>", "exec"), namespace)
    return namespace


def _need(package: str, name: str) -> Any:
    """The package, or ImportError that says how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        root = package.partition(".")[0]
        raise ImportError(
            f"{name} needs the package {root}, which is not installed: python -m pip install {root}"
        ) from None
