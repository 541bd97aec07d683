"""The conditional distributions of a masked model, and the energies of rows that are made of them.

Shapes: C chains, T positions, K of them, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from maskwright.inference.asked import TOKENS_PER_BATCH, Query
from maskwright.inference.masked_model import MaskedModel

Energy = Literal["local", "raw"]


class Conditionals:
    """What a masked model says about rows of the same length, one for each chain.

    The numbers for a chain are the same, bit by bit, whatever the other rows are: shapes of matrices, which decide
    how their products are rounded, depend on C, T and K alone, and a chain has its place in them.

    Attributes:
        mask_id: the id of the mask token.
        ordinary: ids of the tokens that stand for text.
    """

    def __init__(self, model: MaskedModel):
        self.model = replace(model, tokens_per_batch=2**62)  # what is asked at once is one forward pass
        self.mask_id = model.tokenizer.mask_id
        self.ordinary = torch.tensor(model.tokenizer.ordinary_ids)

    def logits(self, rows: np.ndarray, positions: np.ndarray, masks: bool = True) -> Tensor:
        """Returns float32 logits (C, K, V) at positions (C, K) of rows (C, T).

        Args:
            masks: whether these positions are all masked for it; else the rows show what they show.
        """
        queries = [Query(row, own if masks else own[:0], own) for row, own in zip(rows, positions, strict=True)]
        return self._ask(queries).unflatten(0, positions.shape)

    def energies(self, rows: np.ndarray, positions: Sequence[int], kind: Energy) -> np.ndarray:
        """Returns float64 energies (C,) of rows (C, T), as Goyal et al. (2022) define them.

        Each token is predicted from the row in which it alone is masked. `local` is the negative sum of their
        log-probabilities, in nats, which is the negative pseudo-log-likelihood; `raw` that of their logits.

        Args:
            positions: those of the tokens that count.
        """
        energies = np.zeros(len(rows))
        step = max(TOKENS_PER_BATCH // rows.size, 1)
        for first in range(0, len(positions), step):
            some = positions[first : first + step]
            logits = self._ask([Query(row, [own], [own]) for row in rows for own in some])
            tokens = torch.from_numpy(rows[:, some].reshape(-1, 1)).to(logits.device)
            scores = logits.gather(1, tokens)[:, 0]
            if kind == "local":
                scores = scores - logits.logsumexp(1)
            energies -= scores.cpu().numpy().reshape(len(rows), -1).sum(1, dtype=np.float64)
        return energies

    def _ask(self, queries: Sequence[Query]) -> Tensor:
        """Returns the logits of all asked positions, in order."""
        parts = list(self.model.logits(queries))
        numbers = torch.from_numpy(np.concatenate([numbers for numbers, _ in parts]))
        logits = torch.cat([logits for _, logits in parts])
        return logits[numbers.argsort().to(logits.device)]
