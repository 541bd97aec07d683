"""What was found in a source while its documents were read."""

from dataclasses import dataclass, field
from typing import Any

_TOTALS = ("empty", "strays", "opened", "documents", "cut", "plain", "cleaned", "characters", "removed", "lost")
_NUMBERS = (*_TOTALS, "first_empty")


@dataclass
class Findings:
    """Counts of what a source holds, for users to compare with what they expect.

    Attributes:
        empty: texts that are empty after cleaning.
        strays, opened: tags of unclear meaning, see `labels.Iob2`.
        cut: texts that only the end of a sentence parts from the one before, see `Tagged`.
        plain: 1 if the tags of words are no entities, see `Scheme`.
        documents: how many documents tagged texts are parts of, those of sources read before included: no two
            sources have a document of the same number.
        cleaned: how many texts were cleaned.
        characters, removed, lost: how many characters these had before (those of a dump as plain text), white space
            left out, how many of them cleaning removed, and how many of these were no tags of HTML or such.
        by_split: for each split of the source that was read, how many `texts` it holds, and, where they are
            tagged, how many `words` and `entities`.
        first_empty: the number of the first text that is empty among those that were cleaned, from 1; 0 for none.
        own_splits: splits that are taken as a share of the training data although the source has them.
    """

    empty: int = 0
    strays: int = 0
    opened: int = 0
    documents: int = 0
    cut: int = 0
    plain: int = 0
    by_split: dict[str, dict[str, int]] = field(default_factory=dict)
    own_splits: list[str] = field(default_factory=list)
    cleaned: int = 0
    characters: int = 0
    removed: int = 0
    lost: int = 0
    first_empty: int = 0

    def add(self, counts: "Findings") -> None:
        """Adds the totals of texts that were just cleaned, or all of another shard but its `own_splits`."""
        if not self.first_empty and counts.first_empty:
            self.first_empty = self.cleaned + counts.first_empty
        for name in _TOTALS:
            setattr(self, name, getattr(self, name) + getattr(counts, name))
        for split, sizes in counts.by_split.items():
            own = self.by_split.setdefault(split, {})
            for kind, number in sizes.items():
                own[kind] = own.get(kind, 0) + number

    def to_notes(self) -> dict[str, int]:
        """Returns one flat table, in the format of `notes.json`, which is older than this class."""
        totals = {name: getattr(self, name) for name in _NUMBERS}
        sizes = {f"{kind} {split}": n for split, sizes in self.by_split.items() for kind, n in sizes.items()}
        return totals | sizes | {f"own {split}": 1 for split in self.own_splits}

    @classmethod
    def from_notes(cls, notes: dict[str, int]) -> "Findings":
        """Returns what `to_notes` wrote down; numbers that are missing are 0."""
        totals: dict[str, Any] = {name: notes.get(name, 0) for name in _NUMBERS}
        found = cls(**totals)
        for key, number in notes.items():
            kind, _, split = key.partition(" ")
            if split and kind == "own":
                found.own_splits.append(split)
            elif split:
                found.by_split.setdefault(split, {})[kind] = number
        return found
