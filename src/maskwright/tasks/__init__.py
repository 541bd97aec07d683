"""LightningModules: one training objective per file."""

from maskwright.tasks.classification import Classification
from maskwright.tasks.diffusion import MaskedDiffusion
from maskwright.tasks.finetuning import FineTuning
from maskwright.tasks.hybrid import Hybrid
from maskwright.tasks.labelled import LabelledTask
from maskwright.tasks.mlm import MaskedLanguageModeling
from maskwright.tasks.regression import Regression
from maskwright.tasks.spec import Baseline, Metric, TaskSpec
from maskwright.tasks.tagging import Tagging
from maskwright.tasks.task import Task

__all__ = [
    "Baseline",
    "Classification",
    "FineTuning",
    "Hybrid",
    "LabelledTask",
    "MaskedDiffusion",
    "MaskedLanguageModeling",
    "Metric",
    "Regression",
    "Tagging",
    "Task",
    "TaskSpec",
]
