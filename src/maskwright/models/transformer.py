"""A pre-norm transformer encoder with the mathematics of ModernBERT (Warner et al., 2024).

Rotary positions, gated GELU, no biases, a layer norm on the embeddings, full attention in every layer.

Shapes: B examples, T positions, H hidden size, N heads, D = H / N, F intermediate size, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.convolution import Convolution
from maskwright.models.documents import Sequences


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
        convolution: reach of a `Convolution` of the embeddings; 0 has none, as ModernBERT.
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
        convolution: int = 0,
    ):
        super().__init__()
        self.hidden_size = hidden_size
        self.head_size = hidden_size // heads
        self.rotary_base = rotary_base
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.embedding_norm = nn.LayerNorm(hidden_size, norm_epsilon, bias=False)
        self.embedding_dropout = nn.Dropout(dropout)
        self.convolution = Convolution(hidden_size, convolution) if convolution else None
        self.layers = nn.ModuleList(
            Layer(hidden_size, heads, intermediate_size, dropout, norm_epsilon, first=i == 0) for i in range(layers)
        )
        self.final_norm = nn.LayerNorm(hidden_size, norm_epsilon, bias=False)
        self._initialise(initial_std)

    @torch.no_grad()
    def _initialise(self, std: float) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and not name.startswith("convolution."):
                into_residual = name.endswith(("attention.output.weight", "feed_forward.output.weight"))
                scale = std / math.sqrt(2 * len(self.layers)) if into_residual else std
                nn.init.trunc_normal_(parameter, std=scale, a=-3 * scale, b=3 * scale)

    def forward(self, input_ids: Tensor, attention: Tensor | Sequences | None = None) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T).

        Args:
            attention: None where every position sees every other; bool (B, T), True at the positions
                that may be seen; bool (B, T, T), True where the row's position sees the column's; or
                `Sequences`, each of whose positions see their own, on a GPU in half precision and
                without dropout.
        """
        hidden_BTH = self.embedding_dropout(self.embedding_norm(self.embedding(input_ids)))
        if self.convolution is not None:
            hidden_BTH = self.convolution(hidden_BTH, attention)
        if isinstance(attention, Tensor):
            attention = attention[:, None] if attention.ndim == 3 else attention[:, None, None, :]
        rotary = self._rotary(input_ids.shape[1], input_ids.device)
        for layer in self.layers:
            hidden_BTH = layer(hidden_BTH, rotary, attention)
        return self.final_norm(hidden_BTH)

    def _rotary(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines (T, 1, D / 2) of the angles by which queries and keys are turned."""
        half = torch.arange(0, self.head_size, 2, dtype=torch.float32, device=device) / self.head_size
        angles = torch.arange(length, dtype=torch.float32, device=device)[:, None, None] / self.rotary_base**half
        return angles.cos(), angles.sin()


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

    def forward(
        self, hidden_BTH: Tensor, rotary: tuple[Tensor, Tensor], attention: Tensor | Sequences | None
    ) -> Tensor:
        hidden_BTH = hidden_BTH + self.attention(self.attention_norm(hidden_BTH), rotary, attention)
        return hidden_BTH + self.feed_forward(self.feed_forward_norm(hidden_BTH))


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    def __init__(self, hidden_size: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.query_key_value.stacked = 3  # matrices that share a product, see optim.muon
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self.output_dropout = nn.Dropout(dropout)

    def forward(
        self, hidden_BTH: Tensor, rotary: tuple[Tensor, Tensor], attention: Tensor | Sequences | None
    ) -> Tensor:
        query_BTND, key_BTND, value_BTND = (
            self.query_key_value(hidden_BTH).unflatten(-1, (3, self.heads, -1)).unbind(2)
        )
        query_BTND, key_BTND = rotate(query_BTND, rotary), rotate(key_BTND, rotary)
        if isinstance(attention, Sequences):
            mixed_BTND = attention.attend(query_BTND, key_BTND, value_BTND)
        else:
            mixed_BTND = F.scaled_dot_product_attention(
                query_BTND.transpose(1, 2),
                key_BTND.transpose(1, 2),
                value_BTND.transpose(1, 2),
                attn_mask=attention,
                dropout_p=self.dropout if self.training else 0.0,
            ).transpose(1, 2)
        return self.output_dropout(self.output(mixed_BTND.flatten(2)))


def rotate(x_BTND: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turns each pair (d, d + D/2) by the angle of its position."""
    cosine, sine = rotary
    first, second = x_BTND.chunk(2, dim=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.stack(turned, dim=-2).flatten(-2).to(x_BTND.dtype)


class FeedForward(nn.Module):
    """GELU(x A) * (x B), projected back (GEGLU, Shazeer, 2020)."""

    def __init__(self, hidden_size: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.input = nn.Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.input.stacked = 2
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, hidden_BTH: Tensor) -> Tensor:
        activated_BTF, gate_BTF = self.input(hidden_BTH).chunk(2, dim=-1)
        return self.output(self.dropout(F.gelu(activated_BTF) * gate_BTF))
