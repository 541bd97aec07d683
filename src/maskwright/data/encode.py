"""Texts that are not on disk as a batch, annotated as a corpus is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from maskwright.annotations.annotation import Annotation
from maskwright.annotations.shards import Shard, shard_of_texts
from maskwright.annotations.storage import stored
from maskwright.corpora.marks import Marks
from maskwright.data.loader import to_tensors
from maskwright.text.packing import rows_at
from maskwright.text.tokenizer import Tokenizer


def encode(
    texts: Sequence[str],
    marks: Sequence[Marks | None] | None,
    tokenizer: Tokenizer,
    annotations: dict[str, Annotation],
    folders: dict[str, Path],
) -> tuple[dict[str, Tensor], Shard]:
    """Returns texts as a batch for a masker, one row each, and the shard that holds where their tokens are.

    Rows are padded to the longest, [CLS] and [SEP] included; `attention_mask` is False at padding.

    Args:
        marks: of each text, what its corpus says about its words.
        annotations: by name; those of kind `numbers` are left out.
        folders: what the annotations have learned, by their names.
    """
    shard = shard_of_texts(list(texts), tokenizer, None if marks is None else list(marks))
    numbers = {
        name: stored(annotation.open(folders[name], tokenizer)(shard), annotation)
        for name, annotation in annotations.items()
        if annotation.kind != "numbers"
    }
    rows = rows_of_shard(shard, numbers, tokenizer)
    order = np.arange(len(texts))
    return to_tensors(rows | {"examples": order, "epochs": np.zeros_like(order)}), shard


def rows_of_shard(shard: Shard, annotations: dict[str, np.ndarray], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Each document of a shard in a row of its own, as `rows_at` returns them."""
    begins = np.concatenate([[0], shard.ends[:-1]])
    lengths = shard.ends - begins - 1  # each row ends with a separator of its own
    index = begins[:, None] + np.arange(lengths.max(initial=0))
    real = np.arange(index.shape[1]) < lengths[:, None]
    return rows_at(index, real, shard.ids, shard.starts, annotations, tokenizer)
