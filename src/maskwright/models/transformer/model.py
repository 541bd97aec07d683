"""A pre-norm transformer encoder with the mathematics of ModernBERT (Warner et al., 2024).

Rotary positions, gated GELU, no biases, a layer norm on the embeddings, full attention in every layer.

Shapes: B examples, T positions, H hidden size, N heads, D = H / N, F intermediate size, V vocabulary.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maskwright.core.types import Count, PositiveCount, PositiveRate, Rate, Share
from maskwright.models.attention_weights import RecordedAttention
from maskwright.models.encoder import BaseEncoder
from maskwright.models.layers.attention_mask import AttentionMask
from maskwright.models.layers.causal import Causal
from maskwright.models.layers.convolution import Convolution
from maskwright.models.transformer.late_masks import read_in_place, read_packed
from maskwright.models.transformer.layers import Attention, FeedForward, Layer


class Transformer(BaseEncoder):
    """Tokens -> hidden states.

    Args:
        vocabulary_size: V.
        layers, hidden_size, heads, intermediate_size: the shape; `heads` divides `hidden_size` into an even D.
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
        late_masks: the number of layers, the last ones, that read mask tokens; see `late_masks`. None, 0, or all
            layers: every layer reads them.
        mask_id: the id of the mask token, which `late_masks` needs.
        bigrams: the weight of what counts of neighbours say in the logits of masked tokens, see `BigramHead`; 0 has
            none, as ModernBERT. The encoder itself does not depend on it.
        initial_embeddings: whether `cooccurrence.start_from_counts` is to be called before the first step.
        token_types: how many types of tokens have an embedding of their own, such as the two texts of a pair; 0 has
            none, as ModernBERT.
        restart_positions: whether positions are counted anew where the type of the tokens changes, so that the
            distance of two tokens in two texts does not depend on how long the first text is; ModernBERT's are not.
    Raises:
        ValueError: `heads` does not divide `hidden_size` into heads of an even size, or there are fewer layers than
            `late_masks`.
    Attributes:
        late_masks: 0 where every layer reads mask tokens.
    """

    below_layers = ("embedding", "type_embedding", "embedding_norm", "convolution")
    keeps_documents_apart = True
    can_be_sharded = True
    can_be_causal = True

    def __init__(
        self,
        vocabulary_size: int,
        layers: PositiveCount,
        hidden_size: PositiveCount,
        heads: PositiveCount,
        intermediate_size: PositiveCount,
        dropout: Share = 0.0,
        rotary_base: PositiveRate = 10_000.0,
        norm_epsilon: PositiveRate = 1e-5,
        initial_std: PositiveRate = 0.02,
        convolution: Count = 0,
        query_key_norm: bool = False,
        value_residual: bool = False,
        token_types: Count = 0,
        restart_positions: bool = False,
        late_masks: Count | None = None,
        mask_id: int = -1,
        initial_embeddings: Literal["cooccurrence", "random"] = "random",
        bigrams: Rate = 0.0,
    ):
        self.check_settings(hidden_size=hidden_size, heads=heads, layers=layers, late_masks=late_masks)
        super().__init__()
        self.late_masks = 0 if late_masks == layers else late_masks or 0
        self.mask_id, self.initial_embeddings, self.bigrams = mask_id, initial_embeddings, bigrams
        self.hidden_size = hidden_size
        self.heads, self.head_size = heads, hidden_size // heads
        self.rotary_base, self.restart_positions = rotary_base, restart_positions
        self.token_types = max(token_types, 2 * restart_positions)  # from whose types positions are counted
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.type_embedding = nn.Embedding(token_types, hidden_size) if token_types else None
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

    @classmethod
    def check_settings(
        cls,
        *,
        hidden_size: int = 2,
        heads: int = 1,
        layers: int | None = None,
        late_masks: int | None = None,
        **_: Any,
    ) -> None:
        if layers is not None and (late_masks or 0) > layers:
            raise ValueError(
                f"late_masks={late_masks} layers are to read mask tokens, but there are only layers={layers}"
            )
        if hidden_size % heads or hidden_size // heads % 2:
            raise ValueError(
                f"heads={heads} do not divide hidden_size={hidden_size} into heads of an even size, which rotary "
                "positions need"
            )

    @classmethod
    def narrowed(cls, share: float, **settings: Any) -> dict[str, Any]:
        heads = max(round(settings["heads"] * share), 1)
        size = 2 * heads  # of heads of the smallest even size
        return {
            "heads": heads,
            "hidden_size": max(int(settings["hidden_size"] * share) // size, 1) * size,
            "intermediate_size": max(int(settings["intermediate_size"] * share), 1),
        }

    @torch.no_grad()
    def _initialise(self, std: float) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("attention.output.weight", "feed_forward.output.weight"))
                scale = std / math.sqrt(2 * len(self.layers)) if into_residual else std
                nn.init.trunc_normal_(parameter, std=scale, a=-3 * scale, b=3 * scale)

    def embed(
        self, input_ids: Tensor, attention_mask: AttentionMask = None, token_types: Tensor | None = None
    ) -> Tensor:
        """(B, T, H) of input_ids (B, T); the mask says which neighbours the convolution mixes in."""
        hidden_BTH = self.embedding(input_ids)
        if self.type_embedding is not None:
            types = torch.zeros_like(input_ids) if token_types is None else token_types
            hidden_BTH = hidden_BTH + self.type_embedding(types)
        hidden_BTH = self.embedding_dropout(self.embedding_norm(hidden_BTH))
        if self.convolution is None:
            return hidden_BTH
        return self.convolution(hidden_BTH, attention_mask, self._late(input_ids))

    def _late(self, input_ids: Tensor) -> Tensor | None:
        """Which positions (B, T) the lower layers do not read; None if they read all."""
        return input_ids == self.mask_id if self.late_masks else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T), or (B, K, H) at positions (B, K)."""
        hidden_BTH = self.embed(input_ids, attention_mask, token_types)
        return self._encode(hidden_BTH, attention_mask, positions, token_types, self._late(input_ids))

    def encode(
        self,
        hidden_BTH: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) of embeddings (B, T, H), all of which every layer reads: with `late_masks`, of
        rows without mask tokens.

        Args:
            positions: (B, K); if given, only the hidden states at these positions are returned, (B, K, H). For the
                others, the last layer computes nothing but keys and values.
            token_types: (B, T), read only with `restart_positions`; None counts positions over the whole row.
        """
        return self._encode(hidden_BTH, attention_mask, positions, token_types)

    def _encode(
        self,
        hidden_BTH: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
        late: Tensor | None = None,
        packed: bool = True,
    ) -> Tensor:
        """See `encode`.

        Args:
            late: (B, T) bool, the positions that only the last `late_masks` layers read; None if there are none.
            packed: whether the lower layers compute nothing at all for these, which needs to know their number.
        """
        if isinstance(attention_mask, Causal) and (late is not None or not attention_mask.is_plain):
            rows, length, _ = hidden_BTH.shape
            attention_mask = attention_mask.dense(rows, length, hidden_BTH.device).expand(rows, -1, -1)
        if isinstance(attention_mask, Tensor):  # broadcasts to (B, N, T, T)
            attention_mask = (
                attention_mask[:, None] if attention_mask.ndim == 3 else attention_mask[:, None, None, :]
            )
        rotary = self._rotary(hidden_BTH.shape[1], hidden_BTH.device)
        if self.restart_positions and token_types is not None:
            places = _places(token_types)
            rotary = rotary[0][places], rotary[1][places]  # (B, T, 1, D / 2)
        layers, first_value = list(self.layers), None
        if late is not None:
            assert not isinstance(attention_mask, Causal)  # but dense
            before, layers = layers[: -self.late_masks], layers[-self.late_masks :]
            packed = packed and not torch.compiler.is_exporting()  # a graph has no shapes that depend on the data
            read = read_packed if packed else read_in_place
            hidden_BTH, first_value = read(before, hidden_BTH, rotary, attention_mask, late)
        *lower, last = layers
        for layer in lower:
            hidden_BTH, value = layer(hidden_BTH, rotary, attention_mask, first_value)
            first_value = value if first_value is None else first_value
        hidden, _ = last(hidden_BTH, rotary, attention_mask, first_value, positions)
        return self.final_norm(hidden)

    def attention_weights(self, input_ids: Tensor) -> list[Tensor]:
        with RecordedAttention() as recorded:
            self._encode(self.embed(input_ids), late=self._late(input_ids), packed=False)
        return recorded.weights

    def _rotary(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines (T, 1, D / 2) of the angles by which queries and keys are turned."""
        head_size = self.hidden_size // self.heads
        half = torch.arange(0, head_size, 2, dtype=torch.float32, device=device) / head_size
        angles = torch.arange(length, dtype=torch.float32, device=device)[:, None, None] / self.rotary_base**half
        return angles.cos(), angles.sin()


def _places(token_types: Tensor) -> Tensor:
    """(B, T) the place of each position in its run of one type of tokens, from 0."""
    index = torch.arange(token_types.shape[1], device=token_types.device)
    opens = token_types != token_types.roll(1, 1)
    opens[:, 0] = True
    return index - (index * opens).cummax(1).values
