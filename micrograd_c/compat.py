# SPDX-License-Identifier: MIT
"""micrograd's module names and conventions on this engine, for code written for micrograd."""

import importlib.machinery
import random
import sys
import types
from collections.abc import Sequence
from typing import Any

from . import nn
from .engine import Value, accumulate_grads

__all__ = ["install", "uninstall"]


class Neuron(nn.Neuron):
    """ReLU, or linear with `nonlin=False`."""

    def __init__(self, nin: int, nonlin: bool = True) -> None:
        super().__init__(nin, activation="relu" if nonlin else "linear")

    @property
    def nonlin(self) -> bool:
        return self.activation != "linear"

    @nonlin.setter
    def nonlin(self, nonlin: bool) -> None:
        self.activation = "relu" if nonlin else "linear"

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(nn.Layer):
    """`nout` neurons; what else is given goes to each of them."""

    def __init__(self, nin: int, nout: int, **kwargs: bool) -> None:
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(nn.MLP):
    """ReLU layers, the last one linear."""

    def __init__(self, nin: int, nouts: Sequence[int]) -> None:
        sizes = [nin, *nouts]
        last = len(nouts) - 1
        self.layers = [Layer(sizes[i], sizes[i + 1], nonlin=i != last) for i in range(len(nouts))]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


def _make_module(
    name: str, doc: str, is_package: bool = False, **contents: Any
) -> types.ModuleType:
    module = types.ModuleType(name, doc)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=is_package)
    module.__package__ = name if is_package else name.rpartition(".")[0]
    if is_package:
        module.__path__ = module.__spec__.submodule_search_locations or []
    vars(module).update(contents)
    return module


def _make_modules() -> dict[str, types.ModuleType]:
    engine = _make_module("micrograd.engine", "micrograd.engine on micrograd_c.", Value=Value)
    # Star imports of micrograd.nn bring these two names along, and scripts count on it.
    layers = _make_module(
        "micrograd.nn",
        "micrograd.nn on micrograd_c.",
        random=random,
        Value=Value,
        Module=nn.Module,
        Neuron=Neuron,
        Layer=Layer,
        MLP=MLP,
    )
    package = _make_module(
        "micrograd", "micrograd on micrograd_c.", is_package=True, engine=engine, nn=layers
    )
    return {module.__name__: module for module in (package, engine, layers)}


_modules: dict[str, types.ModuleType] = {}  # what install() put into sys.modules
_replaced: dict[str, types.ModuleType] = {}  # what stood there before
_accumulated = False  # the default of backward() before


def install() -> None:
    """Makes `import micrograd` in this process give this engine, until `uninstall()`.

    micrograd itself need not be installed, and may already have been imported. Its conventions
    come along: ReLU between the layers of an MLP and a linear output, and grads that add up from
    one `backward` to the next until they are zeroed.
    """
    global _accumulated
    if not _modules:
        _modules.update(_make_modules())
        _replaced.update((name, sys.modules[name]) for name in _modules if name in sys.modules)
        _accumulated = accumulate_grads()
    sys.modules.update(_modules)
    accumulate_grads()


def uninstall() -> None:
    """Undoes `install()`: the modules and the default of `backward` are what they were."""
    if not _modules:
        return
    for name in _modules:
        sys.modules.pop(name, None)
    sys.modules.update(_replaced)
    accumulate_grads(_accumulated)
    _modules.clear()
    _replaced.clear()
