"""Writes the table of docs/models.md, from a tiny random model of each family of encoders.

    PYTHONPATH=. python scripts/documents/list_models.py

The table stands between `<!-- families -->` and `<!-- end -->`; the rest of the document is written by hand. The
models are those of `tests/models/families.py`, which the test of each row goes through as well.
"""

import re
import tempfile
from pathlib import Path

from tests.models.families import FAMILIES, go_through

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"
BLOCK = re.compile(r"(<!-- families -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    rows = []
    for family in sorted(FAMILIES):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(str(go_through(family, Path(folder))))
    table = "\n".join(["| type | works | head for masked tokens |", "|---|---|---|", *rows, ""])
    DOCUMENT.write_text(BLOCK.sub(lambda block: block[1] + table + block[2], DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
