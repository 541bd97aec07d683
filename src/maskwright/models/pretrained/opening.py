"""Opens models of the Hugging Face hub, and of folders in its layout, with `transformers`."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Gt, Le
from safetensors import SafetensorError

from maskwright.core.errors import UserError
from maskwright.core.hub import first_line, go_offline_without_network, missing_package
from maskwright.core.paths import on_disk
from maskwright.models.pretrained.usable import check_usable

CLASSIFIER = "ForSequenceClassification"  # the ending of the class names of text classifiers
_INNER = ("intermediate_size", "hidden_dim", "ffn_dim")  # what the size inside a feed-forward network is called
Width: TypeAlias = Annotated[float, Gt(0), Le(1)]
_HEADS = ("ForMaskedLM", "ForPreTraining", "WithLMHeadModel")  # endings of the class names of models with a head


@dataclass(frozen=True)
class Opened:
    """A model of transformers.

    Attributes:
        model: the model, including its head for masked tokens if it has one.
        has_head: whether it has such a head.
        missing_keys: weights of the model that are not in the file, without those of poolers.
        unexpected_keys: weights in the file that are not in the model.
    """

    model: Any
    has_head: bool
    missing_keys: list[str]
    unexpected_keys: list[str]


def open_config(name: str, trust_remote_code: bool) -> Any:
    """Returns the configuration of a model of the hub or of a folder.

    Raises:
        UserError: there is none, it needs code of its own, or it is no encoder of text.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        config = transformers.AutoConfig.from_pretrained(_place(name), trust_remote_code=trust_remote_code)
    except Exception as error:
        raise _no_model(name, error, trust_remote_code) from error
    check_usable(config, name)
    return config


def open_model(
    name: str, dropout: float | None, reinitialize: bool, trust_remote_code: bool, width: float = 1.0
) -> Opened:
    """Opens a model of the hub or of a folder. See `Pretrained`.

    Raises:
        UserError: there is none, or it is damaged.
    """
    import transformers

    config = open_config(name, trust_remote_code)
    if dropout is not None:
        set_dropout(config, dropout)
    if width < 1:
        set_width(config, width)
    kinds = config.architectures or []
    own_code = getattr(config, "auto_map", None) or {} if trust_remote_code else {}
    known = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING or "AutoModelForMaskedLM" in own_code
    has_head = known and (not kinds or any(kind.endswith(_HEADS) for kind in kinds))
    kind = transformers.AutoModelForMaskedLM if has_head else transformers.AutoModel
    model, info = _load(kind, name, config, trust_remote_code, reinitialize)
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    return Opened(model, has_head, missing, sorted(info["unexpected_keys"]))


def open_classifier(name: str) -> Any:
    """Opens a text classifier of the hub or of a folder. See `PretrainedClassifier`.

    Raises:
        UserError: there is none, or it is damaged.
    """
    import transformers

    kind = transformers.AutoModelForSequenceClassification
    model, info = _load(kind, name, open_config(name, trust_remote_code=False), trust_remote_code=False)
    if lacking := sorted(info["missing_keys"]):
        raise UserError(f"'{name}' has no weights for {', '.join(lacking[:5])}.")
    return model


def _load(
    kind: Any, name: str, config: Any, trust_remote_code: bool, reinitialize: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Returns a model with its weights, and which of them were missing or unexpected.

    Args:
        kind: a class such as `transformers.AutoModel`.
    Raises:
        UserError: there is none, or it is damaged.
    """
    given = {"dtype": torch.float32, "trust_remote_code": trust_remote_code}
    try:
        if reinitialize:
            return kind.from_config(config, **given), {"missing_keys": [], "unexpected_keys": []}
        return kind.from_pretrained(_place(name), config=config, output_loading_info=True, **given)
    except (RuntimeError, SafetensorError) as error:
        raise UserError(
            f"model.name='{name}' has damaged weights, or some of other shapes than its config.json says: {error}"
        ) from error
    except Exception as error:
        raise _no_model(name, error, trust_remote_code) from error


def set_dropout(config: Any, dropout: float) -> None:
    """Sets all dropouts in the configuration of a model, and in those inside it, whatever they are called."""
    for name in sorted(name for name in set(vars(config)) | set(config.attribute_map) if "dropout" in name):
        value = getattr(config, name, None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            setattr(config, name, dropout)
    for name in config.sub_configs:  # such as the configuration of a text encoder
        if (inside := getattr(config, name, None)) is not None:
            set_dropout(inside, dropout)


def set_width(config: Any, share: float) -> None:
    """Sets the heads of a configuration, its hidden size and its intermediate size to a share of what they are.

    Embeddings that have a size of their own keep it.

    Args:
        share: in (0, 1].
    Raises:
        ValueError: it does not say its heads and its hidden size by the names that most models have.
    """
    heads, hidden_size = (getattr(config, name, None) for name in ("num_attention_heads", "hidden_size"))
    inner = next((name for name in _INNER if isinstance(getattr(config, name, None), int)), None)
    if not isinstance(heads, int) or not isinstance(hidden_size, int) or inner is None:
        raise ValueError(
            f"{type(config).__name__} does not say its heads, hidden size and intermediate size by known names, so "
            "that no narrower model of its kind can be made"
        )
    config.num_attention_heads = max(round(heads * share), 1)
    size = 2 * config.num_attention_heads
    config.hidden_size = max(int(hidden_size * share) // size, 1) * size
    setattr(config, inner, max(int(getattr(config, inner) * share), 1))
    if isinstance(getattr(config, "num_key_value_heads", None), int):
        config.num_key_value_heads = config.num_attention_heads
    if isinstance(getattr(config, "head_dim", None), int):
        config.head_dim = config.hidden_size // config.num_attention_heads


def _place(name: str) -> str:
    """Returns the folder of a model, or its name on the hub."""
    folder = Path(on_disk(name, "model.name")).expanduser()
    if folder.is_dir():
        return str(folder)
    go_offline_without_network()
    return name


def _no_model(name: str, error: Exception, trust_remote_code: bool) -> UserError:
    """Returns the error for a model that transformers does not open."""
    if "trust_remote_code" in str(error) and not trust_remote_code:
        return UserError(
            f"model.name='{name}' comes with Python code of its own, which is run only if you allow it. Read that "
            "code, then set model.trust_remote_code=true."
        )
    if package := missing_package(error):
        return UserError(f"model.name='{name}' needs the package {package}: pip install {package}")
    return UserError(
        f"model.name='{name}' is no model of the hub, nor a folder with one, that transformers opens: "
        f"{first_line(error)}"
    )
