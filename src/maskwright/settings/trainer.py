"""The group `trainer`: arguments of `lightning.Trainer`."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, PositiveInt, field_validator, model_validator

from maskwright.core.types import PositiveRate, Rate
from maskwright.settings.base import Settings, broken, broken_value
from maskwright.settings.build import verify
from maskwright.settings.component import Component
from maskwright.settings.convert import whole

_LIGHTNING = "lightning.Trainer"
_DURATION = r"^\d+(:\d\d){3}$"
_NO_DURATION = "which is no time as 00:00:10:00 (DD:HH:MM:SS) for ten minutes"

# arguments of the trainer that are set elsewhere, and where
SET_ELSEWHERE = {
    "accelerator": "hardware.accelerator",
    "devices": "hardware.devices",
    "num_nodes": "hardware.nodes",
    "precision": "hardware.precision",
    "accumulate_grad_batches": "hardware.accumulate_grad_batches",
    "callbacks": "callbacks",
    "logger": "logger",
    "default_root_dir": "run_dir",
} | dict.fromkeys(
    (
        "check_val_every_n_epoch",
        "enable_checkpointing",
        "enable_model_summary",
        "enable_progress_bar",
        "num_sanity_val_steps",
        "plugins",
        "use_distributed_sampler",
    ),
    "the run itself",
)


class TrainerSettings(Settings):
    """See the comments in `conf/train.yaml`. Other arguments of the trainer may be added to these."""

    model_config = ConfigDict(extra="allow")

    max_steps: Annotated[int, Field(ge=-1)]
    max_epochs: PositiveRate | None
    max_time: str | None
    val_check_interval: PositiveInt | Annotated[str, Field(pattern=_DURATION)]
    log_every_n_steps: PositiveInt
    gradient_clip_val: Rate | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"

    @field_validator("max_time", mode="before")
    @classmethod
    def _takes_time(cls, max_time: Any) -> Any:
        if max_time is None:
            return None
        if not re.match(_DURATION, str(max_time)):
            raise broken_value(f"is {max_time!r}, {_NO_DURATION}")
        if not str(max_time).strip("0:"):
            raise broken_value(f"is {max_time}, which leaves no time to train; null sets no limit")
        return max_time

    @field_validator("val_check_interval", mode="wrap")
    @classmethod
    def _is_steps_or_time(cls, interval: Any, validate: Any) -> Any:
        timed = isinstance(interval, str) and ":" in interval
        if timed and not (re.match(_DURATION, interval) and interval.strip("0:")):
            raise broken_value(f"is {interval!r}, {_NO_DURATION}")
        return validate(interval)

    @model_validator(mode="after")
    def _arguments_are_the_trainer_s(self) -> Self:
        for key in self.model_extra or {}:
            if key in SET_ELSEWHERE:
                raise broken(f"trainer.{key} is set by {SET_ELSEWHERE[key]}; use that.")
        verify({"_target_": _LIGHTNING, **self.arguments()}, "trainer", SET_ELSEWHERE)
        return self

    @model_validator(mode="after")
    def _a_run_ends(self) -> Self:
        if self.max_steps == 0:
            raise broken("trainer.max_steps=0 trains nothing; set a number of steps, or -1 for no limit of steps.")
        if self.max_steps < 0 and self.max_time is None and self.max_epochs is None:
            raise broken(
                f"trainer.max_steps={self.max_steps} and trainer.max_time=null leave the run without an end. "
                "Set trainer.max_steps=1000, or trainer.max_steps=-1 trainer.max_time=00:01:00:00.",
            )
        return self

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the trainer, without `max_epochs`, which is included in `max_steps`."""
        given = {key: value for key, value in self.plain().items() if key != "max_epochs"}
        own = Component.from_node({"_target_": _LIGHTNING, **given}).arguments
        # 1.0 of these is all batches, and 2.0 are two
        limits = {key for key, value in own.items() if key.startswith("limit_") and value != 1}
        return {key: whole(value) if key in limits else value for key, value in own.items()}

    def with_steps_of_epochs(self, steps: int | None) -> "TrainerSettings":
        """Returns the settings of a run that also ends after this many steps, whichever limit comes first."""
        if steps is None:
            return self
        return self.replace(max_steps=min(steps, self.max_steps) if self.max_steps > 0 else steps)
