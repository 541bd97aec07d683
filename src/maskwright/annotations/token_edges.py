"""Where each token of a corpus is in its text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from maskwright.annotations.annotation import Annotate, BaseAnnotation
from maskwright.annotations.shards import Shard
from maskwright.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenEdges(BaseAnnotation):
    """The first character of each token in its text (`begin`), or the one after its last (`end`).

    Separators have 0.
    """

    edge: Literal["begin", "end"]
    kind = "numbers"
    reads_text = True

    @property
    def name(self) -> str:  # type: ignore[override]
        """The key of the annotation."""
        return f"token_{self.edge}s"

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        return self.annotate

    def annotate(self, shard: Shard) -> np.ndarray:
        """(N,) int32."""
        assert shard.offsets is not None
        return shard.offsets[:, 0 if self.edge == "begin" else 1].astype(np.int32)
