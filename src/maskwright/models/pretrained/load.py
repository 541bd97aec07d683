"""Encoders of the Hugging Face hub, and of folders in its layout."""

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.core.hub import go_offline_without_network
from maskwright.core.paths import on_disk
from maskwright.models.heads import MaskedLMHead
from maskwright.models.transformer.model import gather

# where masked language models keep what stands before their decoder, one behind the other, and the decoder; `gelu`
# where an activation is none of their modules
_HEADS: list[tuple[list[str], str]] = [
    (["cls.predictions.transform"], "cls.predictions.decoder"),  # BERT and most others
    ([f"cls.predictions.{name}" for name in ("dense", "activation", "LayerNorm")], "cls.predictions.decoder"),
    (["lm_head.dense", "gelu", "lm_head.layer_norm"], "lm_head.decoder"),  # RoBERTa
    (["predictions.dense", "predictions.activation", "predictions.LayerNorm"], "predictions.decoder"),  # ALBERT
    (["vocab_transform", "activation", "vocab_layer_norm"], "vocab_projector"),  # DistilBERT
    (["generator_predictions"], "generator_lm_head"),  # ELECTRA
    (["head"], "decoder"),  # ModernBERT
]
# where models keep their dropout
_DROPOUT = "hidden_dropout_prob attention_probs_dropout_prob dropout attention_dropout".split()
_DROPOUT += ["embedding_dropout", "mlp_dropout"]  # ModernBERT
_WITH_HEAD = ("ForMaskedLM", "ForPreTraining")  # how the names of models with a head for masked tokens end
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
        masked_lm: the model's own transform and decoder for masked tokens; None where it has none that is known.
        left_out: the weights that come with the model and are not used.
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
            for key in _DROPOUT:
                if dropout is not None and hasattr(config, key):
                    setattr(config, key, dropout)
            kinds = config.architectures or []
            has_kind = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
            own_head = has_kind and (not kinds or any(kind.endswith(_WITH_HEAD) for kind in kinds))
            kind = transformers.AutoModelForMaskedLM if own_head else transformers.AutoModel
            told: dict[str, Any] = {"missing_keys": (), "unexpected_keys": ()}
            if reinitialize:
                model = kind.from_config(config, dtype=torch.float32)
            else:
                model, told = kind.from_pretrained(
                    where, config=config, dtype=torch.float32, output_loading_info=True
                )
        except (OSError, ValueError) as error:
            said = str(error).split("\n")[0]
            raise UserError(f"model.name='{name}' is no model of the hub, nor a folder with one: {said}") from error
        except (RuntimeError, SafetensorError) as error:
            raise UserError(
                f"model.name='{name}' has damaged weights, or some of other shapes than its config.json "
                f"says: {error}"
            ) from error
        self.model = model.base_model if own_head else model
        prefix = f"{model.base_model_prefix}." if own_head else ""
        missing = [key for key in told["missing_keys"] if "pooler" not in key]
        if lacking := sorted(key for key in missing if key.startswith(prefix)):
            raise UserError(f"model.name='{name}' has no weights for {', '.join(lacking[:5])}.")
        self.left_out = sorted(told["unexpected_keys"])
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
        head = _own_head(model) if own_head and not missing else None
        model.train()  # as every other module that is new; what is loaded comes ready to answer, without dropout
        # not a submodule: the head that is made of it holds it
        self.__dict__["masked_lm"] = head
        if own_head and head is None:
            self.left_out += [
                key for key in model.state_dict() if not key.startswith(prefix) and key not in missing
            ]
        # what `saved_architecture` goes by, whatever the names that the model came with
        self.model.config.architectures = [type(model if head else self.model).__name__]

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


def _own_head(model: Any) -> tuple[nn.Module, nn.Linear] | None:
    """The modules before the decoder of a masked language model, as one, and the decoder.

    None where they are none of `_HEADS`, have no bias, or do not answer what the model does.
    """
    modules = dict(model.named_modules())
    for transform, decoder in _HEADS:
        parts = [nn.GELU() if name == "gelu" else modules.get(name) for name in transform]
        if getattr(modules.get(decoder), "bias", None) is not None and None not in parts:
            head = nn.Sequential(*parts) if len(parts) > 1 else parts[0]  # type: ignore[arg-type]
            return (head, modules[decoder]) if _answers(model, head, modules[decoder]) else None  # type: ignore[arg-type, return-value]
    return None


class _Hidden(tuple):
    """What an encoder of transformers answers, which is hidden states and nothing else."""

    def __getattr__(self, name: str) -> Tensor | None:
        return self[0] if name == "last_hidden_state" else None


@torch.no_grad()
def _answers(model: Any, head: nn.Module, decoder: nn.Module) -> bool:
    """Whether a masked language model answers what these do of hidden states."""
    size = model.config.hidden_size
    hidden = torch.linspace(-1, 1, 4 * size).view(1, 4, size)
    model.eval()
    model.base_model.forward = lambda *_, **__: _Hidden([hidden])
    try:
        return torch.allclose(decoder(head(hidden)), model(torch.zeros(1, 4, dtype=torch.long)).logits, atol=1e-4)
    except RuntimeError:  # as that of MobileBERT, whose decoder takes more than what stands before it answers
        return False
    finally:
        del model.base_model.forward


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
