"""Labelled text for fine-tuning: a corpus as batches of examples of similar length."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa

from maskwright.annotations.first_tokens import FirstTokens
from maskwright.core.errors import UserError
from maskwright.corpora.documents import open_table
from maskwright.corpora.rows import listed
from maskwright.corpora.splits import SPLITS
from maskwright.data.label_spec import LabelKind, LabelSpec
from maskwright.data.pair_rows import PairRows, cut_pairs
from maskwright.data.row_data import RowData
from maskwright.data.rows import Rows
from maskwright.data.tagged_rows import TaggedRows
from maskwright.data.targets import (
    OtherLabelError,
    Tags,
    are_measured,
    check_labels,
    check_single,
    lacks_labels,
    read_classes,
    read_label_sets,
    read_tags,
    read_values,
    without_tags,
)
from maskwright.data.windows import Truncate, cut, whole_texts

_NAMED = 5  # labels that a remark lists


class LabelledData(RowData):
    """A corpus of texts with a label or a number each, or with a tag for each word.

    A row shows one text, or a window of it.

    Args:
        target: what is predicted: the `class` of a text, its `labels`, a `value`, or `tags` of its words.
        truncate: which tokens of a longer text a row shows: the `head`, the `tail`, `both` halves (Sun et al.,
            2019), or `windows`, as many rows as it takes. Tagged words are always shown in windows, pairs of texts
            never; of a pair, the longer text is cut first.
        context: `document` shows tagged words among those before and after them, as far as `block_size` and their
            document reach; `none` shows them alone.
        corpus: see `RowData`.
    Raises:
        UserError: the corpus has no such labels, or `labels` names too few, or one of them twice.
    """

    def __init__(
        self,
        target: LabelKind,
        truncate: Truncate,
        context: Literal["none", "document"],
        **corpus: Any,
    ):
        if target == "tags":
            corpus["annotations"] = [*corpus.get("annotations", ()), FirstTokens()]
        super().__init__(**corpus)
        self.target, self.context = target, context
        self.truncate: Truncate = "windows" if target == "tags" else truncate
        key = "tags" if target == "tags" else "label"
        sources = [own.source for own in self.recipe.sources.values()]
        if any(getattr(source, key) is None for source in sources):
            raise UserError(
                f"data.{key} names no column, but this task learns from labels. Choose labelled data "
                "(data=imdb, data=conll, data=csv), or name the column."
            )
        self.given_labels = sources[0].labels
        check_labels(self.given_labels, least=2 if target == "class" else 1)
        if target != "labels" and (columns := sources[0].columns_of_labels) is not None:
            raise UserError(
                f"data.label={listed(columns)} names several columns, but this task learns one label for each "
                "text. Choose task=multilabel, or name one column."
            )
        if self.recipe.paired and truncate == "windows":
            raise UserError(
                "data.truncate=windows does not go with pairs of texts, whose rows are not averaged. Set "
                "data.truncate=head."
            )

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` wrote.

        Raises:
            UserError: texts have no labels, or labels that `labels` does not name, or no numbers where `target` is
                `value`.
        """
        super().setup(stage)
        tables = {split: self._table(split) for split in SPLITS}
        if self.target in ("class", "value"):
            check_single(tables)
        if self.target != "tags" and lacks_labels(tables, "test"):
            self.unlabelled = {"test"}
            del tables["test"]
        targets: dict[str, Any]
        try:
            if self.target == "value":
                targets = read_values(tables)
                mean, std = float(np.mean(targets["train"])), float(np.std(targets["train"]))
                self.labels = LabelSpec("value", mean=mean, std=std)
            else:
                entities = self._have_entities()
                if self.target == "tags":
                    names, targets = read_tags(tables, self.given_labels, entities)
                    self.unlabelled = {split for split in SPLITS if without_tags(tables[split])}
                elif self.target == "labels":
                    columns = next(iter(self.recipe.sources.values())).source.columns_of_labels
                    names, targets = read_label_sets(tables, self.given_labels or columns)
                else:
                    names, targets = read_classes(tables, self.given_labels)
                training = targets["train"]
                numbers = training.tags if isinstance(training, Tags) else training
                is_set = self.target == "labels"
                counts = numbers.sum(0) if is_set else np.bincount(numbers, minlength=len(names))
                texts = len(numbers) if is_set else None
                self.labels = LabelSpec(
                    self.target, tuple(names), tuple(counts.tolist()), entities=entities, texts=texts
                )
        except OtherLabelError:
            self.recipe.reread()  # raises an error that names the row, which cached documents do not record
            raise
        self.rows = {split: self._rows(split, tables[split], targets[split]) for split in tables}

    def _table(self, split: str) -> pa.Table:
        """Returns the documents of a split; of pairs, those with the first texts, which hold the labels."""
        table = open_table(self.documents_folder, split)
        return table.take(np.arange(0, len(table), 2)) if self.recipe.paired else table

    def _have_entities(self) -> bool:
        """Returns whether tags are those of entities.

        Raises:
            UserError: those of some sources are, those of others are not.
        """
        plain = {name: bool(found.plain) for name, found in self.findings.items()}
        if len(set(plain.values())) > 1:
            alone = ", ".join(f"data.sources.{name}" for name, is_plain in plain.items() if is_plain)
            raise UserError(
                f"The tags of {alone} are no entities (data.scheme), but those of the other sources are. Train on "
                "sources of one kind."
            )
        return not any(plain.values())

    def _rows(self, split: str, table: pa.Table, targets: "np.ndarray | Tags") -> Rows:
        within = self.target == "tags" and self.context == "document"
        ends = np.asarray(self.tokens[split].ends)
        annotations = self.annotated(split)
        first_tokens = annotations.pop(FirstTokens.name, None)
        shared: dict[str, Any] = {
            "tokens": self.tokens[split],
            "tokenizer": self.tokenizer,
            "annotations": annotations,
            "block_size": self.block_size,
        }
        if self.recipe.paired:
            segments = cut_pairs(ends, self.block_size, self.truncate, self.tokenizer)
            return PairRows(targets=targets, segments=segments, **shared)
        texts = whole_texts(ends, table.column("document").to_numpy() if within else None)
        shared["segments"] = cut(texts, self.block_size - 2, self.truncate)
        if isinstance(targets, Tags):
            assert first_tokens is not None
            return TaggedRows(targets, first_tokens, **shared)
        return Rows(targets=targets, **shared)

    def remarks(self) -> list[str]:
        assert self.labels is not None
        counts = zip(self.labels.names, self.labels.counts or (), strict=True)
        absent = [f"'{name}'" for name, count in counts if not count]
        remarks = super().remarks()
        if self.unlabelled:
            what = "tags" if self.target == "tags" else "labels"
            remarks.append(f"the {' and '.join(self.unlabelled)} split has no {what}, so it is left out")
        if self.target == "class" and are_measured(self.labels.names):
            shown = ", ".join(self.labels.names[:3])
            return [
                *remarks,
                f"each of the {len(self.labels.names)} numbers in data.label ({shown}, …) is learned as a class "
                "of its own; task=regression learns them as numbers",
            ]
        if not self.labels.entities:
            shown = ", ".join(self.labels.names[:3])
            remarks.append(f"the tags ({shown}, …) are no entities (data.scheme=plain); each is scored by itself")
        elif self.target == "tags" and len(absent) == len(self.labels.names) - 1 and "'O'" not in absent:
            return [*remarks, "the training split has no entity; data.tags chooses the column of tags"]
        if len(absent) > _NAMED:
            absent = [*absent[:_NAMED], f"{len(absent) - _NAMED} others"]
        if absent:
            what = "it cannot" if len(absent) == 1 else "they cannot"
            shown = " or ".join([", ".join(absent[:-1])] * (len(absent) > 1) + absent[-1:])
            remarks.append(f"the training split has no example of {shown}, so {what} be learned")
        return remarks

    def size(self, split: str) -> str:
        texts = len(self.tokens[split].ends)
        if self.recipe.paired:
            return f"{texts // 2:,} pairs{' without labels' if split in self.unlabelled else ''}"
        if split in self.unlabelled:
            return f"{texts:,} texts without labels"
        rows = len(self.rows[split])
        return f"{rows:,} examples" if rows == texts else f"{texts:,} texts in {rows:,} rows"
