"""The transformer as Hugging Face's `ModernBertForMaskedLM`: names of weights, one for one, and settings."""

from typing import Any

from torch import Tensor

from maskwright.models.transformer.model import Transformer

_NAMES = {  # ours -> theirs; the weights of layers, see `_LAYER`
    "encoder.embedding.weight": "model.embeddings.tok_embeddings.weight",
    "encoder.embedding_norm.weight": "model.embeddings.norm.weight",
    "encoder.final_norm.weight": "model.final_norm.weight",
    "head.dense.weight": "head.dense.weight",
    "head.norm.weight": "head.norm.weight",
    "head.decoder.weight": "decoder.weight",
    "head.decoder.bias": "decoder.bias",
}
_LAYER = {  # encoder.layers.<number>.… -> model.layers.<number>.…
    "attention_norm.weight": "attn_norm.weight",
    "attention.query_key_value.weight": "attn.Wqkv.weight",
    "attention.output.weight": "attn.Wo.weight",
    "feed_forward_norm.weight": "mlp_norm.weight",
    "feed_forward.input.weight": "mlp.Wi.weight",
    "feed_forward.output.weight": "mlp.Wo.weight",
}
_OURS, _THEIRS = "encoder.layers", "model.layers"


def to_hf(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `Transformer` and a `MaskedLMHead` (`encoder.…`, `head.…`) under ModernBERT's names.

    Raises:
        KeyError: a weight has no counterpart there; see `check_hf`.
    """
    return {_renamed(name, _NAMES, _LAYER, _OURS, _THEIRS): tensor for name, tensor in state.items()}


def from_hf(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `ModernBertForMaskedLM` under the names that they have here (`encoder.…`, `head.…`).

    Raises:
        KeyError: a weight has no counterpart here.
    """
    names, layer = ({theirs: ours for ours, theirs in table.items()} for table in (_NAMES, _LAYER))
    return {_renamed(name, names, layer, _THEIRS, _OURS): tensor for name, tensor in state.items()}


def hf_config(encoder: Transformer) -> dict[str, Any]:
    """The keyword arguments of `transformers.ModernBertConfig` under which it computes what `encoder` does.

    Raises:
        ValueError: there are none; see `check_hf`.
    """
    check_hf(encoder)
    vocabulary_size, hidden_size = encoder.embedding.weight.shape
    layers = len(encoder.layers)
    first: Any = encoder.layers[0]
    dropout = encoder.embedding_dropout.p
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": first.attention.heads,
        "intermediate_size": first.feed_forward.output.in_features,
        "layer_types": ["full_attention"] * layers,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": encoder.rotary_base}},
        "norm_eps": encoder.final_norm.eps,
        "embedding_dropout": dropout,
        "attention_dropout": dropout,
        "mlp_dropout": dropout,
        "tie_word_embeddings": True,
    }


def check_hf(encoder: Transformer) -> None:
    """Checks that an encoder computes what a ModernBERT can compute.

    Raises:
        ValueError: it does not; the message names the settings that would have to change.
    """
    attentions: list[Any] = [layer.attention for layer in encoder.layers]
    additions = {
        "convolution=0": encoder.convolution is not None,
        "query_key_norm=false": attentions[0].query_key_norm,
        "value_residual=false": any(attention.first_share is not None for attention in attentions),
        "late_masks=0": bool(encoder.late_masks),
    }
    if any(additions.values()):
        settings = " ".join(f"model.{setting}" for setting, added in additions.items() if added)
        raise ValueError(
            f"ModernBERT cannot compute the same; only a model trained with {settings} can be converted."
        )


def _renamed(name: str, names: dict[str, str], layer: dict[str, str], before: str, after: str) -> str:
    """A name, looked up in a table of whole names, or, below `before`, in one of names inside layers."""
    if not name.startswith(f"{before}."):
        return names[name]
    number, _, rest = name.removeprefix(f"{before}.").partition(".")
    return f"{after}.{number}.{layer[rest]}"
