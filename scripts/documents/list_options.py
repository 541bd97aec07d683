"""Writes the tables of options in docs/configuration.md, from the folders of conf/ and the heads of their files.

    python scripts/documents/list_options.py

A table stands between `<!-- options: <group> -->` and `<!-- end -->`; its head and its place are written by hand.
"""

import re
from pathlib import Path

from maskwright.settings.options import Group, groups

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "configuration.md"
BLOCK = re.compile(r"(<!-- options: ([\w/]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    DOCUMENT.write_text(written(DOCUMENT.read_text()))


def written(text: str) -> str:
    """The text of a document with its tables up to date."""
    found = {group.name: group for group in groups(ROOT / "conf", "train")}
    return BLOCK.sub(lambda block: block[1] + table(found[block[2]]) + block[3], text)


def table(group: Group) -> str:
    """The options of a group as Markdown."""
    lines = [f"| `{group.name}=` | |", "|---|---|"]
    for name, description in group.options.items():
        lines.append(f"| `{name}`{' (default)' * (name == group.default)} | {description.rstrip('.')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
