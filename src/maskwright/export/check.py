"""Compares an exported file with the model that it came from, on rows of real texts.

Shapes: B rows, T positions, K of them, C outputs.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskwright.export.graph import Exportable
from maskwright.masking import Masked

Inputs = dict[str, np.ndarray]
Outputs = Callable[[Inputs], np.ndarray]

EXACT = 1e-4  # by how much outputs of a format that keeps float32 may differ
_SHORT = (1, 2, 3, 7)  # tokens of short rows, special tokens beside


class Difference(NamedTuple):
    """How far the outputs of an exported file are from those of the model.

    Attributes:
        largest: the largest absolute difference.
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
        expected = own.module(*(torch.from_numpy(inputs[name]) for name in own.inputs)).float().numpy()
        found = exported(inputs)
        if found.shape != expected.shape:
            raise ValueError(f"the outputs have the shape {found.shape}, but the model's {expected.shape}")
        difference = float(np.abs(found - expected).max(initial=0))  # of a batch without words, there is none
        largest = max(largest, difference) if np.isfinite(difference) else float("inf")
        lengths += inputs["attention_mask"].sum(1).tolist()
    if not lengths:
        raise ValueError("there are no rows to compare")
    return Difference(largest, len(lengths), (min(lengths), max(lengths)))


def probes(own: Exportable, rows: Iterable[dict[str, Tensor]], masked: Callable[[Any], Masked]) -> Iterator[Inputs]:
    """Yields the inputs of batches, and short rows cut from each of them, padded.

    Args:
        rows: batches of an evaluation.
        masked: masks a batch; called where tokens are predicted.
    """
    for batch in rows:
        inputs = inputs_of(own, batch, masked(batch) if own.kind == "tokens" else None)
        yield inputs
        yield _cut(own, inputs)


def inputs_of(own: Exportable, batch: dict[str, Tensor], masked: Masked | None = None) -> Inputs:
    """Returns the arguments of the exported module for a batch.

    Args:
        masked: the batch with masked tokens, where tokens are predicted.
    """
    ids = batch["input_ids"] if masked is None else masked.input_ids
    seen = batch.get("attention_mask", torch.ones_like(ids, dtype=torch.bool))
    if seen.ndim == 3:  # documents are kept apart; of a padding position, nothing sees itself
        seen = seen.diagonal(dim1=1, dim2=2)
    found = {"input_ids": ids, "attention_mask": seen}
    if "positions" in own.inputs:
        found["positions"] = batch["positions"] if masked is None else masked.positions
    if "cases" in own.inputs:
        found["cases"] = batch["cases"]
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
    return found
