"""Models of this package as those of transformers. Exports hold a copy of this file and of those that it imports.

Shapes: B rows, T positions, K words, H hidden size, C outputs, V vocabulary.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel, TokenClassificationPipeline
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput, TokenClassifierOutput

from maskwright.core.case import Case
from maskwright.models.bigrams import BigramHead, WithNeighbours
from maskwright.models.cnn.model import CNN
from maskwright.models.heads import MaskedLMHead
from maskwright.models.layers.case import CaseFeatures
from maskwright.models.layers.crf import LinearChainCRF
from maskwright.models.layers.gather import gather
from maskwright.models.layers.linear import ReadoutLinear
from maskwright.models.layers.pooling import Pool
from maskwright.models.lstm.model import LSTM
from maskwright.models.mlp.model import MLP
from maskwright.models.transformer.model import Transformer

# the words of a text, as `corpora.inputs` finds them
_WORD = re.compile(r"\w+(?:[-'’]\w+|(?<=\d)[.,](?=\d)\w+)*|[^\w\s]")
_ENCODERS: dict[str, Any] = {"transformer": Transformer, "lstm": LSTM, "cnn": CNN, "mlp": MLP}


class MaskwrightConfig(PretrainedConfig):
    """The settings of an encoder and a head.

    Args:
        encoder_kind: transformer, lstm, cnn, mlp, or hub for an encoder of transformers.
        encoder: the arguments of its class, or the configuration of the encoder of transformers.
        hidden_size: H.
        vocab_size: V.
        max_length_of_rows: the most positions of a row; None if there is no limit.
        norm_epsilon: of the norm of a head for masked tokens.
        bigrams: `scale` and `entries` of a `BigramHead`; None for a plain head.
        pooling, scale: of a head for texts; outputs are multiplied by the first of `scale`, and the second added.
        crf, case: of a head for words.
        token_types: whether the encoder reads which text of a pair a token is of.
    """

    model_type = "maskwright"

    def __init__(
        self,
        encoder_kind: str = "transformer",
        encoder: dict[str, Any] | None = None,
        hidden_size: int = 0,
        vocab_size: int = 0,
        max_length_of_rows: int | None = None,
        norm_epsilon: float = 1e-5,
        bigrams: dict[str, Any] | None = None,
        pooling: Any = "mean",
        scale: tuple[float, float] = (1.0, 0.0),
        crf: bool = False,
        case: bool = False,
        token_types: bool = False,
        tie_word_embeddings: bool = True,
        **others: Any,
    ):
        self.encoder_kind, self.encoder = encoder_kind, encoder or {}
        self.hidden_size, self.vocab_size = hidden_size, vocab_size
        self.max_length_of_rows, self.norm_epsilon = max_length_of_rows, norm_epsilon
        self.bigrams = bigrams
        self.pooling, self.scale, self.crf, self.case = pooling, scale, crf, case
        self.token_types = token_types
        super().__init__(**others)
        self.tie_word_embeddings = tie_word_embeddings


class HubEncoder(nn.Module):
    """An encoder of transformers, without its pooler."""

    def __init__(self, settings: dict[str, Any]):
        super().__init__()
        self.model = AutoModel.from_config(AutoConfig.for_model(**settings))
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = nn.Identity()

    @property
    def embedding(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_types: Tensor | None = None
    ) -> Tensor:
        seen = None if attention_mask is None else attention_mask.long()
        types = {} if token_types is None else {"token_type_ids": token_types}
        return self.model(input_ids=input_ids, attention_mask=seen, **types).last_hidden_state


class MaskwrightPreTrainedModel(PreTrainedModel):
    """An encoder; subclasses add a head."""

    config_class = MaskwrightConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    output_class: Any  # of transformers

    def __init__(self, config: Any):
        super().__init__(config)
        if config.encoder_kind == "hub":
            self.encoder: Any = HubEncoder(config.encoder)
        else:
            self.encoder = _ENCODERS[config.encoder_kind](**config.encoder)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.encoder.embedding

    def hidden(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Returns hidden states (B, T, H), and which positions are seen, bool (B, T)."""
        seen = None if attention_mask is None else attention_mask.bool()
        types = {"token_types": token_type_ids} if self.config.token_types and token_type_ids is not None else {}
        return self.encoder(input_ids, seen, **types), seen

    def answer(self, logits: Tensor, labels: Tensor | None, return_dict: bool | None) -> Any:
        """Returns logits, and their mean loss where there are labels, in the form that is asked for."""
        loss = None if labels is None else self.mean_loss(logits, labels)
        output = self.output_class(loss=loss, logits=logits)
        return output.to_tuple() if return_dict is False else output

    def mean_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of logits (…, C) and labels (…), -100 where there is none."""
        return nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())


class MaskwrightForMaskedLM(MaskwrightPreTrainedModel):
    """Predicts masked tokens."""

    output_class = MaskedLMOutput

    def __init__(self, config: Any):
        super().__init__(config)
        embedding = self.encoder.embedding
        settings = {"norm_epsilon": config.norm_epsilon, "hidden_size": config.hidden_size}
        if config.bigrams is None:
            self.head = MaskedLMHead(embedding, **settings)
        else:
            self.head = BigramHead(embedding, **settings, **config.bigrams)
        own = next(name for name, weight in self.named_parameters() if weight is embedding.weight)
        self._tied_weights_keys = {"head.decoder.weight": own}
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.head.decoder

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """Returns logits (B, T, V), and the mean loss of `labels` (B, T), -100 where there is none."""
        read = self.encoder if self.config.bigrams is None else WithNeighbours(self.encoder)
        seen = None if attention_mask is None else attention_mask.bool()
        return self.answer(self.head(read(input_ids, seen)), labels, return_dict)


class MaskwrightForSequenceClassification(MaskwrightPreTrainedModel):
    """Predicts a class of a text, or of a pair, its labels, or a value."""

    output_class = SequenceClassifierOutput

    def __init__(self, config: Any):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.pool = Pool(config.hidden_size, config.pooling)
        self.output = ReadoutLinear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """Returns logits (B, C), or values (B, 1), and the mean loss of `labels` (B,), or (B, C) of several."""
        hidden, seen = self.hidden(input_ids, attention_mask, token_type_ids)
        factor, added = self.config.scale
        return self.answer(self.output(self.pool(hidden, seen)) * factor + added, labels, return_dict)

    def mean_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The squared error of a value, the binary cross-entropy of several labels, else as of other heads."""
        if self.config.problem_type == "multi_label_classification":
            return nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
        if self.num_labels == 1:
            return nn.functional.mse_loss(logits[:, 0], labels.float().view(-1))
        return super().mean_loss(logits, labels)


class MaskwrightForTokenClassification(MaskwrightPreTrainedModel):
    """Predicts a tag of each word, at its first token.

    Logits are scores of each tag by itself. Where the model has a CRF, `decide` makes a sequence of those of words,
    and `WordsPipeline` calls it.
    """

    output_class = TokenClassifierOutput

    def __init__(self, config: Any):
        super().__init__(config)
        self.num_labels = config.num_labels
        names = [config.id2label[number] for number in range(config.num_labels)]
        self.case = CaseFeatures() if config.case else None
        features = config.hidden_size + (CaseFeatures.size if config.case else 0)
        self.output = ReadoutLinear(features, config.num_labels)
        entities = all(name == "O" or name[:2] in ("B-", "I-") for name in names)
        self.crf = LinearChainCRF(names if entities else ["O"] * len(names)) if config.crf else None
        if self.crf is not None:  # transformers makes modules without values, and fills in those that are saved
            self.crf._non_persistent_buffers_set.clear()
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
        cases: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """Returns logits (B, T, C) of tokens, or (B, K, C) of words.

        Args:
            positions: (B, K) the first token of each word; None for all tokens.
            cases: (B, K) the `Case` of each word, which some models read.
            labels: as many as logits, -100 where there is none; the loss is that of each tag by itself.
        """
        hidden, _seen = self.hidden(input_ids, attention_mask)
        if positions is not None:
            hidden = gather(hidden, positions)
        if self.case is not None:
            if cases is None or positions is None:
                raise ValueError(
                    "this model reads the case of words: pass positions and cases of words, or use "
                    'pipeline("token-classification", model=…, trust_remote_code=True)'
                )
            hidden = torch.cat([hidden, self.case(cases)], -1)
        return self.answer(self.output(hidden), labels, return_dict)

    def decide(self, logits: Tensor) -> Tensor:
        """Returns logits (1, K, C) of the words of a text whose largest are the tags to give.

        With a CRF, those are the tags of the most likely sequence (Viterbi), and the others the logarithms of
        their probabilities given the whole text.
        """
        if self.crf is None or not logits.shape[1]:
            return logits
        valid = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        chosen = self.crf.decode(logits, valid, valid[:, 0])[..., None]
        shares = self.crf.marginals(logits, valid, valid[:, 0]).clamp(min=1e-12).log()
        return shares.scatter(-1, chosen, shares.amax(-1, keepdim=True) + 1e-6)


class WordsPipeline(TokenClassificationPipeline):
    """Tags the words of a text as `src/predict.py` does: from their first tokens, their case, and their sequence.

    All tokens of a word get what its first one says; after a word that opens an entity, that the entity goes on.
    """

    def preprocess(self, sentence: Any, offset_mapping: Any = None, **parameters: Any) -> Any:  # type: ignore[override]
        if parameters.get("is_split_into_words"):
            raise ValueError("this pipeline finds the words of a text itself; pass a text, not a list of words")
        for inputs in super().preprocess(sentence, offset_mapping, **parameters):
            yield {**inputs, "text": sentence}

    def _forward(self, model_inputs: Any) -> Any:  # type: ignore[override]
        inputs = dict(model_inputs)
        texts = inputs.pop("text")
        model: Any = self.model
        texts = [texts] if isinstance(texts, str) else texts
        ids, seen = inputs["input_ids"], inputs["attention_mask"]
        logits = torch.zeros(*ids.shape, model.config.num_labels)
        for row, text in enumerate(texts):
            words, spelled = _words(text, inputs["offset_mapping"][row], inputs["special_tokens_mask"][row])
            if not words:
                continue
            first = torch.tensor([[tokens[0] for tokens in words]], device=ids.device)
            cases = torch.tensor([[int(Case.of(word)) for word in spelled]], device=ids.device)
            found = model(ids[row : row + 1], seen[row : row + 1], first, cases).logits
            found = model.decide(found)[0].float().cpu()
            for tokens, own in zip(words, found, strict=True):
                logits[row, tokens[1:]] = self._goes_on(own)
                logits[row, tokens[0]] = own
        kept = {name: value for name, value in inputs.items() if name != "attention_mask"}
        return {**kept, "logits": logits}

    def _goes_on(self, logits: Tensor) -> Tensor:
        """Returns logits (C,) in which what opens an entity counts for what is inside it."""
        numbers: Any = self.model.config.label2id
        logits = logits.clone()
        for name, opens in numbers.items():
            if name.startswith("B-") and (inside := numbers.get(f"I-{name[2:]}")) is not None:
                both = logits[[opens, inside]]
                logits[inside], logits[opens] = both.max(), both.min()
        return logits


def _words(text: str, offsets: Tensor, special: Tensor) -> tuple[list[list[int]], list[str]]:
    """Returns the tokens of each word that has any, and how it is spelled."""
    spans = [found.span() for found in _WORD.finditer(text)]
    words: dict[int, list[int]] = {}
    at = 0
    for token, ((start, stop), is_special) in enumerate(zip(offsets.tolist(), special.tolist(), strict=True)):
        start += len(text[start:stop]) - len(text[start:stop].lstrip())
        if is_special or stop <= start:
            continue
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        if at < len(spans) and spans[at][0] < stop:
            words.setdefault(at, []).append(token)
    return list(words.values()), [text[slice(*spans[number])] for number in words]
