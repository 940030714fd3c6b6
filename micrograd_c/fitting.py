# SPDX-License-Identifier: MIT
"""Training: what `CompiledFunction.fit` was asked for, checked, and the loop around the core's."""

import math
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

from ._core import Arguments, Exchange, Optimizer, Recorded, Session, is_bool
from ._types import Number
from .optim.checks import at_least_zero, whole
from .optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)
from .progress import progress_bar
from .ranks import Ranks

__all__ = ["Fit", "History"]

Callback = Callable[[int, float], object]

# Their rates are a matter of arithmetic, and known ahead; others are asked after each step.
_FORESEEABLE = (StepLR, ExponentialLR, CosineAnnealingLR, OneCycleLR)
_AHEAD = 4096  # steps


class History(list[float]):
    """The loss before each step of a training run: a list, and what else was measured.

    validation: the losses on the validation samples, one an epoch. validation_steps: after how many
    steps each of them. best: where in these lists the lowest is; None without any.
    """

    def __init__(self, losses: Iterable[float] = ()) -> None:
        super().__init__(losses)
        self.validation: list[float] = []
        self.validation_steps: list[int] = []

    @property
    def best(self) -> int | None:
        finite = [k for k, loss in enumerate(self.validation) if not math.isnan(loss)]
        return min(finite, key=self.validation.__getitem__, default=None)


class Fit:
    """One call of fit: its settings, all checked. run() trains."""

    def __init__(
        self,
        optimizer: Optimizer,
        steps: SupportsIndex | None,
        epochs: SupportsIndex | None,
        batch_size: SupportsIndex | None,
        shuffle: bool,
        seed: SupportsIndex | None,
        scheduler: LRScheduler | None,
        clip_norm: Number | None,
        validation: Any,
        patience: SupportsIndex | None,
        progress: bool,
        callback: Callback | None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"fit: expected an optimizer of micrograd_c.optim, got {type(optimizer).__name__}"
            )
        if (steps is None) == (epochs is None):
            raise TypeError(
                "fit: expected steps= or epochs=, got " + ("neither" if steps is None else "both")
            )
        self.steps = None if steps is None else whole("fit", "steps", steps, at_least=0)
        self.epochs = None if epochs is None else whole("fit", "epochs", epochs, at_least=0)
        for name, count in (("steps", self.steps), ("epochs", self.epochs)):
            if count is not None and count > sys.maxsize:
                raise ValueError(f"fit: expected at most {sys.maxsize} {name}, got {count}")
        if batch_size is not None:
            batch_size = whole("fit", "batch_size", batch_size, at_least=1)
        if callback is not None and not callable(callback):
            raise TypeError(f"fit: expected a callable as callback, got {type(callback).__name__}")
        if seed is not None:
            seed = whole("fit", "seed", seed) % 2**64
        elif shuffle:
            seed = random.getrandbits(64)
        if scheduler is not None:
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(
                    "fit: expected a scheduler of micrograd_c.optim.lr_scheduler, got "
                    f"{type(scheduler).__name__}"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError("fit: the scheduler is that of another optimizer")
        if validation is not None and not isinstance(validation, tuple | list):
            raise TypeError(
                "fit: expected a tuple of arrays as validation, as fit itself gets them, got "
                f"{type(validation).__name__}"
            )
        if validation is not None and not validation:
            raise ValueError(
                "fit: expected an array for each argument as validation, got none; what has no "
                "arguments has no validation samples"
            )
        if patience is not None:
            patience = whole("fit", "patience", patience, at_least=1)
            if validation is None:
                raise ValueError("fit: patience looks at the validation loss: give validation=")
        self.optimizer, self.scheduler, self.callback = optimizer, scheduler, callback
        self.batch_size: int = batch_size or 0
        self.shuffle, self.progress = bool(shuffle), bool(progress)
        self.seed = seed  # of the orders; None: there are none
        self.clip_norm = (
            math.inf if clip_norm is None else at_least_zero("fit", "clip_norm", clip_norm)
        )
        self.validation: tuple[Any, ...] | None = None if validation is None else tuple(validation)
        self.patience: int | None = patience

    def facts(self) -> dict[str, Any]:
        """What has to be the same on every rank."""
        names = ("steps", "epochs", "batch_size", "shuffle", "clip_norm", "patience")
        groups = [
            {name: group[name] for name in group if name != "params"}
            for group in self.optimizer.param_groups
        ]
        return {
            **{name: getattr(self, name) for name in names},
            "validation": self.validation is not None,
            "optimizer": f"{type(self.optimizer).__name__} {groups}, {self.optimizer.steps} steps",
            "moments": self.optimizer._fingerprint(),
            "scheduler": _described(self.scheduler),
        }

    def run(
        self,
        program: Recorded,
        arguments: Arguments,
        held_out: tuple[Recorded, Arguments] | None,
        is_mean: bool,
        threads: int,
        history: History,
        ranks: Ranks | None,
    ) -> None:
        """Trains, and writes down the losses in history, as far as it comes."""
        batch_size = min(self.batch_size, arguments.size)
        exchange = Exchange(ranks.comm, ranks.size, len(program.parameters)) if ranks else None
        try:
            session = Session(
                program,
                arguments,
                self.optimizer,
                is_mean,
                batch_size,
                self.shuffle,
                self.seed or 0,
                threads,
                self.clip_norm,
                exchange,
            )
        except BaseException as error:
            if exchange is not None:
                exchange.end(program.parameters, error)
            raise
        # Of several ranks, the one with the most samples says how long an epoch is.
        samples = max(ranks.counts) if ranks else arguments.size
        epoch = -(-samples // self.batch_size) if 0 < self.batch_size < samples else 1
        if self.steps is not None:
            steps = self.steps
        else:
            assert self.epochs is not None
            steps = self.epochs * epoch
        if steps > sys.maxsize:
            raise ValueError(f"fit: expected at most {sys.maxsize} steps, got {steps}")
        try:
            _Loop(self, session, held_out, is_mean, threads, history, epoch).run(steps)
        except BaseException as error:
            session.end(error)
            raise
        finally:
            history[:] = session.all_losses()
        session.end()


class _Loop:
    """Steps, in pieces as long as nobody wants to hear of what is in between."""

    def __init__(
        self,
        fit: Fit,
        session: Session,
        held_out: tuple[Recorded, Arguments] | None,
        is_mean: bool,
        threads: int,
        history: History,
        epoch: int,
    ) -> None:
        self.fit, self.session, self.history, self.epoch = fit, session, history, epoch
        self.held_out, self.is_mean, self.threads = held_out, is_mean, threads
        self.waited = 0  # epochs since the best validation loss
        self.best: list[float] = []  # the parameters that gave it
        # A scheduler's steps are the run's: of the optimiser, or epochs.
        self.each_step = fit.scheduler is not None and fit.epochs is None
        self.each_epoch = held_out is not None or (fit.scheduler is not None and not self.each_step)

    def run(self, steps: int) -> None:
        session, fit = self.session, self.fit
        with progress_bar(steps if fit.progress else None) as show:
            while session.done < steps and not session.is_over:
                piece = steps - session.done
                if fit.callback is not None:
                    piece = 1
                elif fit.progress:
                    piece = show.share(piece)
                if self.each_epoch:
                    piece = min(piece, self.epoch - session.done % self.epoch)
                self.train(piece)
                if session.is_over:
                    break
                loss = session.loss(session.done - 1)
                show(session.done, loss)
                at_end = session.done % self.epoch == 0 or session.done == steps
                enough = self.each_epoch and at_end and self.end_epoch()
                if fit.callback is not None:
                    answer = fit.callback(session.done - 1, loss)
                    if is_bool(answer) and answer:
                        session.end(True)
                        break
                if enough:
                    break
        if self.best and self.fit.patience is not None:
            for value, number in zip(fit.optimizer.params, self.best, strict=True):
                value.data = number

    def train(self, steps: int) -> None:
        """So many steps, the scheduler's among them."""
        session, scheduler = self.session, self.fit.scheduler
        if not self.each_step:
            session.train(steps)
            return
        end = session.done + steps
        while session.done < end and not session.is_over:
            if type(scheduler) in _FORESEEABLE:
                self.train_ahead(scheduler, min(_AHEAD, end - session.done))
                continue
            before = session.done
            try:
                session.train(1)
            finally:  # Ctrl-C may come here: the schedule is as far as the optimiser nevertheless
                if session.done > before:
                    if isinstance(scheduler, ReduceLROnPlateau):
                        scheduler.step(session.loss(before))
                    elif scheduler is not None:
                        scheduler.step()

    def train_ahead(self, scheduler: Any, steps: int) -> None:
        """The scheduler is asked first for all of these steps; set back where fewer were made."""
        session, groups = self.session, self.fit.optimizer.param_groups
        before = scheduler.state_dict(), [dict(group) for group in groups]
        started, planned, refusal = session.done, 0, None
        try:
            planned, refusal = session.plan(steps, scheduler._advance)
            session.train(planned)
        finally:
            made = session.done - started
            if made == 0 or made < planned:
                scheduler.load_state_dict(before[0])
                for group, settings in zip(groups, before[1], strict=True):
                    group.update(settings)
                for _ in range(made):
                    scheduler._advance()
        if refusal is not None and made == planned:
            raise refusal

    def end_epoch(self) -> bool:
        """Looks at the validation samples. Whether there was no better loss for long enough."""
        session, history, fit = self.session, self.history, self.fit
        current = session.loss(session.done - 1)
        if self.held_out is not None:
            current = self.validation_loss(*self.held_out)
            history.validation.append(current)
            history.validation_steps.append(session.done)
            if history.best == len(history.validation) - 1:
                self.waited = 0
                self.best = [value.data for value in fit.optimizer.params]
            else:
                self.waited += 1
        elif fit.epochs is not None:
            losses = [session.loss(k) for k in range(session.done - self.epoch, session.done)]
            current = math.fsum(losses) / self.epoch
        if self.each_step:
            pass
        elif isinstance(fit.scheduler, ReduceLROnPlateau):
            fit.scheduler.step(current)
        elif fit.scheduler is not None:
            fit.scheduler.step()
        return fit.patience is not None and self.waited >= fit.patience

    def validation_loss(self, program: Recorded, arguments: Arguments) -> float:
        """Of all ranks' samples."""
        loss = program.loss(arguments, self.is_mean, self.threads)
        return self.session.of_all_ranks(loss, arguments.size)


def _described(scheduler: LRScheduler | None) -> str:
    """Its class, settings and counters; without what is no number or string, as a function, whose
    text differs from process to process."""
    if scheduler is None:
        return "None"
    plain = {
        name: value
        for name, value in sorted(scheduler.state_dict().items())
        if all(
            isinstance(item, float | int | str)
            for item in (value if isinstance(value, list) else [value])
        )
    }
    return f"{type(scheduler).__name__} {plain}"
