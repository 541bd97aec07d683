"""The first step of the base encoders: tokens -> normalised embeddings."""

from torch import Tensor, nn

from maskwright.models.encoder import BaseEncoder
from maskwright.models.layers.attention_mask import AttentionMask


class Embedder(BaseEncoder):
    """An encoder with embeddings, a layer norm and dropout; subclasses add the layers.

    Args:
        vocabulary_size: V.
        hidden_size: H.
        dropout: of the embeddings, and wherever a subclass applies it.
        initial_std: of the normal that the embeddings start from.
    """

    def __init__(self, vocabulary_size: int, hidden_size: int, dropout: float, initial_std: float):
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        nn.init.normal_(self.embedding.weight, std=initial_std)
        self.embedding_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """(B, T, H) of input_ids (B, T)."""
        return self.dropout(self.embedding_norm(self.embedding(input_ids)))
