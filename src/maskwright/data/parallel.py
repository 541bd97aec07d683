"""Texts and their translations: a corpus of pairs as batches of rows that hold a source and a target each."""

from dataclasses import replace
from typing import Any

import numpy as np

from maskwright.core.errors import UserError
from maskwright.core.types import Share
from maskwright.corpora.recipe import Recipe, key_of
from maskwright.corpora.splits import SPLITS
from maskwright.data.label_spec import LabelKind, LabelSpec
from maskwright.data.pair_rows import PairRows, cut_pairs
from maskwright.data.row_data import RowData
from maskwright.data.windows import whole_texts


class ParallelRows(PairRows):
    """Rows of a source and its target, `[CLS] source [SEP] target [SEP]`, or as the tokenizer lays them out.

    Args:
        rows: see `PairRows`; `targets` (D,) are the numbers of tokens of the targets.
    """

    def read(self, rows: np.ndarray, epochs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns what `Rows` does, and `source_tokens` and `begins`, where the target begins in each row, (B,)."""
        sources = self.lengths_of_texts[rows, 0]
        begins = sources + 1 + len(self.tokenizer.pair_layout.between)
        return super().read(rows, epochs) | {"source_tokens": sources, "begins": begins}


class ParallelText(RowData):
    """A corpus of texts and their translations, for which one tokenizer is trained on both languages.

    Where the data has no test split of the name that `splits` gives, the validation split is tested.

    Args:
        target: what is predicted: `translation`.
        empty_share: the largest share of pairs of which a text is empty; they are left out.
        rows: see `RowData`.
    Raises:
        UserError: the corpus has no pairs, or more of them than that are without a text.
    """

    def __init__(self, target: LabelKind, empty_share: Share, **rows: Any):
        super().__init__(**rows)
        self.empty_share = empty_share
        if target != "translation":
            raise UserError(
                f"data/batches=parallel makes rows of texts and their translations, but this task learns from "
                f"labels of the kind '{target}'. Leave the choice of data/batches to the task."
            )
        if not self.recipe.paired:
            raise UserError(
                "data.column names no two columns, but this task learns to translate one into the other. Choose "
                "data=multi30k, or name them: data.column=[en,de]"
            )
        self.missing: dict[str, str] = {}  # by source, the split for tests that it does not have

    def prepare_data(self) -> None:
        if self._folder is None:
            self.recipe, self.missing = _with_tests(self.recipe)
        super().prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` wrote.

        Raises:
            UserError: more pairs than `empty_share` are without a text.
        """
        super().setup(stage)
        self._check_empty()
        self.rows = {split: self._rows(split) for split in SPLITS}
        self.labels = LabelSpec("translation")

    def _check_empty(self) -> None:
        for name, found in self.findings.items():
            if found.empty > self.empty_share * found.cleaned:
                share = found.empty / found.cleaned
                raise UserError(
                    f"{key_of(name)}.source: a text is empty in {found.empty:,} of {found.cleaned:,} pairs "
                    f"({share:.1%}), the first of which is pair {found.first_empty:,} in the order of reading. "
                    "Correct them, or allow more, which leaves them out: "
                    f"data.empty_share={min(share + 0.005, 0.99):.3f}"
                )

    def _rows(self, split: str) -> ParallelRows:
        tokens = self.tokens[split]
        ends = np.asarray(tokens.ends)
        segments = cut_pairs(ends, self.block_size, "head", self.tokenizer)
        targets = (segments.ends - segments.begins)[1::2]
        return ParallelRows(
            segments=segments,
            tokens=tokens,
            tokenizer=self.tokenizer,
            annotations=self.annotated(split),
            targets=targets,
            block_size=self.block_size,
        )

    def texts(self, split: str) -> list[str]:
        """Returns the cleaned sources of a split, in order."""
        return super().texts(split)[::2]

    def targets(self, split: str) -> list[str]:
        """Returns the cleaned targets of a split, in order."""
        return super().texts(split)[1::2]

    def remarks(self) -> list[str]:
        remarks = super().remarks()
        for name, split in self.missing.items():
            remarks.append(f"{key_of(name)}.source has no split {split}, so the validation split is tested too")
        for split, rows in self.rows.items():
            texts = whole_texts(np.asarray(self.tokens[split].ends))
            cut = int((rows.shown < texts.ends - texts.begins).reshape(-1, 2).any(axis=1).sum())
            if cut:
                remarks.append(
                    f"{cut:,} of {len(rows):,} {split} pairs are longer than data.block_size={self.block_size}, "
                    "and are cut there"
                )
        return remarks

    def size(self, split: str) -> str:
        return f"{len(self.rows[split]):,} pairs"


def _with_tests(recipe: Recipe) -> tuple[Recipe, dict[str, str]]:
    """Returns a recipe that takes the validation split where there is no test split, and those that are missing."""
    sources, missing = dict(recipe.sources), {}
    for name, own in recipe.sources.items():
        test, validation = own.splits.get("test"), own.splits.get("validation")
        if not isinstance(test, str) or not isinstance(validation, str) or "+" in test:
            continue
        if (present := own.source.splits()) and test not in present:
            sources[name] = replace(own, splits=own.splits | {"test": validation})
            missing[name] = test
    return Recipe(sources), missing
