"""LightningModules: one training objective per file."""

from maskwright.tasks.classification import Classification
from maskwright.tasks.diffusion import MaskedDiffusion
from maskwright.tasks.finetuning import FineTuning
from maskwright.tasks.hybrid import Hybrid
from maskwright.tasks.labelled import LabelledTask
from maskwright.tasks.mlm import MaskedLanguageModeling
from maskwright.tasks.multilabel import MultiLabel
from maskwright.tasks.question_answering import QuestionAnswering
from maskwright.tasks.regression import Regression
from maskwright.tasks.rtd import ReplacedTokenDetection
from maskwright.tasks.span_boundary import SpanBoundary
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
    "MultiLabel",
    "QuestionAnswering",
    "Regression",
    "ReplacedTokenDetection",
    "SpanBoundary",
    "Tagging",
    "Task",
    "TaskSpec",
]
