"""A bidirectional LSTM."""

from maskwright.models.lstm.model import LSTM

__all__ = ["LSTM"]
