"""The lengths of rows that models of the Hugging Face hub can read."""

import math
from typing import Any

from torch import nn


def max_length(model: nn.Module) -> int | None:
    """Returns the most positions of a row; None if there is no limit."""
    config: Any = model.config
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    # RoBERTa and similar models number positions starting after the id of the padding token
    embedding = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    offset = getattr(embedding, "padding_idx", None)
    limits = [positions - (0 if offset is None else offset + 1)]
    if config.model_type == "reformer" and config.axial_pos_embds:
        limits.append(math.prod(config.axial_pos_shape))
    return min(limits)


def padded_length(config: Any, length: int, training: bool) -> int:
    """Returns the length that a row has to be padded to, for models that do not read every length.

    Args:
        length: the length of the row.
        training: whether the model is in training mode, where a Reformer takes fewer lengths.
    """
    if config.model_type == "reformer":
        if training and config.axial_pos_embds:
            return max(length, math.prod(config.axial_pos_shape))
        chunks = {"lsh": config.lsh_attn_chunk_length, "local": config.local_attn_chunk_length}
        multiple = math.lcm(*(chunks[layer] for layer in set(config.attn_layers)))
        return -(-length // multiple) * multiple
    return length
