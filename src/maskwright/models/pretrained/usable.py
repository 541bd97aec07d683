"""Which models of the Hugging Face hub are encoders of text, decided from their config.json."""

from typing import Any

from maskwright.core.errors import UserError
from maskwright.core.hub import first_line

# types of models that read text in both directions, and still do not fit
_UNFIT = {
    "canine": "it reads characters and not tokens",
    "perceiver": "it reads bytes and not tokens, and its hidden states are of latents and not of tokens",
    "dpr": "it has one vector for a whole text and no hidden states of its tokens",
    "layoutlmv2": "it reads pictures of pages, and where each word stands on them",
    "bros": "it reads where each word stands on a page, beside text",
    "lxmert": "it reads pictures beside text",
    "visual_bert": "it reads pictures beside text",
    "mra": "its attention is a CUDA kernel of its own, without which transformers computes zeros",
    "clip_text_model": "it reads from left to right",
}
_INPUTS = {"image": "pictures", "audio": "sound", "video": "videos", "time": "time series"}
# lists of transformers that models of text are in, by what they do
_OF_TEXTS = ("SEQUENCE_CLASSIFICATION", "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING", "TEXT_ENCODING")
# listed among the causal models, though all positions see each other
_SEE_ALL = {"xlnet", "bert-generation"}


def check_usable(config: Any, name: str) -> None:
    """Checks that a model reads tokens of text, in both directions.

    Args:
        config: the configuration of the model, of transformers.
        name: the name of the model, for messages.
    Raises:
        UserError: it does not; the message says why.
    """
    if reason := _reason(config):
        raise UserError(
            f"model.name='{name}' (of the type {config.model_type}) cannot be used: {reason}. Choose an encoder "
            "that reads tokens in both directions, such as BERT, RoBERTa or ModernBERT."
        )


def _reason(config: Any) -> str | None:
    """Returns why a model cannot be used; None if it can."""
    from transformers.models.auto import modeling_auto as auto

    kind, architectures = config.model_type, config.architectures or []
    if kind in _UNFIT:
        return _UNFIT[kind]
    if getattr(config, "is_encoder_decoder", False) or kind in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "it has an encoder and a decoder, and the states of its decoder are those of shifted texts"
    if getattr(config, "is_decoder", False) or getattr(config, "causal", False):
        return "its config.json says that it is a decoder, which reads from left to right"
    if kind == "nystromformer" and config.num_landmarks != config.segment_means_seq_len:
        return "transformers cannot mask padding where num_landmarks is not segment_means_seq_len"
    if kind == "xmod" and config.default_language is None:
        return f"its config.json names no default_language, one of {', '.join(config.languages)}"
    causal = auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    masked = auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(kind)
    trained_causal = causal is not None and causal != masked and {*architectures} == {causal}
    if trained_causal and kind != "xlnet" and not _is_bidirectional(config):
        return f"it is a decoder ({causal}), which reads from left to right"
    if masked is not None or kind in _SEE_ALL:
        return None
    if causal is not None:
        return None if _is_bidirectional(config) else "it is a decoder, which reads from left to right"
    return _other_inputs(config)


def _is_bidirectional(config: Any) -> bool:
    """Returns whether a decoder says that it attends in both directions, as EmbeddingGemma does."""
    return getattr(config, "use_bidirectional_attention", None) in (True, "all")


def _other_inputs(config: Any) -> str | None:
    """Returns why a model without a head for masked tokens reads no texts; None if it does, or is unknown."""
    import transformers

    known = transformers.MODEL_MAPPING
    own_code = getattr(config, "auto_map", None) or {}
    if not type(config).__module__.startswith("transformers.") or "AutoModel" in own_code:
        return None
    if type(config) not in known:
        return (
            "transformers has no AutoModel for this type, which is a part of other models or a wrapper around them"
        )
    try:
        kind: Any = known[type(config)]
        kind = kind[0] if isinstance(kind, tuple) else kind
        modalities, name = kind.input_modalities, kind.main_input_name
    except (ImportError, ValueError) as error:  # of packages that single models need
        return f"transformers does not open it: {first_line(error).rstrip('.')}"
    read = {modalities} if isinstance(modalities, str) else {*modalities}
    others = " and ".join(_INPUTS.get(one, one) for one in sorted(read - {"text"}))
    if "text" not in read:
        return f"it reads {others} and not text"
    if name != "input_ids":
        return f"its input is {name} and not tokens of text"
    if others and not _is_in(config.model_type, "SEQUENCE_CLASSIFICATION"):
        return f"it reads {others} beside text"
    if _is_in(config.model_type, "IMAGE_TEXT_TO_TEXT"):
        return "it is a decoder of texts about pictures, which reads from left to right"
    if not _is_in(config.model_type, *_OF_TEXTS) and not _is_bidirectional(config):
        return "transformers has no model of this type that labels texts or words"
    return None


def _is_in(kind: str, *lists: str) -> bool:
    """Returns whether a type of models is in one of these lists of transformers."""
    from transformers.models.auto import modeling_auto as auto

    return any(kind in getattr(auto, f"MODEL_FOR_{name}_MAPPING_NAMES") for name in lists)
