"""The complete config of each command."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from maskwright.settings.base import Settings
from maskwright.settings.component import Component
from maskwright.settings.hardware import Hardware
from maskwright.settings.mask import MaskSettings
from maskwright.settings.trainer import TrainerSettings

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class TrainSettings(Settings):
    """`conf/train.yaml`: a training run."""

    task: Component
    data: Component
    tokenizer: Component
    mask: MaskSettings
    evaluation_mask: MaskSettings
    model: Component
    optimizer: Component
    schedule: Component
    hardware: Hardware
    logger: dict[str, Component | None]
    callbacks: dict[str, Component | None]
    seed: Seed
    trainer: TrainerSettings
    ckpt_path: str | None
    init_from: Any  # checked where it is opened, see `run.init_from`
    run_dir: str
    objective: str
    objective_mode: Literal["min", "max"]

    @property
    def masks(self) -> dict[str, MaskSettings]:
        return {"mask": self.mask, "evaluation_mask": self.evaluation_mask}


class PreviewSettings(Settings):
    """`conf/mask.yaml`: a preview of what a mask does to a text."""

    data: Component
    tokenizer: Component
    mask: MaskSettings
    hardware: Hardware
    text: Any
    draws: PositiveInt
    progress: Annotated[float, Field(ge=0, le=1)]
    seed: Seed
    output: str | None
    width: Annotated[int, Field(ge=20)]
    title: str

    @property
    def masks(self) -> dict[str, MaskSettings]:
        return {"mask": self.mask}


class EvaluateSettings(Settings):
    """`conf/evaluate.yaml`: the evaluation of a finished run, on its own data or on other data."""

    run: str
    checkpoint: str
    split: str
    data: dict[str, Any]
    hardware: Hardware
    output: str | None


class PredictSettings(Settings):
    """`conf/predict.yaml`: predictions of a finished run for texts without labels."""

    run: str
    checkpoint: str
    text: Any
    split: str | None
    words: Literal["punctuation", "blanks"]
    data: dict[str, Any]
    hardware: Hardware
    output: str | None
    overwrite: bool
    tokens_per_batch: PositiveInt | None
