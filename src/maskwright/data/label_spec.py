"""What a task needs to know about the labels of a corpus: enough to build it, without the corpus itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from maskwright.corpora.labels import kinds_of
from maskwright.text.tokens import entropy

LabelKind = Literal["class", "labels", "value", "tags", "answers"]


@dataclass(frozen=True)
class LabelSpec:
    """The names of labels, and statistics of those of the training split.

    Args:
        kind: what is labelled: a text with a `class`, a text with any number of `labels`, a text with a `value`,
            each word with one of `tags`, or a question with `answers` in its context.
        names: of the C classes or tags, in the order of their numbers; empty where values are predicted.
        counts: (C,) how often each occurs in training; of answers, how many questions have one, and how many have
            none. None where that is unknown.
        mean, std: of the values in training; `std` is 0 where all are the same.
        entities: whether tags are those of entities, in IOB2; if not, each is a label of its own.
        texts: how many texts in training there are, of `labels`; None where that is unknown.
    """

    kind: LabelKind
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] | None = None
    mean: float = 0.0
    std: float = 1.0
    entities: bool = True
    texts: int | None = None

    @property
    def kinds(self) -> list[str]:
        """The names that metrics are reported for: kinds of entities, tags that are none, or classes."""
        return kinds_of(self.names) if self.kind == "tags" and self.entities else list(self.names)

    @property
    def absent(self) -> str:
        """The tag that is predicted for a word without tokens: O, or the most frequent one."""
        return "O" if "O" in self.names else self.names[int(np.argmax(self.counts or [0]))]

    @property
    def baseline(self) -> float:
        """The loss of guessing by the statistics alone.

        In nats, the entropy of the counts, or the mean entropy of whether a text has each of several `labels`; of
        values 1, the mean squared error in units of their variance.

        Raises:
            ValueError: the counts are unknown.
        """
        if self.kind == "value":
            return 1.0
        if self.counts is None:
            raise ValueError("it is unknown how often each label occurs in training")
        if self.kind == "labels":
            assert self.texts is not None
            return float(np.mean([entropy(np.array([count, self.texts - count])) for count in self.counts]))
        return entropy(np.array(self.counts))

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, as checkpoints keep them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "LabelSpec":
        """The specification that `to_dict` was called on."""
        counts = kept["counts"]
        own = {"names": tuple(kept["names"]), "counts": None if counts is None else tuple(counts)}
        return cls(**{**kept, **own})
