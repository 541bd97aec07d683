"""Tokenizers of the Hugging Face hub, and of folders in its layout."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from maskwright.core.errors import UserError
from maskwright.core.hub import go_offline_without_network
from maskwright.core.paths import on_disk
from maskwright.text.tokenizer.trained import Texts
from maskwright.text.tokenizer.wrapper import SPECIAL_TOKENS, Tokenizer


@dataclass(frozen=True)
class Pretrained:
    """Any fast tokenizer, by the name of a folder or of a model on the hub, or `pkg://package/folder`."""

    is_trained: ClassVar[bool] = False

    name: str

    def __post_init__(self) -> None:
        if self.name == "???":  # where conf/tokenizer/pretrained.yaml found none
            raise UserError(
                "tokenizer.name has no value yet. Give it one: tokenizer.name=<folder or name on the hub>"
            )

    @property
    def _place(self) -> str:
        return on_disk(self.name, "tokenizer.name")

    def __str__(self) -> str:
        return self.name

    @property
    def passes(self) -> int:
        return 0

    def digest(self) -> str:
        """A digest of the files of a folder; empty for a name on the hub."""
        folder, digest = Path(self._place).expanduser(), hashlib.blake2b(digest_size=8)
        files = sorted(p for p in folder.glob("*") if p.suffix in (".json", ".txt", ".model"))
        for path in files:
            digest.update(path.read_bytes())
        return digest.hexdigest() if files else ""

    def make(self, texts: Texts) -> Tokenizer:
        """Loads it; the texts are not looked at.

        Raises:
            UserError: there is none under that name, or it has no fast version, or no mask token.
        """
        from transformers import AutoTokenizer  # takes seconds to import

        if not Path(self._place).expanduser().is_dir():
            go_offline_without_network()
        try:
            loaded = AutoTokenizer.from_pretrained(self._place)
        except (OSError, ValueError) as error:
            raise UserError(
                f"tokenizer.name='{self.name}' is neither a folder with a tokenizer nor one that the hub hands "
                "out now (without network only local folders work). Point tokenizer.name to a folder with a "
                "tokenizer.json, or train a tokenizer: tokenizer=wordpiece."
            ) from error
        if not loaded.is_fast:
            raise UserError(
                f"tokenizer.name='{self.name}' has no fast version, which alone tells the words of tokens. "
                "Choose a tokenizer that ships a tokenizer.json."
            )
        special = {role: getattr(loaded, f"{role}_token", None) for role in SPECIAL_TOKENS}
        tokenizer = Tokenizer(loaded.backend_tokenizer, {r: str(t) for r, t in special.items() if t is not None})
        if not tokenizer.ordinary_ids:  # what transformers makes of a config.json alone
            raise UserError(
                f"tokenizer.name='{self.name}' has no files of a tokenizer. Name a folder with a tokenizer.json."
            )
        return tokenizer
