"""Which models of the Hugging Face hub are encoders of text, decided from their config.json."""

from typing import Any

from maskwright.core.errors import UserError

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
_SEES_ALL = {"xlnet"}  # listed among the causal models, though all positions see each other


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
    if trained_causal and kind not in _SEES_ALL and not _is_bidirectional(config):
        return f"it is a decoder ({causal}), which reads from left to right"
    if masked is None and causal is not None and kind not in (*_SEES_ALL, "bert-generation"):
        return None if _is_bidirectional(config) else "it is a decoder, which reads from left to right"
    return _other_inputs(config) if masked is None else None


def _is_bidirectional(config: Any) -> bool:
    """Returns whether a decoder says that it attends in both directions, as EmbeddingGemma does."""
    return getattr(config, "use_bidirectional_attention", None) in (True, "all")


def _other_inputs(config: Any) -> str | None:
    """Returns what a model reads instead of text, as a reason; None if it reads text, or is not known."""
    import transformers

    if type(config) not in transformers.MODEL_MAPPING:
        return None  # a model with its own code
    kind: Any = transformers.MODEL_MAPPING[type(config)]
    kind = kind[0] if isinstance(kind, tuple) else kind
    read = kind.input_modalities
    read = (read,) if isinstance(read, str) else tuple(read)
    if kind.main_input_name == "input_ids" and (read == ("text",) or _reads_texts(config.model_type)):
        return None
    others = [{"image": "pictures", "audio": "sound", "video": "films"}.get(one, one) for one in read]
    if "text" not in read:
        return f"it reads {' and '.join(others)} and not text"
    return f"it reads {' and '.join(others)}, not tokens of text alone"


def _reads_texts(kind: str) -> bool:
    """Returns whether transformers has a model of a type that classifies texts or words."""
    from transformers.models.auto import modeling_auto as auto

    return kind in auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
