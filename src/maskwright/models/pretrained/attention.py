"""The attention weights of models of the Hugging Face hub."""

from typing import Any

from torch import Tensor


def shown_attention(model: Any, input_ids: Tensor) -> list[Tensor]:
    """Returns the attention weights (B, N, T, T) of each layer for input_ids (B, T); none if it shows none.

    A fused attention returns no weights, so the model attends step by step meanwhile.
    """
    used = model.config._attn_implementation
    try:
        model.set_attn_implementation("eager")
        found = model(input_ids=input_ids, output_attentions=True)
        return [weights for weights in getattr(found, "attentions", None) or () if weights is not None]
    except (ValueError, TypeError, NotImplementedError):  # models without attention, or with one kind alone
        return []
    finally:
        model.set_attn_implementation(used)
