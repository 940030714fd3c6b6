# SPDX-License-Identifier: MIT
"""Optimisers, with PyTorch's arguments, defaults and numbers: one call into the core a step.

They update the data of Values by their grad; zero_grad(), backward(), step(), as in PyTorch. With
`compile`, `fit` runs the whole loop in the core. Every argument but params is an attribute: it may
be assigned between steps, is checked as in the constructor, and decides the next step. Schedules
for lr are in `lr_scheduler`.

Parameter groups have settings of their own: params is then a list of dicts, each with 'params' and
the settings that differ. `param_groups[k]["lr"]` reads and assigns those of one group. An attribute
of the optimiser is for all of them: assigned, it is every group's, and that of groups to come;
read, it is what all have, and AttributeError where they differ.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar, overload

from .._core import Optimizer, ParamGroup, Value, clip_grads, expect_value
from .._types import Number
from . import lr_scheduler as lr_scheduler
from .checks import at_least_zero, positive

_T = TypeVar("_T")
_Params = Iterable[Value | Mapping[str, Any]]

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "ParamGroup", "clip_grad_norm_"]


class _Setting(Generic[_T]):
    """A setting of the rule. It stands with the parameter groups, in the core, which checks it."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, optimizer: None, owner: type) -> "_Setting[_T]": ...
    @overload
    def __get__(self, optimizer: Optimizer, owner: type) -> _T: ...
    def __get__(self, optimizer: Optimizer | None, owner: type | None = None) -> Any:
        return self if optimizer is None else optimizer._get(self.name)

    def __set__(self, optimizer: Optimizer, value: _T) -> None:
        optimizer._set(self.name, value)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in torch.optim.SGD.

    params: Values, or dicts of them, as above. lr: the learning rate. momentum: how much of the
    last update is kept. nesterov: looks ahead by Nesterov's rule; needs momentum. weight_decay: an
    L2 penalty's factor. maximize: climbs.
    """

    _rule = "SGD"
    _settings = ("lr", "momentum", "nesterov", "weight_decay", "maximize")

    momentum = _Setting[float]("How much of the last update is kept, at least 0.")
    nesterov = _Setting[bool]("Whether to look ahead by Nesterov's rule; needs momentum.")

    def __init__(
        self,
        params: _Params,
        lr: Number = 1e-3,
        momentum: Number = 0.0,
        nesterov: bool = False,
        weight_decay: Number = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        settings: dict[str, Any] = {"lr": lr, "momentum": momentum, "nesterov": nesterov}
        self._set_up(params, settings | {"weight_decay": weight_decay, "maximize": maximize})


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), as in torch.optim.Adam.

    params: Values, or dicts of them, as above. lr: the learning rate. betas: decay of the first and
    second moments, in [0, 1). eps: added to the root of the second. weight_decay: an L2 penalty's
    factor. amsgrad: uses the largest second moment so far (Reddi, Kale and Kumar, 2018). maximize:
    climbs.
    """

    _rule = "Adam"
    _settings = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize")

    betas = _Setting[tuple[float, float]](
        "Decay of the first and second moments, two numbers in [0, 1)."
    )
    eps = _Setting[float]("What is added to the root of the second moment, at least 0.")
    amsgrad = _Setting[bool]("Whether to use the largest second moment so far.")

    def __init__(
        self,
        params: _Params,
        lr: Number = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        self._set_up(params, settings | {"amsgrad": amsgrad, "maximize": maximize})


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019).

    As torch.optim.AdamW.
    """

    _rule = "AdamW"

    def __init__(
        self,
        params: _Params,
        lr: Number = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


def clip_grad_norm_(
    params: Value | Iterable[Value],
    max_norm: Number,
    norm_type: Number = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scales the grads of all params, so that together they are no longer than max_norm.

    As `torch.nn.utils.clip_grad_norm_`: grads are multiplied by max_norm / (norm + 1e-6) where that
    is below 1. It comes between backward() and step(). Returns the norm that they had.

    params: Values, each once. norm_type: p of the p-norm, math.inf for the largest absolute grad.
    error_if_nonfinite: RuntimeError for a norm that is infinite or NaN, and nothing is changed;
    else the grads become what the arithmetic gives, 0 and NaN.
    """
    values = [params] if isinstance(params, Value) else list(params)
    for value in values:
        expect_value(value, "clip_grad_norm_")
    if len(set(map(id, values))) < len(values):
        raise ValueError("clip_grad_norm_: expected each Value once, got one twice")
    p = positive("clip_grad_norm_", "norm_type", norm_type)
    longest = at_least_zero("clip_grad_norm_", "max_norm", max_norm)
    norm = clip_grads(values, longest, p, error_if_nonfinite)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm_: the norm of the grads is {norm}")
    return norm
