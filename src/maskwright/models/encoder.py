"""The protocol of encoders, and the base class of those in this package.

Shapes: B examples, T positions, K of them, H hidden size, V vocabulary.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor, nn

from maskwright.models.attention_weights import recorded_attention
from maskwright.models.layers.attention_mask import AttentionMask
from maskwright.models.layers.shared_embedding import shared

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence


class Encoder(Protocol):
    """Tokens -> hidden states, in two steps: tokens -> embeddings -> hidden states.

    An encoder is also an `nn.Module`; those methods of a module that are called elsewhere are listed too.

    Attributes:
        brings_tokenizer: whether it has pretrained weights, which belong to a tokenizer of their own.
        hidden_size: H.
        max_length: the most positions of a row; None if there is no limit.
        keeps_documents_apart: whether it accepts an `attention_mask` (B, T, T).
        head_size: the size of its attention heads if it accepts `Sequences`; else None.
        unexpected_keys: the names of weights that were loaded but are not used.
        uses_all_parameters: whether each hidden state depends on all parameters, a pooler among them.
        can_be_sharded: whether its layers work with weights that are gathered while a layer computes (FSDP2).
        learns_from_counts: whether it has tables of probabilities, which optimizer=em learns, and no other weights.
        token_types: how many types of tokens it has embeddings of, such as one for each text of a pair; 0 if none.
            Only if there are any, it is called with `token_types` (B, T); see `types_of`.
        frozen_weights: the names of weights that never learn, because adapters do in their place.
        can_be_causal: whether it accepts a `Causal` mask, by which no hidden state depends on later tokens.
    """

    brings_tokenizer: ClassVar[bool]
    hidden_size: int
    max_length: int | None
    keeps_documents_apart: bool
    head_size: int | None
    unexpected_keys: "Sequence[str]"
    uses_all_parameters: bool
    can_be_sharded: ClassVar[bool]
    learns_from_counts: ClassVar[bool]
    token_types: int
    frozen_weights: "Collection[str]"
    can_be_causal: ClassVar[bool]

    @property
    def embedding(self) -> nn.Embedding:
        """The token embedding, with weight (V, H), which a head for masked tokens shares."""

    def share_embedding(self, embedding: nn.Embedding) -> None:
        """Replaces the token embedding by that of another encoder, mapped linearly where its size is another.

        Raises:
            ValueError: it has none that can be replaced.
        """

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """Embeddings (B, T, H) of input_ids (B, T), as the first layer takes them."""

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of embeddings (B, T, H), or (B, K, H) at positions (B, K)."""

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Calls `embed`, then `encode`, as `forward` does.

        Args:
            token_types: (B, T), given only to an encoder that has any; None is type 0 everywhere.
        """

    def layers_in_order(self) -> list[nn.Module]:
        """The layers, from the first to the last; an empty list if they are unknown."""

    def parameter_depths(self) -> dict[str, int]:
        """The depth of each parameter by its name: 0 below the first layer, n in the n-th layer or after it."""

    def own_head(self) -> nn.Module | None:
        """The head for masked tokens that belongs to the encoder, pretrained or not; None if there is none."""

    def own_loss(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor | None:
        """A scalar of tokens that are not masked, whose gradient the encoder and its head learn from; None for an
        encoder that learns to predict masked tokens."""

    def attention_weights(self, input_ids: Tensor) -> list[Tensor]:
        """The attention weights (B, N, T, T) of each layer for input_ids (B, T); empty if there are none."""

    def vocabulary_grew(self) -> None:
        """Is called after rows were added to the embedding."""

    def save_architecture(self, run_dir: Path) -> None:
        """Writes what is needed, besides a checkpoint and the settings, to build the encoder again."""

    def parameters(self, recurse: bool = True) -> "Iterator[nn.Parameter]": ...

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> "Iterator[tuple[str, nn.Parameter]]": ...

    def compile(self, *args: Any, **kwargs: Any) -> None: ...


def types_of(encoder: Encoder, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the token types of a batch as a keyword argument of an encoder; none if it has no types, or the batch
    holds single texts."""
    return {"token_types": batch["token_types"]} if encoder.token_types and "token_types" in batch else {}


class BaseEncoder(nn.Module):
    """The base class of encoders in this package, with defaults for the members of the `Encoder` protocol.

    A subclass sets `hidden_size`, `embedding` and `layers`, and defines `embed` and `encode`.

    Attributes:
        below_layers: the names of its modules and parameters below the first layer. Those that are neither here nor
            in `layers` come after the last layer.
    """

    brings_tokenizer: ClassVar[bool] = False
    can_be_sharded: ClassVar[bool] = False
    learns_from_counts: ClassVar[bool] = False
    can_be_causal: ClassVar[bool] = False
    below_layers: ClassVar[tuple[str, ...]] = ("embedding", "embedding_norm")
    keeps_documents_apart: bool = False
    max_length: int | None = None
    head_size: int | None = None
    unexpected_keys: "Sequence[str]" = ()
    uses_all_parameters: bool = True
    token_types: int = 0
    frozen_weights: "Collection[str]" = ()
    hidden_size: int
    layers: nn.ModuleList

    @classmethod
    def check_settings(cls, **settings: Any) -> None:
        """Checks that settings of its constructor fit together, without building it; any of them may be left out.

        Raises:
            ValueError: they do not; the message names them.
        """

    @classmethod
    def narrowed(cls, share: float, **settings: Any) -> dict[str, Any]:
        """Returns which settings change, and how, for an encoder of the same kind that is narrower.

        Args:
            share: of the widths, in (0, 1].
            settings: of the wider encoder.
        Raises:
            NotImplementedError: this kind has no narrower one.
        """
        raise NotImplementedError(f"{cls.__name__} has no narrower encoder of its kind")

    def share_embedding(self, embedding: nn.Embedding) -> None:
        self.add_module("embedding", shared(embedding, self.get_submodule("embedding")))

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        raise NotImplementedError

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T), or (B, K, H) at positions (B, K).

        `token_types` are not read: texts of a pair are told apart by the separator between them.
        """
        return self.encode(self.embed(input_ids, attention_mask), attention_mask, positions)

    def layers_in_order(self) -> list[nn.Module]:
        return list(self.layers)

    def parameter_depths(self) -> dict[str, int]:
        depths = {}
        for name, _ in self.named_parameters():
            part, *inside = name.split(".")
            if part == "layers":
                depths[name] = int(inside[0]) + 1
            else:
                depths[name] = 0 if part in self.below_layers else len(self.layers)
        return depths

    def own_head(self) -> nn.Module | None:
        return None

    def own_loss(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor | None:
        return None

    def attention_weights(self, input_ids: Tensor) -> list[Tensor]:
        return recorded_attention(self, input_ids)

    def vocabulary_grew(self) -> None:
        """Nothing depends on the number of tokens."""

    def save_architecture(self, run_dir: Path) -> None:
        """Writes nothing: settings and weights are sufficient."""
