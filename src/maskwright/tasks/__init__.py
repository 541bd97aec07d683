"""LightningModules: one objective a file."""

from maskwright.tasks.classification import Classification, Regression
from maskwright.tasks.finetuning import FineTuning
from maskwright.tasks.mlm import MaskedLanguageModeling
from maskwright.tasks.multitask import MultitaskClassification, MultitaskRegression, MultitaskTagging
from maskwright.tasks.tagging import Tagging
from maskwright.tasks.task import Task

__all__ = [
    "Classification",
    "FineTuning",
    "MaskedLanguageModeling",
    "MultitaskClassification",
    "MultitaskRegression",
    "MultitaskTagging",
    "Regression",
    "Tagging",
    "Task",
]
