"""Finds the heads for masked tokens that models of the Hugging Face hub were pretrained with."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskwright.models.heads import MaskedLMHead


class _Place(NamedTuple):
    """Where a head is in a masked language model.

    Attributes:
        before: names of the modules before the decoder, in order; `gelu` is an activation that is no module.
        decoder: the name of the decoder, a linear map onto the vocabulary; empty if its weight is the embedding.
        bias: the name of its bias, where that is a parameter of its own.
    """

    before: tuple[str, ...]
    decoder: str
    bias: str = ""


def _inside(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(name if name == "gelu" else f"{prefix}.{name}" for name in names.split())


_PLACES = (
    _Place(("cls.predictions.transform",), "cls.predictions.decoder"),  # BERT and most others
    _Place(_inside("cls.predictions", "dense activation LayerNorm"), "cls.predictions.decoder"),  # RemBERT
    _Place(_inside("lm_head", "dense gelu layer_norm"), "lm_head.decoder", "lm_head.bias"),  # ESM
    _Place(_inside("lm_head", "dense gelu layer_norm"), "lm_head.decoder"),  # RoBERTa
    _Place(_inside("predictions", "dense activation LayerNorm"), "predictions.decoder"),  # ALBERT
    _Place(("vocab_transform", "activation", "vocab_layer_norm"), "vocab_projector"),  # DistilBERT
    _Place(("generator_predictions",), "generator_lm_head"),  # ELECTRA
    _Place(("head",), "decoder"),  # ModernBERT
    _Place(
        _inside("lm_predictions.lm_head", "dense transform_act_fn LayerNorm"), "", "lm_predictions.lm_head.bias"
    ),  # DeBERTa
    _Place(_inside("head", "linear1 act_fn linear2 act_fn"), "head.decoder"),  # UltraBERT
    _Place(("projection_head",), "lm_head"),  # ModernVBERT
    _Place(("unembedding_projection",), "lm_head"),  # NeoMME
    _Place((), "pred_layer.proj"),  # XLM, FlauBERT
    _Place((), "lm_head.decoder"),  # Reformer
    _Place((), "lm_head"),  # EuroBERT, Funnel
)


class PretrainedHead(MaskedLMHead):
    """The head for masked tokens that a model of the hub was pretrained with.

    Args:
        transform: (…, H) -> (…, E).
        decoder: (…, E) -> (…, V), with `weight` (V, E) and `bias` (V,), which may be None.
    """

    def __init__(self, transform: nn.Module, decoder: nn.Module):
        nn.Module.__init__(self)
        self.transform = transform
        self.decoder = decoder  # type: ignore[assignment]

    def _transform(self, hidden_BKH: Tensor) -> Tensor:
        return self.transform(hidden_BKH)


class _Transposed(nn.Module):
    """A linear map that is used in the other direction: (…, H) @ (H, E)."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.weight = linear.weight

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden @ self.weight


class _Widened(nn.Module):
    """MobileBERT's decoder: the embeddings, (V, E), beside a matrix for the rest of the states, (H - E, V)."""

    def __init__(self, decoder: nn.Linear, rest: nn.Linear):
        super().__init__()
        self.narrow, self.rest = decoder.weight, rest.weight
        self.bias = decoder.bias

    @property
    def weight(self) -> Tensor:
        return torch.cat([self.narrow, self.rest.t()], dim=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden, self.weight, self.bias)


def find_head(model: Any) -> tuple[nn.Module, nn.Module] | None:
    """Returns the modules of a masked language model before its decoder, as one module, and the decoder.

    None if they do not have known names, or if they do not compute what the model does.
    """
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters(remove_duplicate=False))
    for place in _PLACES:
        parts = [nn.GELU() if name == "gelu" else modules.get(name) for name in place.before]
        decoder = _decoder(model, place, modules, parameters)
        if decoder is None or None in parts:
            continue
        transform: Any = parts[0] if len(parts) == 1 else nn.Sequential(*parts)  # type: ignore[arg-type]
        for head in _variants(transform, decoder, modules):
            if _computes_the_same(model, *head):
                return head
    return None


def _decoder(
    model: Any, place: _Place, modules: dict[str, nn.Module], parameters: dict[str, nn.Parameter]
) -> nn.Linear | None:
    """Returns the decoder at a place, which shares its parameters with the model; None if there is none."""
    if place.bias and place.bias not in parameters:
        return None
    found: Any = modules.get(place.decoder) if place.decoder else model.get_input_embeddings()
    if (place.decoder and not isinstance(found, nn.Linear)) or getattr(found, "weight", None) is None:
        return None
    if not place.bias or getattr(found, "bias", None) is not None:
        return found
    own = nn.Linear(1, 1)  # its parameters are replaced
    own.weight, own.bias = found.weight, parameters[place.bias]
    own.out_features, own.in_features = own.weight.shape
    return own


def _variants(
    transform: nn.Module, decoder: nn.Linear, modules: dict[str, nn.Module]
) -> list[tuple[nn.Module, nn.Module]]:
    """Returns what the modules at a place may compute together: as they are, and in the ways of single models."""
    found: list[tuple[nn.Module, nn.Module]] = [(transform, decoder)]
    if isinstance(transform, nn.Linear):
        found.append((_Transposed(transform), decoder))
    if isinstance(rest := modules.get("cls.predictions.dense"), nn.Linear):
        found.append((transform, _Widened(decoder, rest)))
    return found


class _Hidden(tuple):
    """The output of an encoder of transformers, with hidden states and nothing else."""

    def __getattr__(self, name: str) -> Tensor | None:
        return self[0] if name == "last_hidden_state" else None


@torch.no_grad()
def _computes_the_same(model: Any, transform: nn.Module, decoder: nn.Module) -> bool:
    """Returns whether a masked language model computes the same logits from hidden states as these two modules."""
    size = _hidden_size(model)
    hidden = torch.linspace(-1, 1, 4 * size).view(1, 4, size)
    model.eval()
    model.base_model.forward = lambda *_, **__: _Hidden([hidden])
    try:
        expected = model(torch.zeros(1, 4, dtype=torch.long)).logits
        found = decoder(transform(hidden))
        return found.shape == expected.shape and torch.allclose(found, expected, atol=1e-4)
    except (RuntimeError, AttributeError, TypeError):  # modules of these names that compute something else
        return False
    finally:
        del model.base_model.forward


def _hidden_size(model: Any) -> int:
    """Returns the size of the hidden states of a model; a Reformer's are twice as wide as its config says."""
    return model.config.get_text_config().hidden_size * (2 if model.config.model_type == "reformer" else 1)
