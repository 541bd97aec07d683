"""Adds the members of the `Encoder` protocol that an encoder from elsewhere does not declare."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from maskwright.models.attention_weights import recorded_attention
from maskwright.models.encoder import Encoder
from maskwright.models.layers.shared_embedding import shared
from maskwright.models.pretrained.layers import find_depths, find_layers


def complete(encoder: nn.Module) -> Encoder:
    """Returns the encoder itself, after adding the members of the `Encoder` protocol that it lacks.

    It must have `forward(input_ids, attention_mask, positions)`, `hidden_size` and `embedding`. Its layers are
    found by their structure. Unless it declares otherwise, it is taken to keep documents apart, and to read rows of
    any length.
    """
    kind = type(encoder).__name__
    lacking: dict[str, Callable[[], Any]] = {
        "brings_tokenizer": lambda: False,
        "can_be_sharded": lambda: False,
        "learns_from_counts": lambda: False,
        "token_types": lambda: 0,
        "can_be_causal": lambda: False,
        # with their former names
        "max_length": lambda: getattr(encoder, "longest", None),
        "keeps_documents_apart": lambda: getattr(encoder, "separates_documents", True),
        "head_size": lambda: None,
        "unexpected_keys": lambda: (),
        "frozen_weights": lambda: (),
        "uses_all_parameters": lambda: False,
        "share_embedding": lambda: partial(_share_embedding, encoder),
        "embed": lambda: partial(_not_apart, kind),
        "encode": lambda: partial(_not_apart, kind),
        "layers_in_order": lambda: partial(find_layers, encoder),
        "parameter_depths": lambda: partial(find_depths, encoder),
        "own_head": lambda: _nothing,
        "attention_weights": lambda: partial(recorded_attention, encoder),
        "own_loss": lambda: _nothing,
        "vocabulary_grew": lambda: _nothing,
        "save_architecture": lambda: _nothing,
    }
    for name, make in lacking.items():
        if not hasattr(encoder, name):
            setattr(encoder, name, make())
    return cast(Encoder, encoder)


def _share_embedding(encoder: Any, embedding: nn.Embedding) -> None:
    encoder.embedding = shared(embedding, encoder.embedding)


def _not_apart(kind: str, *_: Any, **__: Any) -> Tensor:
    raise NotImplementedError(f"{kind} computes embeddings and hidden states in one; give it `embed` and `encode`")


def _nothing(*_: Tensor | Path | None) -> None:
    return None
