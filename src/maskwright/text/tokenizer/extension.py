"""What is known of the words that were added to a tokenizer."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "extension.json"  # beside tokenizer.json


@dataclass(frozen=True)
class Extension:
    """The words that were added to a tokenizer.

    Attributes:
        first: the id of the first added token; the others follow.
        pieces: for each added token, the ids of the tokens that stood for it before.
        base: the digest of the tokenizer without them.
        saved: tokens of the texts that they were chosen from that they save.
        total: tokens of these texts before.
    """

    first: int
    pieces: tuple[tuple[int, ...], ...]
    base: str
    saved: int = 0
    total: int = 0

    @property
    def end(self) -> int:
        """The id after that of the last added token."""
        return self.first + len(self.pieces)

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> "Extension | None":
        """Returns what `save` wrote into a folder; None if there is nothing."""
        try:
            saved = json.loads((folder / FILE).read_text())
        except FileNotFoundError:
            return None
        return cls(**saved | {"pieces": tuple(map(tuple, saved["pieces"]))})
