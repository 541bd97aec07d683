"""Encoders of the Hugging Face hub, and of folders in its layout."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.core.hub import go_offline_without_network
from maskwright.core.paths import on_disk
from maskwright.core.types import Share
from maskwright.models.encoder import BaseEncoder
from maskwright.models.heads import MaskedLMHead
from maskwright.models.layers.attention_mask import AttentionMask, padding_only
from maskwright.models.layers.gather import gather
from maskwright.models.pretrained.head import PretrainedHead, find_head
from maskwright.models.pretrained.layers import find_depths, find_layers

# the config keys of dropout
_DROPOUT = "hidden_dropout_prob attention_probs_dropout_prob dropout attention_dropout".split()
_DROPOUT += ["embedding_dropout", "mlp_dropout"]  # ModernBERT
_WITH_HEAD = ("ForMaskedLM", "ForPreTraining")  # suffixes of the class names of models with a head
ARCHITECTURE = "encoder"  # the folder of a run that holds the configuration of its encoder


class Pretrained(BaseEncoder):
    """Any encoder that `transformers.AutoModel` opens, as an `Encoder`.

    Args:
        vocabulary_size: the size of the tokenizer, which must be that of the model.
        name: a name on the hub, a folder, or `pkg://package/folder`.
        dropout: the dropout of hidden states and attention; None keeps that of the model's configuration.
        reinitialize: whether to start from random weights of the same shapes, to measure the effect of pretraining.
    Raises:
        UserError: there is no such model, or it has another vocabulary.
    Attributes:
        model: the model of transformers, without a head.
    """

    brings_tokenizer = True

    def __init__(self, vocabulary_size: int, name: str, dropout: Share | None = None, reinitialize: bool = False):
        super().__init__()
        opened = _open(name, dropout, reinitialize)
        model, config = opened.model, opened.model.config
        self.model = model.base_model if opened.has_head else model
        prefix = f"{model.base_model_prefix}." if opened.has_head else ""
        if lacking := sorted(key for key in opened.missing_keys if key.startswith(prefix)):
            raise UserError(f"model.name='{name}' has no weights for {', '.join(lacking[:5])}.")
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # it is not used, so its weights would get no gradient
        self.hidden_size = config.hidden_size
        if (tokens := self.embedding.num_embeddings) < vocabulary_size:
            raise UserError(
                f"model.name='{name}' has {tokens:,} tokens, but the tokenizer has {vocabulary_size:,}. Use the "
                f"tokenizer of the model: tokenizer=pretrained tokenizer.name={name}"
            )
        self.max_length = _max_length(self.model)
        head = find_head(model) if opened.has_head and not opened.missing_keys else None
        model.train()  # as any other new module; transformers loads models in evaluation mode
        self._head = head  # a tuple, so that it is not registered here; the head built from it registers both
        unused = [
            key for key in model.state_dict() if not key.startswith(prefix) and key not in opened.missing_keys
        ]
        self.unexpected_keys = [*opened.unexpected_keys, *(unused if opened.has_head and head is None else [])]
        # a run is reopened as this class, whatever the configuration of the model says
        self.model.config.architectures = [type(model if head else self.model).__name__]

    @property
    def embedding(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """Token embeddings (B, T, E) of input_ids (B, T), before the model adds others to them or projects them."""
        return self.embedding(input_ids)

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of token embeddings (B, T, E), or (B, K, H) at positions (B, K)."""
        found = self.model(inputs_embeds=hidden_BTH, attention_mask=padding_only(attention_mask))
        hidden = found.last_hidden_state
        return hidden if positions is None else gather(hidden, positions)

    def forward(
        self, input_ids: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T), or (B, K, H) at positions (B, K)."""
        # not `embed` and `encode`: some models derive position ids from the token ids
        hidden = self.model(input_ids, attention_mask=padding_only(attention_mask)).last_hidden_state
        return hidden if positions is None else gather(hidden, positions)

    def layers_in_order(self) -> list[nn.Module]:
        return find_layers(self)

    def parameter_depths(self) -> dict[str, int]:
        return find_depths(self)

    def own_head(self) -> MaskedLMHead | None:
        return None if self._head is None else PretrainedHead(*self._head)

    def save_architecture(self, run_dir: Path) -> None:
        """Writes the model's configuration; see `saved_architecture`."""
        self.model.config.save_pretrained(run_dir / ARCHITECTURE)


def saved_architecture(settings: dict[str, Any], run: Path) -> dict[str, Any]:
    """Returns the settings of the model of a run, with the architecture from its directory in place of the hub."""
    folder = run / ARCHITECTURE
    return settings | {"name": str(folder), "reinitialize": True} if folder.is_dir() else settings


@dataclass(frozen=True)
class _Opened:
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


def _open(name: str, dropout: float | None, reinitialize: bool) -> _Opened:
    """Opens a model of the hub or of a folder. See `Pretrained`.

    Raises:
        UserError: there is none, or it is damaged.
    """
    import transformers

    folder = Path(on_disk(name, "model.name")).expanduser()
    if not folder.is_dir():
        go_offline_without_network()
    where = str(folder) if folder.is_dir() else name
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        config = transformers.AutoConfig.from_pretrained(where)
        for key in _DROPOUT:
            if dropout is not None and hasattr(config, key):
                setattr(config, key, dropout)
        kinds = config.architectures or []
        known = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
        has_head = known and (not kinds or any(kind.endswith(_WITH_HEAD) for kind in kinds))
        kind = transformers.AutoModelForMaskedLM if has_head else transformers.AutoModel
        if reinitialize:
            return _Opened(kind.from_config(config, dtype=torch.float32), has_head, [], [])
        model, info = kind.from_pretrained(where, config=config, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError) as error:
        said = str(error).split("\n")[0]
        raise UserError(f"model.name='{name}' is no model of the hub, nor a folder with one: {said}") from error
    except (RuntimeError, SafetensorError) as error:
        raise UserError(
            f"model.name='{name}' has damaged weights, or some of other shapes than its config.json says: {error}"
        ) from error
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    return _Opened(model, has_head, missing, sorted(info["unexpected_keys"]))


def _max_length(model: Any) -> int | None:
    """Returns the most positions of a row; None if there is no limit."""
    positions = getattr(model.config, "max_position_embeddings", None)
    # RoBERTa and similar models number positions starting after the id of the padding token
    offset = getattr(getattr(model, "embeddings", None), "padding_idx", -1) + 1
    return positions and positions - offset
