"""Our parameter names and those of Hugging Face's `ModernBertForMaskedLM`, one for one."""

from typing import Any

from torch import Tensor

from maskwright.models.transformer.model import Transformer

_ENCODER = {
    "embedding.weight": "model.embeddings.tok_embeddings.weight",
    "embedding_norm.weight": "model.embeddings.norm.weight",
    "final_norm.weight": "model.final_norm.weight",
}
_LAYER = {
    "attention_norm.weight": "attn_norm.weight",
    "attention.query_key_value.weight": "attn.Wqkv.weight",
    "attention.output.weight": "attn.Wo.weight",
    "feed_forward_norm.weight": "mlp_norm.weight",
    "feed_forward.input.weight": "mlp.Wi.weight",
    "feed_forward.output.weight": "mlp.Wo.weight",
}
_HEAD = {
    "dense.weight": "head.dense.weight",
    "norm.weight": "head.norm.weight",
    "decoder.weight": "decoder.weight",
    "decoder.bias": "decoder.bias",
}


def modernbert_name(name: str) -> str:
    """The name that `ModernBertForMaskedLM` has for our parameter `encoder.…` or `head.…`.

    Raises:
        KeyError: the parameter has no counterpart there, see `check_modernbert`.
    """
    part, _, rest = name.partition(".")
    if part == "head":
        return _HEAD[rest]
    if rest.startswith("layers."):
        _, number, rest = rest.split(".", 2)
        return f"model.layers.{number}.{_LAYER[rest]}"
    return _ENCODER[rest]


def check_modernbert(encoder: Transformer) -> None:
    """Refuses an encoder that computes what no ModernBERT does.

    Raises:
        ValueError: names the settings that would have to be others.
    """
    attentions: list[Any] = [layer.attention for layer in encoder.layers]
    wrong = [
        setting
        for setting, leaves in (
            ("convolution=0", encoder.convolution is not None),
            ("query_key_norm=false", attentions[0].query_key_norm),
            ("value_residual=false", any(attention.first_share is not None for attention in attentions)),
        )
        if leaves
    ]
    if wrong:
        settings = " ".join(f"model.{setting}" for setting in wrong)
        raise ValueError(
            f"ModernBERT computes something else; only a model trained with {settings} can become one."
        )


def to_modernbert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of an encoder and a head (`encoder.…`, `head.…`) under ModernBERT's names."""
    return {modernbert_name(name): tensor for name, tensor in state.items()}


def modernbert_config(encoder: Transformer, heads: int, intermediate_size: int) -> dict[str, Any]:
    """The keyword arguments of `transformers.ModernBertConfig` under which it computes what `encoder` does.

    Raises:
        ValueError: there are none, see `check_modernbert`.
    """
    check_modernbert(encoder)
    vocabulary_size, hidden_size = encoder.embedding.weight.shape
    layers = len(encoder.layers)
    dropout = encoder.embedding_dropout.p
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate_size,
        "layer_types": ["full_attention"] * layers,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": encoder.rotary_base}},
        "norm_eps": encoder.final_norm.eps,
        "embedding_dropout": dropout,
        "attention_dropout": dropout,
        "mlp_dropout": dropout,
        "tie_word_embeddings": True,
    }
