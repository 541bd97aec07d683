"""The comparison of runs as Markdown: its tables and errors."""

from collections.abc import Sequence

from maskwright.reports.comparison.compare import shown
from maskwright.reports.comparison.content import Content


def render(content: Content) -> str:
    parts = [f"# {len(content.runs)} runs"]
    if content.groups and content.quality:
        parts += ["## Means over seeds", _table(*content.group_rows())]
    parts += ["## Runs", _table(*content.run_rows())]
    if problems := content.problems():
        parts += ["## Problems", "\n".join(f"- {_one_line(name)}: {_one_line(text)}" for name, text in problems)]
    if content.equal:
        rows = [[key, shown(value)] for key, value in content.equal.items()]
        parts += ["## Equal in all runs", _table(["setting", "value"], rows)]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_one_line, line)) + " |" for line in lines)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
