"""A masked language model in PyTorch as something that is asked which tokens stand at which positions.

Shapes: B rows, T positions, N asked positions of a batch, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.inference.asked import TOKENS_PER_BATCH, AskedModel, Batch, Query
from maskwright.models import Encoder
from maskwright.text.tokenizer import Tokenizer

_LOGITS_AT_ONCE = 2**25  # numbers: 128 MiB


@dataclass(frozen=True)
class MaskedModel(AskedModel):
    """An encoder with its head for masked tokens and its tokenizer.

    Args:
        encoder, head: in evaluation mode, on one device.
        max_length, tokens_per_batch: see `AskedModel`.
        autocast: makes the context of a forward pass.
    """

    encoder: Encoder
    head: nn.Module
    tokenizer: Tokenizer
    max_length: int | None = None
    tokens_per_batch: int = TOKENS_PER_BATCH
    autocast: Callable[[], AbstractContextManager] = nullcontext

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def best(self, queries: Sequence[Query], ids: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """See `AskedModel`."""
        given = torch.from_numpy(ids).to(self.device)
        found = np.zeros((sum(len(query.asked) for query in queries), min(number, len(ids))), np.int64)
        values = np.zeros(found.shape, np.float32)
        for numbers, logits in self.logits(queries):
            best = logits.log_softmax(-1)[:, given].topk(found.shape[1])
            found[numbers] = given[best.indices].cpu().numpy()
            values[numbers] = best.values.cpu().numpy()
        return found, values

    def log_probabilities(self, queries: Sequence[Query], ids: np.ndarray) -> np.ndarray:
        """See `AskedModel`."""
        values = np.zeros(len(ids), np.float32)
        targets = torch.from_numpy(ids).to(self.device)
        for numbers, logits in self.logits(queries):
            own = targets[torch.from_numpy(numbers).to(self.device)]
            picked = logits.gather(1, own[:, None])[:, 0] - logits.logsumexp(1)
            values[numbers] = picked.cpu().numpy()
        return values

    @torch.inference_mode()
    def logits(self, queries: Sequence[Query]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yields, batch by batch, the float32 logits of what is asked.

        Yields:
            `(numbers, logits)`: (N,) the numbers of the asked positions, counted over `queries` in order, and
            (N, V) their logits. With one position asked in each, they are the numbers of the queries.
        """
        for batch in self.batches(queries):
            hidden = self._hidden(batch)
            step = max(_LOGITS_AT_ONCE // len(self.tokenizer), 1)
            for first in range(0, len(batch.numbers), step):
                with self.autocast():
                    logits = self.head(hidden[None, first : first + step])[0]
                yield batch.numbers[first : first + step], logits.float()

    def _hidden(self, batch: Batch) -> Tensor:
        """Returns the hidden states (N, H) at the asked positions of a batch."""
        ids, seen, positions, valid = (torch.from_numpy(array).to(self.device) for array in batch[1:])
        with self.autocast():
            return self.encoder(ids, None if batch.seen.all() else seen, positions)[valid]
