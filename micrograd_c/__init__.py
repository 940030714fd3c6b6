# SPDX-License-Identifier: MIT
"""micrograd at machine speed: scalar automatic differentiation on a contiguous tape."""

try:
    from . import _core as _core
except ModuleNotFoundError as error:
    if error.name != f"{__name__}._core":
        raise
    raise ModuleNotFoundError(
        "micrograd_c's compiled core is not beside its Python files. In a source folder, run "
        "`pip install -e .`, or start Python from another folder to use the installed package.",
        name=error.name,
    ) from None

from . import engine, losses, nn, optim
from . import random as random
from .compat import install, uninstall
from .compiled import CompiledFunction, TraceError
from .compiled import compile as compile
from .engine import (
    Condition,
    TapeStats,
    Value,
    accumulate_grads,
    clip,
    custom,
    dot,
    logical_and,
    logical_not,
    logical_or,
    no_grad,
    take,
    tape_stats,
    topological_sort,
    where,
)
from .engine import sum as sum
from .gradcheck import GradcheckError, gradcheck
from .loops import checkpoint, scan
from .transforms import grad, gradients, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__version__ = "0.1.0"

# Without the names that would hide Python's own from `import *`.
__all__ = [
    "CompiledFunction",
    "Condition",
    "GradcheckError",
    "TapeStats",
    "TraceError",
    "Value",
    "accumulate_grads",
    "checkpoint",
    "clip",
    "custom",
    "dot",
    "engine",
    "grad",
    "gradcheck",
    "gradients",
    "hessian",
    "hvp",
    "install",
    "jacobian",
    "jvp",
    "logical_and",
    "logical_not",
    "logical_or",
    "losses",
    "nn",
    "no_grad",
    "optim",
    "scan",
    "take",
    "tape_stats",
    "topological_sort",
    "uninstall",
    "value_and_grad",
    "vjp",
    "where",
]
