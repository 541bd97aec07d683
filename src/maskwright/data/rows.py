"""Labelled texts as rows of tokens, read from disk on demand."""

import numpy as np

from maskwright.data.windows import Segments
from maskwright.text.packing import rows_at
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import Tokens


class Rows:
    """The R rows of one split, whose D texts have one target each.

    Args:
        tokens: of the split.
        tokenizer: has the ids of special tokens.
        annotations: (N,) of the tokens, by name.
        segments: what each row shows; it is filled up with tokens around that, as far as they are context.
        targets: (D,) int64 classes or float32 values.
        block_size: most positions of a row, [CLS] and [SEP] included.
    Attributes:
        documents: (R,) the text that each row shows, or shows a part of.
        lengths: (R,) positions of each row, [CLS] and [SEP] included.
    """

    def __init__(
        self,
        tokens: Tokens,
        tokenizer: Tokenizer,
        annotations: dict[str, np.ndarray],
        segments: Segments,
        targets: np.ndarray,
        block_size: int,
    ):
        self.tokens, self.tokenizer, self.annotations = tokens, tokenizer, annotations
        self.segments, self.targets = segments, targets
        self.documents = segments.documents
        length = segments.ends - segments.begins
        gaps = np.zeros_like(length) if segments.gaps is None else segments.gaps
        room = block_size - 2 - (length - gaps)
        before, after = segments.begins - segments.least, segments.most - segments.ends
        after = np.minimum(after, room - np.minimum(room // 2, before))
        self.before = np.minimum(before, room - after)
        self.shown = self.before + length - gaps + after
        self.half, self.gaps = (length - gaps + 1) // 2, gaps
        self.lengths = self.shown + 2

    def __len__(self) -> int:
        return len(self.documents)

    def read(self, rows: np.ndarray, epochs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the rows numbered `rows` (B,) as a batch.

        Returns:
            What `rows_at` returns; `examples` and `epochs` (B,); `texts` (B,), the number of the text of each row;
            and `targets` (B,). Values come as `target_bits` (B,) int32 too, which stay as they are where a run
            computes in bfloat16 and its `targets` are rounded.
        """
        batch, _, _ = self._tokens_of(rows, epochs)
        targets = self.targets[batch["texts"]]
        bits = {"target_bits": targets.view(np.int32)} if targets.dtype == np.float32 else {}
        return batch | {"targets": targets} | bits

    def read_gold(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns what an evaluation needs to know of rows beyond what `read` returns."""
        return {}

    def _tokens_of(
        self, rows: np.ndarray, epochs: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Returns a batch without targets, and `index` and `real`, (B, T - 2) each, as `rows_at` takes them."""
        column = np.arange(int(self.shown[rows].max(initial=0)))
        real = column < self.shown[rows][:, None]
        index = self._places(rows[:, None], column)
        batch = rows_at(index, real, self.tokens.ids, self.tokens.flags, self.annotations, self.tokenizer)
        return batch | {"examples": rows, "epochs": epochs, "texts": self.documents[rows]}, index, real

    def _places(self, segments: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Returns which token of the split is at an offset in what is shown of a segment."""
        begins = self.segments.begins[segments] - self.before[segments]
        return begins + offsets + (offsets >= self.half[segments]) * self.gaps[segments]
