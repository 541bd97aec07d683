"""A window of neighbours and a multi-layer perceptron (Bengio et al., 2003; Collobert et al., 2011).

Shapes: B examples, T positions, H hidden size, V vocabulary.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.types import Count, PositiveCount, PositiveRate, Share
from maskwright.models.layers.attention_mask import AttentionMask, padding_only
from maskwright.models.layers.embedder import Embedder
from maskwright.models.layers.gather import gather


class MLP(Embedder):
    """Tokens -> hidden states; a position sees a window of neighbours once, and then itself.

    Args:
        vocabulary_size: V.
        layers, hidden_size: the shape.
        window: neighbours on each side.
        dropout: of the embeddings and after each layer.
        initial_std: of the normal that the embeddings start from.
    """

    def __init__(
        self,
        vocabulary_size: int,
        layers: PositiveCount,
        hidden_size: PositiveCount,
        window: Count = 2,
        dropout: Share = 0.0,
        initial_std: PositiveRate = 0.02,
    ):
        super().__init__(vocabulary_size, hidden_size, dropout, initial_std)
        self.window = window
        widths = [(2 * window + 1) * hidden_size, *[hidden_size] * (layers - 1)]  # of what each layer reads
        self.layers = nn.ModuleList(nn.Linear(width, hidden_size) for width in widths)
        self.final_norm = nn.LayerNorm(hidden_size)

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
        if seen is not None:
            hidden = hidden * seen[..., None]
        padded = F.pad(hidden, (0, 0, self.window, self.window))
        around = padded.unfold(1, 2 * self.window + 1, 1)  # (B, T, H, neighbours)
        if positions is not None:
            index = positions[:, :, None, None].expand(-1, -1, *around.shape[2:])
            around, hidden = around.gather(1, index), gather(hidden, positions)
        for number, layer in enumerate(self.layers):
            read = hidden if number else around.flatten(2)
            hidden = hidden + self.dropout(F.gelu(layer(read)))
        return self.final_norm(hidden)
