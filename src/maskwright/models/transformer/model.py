"""A pre-norm transformer encoder with the mathematics of ModernBERT (Warner et al., 2024).

Rotary positions, gated GELU, no biases, a layer norm on the embeddings, full attention in every layer.

Shapes: B examples, T positions, H hidden size, N heads, D = H / N, F intermediate size, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.layers.convolution import Convolution
from maskwright.models.layers.varlen_attention import Sequences


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
        query_key_norm: whether queries and keys are scaled to a root mean square of 1 (Henry et al., 2020);
            ModernBERT's are not.
        value_residual: whether values are mixed with those of the first layer, in a share that each layer
            learns (Zhou et al., 2024); ModernBERT's are not.
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
        query_key_norm: bool = False,
        value_residual: bool = False,
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
            Layer(
                Attention(hidden_size, heads, dropout, query_key_norm, mixes_values=value_residual and i > 0),
                FeedForward(hidden_size, intermediate_size, dropout),
                hidden_size,
                norm_epsilon,
                first=i == 0,
            )
            for i in range(layers)
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

    def forward(
        self, input_ids: Tensor, attention: Tensor | Sequences | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T).

        Args:
            attention: None where every position sees every other; bool (B, T), True at the positions
                that may be seen; bool (B, T, T), True where the row's position sees the column's; or
                `Sequences`, each of whose positions see their own, on a GPU in half precision and
                without dropout.
            positions: (B, K), of which alone hidden states (B, K, H) are answered: the last layer then
                computes nothing but keys and values of the others.
        """
        hidden_BTH = self.embedding_dropout(self.embedding_norm(self.embedding(input_ids)))
        if self.convolution is not None:
            hidden_BTH = self.convolution(hidden_BTH, attention)
        if isinstance(attention, Tensor):
            attention = attention[:, None] if attention.ndim == 3 else attention[:, None, None, :]
        rotary = self._rotary(input_ids.shape[1], input_ids.device)
        *lower, last = self.layers
        first_value = None
        for layer in lower:
            hidden_BTH, value = layer(hidden_BTH, rotary, attention, first_value)
            first_value = value if first_value is None else first_value
        hidden, _ = last(hidden_BTH, rotary, attention, first_value, positions)
        return self.final_norm(hidden)

    def _rotary(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines (T, 1, D / 2) of the angles by which queries and keys are turned."""
        half = torch.arange(0, self.head_size, 2, dtype=torch.float32, device=device) / self.head_size
        angles = torch.arange(length, dtype=torch.float32, device=device)[:, None, None] / self.rotary_base**half
        return angles.cos(), angles.sin()


class Layer(nn.Module):
    """Attention and a gated feed-forward network, each added to its input."""

    def __init__(
        self, attention: "Attention", feed_forward: "FeedForward", hidden_size: int, epsilon: float, first: bool
    ):
        super().__init__()
        # the embeddings come normalised, so the first layer does not do it again
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(hidden_size, epsilon, bias=False)
        self.attention = attention
        self.feed_forward_norm = nn.LayerNorm(hidden_size, epsilon, bias=False)
        self.feed_forward = feed_forward

    def forward(
        self,
        hidden_BTH: Tensor,
        rotary: tuple[Tensor, Tensor],
        attention: Tensor | Sequences | None,
        first_value: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        mixed, value = self.attention(self.attention_norm(hidden_BTH), rotary, attention, first_value, positions)
        hidden = (hidden_BTH if positions is None else gather(hidden_BTH, positions)) + mixed
        return hidden + self.feed_forward(self.feed_forward_norm(hidden)), value


def gather(hidden_BTH: Tensor, positions: Tensor) -> Tensor:
    """(B, K, H): the hidden states at positions (B, K)."""
    return hidden_BTH.gather(1, positions[..., None].expand(-1, -1, hidden_BTH.shape[-1]))


class StackedLinear(nn.Linear):
    """Linear maps of one input, without biases, that share a product.

    Args:
        outputs: of each.
        stacked: how many. `optim.muon` makes each of them orthogonal by itself.
    """

    def __init__(self, inputs: int, outputs: int, stacked: int):
        super().__init__(inputs, stacked * outputs, bias=False)
        self.stacked = stacked


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    def __init__(
        self, hidden_size: int, heads: int, dropout: float, query_key_norm: bool = False, mixes_values: bool = False
    ):
        super().__init__()
        self.heads, self.dropout, self.query_key_norm = heads, dropout, query_key_norm
        self.first_share = nn.Parameter(torch.tensor(0.5)) if mixes_values else None
        self.query_key_value = StackedLinear(hidden_size, hidden_size, stacked=3)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self.output_dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden_BTH: Tensor,
        rotary: tuple[Tensor, Tensor],
        attention: Tensor | Sequences | None,
        first_value: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, T, H), or (B, K, H) at positions (B, K), which see all others as ever; and values (B, T, N, D)."""
        if positions is not None and isinstance(attention, Sequences):
            mixed_BTH, value_BTND = self(hidden_BTH, rotary, attention, first_value)
            return gather(mixed_BTH, positions), value_BTND
        query_BQND, key_BTND, value_BTND = self._project(hidden_BTH, positions)
        if self.query_key_norm:
            query_BQND = F.rms_norm(query_BQND, query_BQND.shape[-1:])
            key_BTND = F.rms_norm(key_BTND, key_BTND.shape[-1:])
        if self.first_share is not None and first_value is not None:
            value_BTND = value_BTND.lerp(first_value, self.first_share.to(value_BTND.dtype))
        key_BTND, query_rotary = rotate(key_BTND, rotary), rotary
        if positions is not None:
            query_rotary = rotary[0][positions], rotary[1][positions]
            if isinstance(attention, Tensor) and attention.shape[2] > 1:
                attention = attention.gather(2, positions[:, None, :, None].expand(-1, -1, -1, attention.shape[3]))
        query_BQND = rotate(query_BQND, query_rotary)
        if isinstance(attention, Sequences):
            mixed_BQND = attention.attend(query_BQND, key_BTND, value_BTND)
        else:
            mixed_BQND = F.scaled_dot_product_attention(
                query_BQND.transpose(1, 2),
                key_BTND.transpose(1, 2),
                value_BTND.transpose(1, 2),
                attn_mask=attention,
                dropout_p=self.dropout if self.training else 0.0,
            ).transpose(1, 2)
        return self.output_dropout(self.output(mixed_BQND.flatten(2))), value_BTND

    def _project(self, hidden_BTH: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, T, N, D), or (B, K, N, D) at positions; keys and values (B, T, N, D)."""
        if positions is None:
            query, key, value = self.query_key_value(hidden_BTH).unflatten(-1, (3, self.heads, -1)).unbind(2)
            return query, key, value
        for_query, for_others = self.query_key_value.weight.tensor_split([self.query_key_value.in_features])
        query = F.linear(gather(hidden_BTH, positions), for_query).unflatten(-1, (self.heads, -1))
        key, value = F.linear(hidden_BTH, for_others).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return query, key, value


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
        self.input = StackedLinear(hidden_size, intermediate_size, stacked=2)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, hidden_BTH: Tensor) -> Tensor:
        activated_BTF, gate_BTF = self.input(hidden_BTH).chunk(2, dim=-1)
        return self.output(self.dropout(F.gelu(activated_BTF) * gate_BTF))
