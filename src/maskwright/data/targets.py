"""Turns labels, as they are spelled on disk, into numbers: classes, values, or tags of words."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskwright.core.case import Case
from maskwright.core.errors import UserError, nearest
from maskwright.corpora.labels import kinds_of
from maskwright.data.tagged_rows import Tags

Tables = dict[str, pa.Table]  # the documents of each split, in the columns of `documents.SCHEMA`


class OtherLabelError(UserError):
    """A text has a label, or a tag, that `data.labels` does not name."""


def check_labels(labels: tuple[str, ...] | None, least: int) -> None:
    """Raises a UserError if `data.labels` names fewer than `least` labels, or one of them twice."""
    if labels is not None and len(set(labels)) < max(len(labels), least):
        raise UserError(
            f"data.labels={list(labels)} must name at least {least}, and each once; null takes all that occur."
        )


def read_classes(tables: Tables, given: tuple[str, ...] | None) -> tuple[list[str], dict[str, np.ndarray]]:
    """Returns the names of the classes, and by split (D,) int64, the class of each text.

    Args:
        given: the names in their order; None takes those that occur, sorted, as numbers if all are numbers.
    Raises:
        UserError: a text has no label, or one that `given` does not name, or all texts have the same.
    """
    columns = {split: table.column("label").to_pylist() for split, table in tables.items()}
    for split, labels in columns.items():
        if missing := labels.count(None):
            raise UserError(
                f"{missing:,} of the {len(labels):,} texts of the {split} split have no label (data.label). A "
                "class is learned from labelled texts: choose other data.splits, or task=mlm."
            )
    names = set().union(*columns.values())
    numeric = all(re.fullmatch(r"-?[0-9]+", name) for name in names)
    ordered = list(given) if given is not None else sorted(names)
    if given is None and numeric:
        ordered.sort(key=int)
    if len(ordered) < 2:
        raise UserError(f"All texts have the label '{ordered[0]}' (data.label); there is nothing to tell apart.")
    if others := names - {*ordered}:
        found = sorted(others)[0]
        raise OtherLabelError(
            f"There are texts with the label '{found}' (data.label), which data.labels does not name."
            f"{nearest(found, ordered)} The labels are: {', '.join(ordered)}."
        )
    number = {name: i for i, name in enumerate(ordered)}
    return ordered, {split: np.array([number[x] for x in labels], np.int64) for split, labels in columns.items()}


def are_measured(names: Sequence[str]) -> bool:
    """Whether names of classes are numbers of which some are not whole: values, and no classes."""
    try:
        return len(names) > 2 and not all(float(name).is_integer() for name in names)
    except (ValueError, OverflowError):
        return False


def read_label_sets(tables: Tables, given: tuple[str, ...] | None) -> tuple[list[str], dict[str, np.ndarray]]:
    """Returns the names of the C labels, and by split (D, C) int64, 1 where a text has the label and 0 elsewhere.

    Args:
        given: the names in their order; None takes those that occur, sorted.
    Raises:
        UserError: texts have one label each, or none of known labels; one that `given` does not name; or all texts
            have the same.
    """
    columns = {split: _label_sets(table, split) for split, table in tables.items()}
    found = {label for labels in columns.values() for own in labels for label in own}
    ordered = list(given) if given is not None else sorted(found)
    if others := found - {*ordered}:
        other = sorted(others)[0]
        raise OtherLabelError(
            f"There are texts with the label '{other}' (data.label), which data.labels does not name."
            f"{nearest(other, ordered)} The labels are: {', '.join(ordered)}."
        )
    number = {name: i for i, name in enumerate(ordered)}
    targets = {split: np.zeros((len(labels), len(ordered)), np.int64) for split, labels in columns.items()}
    for split, labels in columns.items():
        for row, own in enumerate(labels):
            targets[split][row, [number[label] for label in own]] = 1
    if not ordered or (targets["train"] == targets["train"][:1]).all():
        raise UserError(
            "All texts of the train split have the same labels (data.label); there is nothing to learn."
        )
    return ordered, targets


def _label_sets(table: pa.Table, split: str) -> list[list[str]]:
    """Returns the labels of each text.

    Raises:
        UserError: one has none, not even an empty list, or has a single label in place of a list.
    """
    sets: list[Any] = table.column("labels").to_pylist() if "labels" in table.column_names else [None] * len(table)
    if (missing := sets.count(None)) == 0:
        return sets
    if any(label is not None for label in table.column("label").to_pylist()):
        raise UserError(
            "Texts have one label each (data.label), where task=multilabel learns from lists of labels, or from "
            "several columns: data.label=[a,b]. For one label, choose task=classification."
        )
    raise UserError(f"{missing:,} of the {len(sets):,} texts of the {split} split have no labels (data.label).")


def lacks_labels(tables: Tables, split: str) -> bool:
    """Whether no text of a split has a label; -1 is none where no text of the training split has it."""
    if _has_label_sets(tables[split]):
        return False
    labels = set(tables[split].column("label").to_pylist())
    return labels == {None} or (labels == {"-1"} and "-1" not in set(tables["train"].column("label").to_pylist()))


def check_single(tables: Tables) -> None:
    """Raises a UserError if texts have several labels."""
    if any(map(_has_label_sets, tables.values())):
        raise UserError(
            "Texts have lists of labels (data.label), but this task learns one label for each text. Choose "
            "task=multilabel, or another column."
        )


def _has_label_sets(table: pa.Table) -> bool:
    return "labels" in table.column_names and table.column("labels").null_count < len(table)


def read_values(tables: Tables) -> dict[str, np.ndarray]:
    """Returns by split (D,) float32, the number of each text.

    Raises:
        UserError: a text has none, or one that is not finite.
    """
    return {split: _values(table, split) for split, table in tables.items()}


def _values(table: pa.Table, split: str) -> np.ndarray:
    values = np.zeros(len(table), np.float32)
    texts = table.column("text")
    for number, label in enumerate(table.column("label").to_pylist()):
        try:
            values[number] = float("nan") if label is None else float(label)
        except ValueError:
            values[number] = float("nan")
        if not np.isfinite(values[number]):
            raise UserError(
                f"The text '{texts[number].as_py()[:60]}' of the {split} split has {label!r} for a label "
                "(data.label), which is no finite number. For classes, choose task=classification."
            )
    return values


def read_tags(
    tables: Tables, given: tuple[str, ...] | None, entities: bool = True
) -> tuple[list[str], dict[str, Tags]]:
    """Returns the names of the tags, and by split the tags of all words; 0 for all words of a split without tags.

    Args:
        given: the names in their order; None takes O, and B- and I- of all kinds of entities that occur, or all
            tags that occur where they are no entities.
        entities: whether tags are those of entities, in IOB2.
    Raises:
        UserError: a word has a tag that `given` does not name, or no two words have different tags.
    """
    columns = {split: table.column("tags").combine_chunks() for split, table in tables.items()}
    spelled = {split: np.array(column.flatten().to_pylist(), dtype=object) for split, column in columns.items()}
    found = set().union(*spelled.values())
    kinds = kinds_of(found) if entities else []
    names = ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")] if entities else sorted(found)
    if given is None and len(names) < 2:
        raise UserError(
            f"All words have the tag '{names[0] if names else 'O'}' (data.tags); there is nothing to tell apart. "
            "data.tags chooses another column, by its name or its number."
        )
    names = list(given) if given is not None else names
    for split, tags in spelled.items():
        if unknown := set(tags) - set(names):
            raise OtherLabelError(
                f"The {split} split has the tag '{sorted(unknown)[0]}' (data.tags), which data.labels does not "
                f"name. The tags are: {', '.join(names)}."
            )
    number = {name: i for i, name in enumerate(names)}
    return names, {split: _tags(tables[split], [number[tag] for tag in tags]) for split, tags in spelled.items()}


def without_tags(table: pa.Table) -> bool:
    """Whether the words of a split have no tags, in one text or more."""
    return bool(table.column("tags").null_count)


def _tags(table: pa.Table, numbers: list[int]) -> Tags:
    counts = pc.list_value_length(table.column("words")).to_numpy() // 2  # two edges of each word
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    tags = np.zeros(begins[-1], np.int64) if without_tags(table) else np.array(numbers, np.int64)
    return Tags(tags, _cases(table), begins)


def _cases(table: pa.Table) -> np.ndarray:
    case_of = cache(Case.of)
    return np.array(
        [
            case_of(text[first:last])
            for text, edges in zip(table["text"].to_pylist(), table["words"].to_pylist(), strict=True)
            for first, last in zip(edges[::2], edges[1::2], strict=True)
        ],
        np.int64,
    )
