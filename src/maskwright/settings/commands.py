"""The complete config of each command."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from maskwright.core.types import PathText, PositiveRate
from maskwright.settings.base import Settings, broken, broken_value
from maskwright.settings.component import Component
from maskwright.settings.hardware import Hardware
from maskwright.settings.mask import MaskedShare, MasksByName, MaskSettings
from maskwright.settings.preparation import PreparationSettings
from maskwright.settings.texts import Prose, Takes
from maskwright.settings.trainer import TrainerSettings

Seed = Annotated[int, Field(ge=0, lt=2**32)]
EVALUATION_MASKS = "evaluation_masks"  # the key of the further masks of a run
# checked together with the settings of the run
OtherData = Annotated[dict[str, Any], Takes("maskwright.data.corpus.Corpus")]


class ResumeSettings(Settings):
    """How a run may differ from the one that it resumes."""

    allow: list[str]


class TrainSettings(Settings):
    """`conf/train.yaml`: a training run."""

    task: Component
    data: Component
    tokenizer: Component
    mask: MaskSettings
    evaluation_mask: MaskSettings
    evaluation_masks: MasksByName = Field(default_factory=dict)  # older runs have none
    model: Component
    optimizer: Component
    schedule: Component
    hardware: Hardware
    preparation: PreparationSettings = PreparationSettings()
    logger: dict[str, Component | None]
    callbacks: dict[str, Component | None]
    seed: Seed
    trainer: TrainerSettings
    ckpt_path: PathText | None
    resume: ResumeSettings
    init_from: Annotated[Any, Takes(PathText)]  # checked where it is opened, see `run.init_from`
    run_dir: PathText
    objective: str
    objective_mode: Literal["min", "max"]

    @property
    def masks(self) -> dict[str, MaskSettings]:
        further = {f"{EVALUATION_MASKS}.{name}": mask for name, mask in self.evaluation_masks.items()}
        return {"mask": self.mask, "evaluation_mask": self.evaluation_mask, **further}


class PreviewSettings(Settings):
    """`conf/mask.yaml`: a preview of what a mask does to a text."""

    data: Component
    tokenizer: Component
    mask: MaskSettings
    hardware: Hardware
    preparation: PreparationSettings = PreparationSettings()
    text: Prose
    draws: PositiveInt
    progress: Annotated[float, Field(ge=0, le=1)]
    seed: Seed
    output: PathText | None
    width: Annotated[int, Field(ge=20)]
    title: Prose

    @property
    def masks(self) -> dict[str, MaskSettings]:
        return {"mask": self.mask}


class EvaluateSettings(Settings):
    """`conf/evaluate.yaml`: the evaluation of finished runs, on their own data or on other data.

    Attributes:
        runs: the directories, as typed; text with commas is several, unless there is a folder of that name.
    """

    run: Annotated[Any, Takes(PathText | list[PathText])]
    checkpoint: str
    split: str
    data: Annotated[dict[str, Any], Takes("maskwright.data.corpus.Corpus", named=True)]
    masks: MasksByName
    ratios: Annotated[
        list[MaskedShare] | None,
        BeforeValidator(lambda given: [given] if isinstance(given, float | int) else given),
    ]
    hardware: Hardware
    preparation: PreparationSettings = PreparationSettings()
    output: PathText | None

    @field_validator("run", "masks", "ratios", mode="before")
    @classmethod
    def _is_not_empty(cls, given: Any) -> Any:
        if given == [] or given == "":
            raise broken_value("is empty; name one or more, separated by commas")
        return given

    @field_validator("run")
    @classmethod
    def _has_no_empty_name(cls, given: Any) -> Any:
        if not all(name.strip() for name in _names_of_runs(given)):  # which would be the working directory
            raise broken_value(f"is '{given}', which has an empty name; separate names by single commas")
        return given

    @model_validator(mode="after")
    def _ratios_are_of_masks(self) -> Self:
        if self.ratios and not self.masks:
            raise broken(f"ratios={self.ratios} are of masks, but none is named. Name some: masks=token,span")
        return self

    @property
    def runs(self) -> list[str]:
        return _names_of_runs(self.run)


def _names_of_runs(given: Any) -> list[str]:
    if isinstance(given, list):
        return [str(run) for run in given]
    run = str(given)
    return [run] if "," not in run or Path(run).expanduser().exists() else [own.strip() for own in run.split(",")]


class PredictSettings(Settings):
    """`conf/predict.yaml`: predictions of a finished run for texts without labels."""

    run: PathText
    checkpoint: str
    text: Prose
    split: str | None
    words: Literal["punctuation", "blanks"]
    data: OtherData
    hardware: Hardware
    output: PathText | None
    overwrite: bool
    tokens_per_batch: PositiveInt | None


class ModelSettings(Settings):
    """What all commands share that ask a model, whatever they ask it about."""

    run: PathText
    checkpoint: str
    file: PathText | None
    hardware: Hardware
    output: PathText | None
    overwrite: bool
    tokens_per_batch: PositiveInt


class AskSettings(ModelSettings):
    """`conf/_ask.yaml`: what all commands share that ask a finished run, or a model of the hub, about texts."""

    text: Prose
    long: Literal["refuse", "windows"]


class AnswerSettings(ModelSettings):
    """`conf/answer.yaml`: answers to questions about contexts."""

    question: Prose
    context: Prose
    top_k: PositiveInt
    stride: Annotated[int, Field(ge=0)] | None
    longest_answer: PositiveInt | None
    no_answer_threshold: float | None


class ScoreSettings(AskSettings):
    """`conf/score.yaml`: pseudo-log-likelihoods of texts, and minimal pairs."""

    method: Literal["word_l2r", "original", "whole_word"]
    pairs: PathText | None
    limit: PositiveInt | None
    control_pairs: PositiveInt | None
    seed: Seed


class FillSettings(AskSettings):
    """`conf/fill.yaml`: the best tokens for masks in texts."""

    hide: Prose
    method: Literal["independent", "left_to_right", "best_first", "beam"]
    top_k: PositiveInt
    beams: PositiveInt
    candidates: Prose


class GenerateSettings(AskSettings):
    """`conf/generate.yaml`: text that a masked model writes."""

    length: PositiveInt | None
    method: Literal["gibbs", "metropolis", "mask_predict", "ancestral", "confidence"]
    chains: PositiveInt
    temperature: PositiveRate
    top_k: PositiveInt | None
    top_p: Annotated[float, Field(gt=0, le=1)]
    burn_in: PositiveInt
    samples: PositiveInt
    thin: PositiveInt
    block: PositiveInt
    energy: Literal["local", "raw"]
    energy_temperature: PositiveRate
    passes: PositiveInt
    decay: Literal["linear", "cosine"]
    block_length: PositiveInt | None
    seed: Seed
    plot: PathText | None


class UnitSettings(Settings):
    """The group `mask/units` alone."""

    units: Component


class ExplainSettings(AskSettings):
    """`conf/explain.yaml`: which words decided a prediction."""

    method: Literal["all", "occlusion", "integrated_gradients", "rollout"]
    target: str | None
    word: str | None
    words: Literal["punctuation", "blanks"]
    mask: UnitSettings
    steps: PositiveInt
    width: Annotated[int, Field(ge=20)]
    seed: Seed


class ExportSettings(Settings):
    """`conf/export.yaml`: a trained model in another format."""

    run: PathText
    checkpoint: str
    format: Literal["hf", "onnx", "litert"]
    quantize: Literal["int8"] | None
    tolerance: Annotated[float, Field(ge=0)]
    head: Literal["labels", "tokens"]
    output: PathText | None
    overwrite: bool
    limit: PositiveInt
    file: PathText | None
    license: str | None
    push: str | None

    @model_validator(mode="after")
    def _can_be_quantized(self) -> Self:
        if self.quantize is not None and self.format == "hf":
            raise broken(f"quantize={self.quantize} is for format=onnx or litert. Leave it at null for format=hf.")
        return self


class ServeSettings(Settings):
    """`conf/serve.yaml`: a server for a model."""

    run: PathText
    checkpoint: str
    engine: Literal["auto", "torch", "onnx"]
    strategies: MasksByName
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    api_key: str | None
    max_texts: PositiveInt
    max_characters: PositiveInt
    max_bytes: PositiveInt
    max_batch: PositiveInt
    max_waiting: PositiveInt
    grace: PositiveInt
    tokens_per_batch: PositiveInt
    hardware: Hardware


COMMANDS: dict[str, type[Settings]] = {  # by their files in conf/
    "train": TrainSettings,
    "mask": PreviewSettings,
    "evaluate": EvaluateSettings,
    "predict": PredictSettings,
    "answer": AnswerSettings,
    "score": ScoreSettings,
    "fill": FillSettings,
    "generate": GenerateSettings,
    "explain": ExplainSettings,
    "export": ExportSettings,
    "serve": ServeSettings,
}
