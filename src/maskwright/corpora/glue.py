"""The tasks of GLUE (Wang et al., 2018; arXiv 1804.07461): their columns, sizes and metrics."""

from dataclasses import dataclass
from typing import Any

from maskwright.core.errors import UserError, nearest


@dataclass(frozen=True)
class GlueTask:
    """One task, in the columns of `nyu-mll/glue`.

    Attributes:
        column: of the text, or of both texts of a pair.
        train, validation: how many texts or pairs the published splits have.
        metrics: those that are published, by the names of this package, the first one first.
        validation_split: the name of the published validation split.
        task: the option of the group `task` that learns it.
    """

    column: str | list[str]
    train: int
    validation: int
    metrics: tuple[str, ...] = ("accuracy",)
    validation_split: str = "validation"
    task: str = "classification"

    @property
    def published(self) -> dict[str, dict[str, int]]:
        """As `SourceRecipe.published`."""
        return {"train": {"texts": self.train}, self.validation_split: {"texts": self.validation}}


_SENTENCES = ["sentence1", "sentence2"]
TASKS: dict[str, GlueTask] = {
    "cola": GlueTask("sentence", 8_551, 1_043, ("matthews",)),
    "sst2": GlueTask("sentence", 67_349, 872),
    "mrpc": GlueTask(_SENTENCES, 3_668, 408, ("f1/equivalent", "accuracy")),
    "qqp": GlueTask(["question1", "question2"], 363_846, 40_430, ("f1/duplicate", "accuracy")),
    "stsb": GlueTask(_SENTENCES, 5_749, 1_500, ("spearman", "pearson"), task="regression"),
    "mnli": GlueTask(["premise", "hypothesis"], 392_702, 9_815, validation_split="validation_matched"),
    "qnli": GlueTask(["question", "sentence"], 104_743, 5_463),
    "rte": GlueTask(_SENTENCES, 2_490, 277),
    "wnli": GlueTask(_SENTENCES, 635, 71),
}


def glue(what: str, config: Any) -> Any:
    """Returns an attribute of the task with this configuration, as plain containers.

    Raises:
        UserError: there is no such task.
    """
    if config not in TASKS:
        raise UserError(
            f"data.config={config} is no task of GLUE.{nearest(str(config), TASKS)} They are: {', '.join(TASKS)}."
        )
    return getattr(TASKS[config], what)
