"""Rows of an encoder and its head for tokens that are added to the vocabulary."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.models.encoder import Encoder


def vocabulary_weights(encoder: Encoder, heads: Sequence[nn.Module]) -> list[tuple[nn.Parameter, int]]:
    """Returns the weights that have a row for each token, each once, and the dimension that tokens are along.

    These are the embedding, and the decoders of heads that predict tokens, with their biases.

    Raises:
        UserError: the encoder has no such weights, or a head is of a kind that is not known.
    """
    embedding: nn.Module | None = getattr(encoder, "embedding", None)
    weight = getattr(embedding, "weight", None)
    decoders = [getattr(head, "decoder", None) for head in heads]
    if not isinstance(weight, nn.Parameter) or not all(isinstance(decoder, nn.Module) for decoder in decoders):
        raise UserError(
            f"tokenizer.extend: {type(encoder).__name__} has no embedding, or no decoder, to which rows can be "
            "added. Leave it at 0."
        )
    rows = len(weight)
    found = {id(weight): (weight, 0)}
    for own in chain.from_iterable(decoder.parameters() for decoder in decoders if decoder is not None):
        if rows in own.shape:
            found.setdefault(id(own), (own, own.shape.index(rows)))
    return [*found.values()]


@torch.no_grad()
def add_tokens(encoder: Encoder, heads: Sequence[nn.Module], first: int, pieces: Sequence[Sequence[int]]) -> None:
    """Gives each new token the mean of the rows of the tokens that stood for it before, in place.

    Weights that are tied stay tied. Rows that a vocabulary has beyond its tokens are used first.

    Args:
        heads: those that predict tokens.
        first: the id of the first new token.
        pieces: for each new token, the ids of these tokens.
    Raises:
        UserError: see `vocabulary_weights`.
    """
    weights = vocabulary_weights(encoder, heads)
    rows = len(encoder.embedding.weight)
    for weight, dimension in weights:
        weight.data = _grown(weight.data.movedim(dimension, 0), first, pieces).movedim(0, dimension).contiguous()
    grown = len(encoder.embedding.weight)
    outputs = [(head.decoder, "out_features") for head in heads]
    for module, name in ((encoder.embedding, "num_embeddings"), *outputs):
        if getattr(module, name, None) == rows:
            setattr(module, name, grown)
    encoder.vocabulary_grew()


def _grown(rows: Tensor, first: int, pieces: Sequence[Sequence[int]]) -> Tensor:
    new = torch.stack([rows[list(own)].mean(0) for own in pieces])
    return torch.cat([rows[:first], new, rows[first + len(pieces) :]])
