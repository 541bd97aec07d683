"""LightningModules: one objective a file."""

from maskwright.tasks.mlm import MaskedLanguageModeling

__all__ = ["MaskedLanguageModeling"]
