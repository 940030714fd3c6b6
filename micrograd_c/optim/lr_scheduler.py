# SPDX-License-Identifier: MIT
"""Learning rates that change during training, with PyTorch's arguments, defaults and numbers.

A scheduler sets the optimiser's lr: when it is made, and at each step(), which comes after the
optimiser's own, once an epoch or once a minibatch as you like. Most of them change the lr that
stands there, so that several may work on one optimiser, and what you assign by hand is kept. Each
parameter group has its lr, which is changed from what it was at the start.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from .._core import Optimizer, Value
from .._types import Number
from .checks import as_float, finite, one_each, positive, whole

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]


class LRScheduler:
    """The base of schedulers: for one of your own, write get_lr().

    optimizer: whose lr is set. last_epoch: -1 starts afresh; k goes on after that epoch, with an
    optimiser that a scheduler has worked on, and its lr as it is.

    Attributes: last_epoch, the number of steps so far; base_lrs, the lr at the very start, one for
    each parameter group; optimizer.
    """

    _last_lr: list[float]
    _left_out: tuple[str, ...] = ("optimizer",)  # of the state: what is no plain data

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = _optimizer(self, optimizer)
        self.last_epoch = whole(type(self).__name__, "last_epoch", last_epoch, at_least=-1)
        groups = optimizer.param_groups
        fresh = [group for group in groups if "initial_lr" not in group]
        if fresh and last_epoch != -1:
            raise ValueError(
                f"{type(self).__name__}: last_epoch={last_epoch} wants an optimizer that a "
                "scheduler has worked on; for a new one, make the scheduler afresh and "
                "load_state_dict()"
            )
        for group in fresh:  # it stands there for those who come later, as in PyTorch
            group["initial_lr"] = group["lr"]
        self.base_lrs: list[float] = [group["initial_lr"] for group in groups]
        self._steps_before = optimizer.steps
        self._is_initial = True
        try:
            self._advance()
        except BaseException:
            for group in fresh:
                del group["initial_lr"]
            raise
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """For last_epoch, the lr of each parameter group; from base_lrs, or from the present lr."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def step(self) -> None:
        """Sets the next lr. It comes after the optimiser's step; the other way round, it warns,
        since the first lr would be left out."""
        if self.last_epoch == 0 and self.optimizer.steps == self._steps_before:
            warnings.warn(
                f"{type(self).__name__}.step() comes before the optimizer's first step, so the "
                "first learning rate is not used; call optimizer.step() first",
                UserWarning,
                stacklevel=2,
            )
        self._advance()

    def get_last_lr(self) -> list[float]:
        """The lr that was last set, one for each parameter group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """All settings and counters, made of numbers, strings and lists; not the optimiser."""
        return {
            name: list(value) if isinstance(value, list) else value
            for name, value in vars(self).items()
            if name not in self._left_out
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what state_dict() has given, of a scheduler of this class.

        The optimiser's lr is not in it: load the optimiser's state, too. ValueError or TypeError,
        and nothing is changed, where it does not fit.
        """
        own = self.state_dict()
        missing, unknown = own.keys() - state_dict.keys(), state_dict.keys() - own.keys()
        if missing or unknown:
            raise ValueError(
                f"load_state_dict: expected the state of a {type(self).__name__}; "
                f"missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        for name, value in state_dict.items():
            if not _same_kind(own[name], value):
                raise TypeError(
                    f"load_state_dict: {name}: expected {own[name]!r} or the like, got {value!r}"
                )
        vars(self).update(
            (name, list(value) if isinstance(value, list) else value)
            for name, value in state_dict.items()
        )

    def _advance(self) -> None:
        self.last_epoch += 1
        try:
            self._last_lr = self._set(list(self.get_lr()))
        except BaseException:
            self.last_epoch -= 1
            raise

    def _set(self, lrs: list[float]) -> list[float]:
        """An lr for each parameter group, all of them or none; gives what they are."""
        if len(lrs) != len(self.optimizer.param_groups):
            raise ValueError(self._other_groups(len(lrs)))
        return self.optimizer._set_each("lr", lrs)

    def _other_groups(self, count: int) -> str:
        return (
            f"{type(self).__name__}: the optimizer has {len(self.optimizer.param_groups)} "
            f"parameter groups, the scheduler numbers for {count}; after add_param_group(), make "
            "it anew"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, lr={_one(self._last_lr)})"


class LambdaLR(LRScheduler):
    """The initial lr times a factor that a function gives.

    lr_lambda: a function of the number of steps so far, or a list of them, one for each parameter
    group. They are not in state_dict().
    """

    _left_out = ("optimizer", "lr_lambdas")

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(_optimizer(self, optimizer).param_groups)
        self.lr_lambdas = one_each("LambdaLR", "lr_lambda", lr_lambda, count, _function)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [
            base * factor(self.last_epoch)
            for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """The lr times gamma, every step_size steps."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: Number = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = whole("StepLR", "step_size", step_size, at_least=1)
        self.gamma = finite("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        falls = not self._is_initial and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if falls else lr for lr in self.optimizer._each("lr")]


class ExponentialLR(LRScheduler):
    """The lr times gamma, at each step."""

    def __init__(self, optimizer: Optimizer, gamma: Number, last_epoch: int = -1) -> None:
        self.gamma = finite("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr * (1.0 if self._is_initial else self.gamma) for lr in self.optimizer._each("lr")]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine down from the initial lr to eta_min in T_max steps, then up again, and so on.

    Loshchilov and Hutter (2017), without restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: Number = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = whole("CosineAnnealingLR", "T_max", T_max, at_least=1)
        self.eta_min = finite("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self.optimizer._each("lr")
        angle, at = math.pi / self.T_max, self.last_epoch
        if (at - 1 - self.T_max) % (2 * self.T_max) == 0:  # at the bottom, where the ratio is 0 / 0
            rise = (1 - math.cos(angle)) / 2
            lrs = self.optimizer._each("lr")
            if len(lrs) != len(self.base_lrs):
                raise ValueError(self._other_groups(len(self.base_lrs)))
            pairs = zip(lrs, self.base_lrs, strict=True)
            return [lr + (base - self.eta_min) * rise for lr, base in pairs]
        ratio = (1 + math.cos(math.pi * at / self.T_max)) / (
            1 + math.cos(math.pi * (at - 1) / self.T_max)
        )
        lrs = [ratio * (lr - self.eta_min) + self.eta_min for lr in self.optimizer._each("lr")]
        # A group whose lr starts at 0 comes back there, but for rounding.
        return [0.0 if -1e-9 * self.eta_min < lr < 0 else lr for lr in lrs]


class OneCycleLR(LRScheduler):
    """Up to max_lr, then down to almost nothing: one cycle for a whole training run.

    Smith and Topin (2019). For a run of total_steps steps, or epochs * steps_per_epoch; one more
    than that raises ValueError. The first pct_start of them lead from max_lr / div_factor up to
    max_lr, the others down to max_lr / div_factor / final_div_factor. With three_phase, the way
    down is as long as the way up, and a third phase follows to the end.

    anneal_strategy: 'cos' or 'linear'. cycle_momentum: moves the momentum (of Adam, the first of
    betas) against the lr, between max_momentum and base_momentum. max_lr and these two: a number,
    or a list with one for each parameter group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Number | Sequence[Number],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: Number = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: Number | Sequence[Number] = 0.85,
        max_momentum: Number | Sequence[Number] = 0.95,
        div_factor: Number = 25.0,
        final_div_factor: Number = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = _optimizer(self, optimizer)
        if total_steps is not None:
            self.total_steps = whole("OneCycleLR", "total_steps", total_steps, at_least=1)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = whole("OneCycleLR", "epochs", epochs, at_least=1) * whole(
                "OneCycleLR", "steps_per_epoch", steps_per_epoch, at_least=1
            )
        else:
            raise ValueError("OneCycleLR: expected total_steps, or both epochs and steps_per_epoch")
        start = finite("OneCycleLR", "pct_start", pct_start)
        if start > 1:
            raise ValueError(f"OneCycleLR: expected pct_start from 0 to 1, got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self.anneal_strategy = anneal_strategy
        groups = optimizer.param_groups
        highest = one_each("OneCycleLR", "max_lr", max_lr, len(groups), finite)
        calm = one_each("OneCycleLR", "max_momentum", max_momentum, len(groups), finite)
        busy = one_each("OneCycleLR", "base_momentum", base_momentum, len(groups), finite)
        div = positive("OneCycleLR", "div_factor", div_factor)
        final_div = positive("OneCycleLR", "final_div_factor", final_div_factor)
        self.cycle_momentum = bool(cycle_momentum)
        if cycle_momentum and "betas" in optimizer.defaults and max([*calm, *busy], default=0) >= 1:
            raise ValueError(
                f"OneCycleLR: expected base_momentum and max_momentum below 1 for "
                f"{type(optimizer).__name__}, got {base_momentum!r} and {max_momentum!r}"
            )
        up, end = start * self.total_steps - 1, self.total_steps - 1

        def cycle(high: float, calm: float, busy: float) -> tuple[tuple[float, ...], ...]:
            """Of each phase: its last step, then lr and momentum at its start and at its end."""
            first, last = high / div, high / div / final_div
            rise = (up, first, high, calm, busy)
            if not three_phase:
                return rise, (end, high, last, busy, calm)
            down = 2 * start * self.total_steps - 2
            return rise, (down, high, first, busy, calm), (end, first, last, calm, calm)

        self._cycles = [cycle(*numbers) for numbers in zip(highest, calm, busy, strict=True)]
        self._momenta = calm
        if last_epoch == -1:
            self._move_momentum()
            for group, high in zip(groups, highest, strict=True):
                group["initial_lr"] = high / div
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} of a run of total_steps={self.total_steps}"
            )
        if len(self._cycles) != len(self.optimizer.param_groups):
            raise ValueError(self._other_groups(len(self._cycles)))
        places = [self._place(phases) for phases in self._cycles]
        self._momenta = [momentum for _, momentum in places]
        return [lr for lr, _ in places]

    def _place(self, phases: tuple[tuple[float, ...], ...]) -> tuple[float, float]:
        """The lr and the momentum of the step at hand."""
        begin, phase = 0.0, phases[-1]
        for earlier in phases[:-1]:
            if self.last_epoch <= earlier[0]:
                phase = earlier
                break
            begin = earlier[0]
        end, lr_from, lr_to, momentum_from, momentum_to = phase
        # What has no length is at its end; PyTorch divides by 0 there.
        along = (self.last_epoch - begin) / (end - begin) if end != begin else 1.0
        if self.anneal_strategy == "linear":
            along = min(along, 1.0)  # one step past the end, the line would lead below 0
        return (
            self._between(lr_from, lr_to, along),
            self._between(momentum_from, momentum_to, along),
        )

    def _between(self, start: float, end: float, along: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * along + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * along) + 1)

    def _set(self, lrs: list[float]) -> list[float]:
        self._move_momentum()
        return super()._set(lrs)

    def _move_momentum(self) -> None:
        optimizer = self.optimizer
        if self.cycle_momentum and "betas" in optimizer.defaults:
            pairs = zip(self._momenta, optimizer._each("betas"), strict=True)
            optimizer._set_each("betas", [(momentum, beta2) for momentum, (_, beta2) in pairs])
        elif self.cycle_momentum:
            optimizer._set_each("momentum", self._momenta)


class ReduceLROnPlateau(LRScheduler):
    """The lr times factor, when a number that should fall has not done so for some time.

    mode: 'min', or 'max' for what should rise. patience: how many steps without a new best number
    are borne. threshold: what counts as better: by this part of the best number, or by this much
    where threshold_mode is 'abs'. cooldown: how many steps after a change are not counted. min_lr:
    the lr falls no further, a number, or a list with one for each parameter group. eps: nor by less
    than this.

    Attributes: best; num_bad_epochs; cooldown_counter; last_epoch, the number of steps so far.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: Number = 0.1,
        patience: int = 10,
        threshold: Number = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: Number | Sequence[Number] = 0.0,
        eps: Number = 1e-8,
    ) -> None:
        self.optimizer = _optimizer(self, optimizer)
        self.factor = finite("ReduceLROnPlateau", "factor", factor)
        if self.factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: expected a factor below 1, got {factor!r}")
        for name, given, known in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if given not in known:
                raise ValueError(f"ReduceLROnPlateau: expected {name} among {known}, got {given!r}")
        self.mode, self.threshold_mode = mode, threshold_mode
        self.threshold = finite("ReduceLROnPlateau", "threshold", threshold)
        self.patience = whole("ReduceLROnPlateau", "patience", patience, at_least=0)
        self.cooldown = whole("ReduceLROnPlateau", "cooldown", cooldown, at_least=0)
        count = len(optimizer.param_groups)
        self.min_lrs = one_each("ReduceLROnPlateau", "min_lr", min_lr, count, finite)
        self.eps = finite("ReduceLROnPlateau", "eps", eps)
        self.last_epoch = self.num_bad_epochs = self.cooldown_counter = 0
        self.best = math.inf if mode == "min" else -math.inf
        self._last_lr = self.optimizer._each("lr")

    @property
    def in_cooldown(self) -> bool:
        """Whether steps are not counted at present."""
        return self.cooldown_counter > 0

    def step(self, metrics: Number | Value) -> None:  # type: ignore[override]
        """Looks at a new number, a Value or a float: a validation loss, say."""
        current = (
            metrics.data
            if isinstance(metrics, Value)
            else as_float("ReduceLROnPlateau", "metrics", metrics)
        )
        lrs = self.optimizer._each("lr")
        if len(lrs) != len(self.min_lrs):
            raise ValueError(self._other_groups(len(self.min_lrs)))
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for k, lowest in enumerate(self.min_lrs):
                lr = max(lrs[k] * self.factor, lowest)
                if lrs[k] - lr > self.eps:
                    lrs[k] = lr
            self._set(lrs)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = lrs

    def _is_better(self, current: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            bar = self.best * (1.0 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return current > bar if self.mode == "max" else current < bar

    def __repr__(self) -> str:
        return f"ReduceLROnPlateau(best={self.best}, lr={_one(self._last_lr)})"


def _optimizer(owner: object, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{type(owner).__name__}: expected an optimizer of micrograd_c.optim, got "
            f"{type(optimizer).__name__}"
        )
    return optimizer


def _function(what: str, name: str, given: Any) -> Any:
    if not callable(given):
        raise TypeError(f"{what}: expected a function as {name}, got {given!r}")
    return given


def _one(lrs: list[float]) -> float | list[float]:
    """The lr, where there is one."""
    return lrs[0] if len(set(lrs)) == 1 else lrs


def _same_kind(own: Any, other: Any) -> bool:
    """Whether it could stand in a state where this stands."""
    if isinstance(own, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(own) == len(other)
            and all(map(_same_kind, own, other))
        )
    if isinstance(own, int | float) and not isinstance(own, bool):
        return isinstance(other, int | float) and not isinstance(other, bool)
    return own is None or isinstance(other, type(own))
