"""A bidirectional LSTM (Hochreiter and Schmidhuber, 1997; Graves and Schmidhuber, 2005).

Shapes: B examples, T positions, H hidden size, V vocabulary.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from maskwright.core.types import PositiveCount, PositiveRate, Share
from maskwright.models.layers.attention_mask import AttentionMask, padding_only
from maskwright.models.layers.embedder import Embedder
from maskwright.models.layers.gather import gather


class LSTM(Embedder):
    """Tokens -> hidden states.

    Args:
        vocabulary_size: V.
        layers, hidden_size: the shape; each direction has half of `hidden_size`, which is even.
        dropout: of the embeddings, between layers and of the hidden states.
        initial_std: of the normal that the embeddings start from.
    Raises:
        ValueError: `hidden_size` is odd.
    """

    def __init__(
        self,
        vocabulary_size: int,
        layers: PositiveCount,
        hidden_size: PositiveCount,
        dropout: Share = 0.0,
        initial_std: PositiveRate = 0.02,
    ):
        self.check_settings(hidden_size=hidden_size)
        super().__init__(vocabulary_size, hidden_size, dropout, initial_std)
        self.layers = nn.ModuleList(
            nn.LSTM(hidden_size, hidden_size // 2, batch_first=True, bidirectional=True) for _ in range(layers)
        )

    @classmethod
    def check_settings(cls, *, hidden_size: int = 2, **_: Any) -> None:
        if hidden_size % 2:
            raise ValueError(f"hidden_size is {hidden_size}; an LSTM of two directions takes an even one")

    @classmethod
    def narrowed(cls, share: float, **settings: Any) -> dict[str, Any]:
        return {"hidden_size": max(int(settings["hidden_size"] * share) // 2, 1) * 2}

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of embeddings (B, T, H), or (B, K, H) at positions (B, K).

        Args:
            attention_mask: None, or (B, T) bool, False at the padding after each row.
        """
        seen, hidden = padding_only(attention_mask), hidden_BTH
        lengths = None if seen is None else seen.sum(dim=1).cpu()
        for layer in self.layers:
            packed: Any = hidden
            if lengths is not None:  # else the backward direction would read the padding first
                packed = pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
            packed, _ = layer(packed)
            if lengths is not None:
                packed, _ = pad_packed_sequence(packed, batch_first=True, total_length=hidden_BTH.shape[1])
            hidden = self.dropout(packed)
        return hidden if positions is None else gather(hidden, positions)
