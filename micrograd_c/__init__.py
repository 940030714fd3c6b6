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

from . import engine
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

TYPE_CHECKING = False  # typing's own would have to import it
if TYPE_CHECKING:
    from . import losses, nn, optim
    from . import random as random
    from . import viz as viz
    from .compat import install, uninstall
    from .compiled import CompiledFunction, TraceError
    from .compiled import compile as compile
    from .gradchecks import GradcheckError, gradcheck
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

# The rest is loaded when it is first asked for: a module, or a name of one.
_LAZY = {
    **dict.fromkeys(
        (
            "compat",
            "compiled",
            "gradchecks",
            "loops",
            "losses",
            "nn",
            "optim",
            "random",
            "transforms",
            "viz",
        )
    ),
    **dict.fromkeys(("install", "uninstall"), "compat"),
    **dict.fromkeys(("CompiledFunction", "TraceError", "compile"), "compiled"),
    **dict.fromkeys(("GradcheckError", "gradcheck"), "gradchecks"),
    **dict.fromkeys(("checkpoint", "scan"), "loops"),
    **dict.fromkeys(
        ("grad", "gradients", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"),
        "transforms",
    ),
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = _LAZY[name]
    module = import_module(f".{home or name}", __name__)
    found = globals()[name] = getattr(module, name) if home else module
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
