"""Writes the tables of docs/models.md, from a tiny random model of each family of encoders.

    PYTHONPATH=. python scripts/documents/list_models.py

The table of families stands between `<!-- families -->` and `<!-- end -->`, the list of all other types of models
between `<!-- others -->` and `<!-- end -->`; the rest of the document is written by hand. The models are those of
`tests/models/families.py`, which the test of each row goes through as well.
"""

import re
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.models.families import FAMILIES, go_through
from tests.models.family_tasks import Tasks
from tests.models.types_of_models import TYPES, judge

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        _write("families", _families(Path(place)))
        _write("others", _others(Path(place)))


def _families(place: Path) -> list[str]:
    """Returns the lines of the table of families."""
    tasks, rows = Tasks(place), []
    for family in sorted(FAMILIES):
        (folder := place / "models" / family).mkdir(parents=True)
        rows.append(str(go_through(family, folder, tasks)))
    return ["| type | works | head for masked tokens | tokenizer |", "|---|---|---|---|", *rows]


def _others(place: Path) -> list[str]:
    """Returns a line for each reason, with the types that are refused for it, the most frequent reason first."""
    by_reason = defaultdict(list)
    for kind in TYPES:
        if kind not in FAMILIES:
            by_reason[judge(kind, place)].append(f"`{kind}`")
    return [
        f"- {why}: {', '.join(kinds)}" for why, kinds in sorted(by_reason.items(), key=lambda one: -len(one[1]))
    ]


def _write(block: str, lines: list[str]) -> None:
    """Replaces what stands in a block of the document."""
    pattern = re.compile(rf"(<!-- {block} -->\n).*?(<!-- end -->)", re.DOTALL)
    text = "\n".join([*lines, ""])
    DOCUMENT.write_text(pattern.sub(lambda found: found[1] + text + found[2], DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
