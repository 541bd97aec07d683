"""Writes folders that `transformers` opens: in one of its own architectures, or with the code of the model."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.export import card
from maskwright.export.check import Inputs, Outputs
from maskwright.export.code import write_code
from maskwright.export.graph import Exportable
from maskwright.export.modeling import (
    MaskwrightConfig,
    MaskwrightForMaskedLM,
    MaskwrightForSequenceClassification,
    MaskwrightForTokenClassification,
)
from maskwright.export.tokenizer import write_tokenizer
from maskwright.models import CNN, LSTM, MLP, BigramHead, MaskedLMHead, Shifted, Transformer
from maskwright.models.pretrained.head import PretrainedHead, find_head
from maskwright.models.transformer.hf import check_hf, hf_config, to_hf
from maskwright.text.tokenizer import Tokenizer

_CLASSES: dict[str, Any] = {
    "tokens": MaskwrightForMaskedLM,
    "class": MaskwrightForSequenceClassification,
    "labels": MaskwrightForSequenceClassification,
    "value": MaskwrightForSequenceClassification,
    "tags": MaskwrightForTokenClassification,
}
AUTO = {  # what opens a folder, and the task of `transformers.pipeline`, by what is predicted
    "tokens": ("AutoModelForMaskedLM", "fill-mask"),
    "class": ("AutoModelForSequenceClassification", "text-classification"),
    "labels": ("AutoModelForSequenceClassification", "text-classification"),
    "value": ("AutoModelForSequenceClassification", "text-classification"),
    "tags": ("AutoModelForTokenClassification", "token-classification"),
    "answers": ("AutoModelForQuestionAnswering", "question-answering"),
}
_PROBLEMS: dict[str, Any] = {
    "labels": "multi_label_classification"
}  # what transformers cannot tell by the number of labels
_OWN = {Transformer: "transformer", LSTM: "lstm", CNN: "cnn", MLP: "mlp"}
_ANSWERS = """
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

folder = "."
model = AutoModelForQuestionAnswering.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
question, context = "Where was Ada born?", "Ada was born in London."
inputs = tokenizer(question, context, return_tensors="pt")
with torch.no_grad():
    found = model(**inputs)
first, last = int(found.start_logits.argmax()), int(found.end_logits.argmax())
print(tokenizer.decode(inputs["input_ids"][0, first : last + 1]))
"""
_TRIAL = (2, 9)  # rows and tokens that say whether a class of transformers computes the same


class HuggingFace:
    """See `Format`."""

    quantizes = False

    def write(self, own: Exportable, folder: Path, quantize: str | None) -> None:
        _quiet()
        native = _native(own)
        if native is None:
            model = _with_own_code(own)
            write_code(folder)
        else:
            model = native
        for name, number in _special_ids(own.tokenizer).items():
            setattr(model.config, name, number)
        model.config.architectures = [type(model).__name__]
        if native is None:
            _say_where_the_code_is(model.config, own)
        model.save_pretrained(folder)
        _add_old_names(folder / "config.json")
        write_tokenizer(own, folder)
        _write_card(own, folder, own_code=native is None)

    def open(self, own: Exportable, folder: Path) -> Outputs:
        import transformers

        _quiet()
        kind = getattr(transformers, AUTO[own.kind][0])
        trusted = (folder / "modeling_maskwright.py").exists()
        model = kind.from_pretrained(folder, trust_remote_code=trusted, dtype=torch.float32).eval()
        whole = own.kind in ("tokens", "tags")

        @torch.inference_mode()
        def outputs(inputs: Inputs) -> Any:
            given = {name: torch.from_numpy(value) for name, value in inputs.items()}
            positions = given.pop("positions") if whole and "cases" not in given else None
            if own.kind == "answers":
                return _span_logits(model, **given).numpy()
            logits: Tensor = model(**given).logits
            if positions is not None:
                logits = logits.gather(1, positions[..., None].expand(-1, -1, logits.shape[-1]))
            return logits.float().numpy()

        return outputs


def _quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _native(own: Exportable) -> Any:
    """Returns a model of transformers that computes the same; None if there is none."""
    encoder: Any = own.encoder
    if _OWN.get(type(encoder)) == "transformer" and own.kind == "tokens":
        return None if isinstance(own.module.head, BigramHead) else _modernbert(own)
    if not encoder.brings_tokenizer:
        return None
    if own.kind == "tokens":
        return _hub_masked(own)
    return _hub_answers(own) if own.kind == "answers" else _hub_labelled(own)


def _modernbert(own: Exportable) -> Any:
    """Returns the masked language model as a ModernBERT; None where its mathematics differ."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    encoder: Any = own.encoder
    try:
        check_hf(encoder)
    except ValueError:
        return None
    settings = hf_config(encoder) | _special_ids(own.tokenizer)
    config = ModernBertConfig(**settings, max_position_embeddings=own.max_length or 8192)
    model = ModernBertForMaskedLM(config)
    state = {n: w for n, w in own.module.state_dict().items() if n.startswith(("encoder.", "head."))}
    model.load_state_dict(to_hf(state))
    return model.eval()


def _hub_masked(own: Exportable) -> Any:
    """Returns a masked language model of the hub with its own head; None if its head is one of ours."""
    import transformers

    encoder: Any = own.encoder
    head: Any = own.module.head
    if not isinstance(head, PretrainedHead):
        return None
    model = transformers.AutoModelForMaskedLM.from_config(encoder.model.config, dtype=torch.float32)
    _take(model, encoder.model)
    found = find_head(model)
    if found is None:
        return None
    for theirs, ours in zip(found, (head.transform, head.decoder), strict=True):
        theirs.load_state_dict(ours.state_dict())
    return model.eval()


def _hub_labelled(own: Exportable) -> Any:
    """Returns a model of the hub with a head for labels, of its class of transformers; None if that computes
    something else."""
    import transformers

    encoder: Any = own.encoder
    module: Any = own.module
    if own.kind == "value" or own.crf is not None or getattr(module, "case", None) is not None:
        return None
    assert own.labels is not None
    config = type(encoder.model.config).from_dict(encoder.model.config.to_dict())
    names = dict(enumerate(own.labels.names))
    config.id2label, config.label2id = names, {name: number for number, name in names.items()}
    config.problem_type = _PROBLEMS.get(own.kind)
    try:
        model = getattr(transformers, AUTO[own.kind][0]).from_config(config, dtype=torch.float32)
        _take(model, encoder.model)
        model.classifier.load_state_dict(module.output.state_dict())
    except (ValueError, AttributeError, RuntimeError, TypeError):  # it has no such class, or another head
        return None
    model.eval()
    ids = torch.arange(_TRIAL[0] * _TRIAL[1]).view(_TRIAL) % len(own.tokenizer)
    seen = torch.ones_like(ids)
    positions = [torch.arange(_TRIAL[1]).expand(_TRIAL)] if own.kind == "tags" else []
    types = [torch.ones_like(ids)] if own.has_types else []
    given = {"token_type_ids": types[0]} if types else {}
    found, expected = model(ids, attention_mask=seen, **given).logits, module(ids, seen, *positions, *types)
    same = found.shape == expected.shape and torch.allclose(found, expected, atol=1e-5)
    return model if same and _starts_differ(module) else None


def _hub_answers(own: Exportable) -> Any:
    """Returns a model of the hub that finds answers, of its class of transformers.

    Raises:
        UserError: it has no such class, or one that computes something else.
    """
    import transformers

    encoder: Any = own.encoder
    module: Any = own.module
    config = type(encoder.model.config).from_dict(encoder.model.config.to_dict() | {"num_labels": 2})
    ids = torch.arange(_TRIAL[0] * _TRIAL[1]).view(_TRIAL) % len(own.tokenizer)
    given = {name: torch.ones_like(ids) for name in own.inputs[1:]}
    try:
        model = transformers.AutoModelForQuestionAnswering.from_config(config, dtype=torch.float32).eval()
        _take(model, encoder.model)
        model.qa_outputs.load_state_dict(module.output.state_dict())
        same = torch.allclose(_span_logits(model, input_ids=ids, **given), module(ids, **given), atol=1e-5)
    except (ValueError, AttributeError, RuntimeError, TypeError):  # it has no such class, or another head
        same = False
    if not same:
        raise UserError(
            f"format=hf: transformers has no class for {type(encoder.model).__name__} that finds answers as this "
            "run does."
        )
    return model


def _span_logits(model: Any, **given: Tensor) -> Tensor:
    """Returns the logits (B, T, 2) of a model of transformers; see `SpanLogits`."""
    found = model(**given)
    return torch.stack([found.start_logits, found.end_logits], -1).float()


def _starts_differ(module: Any) -> bool:
    """Returns whether outputs depend on the text at all: a head of zeros says nothing about what is before it."""
    return bool(module.output.weight.abs().max() > 0)


def _take(model: Any, encoder: nn.Module) -> None:
    """Copies the weights of an encoder into a model around one of the same class."""
    missing, unexpected = model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    if lacking := [name for name in (*missing, *unexpected) if "pooler" not in name]:
        raise RuntimeError(f"no weights for {', '.join(lacking[:5])}")


def _with_own_code(own: Exportable) -> Any:
    """Returns the model as one of the classes that lie in the folder as code.

    Raises:
        UserError: its encoder is none of those.
    """
    if own.kind not in _CLASSES:
        raise UserError(
            "format=hf writes models that answer questions where they are of the hub: train with model=pretrained, "
            "or init_from a name of the hub."
        )
    config = MaskwrightConfig(**_encoder_settings(own), **_head_settings(own))
    if own.labels is not None and own.labels.names:
        names = dict(enumerate(own.labels.names))
        config.id2label, config.label2id = names, {name: number for number, name in names.items()}
        config.problem_type = _PROBLEMS.get(own.kind)
    elif own.kind == "value":
        config.num_labels, config.problem_type = 1, "regression"
    model = _CLASSES[own.kind](config)
    state = own.module.state_dict()
    if own.crf is not None:
        state |= {f"crf.{name}": weight for name, weight in own.crf.state_dict().items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    # whether a tag may follow another is known from their names
    if lacking := [name for name in (*missing, *unexpected) if not name.startswith("crf.")]:
        raise UserError(f"The model cannot be written for transformers: no place for {', '.join(lacking[:5])}.")
    return model.eval()


def _encoder_settings(own: Exportable) -> dict[str, Any]:
    encoder: Any = own.encoder
    if encoder.brings_tokenizer:
        config = encoder.model.config
        if not type(config).__module__.startswith("transformers."):
            raise UserError("A model with code of its own cannot be exported for transformers. Use its own folder.")
        return {"encoder_kind": "hub", "encoder": config.to_dict(), "hidden_size": encoder.hidden_size}
    if isinstance(encoder, Shifted):
        raise UserError(
            "format=hf cannot express that the model predicts a token from the position before it, as task=hybrid "
            "does with task.shift=true or a last phase of causal or mntp. Use format=onnx."
        )
    if type(encoder) not in _OWN:
        raise UserError(
            f"format=hf cannot express a model of the class {type(encoder).__name__}. It writes transformers, "
            "LSTMs, CNNs, MLPs and models of the hub."
        )
    settings = dict(own.about["model"])
    for name in ("reinitialize", "lora"):
        settings.pop(name, None)
    if getattr(encoder, "late_masks", 0):
        settings["mask_id"] = encoder.mask_id
    return {
        "encoder_kind": _OWN[type(encoder)],
        "encoder": {"vocabulary_size": len(encoder.embedding.weight), **settings},
        "hidden_size": encoder.hidden_size,
    }


def _head_settings(own: Exportable) -> dict[str, Any]:
    module: Any = own.module
    shared: dict[str, Any] = {"vocab_size": len(own.encoder.embedding.weight), "max_length_of_rows": own.max_length}
    if own.kind == "tokens":
        head = module.head
        if type(head) not in (MaskedLMHead, BigramHead):
            raise UserError(f"format=hf cannot express the head {type(head).__name__}.")
        shared |= {"norm_epsilon": head.norm.eps, "tie_word_embeddings": True}
        if isinstance(head, BigramHead):
            tables = head.bigrams.left, head.bigrams.right
            shared["bigrams"] = {"scale": head.bigrams.scale, "entries": [len(table.tokens) for table in tables]}
        return shared
    if own.kind == "tags":
        return shared | {"crf": own.crf is not None, "case": module.case is not None, "tie_word_embeddings": False}
    scale = [1.0, 0.0] if module.scale is None else [float(part) for part in module.scale]
    own_settings = {"pooling": module.pool.kind, "scale": scale, "token_types": own.has_types}
    return shared | own_settings | {"tie_word_embeddings": False}


def _write_card(own: Exportable, folder: Path, own_code: bool) -> None:
    auto, task = AUTO[own.kind]
    trusted = ", trust_remote_code=True" if own_code else ""
    strategy = ', aggregation_strategy="first"' if own.kind == "tags" else ""
    remarks = ["The folder holds the code of the model. Read it before you allow it to run."] if own_code else []
    if own.kind == "answers":  # transformers 5 has no pipeline of this task
        card.write(own, folder, _ANSWERS, ["library_name: transformers", f"pipeline_tag: {task}"], remarks)
        return
    text = '{"text": "A text", "text_pair": "Another"}' if own.paired else '"A text"'
    called = {
        "tokens": f'pipe("Paris is the {own.tokenizer.special.get("mask", "[MASK]")} of France.")',
        "class": f"pipe({text}, truncation=True)",
        "labels": f"pipe({text}, truncation=True, top_k=None)",
        "value": f'pipe({text}, truncation=True, function_to_apply="none")',
        "tags": 'pipe("Ada went to London.")',
    }[own.kind]
    program = f"""
from transformers import {auto}, AutoTokenizer, pipeline

folder = "."
model = {auto}.from_pretrained(folder{trusted})
tokenizer = AutoTokenizer.from_pretrained(folder)
pipe = pipeline("{task}", model=folder{trusted}{strategy})
print({called})
"""
    if own.crf is not None:
        remarks.append("Logits are scores of each tag alone. The pipeline makes the most likely sequence of them.")
    card.write(own, folder, program, ["library_name: transformers", f"pipeline_tag: {task}"], remarks)


def _say_where_the_code_is(config: Any, own: Exportable) -> None:
    auto, task = AUTO[own.kind]
    config.auto_map = {
        "AutoConfig": "modeling_maskwright.MaskwrightConfig",
        auto: f"modeling_maskwright.{_CLASSES[own.kind].__name__}",
    }
    if own.kind == "tags":
        config.custom_pipelines = {task: {"impl": "modeling_maskwright.WordsPipeline", "pt": [auto]}}


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    pad, cls, sep = tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id
    return {
        "pad_token_id": pad,
        "cls_token_id": cls,
        "sep_token_id": sep,
        "bos_token_id": cls,
        "eos_token_id": sep,
    }


def _add_old_names(path: Path) -> None:
    """Adds the names that transformers 4 reads a ModernBERT's settings by; without them it takes its defaults."""
    config = json.loads(path.read_text())
    if config.get("model_type") != "modernbert" or {*config.get("layer_types", ())} != {"full_attention"}:
        return
    base = config["rope_parameters"]["full_attention"]["rope_theta"]
    old = {"global_rope_theta": base, "local_rope_theta": base, "global_attn_every_n_layers": 1}
    path.write_text(json.dumps(config | old, indent=2, sort_keys=True) + "\n")
