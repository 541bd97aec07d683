"""When a run will end, told after its first steps."""

import math
import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from maskwright.core.distributed import is_main, rank_of
from maskwright.core.terminal import console
from maskwright.core.types import PositiveCount

_WARMING = 2  # steps that are not timed: they allocate memory, or compile


class Forecast(Callback):
    """Prints one line after some steps: tokens per second, what is left, and when the run will end.

    How long a validation takes is not known before the first one. Until then the time of the end is one without
    validations, which the line says; after the first one a second line includes them.

    Args:
        steps: how many steps of this process there are before the line, 3 or more.
    Raises:
        ValueError: there are fewer.
    """

    def __init__(self, steps: PositiveCount = 20):
        if steps <= _WARMING:
            raise ValueError(
                f"steps is {steps}; the first {_WARMING} are not timed, so take {_WARMING + 1} or more"
            )
        self.steps = steps
        self._done = self._tokens = 0
        self._began = self._validating = self._validation_began = 0.0
        self._took: float | None = None  # seconds of a validation
        self._rate = 0.0  # seconds of a step
        self._speed = 0.0  # tokens per second

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._done = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._tokens += batch["input_ids"].numel() * rank_of(trainer).world_size
        if trainer.fit_loop._should_accumulate():
            return
        self._done += 1
        if self._done == _WARMING:
            self._began, self._tokens, self._validating = time.monotonic(), 0, 0.0
        elif self._done == self.steps:
            seconds = max(time.monotonic() - self._began - self._validating, 1e-9)
            self._rate, self._speed = seconds / (self.steps - _WARMING), self._tokens / seconds
            if is_main(trainer) and (line := self._line(trainer, self._took)):
                console().print(line)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_began = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        took = time.monotonic() - self._validation_began
        first, self._took = self._took is None, took
        self._validating += took
        if first and self._rate and is_main(trainer) and (line := self._line(trainer, took)):
            console().print(line)

    def _line(self, trainer: Trainer, validation: float | None) -> str:
        """Returns the line; empty if nothing is left to do.

        Args:
            validation: seconds of one; None if unknown.
        """
        clock = next((c for c in trainer.callbacks if isinstance(c, Timer)), None)  # type: ignore[attr-defined]
        limit = math.inf if clock is None else clock.time_remaining() or 0.0
        steps = trainer.max_steps - trainer.global_step if trainer.max_steps > 0 else math.inf
        every = _every(trainer)
        between = 0.0 if validation is None or every is None else validation / every  # for each step
        if steps <= 0 or limit <= 0:
            return ""
        seconds = min(steps * (self._rate + between), limit)
        number = round(min(steps, limit / (self._rate + between)))
        exactly = "" if steps * (self._rate + between) <= limit else "about "  # max_time ends the run
        validations = None if every is None else math.ceil(number / every)
        if validation is not None:
            more = f", validations of {_duration(validation)} included"
        elif validations is None:
            more = ", without validations"
        else:
            more = f", without {validations:,} validation{'s' * (validations != 1)}"
        if exactly:
            more = more.replace(", without", ", fewer with")  # the time is the same, and the steps are not
        return (
            f"forecast: {self._speed:,.0f} tokens/s, {exactly}{number:,} steps left, which take "
            f"{_duration(seconds)} until {_clock(seconds)}{more}"
        )


def _every(trainer: Trainer) -> float | None:
    """Returns the steps between two validations; None if they go by the clock, or there are none."""
    # Lightning has no such attribute where validations go by the clock
    micro_batches = getattr(trainer, "val_check_interval", None)
    if not isinstance(micro_batches, int):
        return None
    return micro_batches / trainer.accumulate_grad_batches


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _clock(seconds: float) -> str:
    """Returns the time of day when so many seconds have passed, with the date if that is another day."""
    now, then = time.localtime(), time.localtime(time.time() + seconds)
    return time.strftime("%H:%M" if now[:3] == then[:3] else "%Y-%m-%d %H:%M", then)
