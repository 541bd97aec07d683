"""Rows of an encoder and its head for tokens that are added to the vocabulary."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.models.encoder import Encoder


def vocabulary_weights(encoder: Encoder, head: nn.Module | None) -> list[tuple[nn.Parameter, int]]:
    """Returns the weights that have a row for each token, each once, and the dimension that tokens are along.

    These are the embedding, and the decoder of a head for masked tokens, with its bias.

    Raises:
        UserError: the encoder has no such weights, or its head is of a kind that is not known.
    """
    embedding: nn.Module | None = getattr(encoder, "embedding", None)
    weight = getattr(embedding, "weight", None)
    decoder = getattr(head, "decoder", None)
    if not isinstance(weight, nn.Parameter) or (head is not None and not isinstance(decoder, nn.Module)):
        raise UserError(
            f"tokenizer.extend: {type(encoder).__name__} has no embedding, or no decoder, to which rows can be "
            "added. Leave it at 0."
        )
    rows = len(weight)
    found = {id(weight): (weight, 0)}
    for own in () if decoder is None else decoder.parameters():
        if rows in own.shape:
            found.setdefault(id(own), (own, own.shape.index(rows)))
    return [*found.values()]


@torch.no_grad()
def add_tokens(encoder: Encoder, head: nn.Module | None, first: int, pieces: Sequence[Sequence[int]]) -> None:
    """Gives each new token the mean of the rows of the tokens that stood for it before, in place.

    Weights that are tied stay tied. Rows that a vocabulary has beyond its tokens are used first.

    Args:
        first: the id of the first new token.
        pieces: for each new token, the ids of these tokens.
    Raises:
        UserError: see `vocabulary_weights`.
    """
    weights = vocabulary_weights(encoder, head)
    rows = len(encoder.embedding.weight)
    for weight, dimension in weights:
        weight.data = _grown(weight.data.movedim(dimension, 0), first, pieces).movedim(0, dimension).contiguous()
    grown = len(encoder.embedding.weight)
    decoder = getattr(head, "decoder", None)
    for module, name in ((encoder.embedding, "num_embeddings"), (decoder, "out_features")):
        if getattr(module, name, None) == rows:
            setattr(module, name, grown)
    encoder.vocabulary_grew()


def _grown(rows: Tensor, first: int, pieces: Sequence[Sequence[int]]) -> Tensor:
    new = torch.stack([rows[list(own)].mean(0) for own in pieces])
    return torch.cat([rows[:first], new, rows[first + len(pieces) :]])
