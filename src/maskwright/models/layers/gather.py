"""Hidden states of chosen positions."""

from torch import Tensor


def gather(hidden_BTH: Tensor, positions: Tensor) -> Tensor:
    """(B, K, H): the hidden states at positions (B, K)."""
    return hidden_BTH.gather(1, positions[..., None].expand(-1, -1, hidden_BTH.shape[-1]))
