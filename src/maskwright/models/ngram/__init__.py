"""Counts of n-grams, from both sides."""

from maskwright.models.ngram.model import NGram

__all__ = ["NGram"]
