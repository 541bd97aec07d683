"""Encoders of the Hugging Face hub, and of folders in its layout."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.errors import UserError
from maskwright.models.heads import MaskedLMHead
from maskwright.models.transformer import gather
from maskwright.network import go_offline_without_network
from maskwright.places import on_disk

# where a masked language model of each type keeps what stands before its decoder, one behind the other, and the
# decoder; `gelu` where an activation is none of its modules
_BERT = (["cls.predictions.transform"], "cls.predictions.decoder")
_ROBERTA = (["lm_head.dense", "gelu", "lm_head.layer_norm"], "lm_head.decoder")
_HEADS: dict[str, tuple[list[str], str]] = {
    "albert": (["predictions.dense", "predictions.activation", "predictions.LayerNorm"], "predictions.decoder"),
    "bert": _BERT,
    "camembert": _ROBERTA,
    "deberta": _BERT,
    "deberta-v2": _BERT,
    "distilbert": (["vocab_transform", "activation", "vocab_layer_norm"], "vocab_projector"),
    "electra": (["generator_predictions"], "generator_lm_head"),
    "modernbert": (["head"], "decoder"),
    "mpnet": _ROBERTA,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


ARCHITECTURE = "encoder"  # the folder of a run that holds the configuration of its encoder


class Pretrained(nn.Module):
    """Any encoder that `transformers.AutoModel` opens, as an encoder of ours.

    Args:
        vocabulary_size: of the tokenizer, which must be the model's own.
        name: on the hub, or a folder, or `pkg://package/folder`.
        dropout: of hidden states and attention; None leaves what the model's own configuration says.
        reinitialize: start from random weights of the same shape, to see what pretraining is worth.
    Raises:
        UserError: there is no such model, or it has another vocabulary.
    Attributes:
        longest: most positions of a row; None where any number goes.
        masked_lm: the model's own transform and decoder for masked tokens; None where it has none.
    """

    separates_documents = False  # of one row

    def __init__(self, vocabulary_size: int, name: str, dropout: float | None = None, reinitialize: bool = False):
        super().__init__()
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
            for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
                if dropout is not None and hasattr(config, key):
                    setattr(config, key, dropout)
            own_head = any(kind.endswith("ForMaskedLM") for kind in config.architectures or [])
            kind = transformers.AutoModelForMaskedLM if own_head else transformers.AutoModel
            if reinitialize:
                model = kind.from_config(config, dtype=torch.float32)
            else:
                model, told = kind.from_pretrained(
                    where, config=config, dtype=torch.float32, output_loading_info=True
                )
                if missing := [key for key in told["missing_keys"] if "pooler" not in key]:
                    raise UserError(f"model.name='{name}' has no weights for {', '.join(sorted(missing)[:5])}.")
        except (OSError, ValueError) as error:
            said = str(error).split("\n")[0]
            raise UserError(f"model.name='{name}' is no model of the hub, nor a folder with one: {said}") from error
        model.train()  # as every other module that is new; what is loaded comes ready to answer, without dropout
        self.model = model.base_model if own_head else model
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # of another task; its weights would get no gradient
        self.hidden_size = config.hidden_size
        embedding = self.model.get_input_embeddings()
        if embedding.num_embeddings < vocabulary_size:
            raise UserError(
                f"model.name='{name}' has {embedding.num_embeddings:,} tokens, and the tokenizer, which is "
                f"another's, {vocabulary_size:,}. Use the model's own: tokenizer=pretrained tokenizer.name={name}"
            )
        # RoBERTa and its kin number positions from behind their padding token on
        offset = getattr(getattr(self.model, "embeddings", None), "padding_idx", -1) + 1
        longest = getattr(config, "max_position_embeddings", None)
        self.longest = longest and longest - offset
        # not a submodule: the head that is made of it holds it
        self.__dict__["masked_lm"] = _own_head(model, config.model_type) if own_head else None

    @property
    def embedding(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention: Any = None, positions: Tensor | None = None) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T), or (B, K, H) at positions (B, K).

        Args:
            attention: None, or (B, T) bool, False at padding.
        """
        hidden = self.model(input_ids, attention_mask=attention).last_hidden_state
        return hidden if positions is None else gather(hidden, positions)

    def save_architecture(self, run: Path) -> None:
        """Writes what a checkpoint of a run needs beside it; see `saved_architecture`."""
        self.model.config.save_pretrained(run / ARCHITECTURE)


def saved_architecture(settings: dict[str, Any], run: Path) -> dict[str, Any]:
    """The settings of the model of a run whose weights its checkpoints hold: nothing is read from the hub again."""
    folder = run / ARCHITECTURE
    return settings | {"name": str(folder), "reinitialize": True} if folder.is_dir() else settings


def _own_head(model: nn.Module, kind: str) -> tuple[nn.Module, nn.Linear] | None:
    """The modules before the decoder of a masked language model, as one, and the decoder."""
    transform, decoder = _HEADS.get(kind, ([], ""))
    try:
        parts = [nn.GELU() if name == "gelu" else model.get_submodule(name) for name in transform]
        return (nn.Sequential(*parts) if len(parts) > 1 else parts[0], model.get_submodule(decoder))  # type: ignore[return-value]
    except (AttributeError, IndexError):
        return None


class PretrainedHead(MaskedLMHead):
    """The head for masked tokens that a model of the hub brings along.

    Args:
        transform: (…, H) -> (…, H).
        decoder: (…, H) -> (…, V), with a bias.
    """

    def __init__(self, transform: nn.Module, decoder: nn.Linear):
        nn.Module.__init__(self)
        self.transform, self.decoder = transform, decoder

    def _transform(self, hidden_BKH: Tensor) -> Tensor:
        return self.transform(hidden_BKH)


def masked_lm_head(encoder: Any, **settings: Any) -> MaskedLMHead:
    """The encoder's own head for masked tokens where it has one, else a new one over its embeddings."""
    own = getattr(encoder, "masked_lm", None)
    return MaskedLMHead(encoder.embedding, **settings) if own is None else PretrainedHead(*own)
