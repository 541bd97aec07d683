"""Folders of transformers that hold a model of this package: its exports, and ModernBERTs with full attention."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from maskwright.core.paths import on_disk
from maskwright.models.transformer.hf import from_hf
from maskwright.settings.component import Component

_WEIGHTS = "model.safetensors"
_CLASSES = {"transformer": "Transformer", "lstm": "LSTM", "cnn": "CNN", "mlp": "MLP"}
_GIVEN = ("vocabulary_size", "mask_id")  # arguments of encoders that the tokenizer determines
# what a ModernBERT must have for the transformer to compute the same
_SAME = {
    "attention_bias": False,
    "mlp_bias": False,
    "norm_bias": False,
    "classifier_bias": False,
    "decoder_bias": True,
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
    "tie_word_embeddings": True,
}


def imported_model(place: str) -> Component | None:
    """Returns the model that a folder holds, with its settings; None if it is none of this package.

    Args:
        place: a folder, a name on the hub, or `pkg://package/folder`.
    """
    folder = Path(on_disk(place, "model.name"))
    if not (folder / _WEIGHTS).is_file() or not (folder / "config.json").is_file():
        return None
    try:
        config = json.loads((folder / "config.json").read_text())
    except ValueError:
        return None
    kind = config.get("model_type")
    if kind == "maskwright" and config.get("encoder_kind") in _CLASSES:
        settings = {name: value for name, value in config["encoder"].items() if name not in _GIVEN}
        return Component(f"maskwright.models.{_CLASSES[config['encoder_kind']]}", settings)
    if kind == "modernbert" and config.get("architectures") == ["ModernBertForMaskedLM"]:
        return _transformer(config)
    return None


def _transformer(config: dict[str, Any]) -> Component | None:
    """Returns the transformer that computes what a ModernBERT does; None if there is none."""
    rope = (config.get("rope_parameters") or {}).get("full_attention") or {}
    base = rope.get("rope_theta") or config.get("global_rope_theta")
    layers = config["num_hidden_layers"]
    full = {*config.get("layer_types", ())} == {"full_attention"} or config.get("global_attn_every_n_layers") == 1
    dropouts = {config.get(f"{part}_dropout", 0.0) for part in ("embedding", "attention", "mlp")}
    same = all(config.get(name, value) == value for name, value in _SAME.items())
    if not (full and same and base) or rope.get("rope_type", "default") != "default" or len(dropouts) > 1:
        return None
    settings = {
        "layers": layers,
        "hidden_size": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "intermediate_size": config["intermediate_size"],
        "dropout": dropouts.pop(),
        "rotary_base": base,
        "norm_epsilon": config.get("norm_eps", 1e-5),
        "convolution": 0,
        "query_key_norm": False,
        "value_residual": False,
        "late_masks": 0,
        "initial_embeddings": "random",
        "bigrams": 0.0,
    }
    return Component("maskwright.models.Transformer", settings)


def imported_weights(place: str) -> dict[str, Tensor]:
    """Returns the weights of a folder that `imported_model` knows: of `encoder.` and, if it has one, `head.`."""
    from safetensors.torch import load_file

    folder = Path(on_disk(place, "model.name"))
    state = load_file(folder / _WEIGHTS)
    if json.loads((folder / "config.json").read_text())["model_type"] == "modernbert":
        state = from_hf(state)
    return {name: weight for name, weight in state.items() if name.startswith(("encoder.", "head."))}
