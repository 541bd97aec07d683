"""What base encoders begin with: tokens -> normalised embeddings."""

from torch import Tensor, nn


class Embedder(nn.Module):
    """An encoder's embeddings; the classes below it say what happens to them.

    Args:
        vocabulary_size: V.
        hidden_size: H.
        dropout: of the embeddings, and wherever a class below it says.
        initial_std: of the normal that the embeddings start from.
    """

    separates_documents = False  # of one row

    def __init__(self, vocabulary_size: int, hidden_size: int, dropout: float, initial_std: float):
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        nn.init.normal_(self.embedding.weight, std=initial_std)
        self.embedding_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def embed(self, input_ids: Tensor) -> Tensor:
        """(B, T, H) of input_ids (B, T)."""
        return self.dropout(self.embedding_norm(self.embedding(input_ids)))
