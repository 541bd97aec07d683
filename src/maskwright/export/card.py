"""The README.md of an export: what it is, how to open it, and how it was trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskwright.export.graph import Exportable


def write(
    own: Exportable, folder: Path, program: str, front: Sequence[str] = (), remarks: Sequence[str] = ()
) -> None:
    """Writes the card.

    Args:
        program: Python that opens the folder, run in it.
        front: further lines of the metadata at its top.
        remarks: sentences to read before the program is run.
    """
    if own.about.get("license"):
        front = [*front, f"license: {own.about['license']}"]
    lines = ["---", *front, "tags: [maskwright]", "---", "", f"# {own.about['name']}", ""]
    what = _WHAT[own.kind]
    if own.paired and own.kind != "answers":
        what = what.replace("of texts", "of pairs of texts").replace("a text", "a pair of texts")
    lines += [
        f"{what}, trained with Maskwright.",
        "",
        "```python",
        *program.strip().splitlines(),
        "```",
        "",
    ]
    for remark in remarks:
        lines += [remark, ""]
    if own.labels is not None and own.labels.names:
        lines += [f"Labels: {', '.join(own.labels.names)}.", ""]
    for title, value in own.about.get("facts", {}).items():
        if value not in (None, {}, ""):
            lines += [f"## {title}", "", *_shown(value), ""]
    (folder / "README.md").write_text("\n".join(lines))


_WHAT = {
    "tokens": "A masked language model",
    "class": "A classifier of texts",
    "labels": "A model that predicts which labels a text has",
    "value": "A model that predicts a number for a text",
    "tags": "A tagger of words",
    "answers": "A model that finds the answer to a question in a text",
}


def _shown(value: Any) -> list[str]:
    if isinstance(value, str):
        return ["```", value, "```"]
    return ["```json", json.dumps(value, indent=2, ensure_ascii=False, default=str), "```"]
