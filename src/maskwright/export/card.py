"""The README.md of an export: what it is, how to open it, and how it was trained."""

import json
from pathlib import Path
from typing import Any

from maskwright.export.graph import Exportable


def write(own: Exportable, folder: Path, auto: str, task: str, own_code: bool) -> None:
    """Writes the card.

    Args:
        auto: the class of transformers that opens the folder.
        task: what `transformers.pipeline` calls it.
        own_code: whether the folder holds code.
    """
    about = own.about
    trusted = ", trust_remote_code=True" if own_code else ""
    called = {
        "tokens": f'pipe("Paris is the {own.tokenizer.special.get("mask", "[MASK]")} of France.")',
        "class": 'pipe("A text", truncation=True)',
        "value": 'pipe("A text", truncation=True, function_to_apply="none")',
        "tags": 'pipe("Ada went to London.")',
    }[own.kind]
    strategy = ', aggregation_strategy="first"' if own.kind == "tags" else ""
    front = ["---", "library_name: transformers", f"pipeline_tag: {task}"]
    front += ["tags: [maskwright]", "---"]
    lines = [
        *front,
        "",
        f"# {about['name']}",
        "",
        f"{_WHAT[own.kind]}, trained with Maskwright.",
        "",
        "```python",
        f"from transformers import {auto}, AutoTokenizer, pipeline",
        "",
        'folder = "."',
        f"model = {auto}.from_pretrained(folder{trusted})",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f'pipe = pipeline("{task}", model=folder{trusted}{strategy})',
        f"print({called})",
        "```",
        "",
    ]
    if own_code:
        lines += ["The folder holds the code of the model. Read it before you allow it to run.", ""]
    if own.labels is not None and own.labels.names:
        lines += [f"Labels: {', '.join(own.labels.names)}.", ""]
    if own.crf is not None:
        lines += ["Logits are scores of each tag alone. The pipeline makes the most likely sequence of them.", ""]
    for title, value in about.get("facts", {}).items():
        if value not in (None, {}, ""):
            lines += [f"## {title}", "", *_shown(value), ""]
    (folder / "README.md").write_text("\n".join(lines))


_WHAT = {
    "tokens": "A masked language model",
    "class": "A classifier of texts",
    "value": "A model that predicts a number for a text",
    "tags": "A tagger of words",
}


def _shown(value: Any) -> list[str]:
    if isinstance(value, str):
        return ["```", value, "```"]
    return ["```json", json.dumps(value, indent=2, ensure_ascii=False, default=str), "```"]
