"""Convolutions over tokens (Kim, 2014), dilated and residual (Strubell et al., 2017).

Shapes: B examples, T positions, H hidden size, V vocabulary.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.types import PositiveCount, PositiveRate, Share
from maskwright.models.layers.attention_mask import AttentionMask, padding_only
from maskwright.models.layers.embedder import Embedder
from maskwright.models.layers.gather import gather


class CNN(Embedder):
    """Tokens -> hidden states; a position sees its neighbours.

    Args:
        vocabulary_size: V.
        layers, hidden_size: the shape.
        kernel_size: positions that a layer's kernel covers, an odd number.
        dilation: each layer's kernel is this many times as wide as that of the layer below it.
        dropout: of the embeddings and after each layer.
        initial_std: of the normal that the embeddings start from.
    Raises:
        ValueError: `kernel_size` is even.
    """

    def __init__(
        self,
        vocabulary_size: int,
        layers: PositiveCount,
        hidden_size: PositiveCount,
        kernel_size: PositiveCount = 3,
        dilation: PositiveCount = 2,
        dropout: Share = 0.0,
        initial_std: PositiveRate = 0.02,
    ):
        self.check_settings(kernel_size=kernel_size)
        super().__init__(vocabulary_size, hidden_size, dropout, initial_std)
        self.layers = nn.ModuleList(_Block(hidden_size, kernel_size, dilation**i, dropout) for i in range(layers))
        self.final_norm = nn.LayerNorm(hidden_size)

    @classmethod
    def check_settings(cls, *, kernel_size: int = 3, **_: Any) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; it is odd, with as many neighbours on each side")

    @classmethod
    def narrowed(cls, share: float, **settings: Any) -> dict[str, Any]:
        return {"hidden_size": max(int(settings["hidden_size"] * share), 1)}

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of embeddings (B, T, H), or (B, K, H) at positions (B, K).

        Args:
            attention_mask: None, or (B, T) bool, False at padding, which is read as zeros, as beyond the row.
        """
        seen, hidden = padding_only(attention_mask), hidden_BTH
        for layer in self.layers:
            hidden = layer(hidden, seen)
        hidden = self.final_norm(hidden)
        return hidden if positions is None else gather(hidden, positions)


class _Block(nn.Module):
    """A convolution and a linear map, added to their input."""

    def __init__(self, hidden_size: int, kernel_size: int, dilation: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        reach = dilation * (kernel_size // 2)
        self.convolution = nn.Conv1d(hidden_size, hidden_size, kernel_size, padding=reach, dilation=dilation)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTH: Tensor, seen: Tensor | None) -> Tensor:
        inner = self.norm(hidden_BTH)
        if seen is not None:
            inner = inner * seen[..., None]
        inner = F.gelu(self.convolution(inner.transpose(1, 2)).transpose(1, 2))
        return hidden_BTH + self.dropout(self.output(inner))
