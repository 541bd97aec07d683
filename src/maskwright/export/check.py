"""Compares an exported file with the model that it came from, on rows of real texts.

Shapes: B rows, T positions, K of them, C outputs.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.corpora.entities import entity_scores
from maskwright.export.graph import Exportable
from maskwright.masking import Masked

Inputs = dict[str, np.ndarray]
Outputs = Callable[[Inputs], np.ndarray]

EXACT = 1e-4  # by how much outputs of a format that keeps float32 may differ; of large ones, as a share
_SHORT = (1, 2, 3, 7)  # tokens of short rows, special tokens beside


class Rows(NamedTuple):
    """A batch of an evaluation, and the same with masked tokens where tokens are predicted."""

    batch: dict[str, Tensor]
    masked: Masked | None = None


class Difference(NamedTuple):
    """How far the outputs of an exported file are from those of the model.

    Attributes:
        largest: the largest difference; of outputs above 1, as a share of the largest of them.
        rows: how many rows were compared.
        lengths: the shortest and the longest of them, in positions.
    """

    largest: float
    rows: int
    lengths: tuple[int, int]


@torch.inference_mode()
def compare(own: Exportable, exported: Outputs, batches: Iterable[Inputs]) -> Difference:
    """Returns how far the outputs of an exported file are from those of the model.

    Args:
        exported: outputs of the file for inputs by name, see `Exportable.inputs`.
        batches: the inputs, see `probes`.
    Raises:
        ValueError: outputs have another shape, or there are no batches.
    """
    largest, lengths = 0.0, []
    for inputs in batches:
        expected, found = outputs_of(own)(inputs), exported(inputs)
        if found.shape != expected.shape:
            raise ValueError(f"the outputs have the shape {found.shape}, but the model's {expected.shape}")
        # of a batch without words, there is none
        difference = float(np.abs(found - expected).max(initial=0) / np.abs(expected).max(initial=1))
        largest = max(largest, difference) if np.isfinite(difference) else float("inf")
        lengths += inputs["attention_mask"].sum(1).tolist()
    if not lengths:
        raise ValueError("there are no rows to compare")
    return Difference(largest, len(lengths), (min(lengths), max(lengths)))


def outputs_of(own: Exportable) -> Outputs:
    """Returns the outputs of the model itself."""

    @torch.inference_mode()
    def outputs(inputs: Inputs) -> np.ndarray:
        return own.module(*(torch.from_numpy(inputs[name]) for name in own.inputs)).float().numpy()

    return outputs


def probes(own: Exportable, batches: Iterable[Rows]) -> Iterator[Inputs]:
    """Yields the inputs of batches, and of each of them the first row alone, and short rows, padded."""
    for rows in batches:
        inputs = inputs_of(own, rows)
        yield inputs
        yield {name: value[:1] for name, value in inputs.items()}
        yield _cut(own, inputs)


def inputs_of(own: Exportable, rows: Rows) -> Inputs:
    """Returns the arguments of the exported module for a batch."""
    batch, masked = rows
    ids = batch["input_ids"] if masked is None else masked.input_ids
    seen = batch.get("attention_mask", torch.ones_like(ids, dtype=torch.bool))
    if seen.ndim == 3:  # documents are kept apart; of a padding position, nothing sees itself
        seen = seen.diagonal(dim1=1, dim2=2)
    found = {"input_ids": ids, "attention_mask": seen}
    if "positions" in own.inputs:
        found["positions"] = batch["positions"] if masked is None else masked.positions
    if "cases" in own.inputs:
        found["cases"] = batch["cases"]
    if own.has_types:
        found["token_type_ids"] = batch["token_types"]
    return {name: tensor.to(torch.int64).cpu().numpy() for name, tensor in found.items()}


def _cut(own: Exportable, inputs: Inputs) -> Inputs:
    """Returns the first rows of a batch, cut to few tokens, with padding up to the longest of them."""
    tokenizer = own.tokenizer
    rows = [row[:length] for row, length in zip(inputs["input_ids"], _SHORT, strict=False)]
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), tokenizer.pad_id, np.int64)
    seen = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)], seen[number, : len(row)] = row, 1
    found = {"input_ids": ids, "attention_mask": seen}
    if "positions" in inputs:
        found["positions"] = np.minimum(inputs["positions"][: len(rows)], seen.sum(1, keepdims=True) - 1)
    if "cases" in inputs:
        found["cases"] = inputs["cases"][: len(rows)]
    if "token_type_ids" in inputs:
        found["token_type_ids"] = inputs["token_type_ids"][: len(rows), :longest] * seen
    return found


def metric_of(own: Exportable) -> str:
    """Returns the name of the metric that `measure` computes."""
    if own.labels is not None and own.kind == "tags":
        return "f1" if own.labels.entities else "accuracy"
    return "accuracy" if own.kind in ("class", "labels") else "loss"


@torch.inference_mode()
def measure(own: Exportable, outputs: Outputs, batches: Iterable[Rows]) -> float:
    """Returns a metric of outputs, over all rows.

    It is the loss of masked tokens in nats, the accuracy of classes, or of each label by itself, the mean squared
    error of values in units of their variance, F1 of entities, or the accuracy of other tags.

    Rows count one by one, also where a long text has several.
    """
    total, count = 0.0, 0
    tags: tuple[list[list[str]], list[list[str]]] = [], []  # given and predicted
    for rows in batches:
        batch, masked = rows
        found = torch.from_numpy(outputs(inputs_of(own, rows)))
        if masked is not None:
            targets = masked.targets[masked.valid]
            total += float(F.cross_entropy(found[masked.valid], targets, reduction="sum"))
            count += len(targets)
        elif own.kind == "tags":
            for column, numbers in zip(tags, (batch["targets"], _tags(own, found, batch)), strict=True):
                column += _spelled(own, numbers, batch["valid"])
        elif own.kind == "class":
            total += int((found.argmax(1) == batch["targets"]).sum())
            count += len(found)
        elif own.kind == "labels":
            total += int(((found >= 0) == (batch["targets"] > 0)).sum())
            count += found.numel()
        else:
            assert own.labels is not None
            total += float(((found[:, 0] - batch["targets"]) / (own.labels.std or 1.0)).square().sum())
            count += len(found)
    if own.kind != "tags":
        return total / max(count, 1)
    if metric_of(own) == "f1":
        return entity_scores(*tags)[0]["f1"]
    right = [given == found for row in zip(*tags, strict=True) for given, found in zip(*row, strict=True)]
    return sum(right) / max(len(right), 1)


def _tags(own: Exportable, scores: Tensor, batch: dict[str, Tensor]) -> Tensor:
    return scores.argmax(-1) if own.crf is None else own.crf.decode(scores, batch["valid"], batch["opens"])


def _spelled(own: Exportable, numbers: Tensor, valid: Tensor) -> list[list[str]]:
    assert own.labels is not None
    return [[own.labels.names[tag] for tag in row[kept].tolist()] for row, kept in zip(numbers, valid, strict=True)]
