"""Encoders and heads: tokens -> hidden states -> predictions. Plain torch."""

from typing import TYPE_CHECKING

from maskwright.models.bigrams import BigramHead, WithNeighbours
from maskwright.models.cnn.model import CNN
from maskwright.models.complete import complete
from maskwright.models.encoder import BaseEncoder, Encoder
from maskwright.models.heads import (
    CountsTokens,
    DetectionHead,
    MaskedLMHead,
    SpanBoundaryHead,
)
from maskwright.models.hmm.model import HMM
from maskwright.models.lstm.model import LSTM
from maskwright.models.masked_lm_head import masked_lm_head, read_by
from maskwright.models.mlp.model import MLP
from maskwright.models.ngram.model import NGram
from maskwright.models.pretrained.load import Pretrained
from maskwright.models.shifted import Shifted
from maskwright.models.transformer.model import Transformer

__all__ = [
    "CNN",
    "HMM",
    "LSTM",
    "MLP",
    "BaseEncoder",
    "BigramHead",
    "CountsTokens",
    "DetectionHead",
    "Encoder",
    "MaskedLMHead",
    "NGram",
    "Pretrained",
    "Shifted",
    "SpanBoundaryHead",
    "Transformer",
    "WithNeighbours",
    "complete",
    "masked_lm_head",
    "read_by",
]

if TYPE_CHECKING:  # mypy checks each against the protocol
    _FULFIL: list[type[Encoder]] = [CNN, HMM, LSTM, MLP, NGram, Pretrained, Shifted, Transformer, WithNeighbours]
