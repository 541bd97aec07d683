"""Finds the heads for masked tokens that models of the Hugging Face hub were pretrained with."""

from typing import Any

import torch
from torch import Tensor, nn

from maskwright.models.heads import MaskedLMHead

# The names of the modules before the decoder, in order, and of the decoder, in masked language models; `gelu` is an
# activation that is no module.
_PLACES: list[tuple[list[str], str]] = [
    (["cls.predictions.transform"], "cls.predictions.decoder"),  # BERT and most others
    ([f"cls.predictions.{name}" for name in ("dense", "activation", "LayerNorm")], "cls.predictions.decoder"),
    (["lm_head.dense", "gelu", "lm_head.layer_norm"], "lm_head.decoder"),  # RoBERTa
    (["predictions.dense", "predictions.activation", "predictions.LayerNorm"], "predictions.decoder"),  # ALBERT
    (["vocab_transform", "activation", "vocab_layer_norm"], "vocab_projector"),  # DistilBERT
    (["generator_predictions"], "generator_lm_head"),  # ELECTRA
    (["head"], "decoder"),  # ModernBERT
]


class PretrainedHead(MaskedLMHead):
    """The head for masked tokens that a model of the hub was pretrained with.

    Args:
        transform: (…, H) -> (…, H).
        decoder: (…, H) -> (…, V), with a bias.
    """

    def __init__(self, transform: nn.Module, decoder: nn.Linear):
        nn.Module.__init__(self)
        self.transform, self.decoder = transform, decoder

    def _transform(self, hidden_BKH: Tensor) -> Tensor:
        return self.transform(hidden_BKH)


def find_head(model: Any) -> tuple[nn.Module, nn.Linear] | None:
    """Returns the modules of a masked language model before its decoder, as one module, and the decoder.

    None if they do not have known names, if the decoder has no bias, or if they do not compute what the model does.
    """
    modules = dict(model.named_modules())
    for before, place in _PLACES:
        parts = [nn.GELU() if name == "gelu" else modules.get(name) for name in before]
        decoder: Any = modules.get(place)
        if getattr(decoder, "bias", None) is not None and None not in parts:
            transform: Any = nn.Sequential(*parts) if len(parts) > 1 else parts[0]  # type: ignore[arg-type]
            return (transform, decoder) if _computes_the_same(model, transform, decoder) else None
    return None


class _Hidden(tuple):
    """The output of an encoder of transformers, with hidden states and nothing else."""

    def __getattr__(self, name: str) -> Tensor | None:
        return self[0] if name == "last_hidden_state" else None


@torch.no_grad()
def _computes_the_same(model: Any, transform: nn.Module, decoder: nn.Linear) -> bool:
    """Returns whether a masked language model computes the same logits from hidden states as these two modules."""
    size = model.config.hidden_size
    hidden = torch.linspace(-1, 1, 4 * size).view(1, 4, size)
    model.eval()
    model.base_model.forward = lambda *_, **__: _Hidden([hidden])
    try:
        expected = model(torch.zeros(1, 4, dtype=torch.long)).logits
        return torch.allclose(decoder(transform(hidden)), expected, atol=1e-4)
    except RuntimeError:  # as for MobileBERT, whose decoder takes more features than the transform returns
        return False
    finally:
        del model.base_model.forward
