"""Tokenizers of the Hugging Face hub, and of folders in its layout."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from maskwright.core.errors import UserError
from maskwright.core.hub import first_line, go_offline_without_network, missing_package
from maskwright.core.paths import on_disk
from maskwright.core.types import Count, PathText
from maskwright.text.tokenizer.extending import check_extensible, extend
from maskwright.text.tokenizer.extension import Extension
from maskwright.text.tokenizer.special import special_tokens
from maskwright.text.tokenizer.trained import Texts
from maskwright.text.tokenizer.wrapper import Tokenizer

# packages of tokenizers that cut words with Python code; to install them would not help
_OF_PYTHON = {
    "sacremoses",
    "fugashi",
    "rjieba",
    "jieba",
    "sudachipy",
    "rhoknp",
    "pythainlp",
    "emoji",
    "unidic-lite",
}
# what the files of tokenizers are called; weights and pictures lie in the same folders
_FILES = ("tokenizer*", "vocab*", "merges.txt", "spm*", "special_tokens_map.json", "*.model", "*.tiktoken")


@dataclass(frozen=True)
class Pretrained:
    """Any fast tokenizer, by the name of a folder or of a model on the hub, or `pkg://package/folder`.

    Args:
        name: that name.
        trust_remote_code: whether Python code that comes with the tokenizer is run.
        extend: how many words of the texts are added to it, at most, see `extending.extend`.
    """

    is_trained: ClassVar[bool] = False

    name: PathText
    trust_remote_code: bool = False
    extend: Count = 0

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
        return 1 if self.extend else 0

    def digest(self) -> str:
        """A digest of the files of a folder; empty for a name on the hub."""
        folder, digest = Path(self._place).expanduser(), hashlib.blake2b(digest_size=8)
        files = sorted(p for p in folder.glob("*") if p.suffix in (".json", ".txt", ".model"))
        for path in files:
            digest.update(path.read_bytes())
        return digest.hexdigest() if files else ""

    def has_files(self) -> bool:
        """Whether a folder holds files of a tokenizer; True for a name on the hub, which is not asked."""
        folder = Path(self._place).expanduser()
        return not folder.is_dir() or any(any(folder.glob(pattern)) for pattern in _FILES)

    def make(self, texts: Texts) -> Tokenizer:
        """Loads it, and adds words of the texts if it is to be extended; else they are not looked at.

        Raises:
            UserError: there is none under that name, or it has no fast version, or lacks special tokens; or it
                cannot be extended.
        """
        from transformers import AutoTokenizer  # takes seconds to import

        if not Path(self._place).expanduser().is_dir():
            go_offline_without_network()
        try:
            loaded = AutoTokenizer.from_pretrained(self._place, trust_remote_code=self.trust_remote_code)
        except Exception as error:  # of any kind: tokenizers of the hub are code of many authors
            raise self._refusal(error) from error
        if not loaded.is_fast or not _can_be_saved(loaded.backend_tokenizer):
            raise self._without_fast_version(f"{type(loaded).__name__} is Python code")
        backend = loaded.backend_tokenizer
        if len(backend.get_vocab(with_added_tokens=True)) <= len(backend.get_added_tokens_decoder()):
            # what transformers makes of a config.json alone
            raise UserError(
                f"tokenizer.name='{self.name}' has no files of a tokenizer. Name a folder with a tokenizer.json."
            )
        found = Tokenizer(backend, special_tokens(loaded), Extension.load(Path(self._place).expanduser()))
        if self.extend:
            check_extensible(found, self.name)
            found = extend(found, texts(), self.extend)
        return found

    def _refusal(self, error: Any) -> UserError:
        """Returns the error for a tokenizer that transformers does not open."""
        package = missing_package(error)
        if package in _OF_PYTHON:
            return self._without_fast_version(f"it cuts words with the Python package {package}")
        if package:
            return UserError(f"tokenizer.name='{self.name}' needs the package {package}: pip install {package}")
        if "trust_remote_code" in str(error) and not self.trust_remote_code:
            return UserError(
                f"tokenizer.name='{self.name}' comes with Python code of its own, which is run only if you allow "
                "it. Read that code, then set tokenizer.trust_remote_code=true (model.trust_remote_code=true with "
                "model=pretrained)."
            )
        if Path(self._place).expanduser().is_dir() and self.has_files():
            return UserError(
                f"tokenizer.name='{self.name}' has files of a tokenizer that transformers does not open: "
                f"{first_line(error)}"
            )
        return UserError(
            f"tokenizer.name='{self.name}' is neither a folder with a tokenizer nor one that the hub hands "
            "out now (without network only local folders work). Point tokenizer.name to a folder with a "
            "tokenizer.json, or train a tokenizer: tokenizer=wordpiece."
        )

    def _without_fast_version(self, reason: str) -> UserError:
        return UserError(
            f"tokenizer.name='{self.name}' has no fast version, which alone tells the words of tokens: {reason}. "
            "Choose a copy of the model with a tokenizer.json, or another model."
        )


def _can_be_saved(backend: Any) -> bool:
    """Returns whether a tokenizer is complete without Python code, such as RoFormer's pre-tokenizer."""
    try:
        backend.to_str()
    except Exception:  # tokenizers raises no narrower one
        return False
    return True
