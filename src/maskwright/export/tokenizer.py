"""Writes the tokenizer of an export."""

import json
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from maskwright.export.graph import Exportable

_ENDLESS = 1_000_000_000  # tokens of a row that has no limit


def write_tokenizer(own: Exportable, folder: Path, ready: bool = False) -> None:
    """Writes the tokenizer, with the special tokens around a text and the length of a row.

    Args:
        ready: whether `tokenizer.json` itself cuts texts off and pads them, for programs without transformers.
    """
    tokenizer = own.tokenizer
    tokenizer.save(folder)
    file = folder / "tokenizer.json"
    backend = Backend.from_file(str(file))
    cls, sep = tokenizer.special["cls"], tokenizer.special["sep"]
    ids = backend.encode("a").ids
    if ids[0] != tokenizer.cls_id or ids[-1] != tokenizer.sep_id or len(ids) < 3:
        backend.post_processor = TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(cls, tokenizer.cls_id), (sep, tokenizer.sep_id)],
        )
    if ready:
        backend.enable_padding(pad_id=tokenizer.pad_id, pad_token=tokenizer.special["pad"])
        if own.max_length is not None:
            backend.enable_truncation(own.max_length)
    backend.save(str(file))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {
        "model_max_length": own.max_length or _ENDLESS,
        "model_input_names": ["input_ids", *["token_type_ids"] * own.has_types, "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
    }
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
