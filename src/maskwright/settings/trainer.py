"""The group `trainer`: arguments of `lightning.Trainer`."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from maskwright.settings.base import Settings, broken
from maskwright.settings.build import verify

# arguments of the trainer that are set elsewhere, and where
SET_ELSEWHERE = {
    "accelerator": "hardware.accelerator",
    "devices": "hardware.devices",
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

    max_steps: int
    max_epochs: PositiveFloat | None
    max_time: Annotated[str, Field(pattern=r"^\d+(:\d\d){3}$")] | None
    val_check_interval: PositiveInt
    log_every_n_steps: PositiveInt

    @model_validator(mode="after")
    def _arguments_are_the_trainer_s(self) -> Self:
        for key in self.model_extra or {}:
            if key in SET_ELSEWHERE:
                raise broken(f"trainer.{key} is set by {SET_ELSEWHERE[key]}; use that.")
        verify({"_target_": "lightning.Trainer", **self.arguments()}, "trainer", SET_ELSEWHERE)
        return self

    @model_validator(mode="after")
    def _a_run_ends(self) -> Self:
        if self.max_steps < 1 and self.max_time is None and self.max_epochs is None:
            raise broken(
                f"trainer.max_steps={self.max_steps} and trainer.max_time=null leave the run without an end. "
                "Set trainer.max_steps=1000, or trainer.max_steps=-1 trainer.max_time=00:01:00:00.",
            )
        return self

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the trainer, without `max_epochs`, which is included in `max_steps`."""
        return {key: value for key, value in self.plain().items() if key != "max_epochs"}

    def with_steps_of_epochs(self, steps: int | None) -> "TrainerSettings":
        """Returns the settings of a run that also ends after this many steps, whichever limit comes first."""
        if steps is None:
            return self
        return self.replace(max_steps=min(steps, self.max_steps) if self.max_steps > 0 else steps)
