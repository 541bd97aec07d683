"""The base class of encoders that read another encoder in their own way."""

from pathlib import Path

from torch import Tensor, nn

from maskwright.models.encoder import BaseEncoder, Encoder
from maskwright.models.layers.attention_mask import AttentionMask


class Wrapped(BaseEncoder):
    """An encoder that shares the weights of another one. Subclasses define `embed`, `encode` and `forward`.

    Args:
        encoder: the other one.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.hidden_size, self.max_length = encoder.hidden_size, encoder.max_length
        self.keeps_documents_apart, self.head_size = encoder.keeps_documents_apart, encoder.head_size
        self.unexpected_keys, self.uses_all_parameters = encoder.unexpected_keys, encoder.uses_all_parameters
        self.late_masks = getattr(encoder, "late_masks", 0)

    def _states(
        self,
        input_ids: Tensor,
        attention_mask: AttentionMask,
        positions: Tensor | None,
        token_types: Tensor | None,
    ) -> Tensor:
        """Returns the hidden states of the other encoder, which need not know token types unless there are any."""
        types = {} if token_types is None else {"token_types": token_types}
        return self.encoder(input_ids, attention_mask, positions, **types)

    @property
    def embedding(self) -> nn.Embedding:
        return self.encoder.embedding

    def layers_in_order(self) -> list[nn.Module]:
        return self.encoder.layers_in_order()

    def parameter_depths(self) -> dict[str, int]:
        return {f"encoder.{name}": depth for name, depth in self.encoder.parameter_depths().items()}

    def own_head(self) -> nn.Module | None:
        return self.encoder.own_head()

    def attention_weights(self, input_ids: Tensor) -> list[Tensor]:
        return self.encoder.attention_weights(input_ids)

    def save_architecture(self, run_dir: Path) -> None:
        self.encoder.save_architecture(run_dir)
