# SPDX-License-Identifier: MIT
"""Optimisers, with PyTorch's arguments, defaults and numbers: one call into the core a step.

They update the data of Values by their grad; zero_grad(), backward(), step(), as in PyTorch. With
`compile`, `fit` runs the whole loop in the core.
"""

from ._core import Optimizer, Value

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]


def _at_least_zero(**numbers):
    for name, number in numbers.items():
        if isinstance(number, Value) or not hasattr(number, "__float__"):
            raise TypeError(f"{name}: expected a number, got {type(number).__name__}")
        if not number >= 0.0:
            raise ValueError(f"{name}: expected at least 0, got {number!r}")


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in torch.optim.SGD.

    params: Values. lr: the learning rate. momentum: how much of the last update is kept.
    nesterov: looks ahead by Nesterov's rule; needs momentum. weight_decay: an L2 penalty's
    factor. maximize: climbs.
    """

    def __init__(
        self, params, lr=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0, *, maximize=False
    ):
        _at_least_zero(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and momentum == 0:
            raise ValueError("nesterov: expected a momentum above 0 with it")
        self._set_up_sgd(params, lr, momentum, nesterov, weight_decay, maximize)

    def __repr__(self):
        return f"SGD({len(self.params)} parameters, lr={self.lr})"


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), as in torch.optim.Adam.

    params: Values. lr: the learning rate. betas: decay of the first and second moments, in [0,
    1).
    eps: added to the root of the second. weight_decay: an L2 penalty's factor. amsgrad: uses the
    largest second moment so far (Reddi, Kale and Kumar, 2018). maximize: climbs.
    """

    _decoupled = False

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
        _at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        beta1, beta2 = betas
        for beta in betas:
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"betas: expected numbers in [0, 1), got {betas!r}")
        self._set_up_adam(
            params, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, self._decoupled
        )

    def __repr__(self):
        return f"{type(self).__name__}({len(self.params)} parameters, lr={self.lr})"


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019).

    As torch.optim.AdamW.
    """

    _decoupled = True

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
