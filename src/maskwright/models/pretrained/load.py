"""Encoders of the Hugging Face hub, and of folders in its layout."""

import inspect
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.core.hub import first_line
from maskwright.core.types import PathText, Share
from maskwright.models.encoder import BaseEncoder
from maskwright.models.heads import MaskedLMHead
from maskwright.models.layers.attention_mask import AttentionMask, padding_only
from maskwright.models.layers.gather import gather
from maskwright.models.layers.shared_embedding import shared
from maskwright.models.pretrained.attention import shown_attention
from maskwright.models.pretrained.head import PretrainedHead, find_head
from maskwright.models.pretrained.layers import find_depths, find_layers
from maskwright.models.pretrained.lengths import max_length, padded_length
from maskwright.models.pretrained.opening import Width, open_config, open_model, set_width

ARCHITECTURE = "encoder"  # the folder of a run that holds the configuration of its encoder
_TRIAL = 8  # tokens of the row that a new model is tried with
_MOST_ADDED = 100  # tokens beside the embeddings of a model, or a tenth of them, if that is more


class Pretrained(BaseEncoder):
    """Any encoder that `transformers.AutoModel` opens, as an `Encoder`.

    Args:
        vocabulary_size: the size of the tokenizer. The embeddings are enlarged for tokens that were added to it.
        name: a name on the hub, a folder, or `pkg://package/folder`.
        dropout: the dropout of hidden states and attention; None keeps that of the model's configuration.
        reinitialize: whether to start from random weights of the same shapes, to measure the effect of pretraining.
        trust_remote_code: whether code that comes with the model is run.
        width: the share of the widths of the model's configuration that this one has, see `set_width`; below 1 only
            with `reinitialize`.
    Raises:
        UserError: there is no such model, it is no encoder, or it has another vocabulary.
        ValueError: its configuration does not say its widths.
    Attributes:
        model: the model of transformers, without a head.
        added_tokens: how many tokens of the tokenizer were beyond the embeddings of the model, and are new.
    """

    brings_tokenizer = True
    uses_all_parameters = False  # of models of the hub, some leave out a part

    def __init__(
        self,
        vocabulary_size: int,
        name: PathText,
        dropout: Share | None = None,
        reinitialize: bool = False,
        trust_remote_code: bool = False,
        width: Width = 1.0,
    ):
        super().__init__()
        if width < 1 and not reinitialize:
            raise ValueError(f"width={width} takes random weights; set reinitialize to true")
        opened = open_model(name, dropout, reinitialize, trust_remote_code, width)
        model = opened.model
        self.model = model.base_model if opened.has_head else model
        prefix = f"{model.base_model_prefix}." if opened.has_head else ""
        if lacking := sorted(key for key in opened.missing_keys if key.startswith(prefix)):
            raise UserError(f"model.name='{name}' has no weights for {', '.join(lacking[:5])}.")
        if getattr(self.model, "pooler", None) is not None:
            # it is not used, so its weights would get no gradient; some models call it whether there is one or not
            self.model.pooler = nn.Identity()
        self.added_tokens = _fit_vocabulary(model, vocabulary_size, name)
        self.max_length = max_length(self.model)
        self.token_types = _token_types(self.model)
        self._name = name
        self.hidden_size = self._try(opened.has_head)
        head = find_head(model) if opened.has_head and not opened.missing_keys else None
        model.train()  # as any other new module; transformers loads models in evaluation mode
        self._head = head  # a tuple, so that it is not registered here; the head built from it registers both
        unused = [
            key for key in model.state_dict() if not key.startswith(prefix) and key not in opened.missing_keys
        ]
        self.unexpected_keys = [*opened.unexpected_keys, *(unused if opened.has_head and head is None else [])]
        # a run is reopened as this class, whatever the configuration of the model says
        self.model.config.architectures = [type(model if head else self.model).__name__]

    @classmethod
    def check_settings(cls, name: Any = None, trust_remote_code: bool = False, **_: Any) -> None:
        """Checks that the model is an encoder of text, from its config.json.

        Raises:
            UserError: there is no such model, or it is none.
        """
        if isinstance(name, str):
            open_config(name, trust_remote_code)

    @classmethod
    def narrowed(cls, share: float, **settings: Any) -> dict[str, Any]:
        set_width(open_config(settings["name"], settings.get("trust_remote_code", False)), share)
        return {"width": share, "reinitialize": True}

    @property
    def embedding(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    def share_embedding(self, embedding: nn.Embedding) -> None:
        if not isinstance(self.embedding, nn.Embedding):  # I-BERT's returns a scale too
            raise ValueError(f"{type(self.model).__name__} has no plain token embedding that could be shared")
        self.model.set_input_embeddings(shared(embedding, self.embedding))

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """Token embeddings (B, T, E) of input_ids (B, T), before the model adds others to them or projects them."""
        return self.embedding(input_ids)

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of token embeddings (B, T, E), or (B, K, H) at positions (B, K)."""
        hidden = self._hidden(hidden_BTH, attention_mask, "inputs_embeds")
        return hidden if positions is None else gather(hidden, positions)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T), or (B, K, H) at positions (B, K).

        Args:
            token_types: (B, T); None is type 0 everywhere.
        """
        # not `embed` and `encode`: some models derive position ids from the token ids
        hidden = self._hidden(input_ids, attention_mask, "input_ids", token_types)
        return hidden if positions is None else gather(hidden, positions)

    def _hidden(
        self, inputs: Tensor, attention_mask: AttentionMask, kind: str, token_types: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, H) of inputs (B, T) or (B, T, E), whose keyword in transformers is `kind`."""
        seen = padding_only(attention_mask)
        length = inputs.shape[1]
        if lacking := padded_length(self.model.config, length, self.training) - length:
            if seen is None:
                seen = torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
            seen = F.pad(seen, (0, lacking))
            filler = 0 if inputs.ndim == 3 else getattr(self.model.config, "pad_token_id", None) or 0
            inputs = F.pad(inputs, (0, 0) * (inputs.ndim - 2) + (0, lacking), value=filler)
            token_types = None if token_types is None else F.pad(token_types, (0, lacking))
        if hasattr(self.model, "set_attention_type"):  # a short row turns BigBird's sparse attention off for good
            self.model.set_attention_type(self.model.config.attention_type)
        # whole numbers, as transformers documents it: not every model can calculate with bool
        types = {} if token_types is None else {"token_type_ids": token_types}
        found = self.model(**{kind: inputs}, attention_mask=None if seen is None else seen.long(), **types)
        return found.last_hidden_state[:, :length]

    @torch.no_grad()
    def _try(self, known: bool) -> int:
        """Returns the size of the hidden states, which the model computes from a row of tokens.

        Args:
            known: whether it is known to read in both directions.
        Raises:
            UserError: it computes none, or not from the tokens on both sides.
        """
        ids = torch.full((2, _TRIAL), min(10, len(self.embedding.weight) - 1))
        ids[1, 1:] -= 1  # other tokens after the first
        self.model.eval()
        hidden = self._read(ids, None, "does not compute hidden states of tokens alone")
        # those with a head for masked tokens are encoders; of the others, and of foreign code, this tells
        if not known and torch.equal(hidden[0, 0], hidden[1, 0]):
            raise UserError(
                f"model.name='{self._name}' reads from left to right: what it computes for a token does not depend "
                "on those after it. Choose an encoder."
            )
        return hidden.shape[-1]

    @torch.no_grad()
    def try_rows(self, input_ids: Tensor, attention_mask: Tensor) -> None:
        """Reads rows (B, T) of special and other tokens and of padding, as those of a corpus.

        Raises:
            UserError: the model fails at them.
        """
        with torch.random.fork_rng(devices=[]):  # some draw random numbers, which are not those of the run
            self.model.eval()
            self._read(input_ids, attention_mask, f"does not read rows of {input_ids.shape[1]} tokens")
            self.model.train()

    def _read(self, input_ids: Tensor, attention_mask: AttentionMask, fails: str) -> Tensor:
        """Returns hidden states (B, T, H) of input_ids (B, T).

        Raises:
            UserError: the model fails, which `fails` says, or they are of another number.
        """
        try:
            hidden = self(input_ids, attention_mask)
            fits = hidden.shape[:2] == input_ids.shape
        except Exception as error:  # of any kind: models of the hub are code of many authors
            said = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"model.name='{self._name}' {fails}: {said}") from error
        if not fits:
            raise UserError(f"model.name='{self._name}' does not return one hidden state for each token.")
        return hidden

    def layers_in_order(self) -> list[nn.Module]:
        return find_layers(self)

    def parameter_depths(self) -> dict[str, int]:
        return find_depths(self)

    def own_head(self) -> MaskedLMHead | None:
        return None if self._head is None else PretrainedHead(*self._head)

    def attention_weights(self, input_ids: Tensor) -> list[Tensor]:
        return shown_attention(self.model, input_ids)

    def vocabulary_grew(self) -> None:
        self.model.config.get_text_config().vocab_size = len(self.embedding.weight)

    def save_architecture(self, run_dir: Path) -> None:
        """Writes the model's configuration; see `saved_architecture`."""
        self.model.config.save_pretrained(run_dir / ARCHITECTURE)


def saved_architecture(settings: dict[str, Any], run: Path) -> dict[str, Any]:
    """Returns the settings of the model of a run, with the architecture from its directory in place of the hub."""
    folder = run / ARCHITECTURE
    if not folder.is_dir():
        return settings
    # the configuration there has its final widths
    return {**settings, "name": str(folder), "reinitialize": True} | ({"width": 1.0} if "width" in settings else {})


def _token_types(model: Any) -> int:
    """Returns how many types of tokens a model has embeddings of; 0 if it has one, which tells nothing."""
    number = getattr(model.config, "type_vocab_size", 0) or 0
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return number if takes and number > 1 else 0


def _fit_vocabulary(model: Any, vocabulary_size: int, name: str) -> int:
    """Enlarges the embeddings of a model for tokens that were added to its tokenizer.

    Returns:
        How many there are.
    Raises:
        UserError: there are so many that the tokenizer is another model's.
    """
    tokens = model.get_input_embeddings().weight.shape[0]
    added = max(vocabulary_size - tokens, 0)
    if added > max(_MOST_ADDED, tokens // 10):
        raise UserError(
            f"model.name='{name}' has {tokens:,} tokens, but the tokenizer has {vocabulary_size:,}. Use the "
            f"tokenizer of the model: tokenizer=pretrained tokenizer.name={name}"
        )
    if added:
        try:
            model.resize_token_embeddings(vocabulary_size, mean_resizing=False)
            for place in ("lm_head", "lm_predictions.lm_head"):  # biases beside a decoder stay as they are
                head = dict(model.named_modules()).get(place)
                bias = getattr(head, "bias", None)
                if isinstance(bias, nn.Parameter) and len(bias) == tokens:
                    head.bias = nn.Parameter(F.pad(bias.detach(), (0, added)))  # type: ignore[union-attr]
        except Exception as error:
            raise UserError(
                f"model.name='{name}' has {tokens:,} tokens, but its tokenizer {vocabulary_size:,}, and its "
                f"embeddings cannot be enlarged: {first_line(error)}"
            ) from error
    return added
