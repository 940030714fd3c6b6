# SPDX-License-Identifier: MIT
"""Optimisers, with PyTorch's arguments, defaults and numbers: one call into the core a step.

They update the data of Values by their grad; zero_grad(), backward(), step(), as in PyTorch. With
`compile`, `fit` runs the whole loop in the core. Every argument but params is an attribute: it may
be assigned between steps, is checked as in the constructor, and decides the next step.
"""

from ._core import Optimizer

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]


class _Setting:
    """A setting of the rule. It stands in the core, which checks it."""

    def __init__(self, doc):
        self.__doc__ = doc

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else optimizer._get(self.name)

    def __set__(self, optimizer, value):
        optimizer._set(self.name, value)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in torch.optim.SGD.

    params: Values. lr: the learning rate. momentum: how much of the last update is kept.
    nesterov: looks ahead by Nesterov's rule; needs momentum. weight_decay: an L2 penalty's
    factor. maximize: climbs.
    """

    _rule = "SGD"
    _settings = ("lr", "momentum", "nesterov", "weight_decay", "maximize")

    lr = _Setting("The learning rate, at least 0.")
    momentum = _Setting("How much of the last update is kept, at least 0.")
    nesterov = _Setting("Whether to look ahead by Nesterov's rule; needs momentum.")
    weight_decay = _Setting("An L2 penalty's factor, at least 0.")
    maximize = _Setting("Whether to climb.")

    def __init__(
        self, params, lr=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0, *, maximize=False
    ):
        settings = {"lr": lr, "momentum": momentum, "nesterov": nesterov}
        self._set_up(params, settings | {"weight_decay": weight_decay, "maximize": maximize})

    def __repr__(self):
        return f"SGD({len(self.params)} parameters, lr={self.lr})"


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), as in torch.optim.Adam.

    params: Values. lr: the learning rate. betas: decay of the first and second moments, in [0,
    1).
    eps: added to the root of the second. weight_decay: an L2 penalty's factor. amsgrad: uses the
    largest second moment so far (Reddi, Kale and Kumar, 2018). maximize: climbs.
    """

    _rule = "Adam"
    _settings = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize")

    lr = _Setting("The learning rate, at least 0.")
    betas = _Setting("Decay of the first and second moments, two numbers in [0, 1).")
    eps = _Setting("What is added to the root of the second moment, at least 0.")
    weight_decay = _Setting("An L2 penalty's factor, at least 0; AdamW's, apart from it.")
    amsgrad = _Setting("Whether to use the largest second moment so far.")
    maximize = _Setting("Whether to climb.")

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        amsgrad=False,
        *,
        maximize=False,
    ):
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self._set_up(params, settings | {"amsgrad": amsgrad, "maximize": maximize})

    def __repr__(self):
        return f"{type(self).__name__}({len(self.params)} parameters, lr={self.lr})"


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019).

    As torch.optim.AdamW.
    """

    _rule = "AdamW"

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
