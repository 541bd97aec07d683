"""A pre-norm transformer encoder with the mathematics of ModernBERT (Warner et al., 2024).

Rotary positions, gated GELU, no biases, a layer norm on the embeddings, full attention in every layer.

Shapes: B examples, T positions, H hidden size, N heads, D = H / N, F intermediate size, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Transformer(nn.Module):
    """Tokens -> hidden states.

    Args:
        vocabulary_size: V.
        layers, hidden_size, heads, intermediate_size: the shape; `heads` must divide `hidden_size`.
        dropout: of embeddings, attention weights, and the two projections of each layer.
        rotary_base: wave lengths of the rotary positions (Su et al., 2021) reach 2 pi times this.
        norm_epsilon: added to the variance in every layer norm.
        initial_std: of the truncated normal that weights start from; the projections that add to
            the residual stream start at initial_std / sqrt(2 * layers).
    """

    def __init__(
        self,
        vocabulary_size: int,
        layers: int,
        hidden_size: int,
        heads: int,
        intermediate_size: int,
        dropout: float = 0.0,
        rotary_base: float = 10_000.0,
        norm_epsilon: float = 1e-5,
        initial_std: float = 0.02,
    ):
        super().__init__()
        self.hidden_size = hidden_size
        self.head_size = hidden_size // heads
        self.rotary_base = rotary_base
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.embedding_norm = nn.LayerNorm(hidden_size, norm_epsilon, bias=False)
        self.embedding_dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            Layer(hidden_size, heads, intermediate_size, dropout, norm_epsilon, first=i == 0) for i in range(layers)
        )
        self.final_norm = nn.LayerNorm(hidden_size, norm_epsilon, bias=False)
        self._initialise(initial_std)

    @torch.no_grad()
    def _initialise(self, std: float) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("attention.output.weight", "feed_forward.output.weight"))
                scale = std / math.sqrt(2 * len(self.layers)) if into_residual else std
                nn.init.trunc_normal_(parameter, std=scale, a=-3 * scale, b=3 * scale)

    def forward(self, input_ids: Tensor, attention: Tensor | None = None) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T).

        Args:
            attention: None where every position sees every other; bool (B, T), True at the positions
                that may be seen; or bool (B, T, T), True where the row's position sees the column's.
        """
        if attention is not None:
            attention = attention[:, None] if attention.ndim == 3 else attention[:, None, None, :]
        rotary = self._rotary(input_ids.shape[1], input_ids.device)
        hidden_BTH = self.embedding_dropout(self.embedding_norm(self.embedding(input_ids)))
        for layer in self.layers:
            hidden_BTH = layer(hidden_BTH, rotary, attention)
        return self.final_norm(hidden_BTH)

    def _rotary(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines (T, D) of the angles by which queries and keys are turned."""
        half = torch.arange(0, self.head_size, 2, dtype=torch.float32, device=device) / self.head_size
        angles = torch.arange(length, dtype=torch.float32, device=device)[:, None] / self.rotary_base**half
        return angles.cos().repeat(1, 2), torch.cat((-angles.sin(), angles.sin()), dim=1)


class Layer(nn.Module):
    """Attention and a gated feed-forward network, each added to its input."""

    def __init__(
        self,
        hidden_size: int,
        heads: int,
        intermediate_size: int,
        dropout: float,
        epsilon: float,
        first: bool,
    ):
        super().__init__()
        # the embeddings come normalised, so the first layer does not do it again
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(hidden_size, epsilon, bias=False)
        self.attention = Attention(hidden_size, heads, dropout)
        self.feed_forward_norm = nn.LayerNorm(hidden_size, epsilon, bias=False)
        self.feed_forward = FeedForward(hidden_size, intermediate_size, dropout)

    def forward(self, hidden_BTH: Tensor, rotary: tuple[Tensor, Tensor], attention: Tensor | None) -> Tensor:
        hidden_BTH = hidden_BTH + self.attention(self.attention_norm(hidden_BTH), rotary, attention)
        return hidden_BTH + self.feed_forward(self.feed_forward_norm(hidden_BTH))


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    def __init__(self, hidden_size: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self.output_dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTH: Tensor, rotary: tuple[Tensor, Tensor], attention: Tensor | None) -> Tensor:
        query_key_value = self.query_key_value(hidden_BTH).unflatten(-1, (3, self.heads, -1))
        query_BNTD, key_BNTD, value_BNTD = query_key_value.permute(2, 0, 3, 1, 4).unbind(0)
        mixed_BNTD = F.scaled_dot_product_attention(
            rotate(query_BNTD, rotary),
            rotate(key_BNTD, rotary),
            value_BNTD,
            attn_mask=attention,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.output_dropout(self.output(mixed_BNTD.transpose(1, 2).flatten(2)))


def rotate(x_BNTD: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turns each pair (d, d + D/2) by the angle of its position."""
    cosine_TD, sine_TD = rotary
    half = x_BNTD.shape[-1] // 2
    swapped = torch.cat((x_BNTD[..., half:], x_BNTD[..., :half]), dim=-1)
    return (x_BNTD * cosine_TD + swapped * sine_TD).to(x_BNTD.dtype)


class FeedForward(nn.Module):
    """GELU(x A) * (x B), projected back (GEGLU, Shazeer, 2020)."""

    def __init__(self, hidden_size: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.input = nn.Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, hidden_BTH: Tensor) -> Tensor:
        activated_BTF, gate_BTF = self.input(hidden_BTH).chunk(2, dim=-1)
        return self.output(self.dropout(F.gelu(activated_BTF) * gate_BTF))
