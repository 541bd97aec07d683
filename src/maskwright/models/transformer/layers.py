"""The layers of the transformer: rotary attention and a gated feed-forward network.

Shapes: B examples, T positions, K or Q of them, H hidden size, N heads, D = H / N, F intermediate size.

Attention masks are as `Transformer.encode` makes them: None, bool that broadcasts to (B, N, T, T), `Sequences`, or
a plain `Causal` of None or `Sequences`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.layers.attention_mask import AttentionMask
from maskwright.models.layers.causal import Causal
from maskwright.models.layers.gather import gather
from maskwright.models.layers.linear import StackedLinear
from maskwright.models.layers.rotary import rotary_at, turned
from maskwright.models.layers.varlen_attention import Sequences


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
        attention_mask: AttentionMask,
        first_value: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        mixed, value = self.attention(
            self.attention_norm(hidden_BTH), rotary, attention_mask, first_value, positions
        )
        hidden = (hidden_BTH if positions is None else gather(hidden_BTH, positions)) + mixed
        return hidden + self.feed_forward(self.feed_forward_norm(hidden)), value

    def value(self, hidden_BTH: Tensor) -> Tensor:
        """Returns the values (B, T, N, D) of a first layer, a linear map of each position by itself."""
        return self.attention.value(self.attention_norm(hidden_BTH))


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    def __init__(
        self, hidden_size: int, heads: int, dropout: float, query_key_norm: bool = False, mixes_values: bool = False
    ):
        super().__init__()
        self.heads, self.dropout, self.query_key_norm = heads, dropout, query_key_norm
        self.first_share = nn.Parameter(torch.full((1,), 0.5)) if mixes_values else None
        self.query_key_value = StackedLinear(hidden_size, hidden_size, stacked=3)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self.output_dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden_BTH: Tensor,
        rotary: tuple[Tensor, Tensor],
        attention_mask: AttentionMask,
        first_value: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, T, H), or (B, K, H) at positions (B, K), which see what they always see; and values (B, T, N, D).

        Args:
            rotary: see `Transformer._rotary`.
            first_value: values (B, T, N, D) of the first layer, for layers that mix them into their own.
        """
        if positions is not None and isinstance(attention_mask, Sequences | Causal):  # kernels for whole rows
            mixed_BTH, value_BTND = self(hidden_BTH, rotary, attention_mask, first_value)
            return gather(mixed_BTH, positions), value_BTND
        query_BQND, key_BTND, value_BTND = self._project(hidden_BTH, positions)
        if self.first_share is not None and first_value is not None:
            value_BTND = value_BTND.lerp(first_value, self.first_share.to(value_BTND.dtype))
        key_BTND, query_rotary = turned(key_BTND, rotary, self.query_key_norm), rotary
        if positions is not None:
            query_rotary = rotary_at(rotary, positions)
            if isinstance(attention_mask, Tensor) and attention_mask.shape[2] > 1:
                index = positions[:, None, :, None].expand(-1, -1, -1, attention_mask.shape[3])
                attention_mask = attention_mask.gather(2, index)
        query_BQND = turned(query_BQND, query_rotary, self.query_key_norm)
        causal = isinstance(attention_mask, Causal)
        if isinstance(attention_mask, Causal):
            attention_mask = attention_mask.within
        if isinstance(attention_mask, Sequences):
            mixed_BQND = attention_mask.attend(query_BQND, key_BTND, value_BTND, causal)
        else:
            mixed_BQND = F.scaled_dot_product_attention(
                query_BQND.transpose(1, 2),
                key_BTND.transpose(1, 2),
                value_BTND.transpose(1, 2),
                attn_mask=attention_mask,
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=causal,
            ).transpose(1, 2)
        return self.output_dropout(self.output(mixed_BQND.flatten(2))), value_BTND

    def value(self, hidden_BTH: Tensor) -> Tensor:
        """Values (B, T, N, D), before those of the first layer are mixed into them."""
        size = self.query_key_value.in_features
        return F.linear(hidden_BTH, self.query_key_value.weight[2 * size :]).unflatten(-1, (self.heads, -1))

    def _project(self, hidden_BTH: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, T, N, D), or (B, K, N, D) at positions; keys and values (B, T, N, D)."""
        if positions is None or not isinstance(self.query_key_value, StackedLinear):  # an adapter is around it
            query, key, value = self.query_key_value(hidden_BTH).unflatten(-1, (3, self.heads, -1)).unbind(2)
            if positions is not None:
                query = gather(query.flatten(2), positions).unflatten(-1, (self.heads, -1))
            return query, key, value
        for_query, for_others = self.query_key_value.weight.tensor_split([self.query_key_value.in_features])
        query = F.linear(gather(hidden_BTH, positions), for_query).unflatten(-1, (self.heads, -1))
        key, value = F.linear(hidden_BTH, for_others).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return query, key, value


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
