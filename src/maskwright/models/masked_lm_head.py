"""The head for masked tokens that an encoder gets."""

from typing import Any

from torch import nn

from maskwright.models.bigrams import BigramHead, WithNeighbours
from maskwright.models.encoder import Encoder
from maskwright.models.heads import MaskedLMHead
from maskwright.models.transformer.model import Transformer


def masked_lm_head(encoder: Encoder, reads_neighbours: bool = False, **settings: Any) -> nn.Module:
    """Returns the encoder's own head for masked tokens if it has one, else a new head on its embeddings.

    Args:
        reads_neighbours: whether the hidden states may be those of `WithNeighbours`, as they have to be for a
            `BigramHead`.
        settings: the settings of a new head, see `MaskedLMHead`.
    """
    own = encoder.own_head()
    if own is not None:
        return own
    settings["hidden_size"] = encoder.hidden_size
    if reads_neighbours and isinstance(encoder, Transformer) and encoder.bigrams:
        return BigramHead(encoder.embedding, scale=encoder.bigrams, **settings)
    return MaskedLMHead(encoder.embedding, **settings)


def read_by(head: nn.Module | None, encoder: Encoder) -> Encoder:
    """Returns the encoder as a head for masked tokens reads it: a `BigramHead` reads the neighbours too."""
    return WithNeighbours(encoder) if isinstance(head, BigramHead) else encoder
