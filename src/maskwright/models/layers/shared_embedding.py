"""Token embeddings of one encoder in another one."""

from typing import Any

from torch import Tensor, nn


class SharedEmbedding(nn.Module):
    """The token embeddings of another encoder, mapped linearly to the size of this one.

    Args:
        embedding: (V, E); its weight is shared, not copied.
        size: of what `forward` returns.
    """

    def __init__(self, embedding: nn.Embedding, size: int):
        super().__init__()
        self.embedding = embedding
        width = embedding.weight.shape[1]
        self.projection = nn.Linear(width, size, bias=False)
        nn.init.normal_(self.projection.weight, std=width**-0.5)  # which keeps the size of entries

    @property
    def weight(self) -> Tensor:
        """(V, E), that of the other encoder."""
        return self.embedding.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        """(..., size) of input_ids (...)."""
        return self.projection(self.embedding(input_ids))


def shared(embedding: nn.Embedding, own: Any) -> nn.Embedding | SharedEmbedding:
    """Returns what replaces `own`, an embedding: the other one itself, or mapped to the size of `own`."""
    size = own.weight.shape[1]
    return embedding if embedding.weight.shape[1] == size else SharedEmbedding(embedding, size)
