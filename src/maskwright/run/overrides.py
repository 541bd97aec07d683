"""Overrides of the command line: texts get quotes where Hydra would take them for something else."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Sweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

if TYPE_CHECKING:
    from maskwright.settings.texts import Texts

_KEY = re.compile(r"\+{0,2}[A-Za-z_][\w./@:-]*")  # of an override that sets or adds a value
_QUOTES = ("'", '"')
_ESCAPED = "\\${"  # no interpolation
_REFUSED = object()  # what Hydra's grammar does not read


def quoted(arguments: Sequence[str], conf: str, config_name: str, prose: tuple[str, ...] = ()) -> list[str]:
    """Returns the arguments of a command with texts in quotes where Hydra would take them for something else.

    See docs/configuration.md, "Texts and paths".

    Args:
        conf: the folder of the config.
        prose: keys whose values are prose, where the config has no types; one that ends in a dot stands for all
            that begin with it.
    """
    overrides = _Overrides(list(arguments), conf, config_name, prose)
    return list(map(overrides.quoted, arguments))


def composed(conf: str, config_name: str, arguments: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the plain config of some overrides, not resolved.

    Args:
        arguments: of the command, of which `--config-dir` is followed.
    """
    own = ",".join(in_quotes(f"file://{folder}") for folder in config_dirs(arguments))
    GlobalHydra.instance().clear()
    with initialize_config_dir(conf, version_base="1.3"):
        found = compose(config_name, [*([f"hydra.searchpath=[{own}]"] if own else []), *overrides])
        return OmegaConf.to_container(found, resolve=False)  # type: ignore[return-value]


def config_dirs(arguments: Sequence[str]) -> list[Path]:
    """Returns the folders that `--config-dir` names."""
    return [Path(folder).resolve() for flag, folder in pairwise(arguments) if flag in ("--config-dir", "-cd")]


@dataclass
class _Overrides:
    """The overrides of one command, and what is known about their keys; see `quoted`."""

    arguments: Sequence[str]
    conf: str
    config_name: str
    prose: tuple[str, ...]

    def quoted(self, argument: str) -> str:
        """Returns one argument with its texts in quotes; see the function of this name."""
        key, equals, value = argument.partition("=")
        if not equals or not _KEY.fullmatch(key):  # a flag, or a key that is taken away
            return argument
        read, name = _read(value), key.lstrip("+")
        if read is None or (read == value and "${" not in value):
            return argument
        is_there = _exists(value)
        texts = self._texts(name, known=isinstance(read, str) or (isinstance(read, (int, float)) and not is_there))
        if texts.prose:
            as_it_is = isinstance(read, list) or (isinstance(read, str) and value[0] in _QUOTES)
            return argument if as_it_is else f"{key}={in_quotes(value.replace('${', _ESCAPED))}"
        swept = self.swept and not is_there and not name.startswith("hydra.")
        pieces = _split(value) if swept else [value]
        return f"{key}={','.join(_element(piece, texts, swept) for piece in (pieces if all(pieces) else [value]))}"

    @cached_property
    def swept(self) -> bool:
        """Whether commas separate the values of a sweep."""
        return any(argument in ("-m", "--multirun") for argument in self.arguments)

    def _texts(self, name: str, known: bool) -> "Texts":
        """Returns which texts a key takes.

        Args:
            known: whether that is only asked of what is known without composing the config, which takes a moment.
        """
        from maskwright.settings.commands import COMMANDS  # not imported for most commands, or for their help
        from maskwright.settings.texts import Texts, annotation_of, texts_of

        if any(name == own or (own.endswith(".") and name.startswith(own)) for own in self.prose):
            return Texts(single=True, several=True, prose=True)
        first, *others = name.split(".")
        if first == "hydra":
            return texts_of(annotation_of(HydraConf, others))
        settings = COMMANDS.get(self.config_name)
        found = annotation_of(settings, [first, *others])
        if found is None and settings is not None and not known:
            found = annotation_of(settings, [first, *others], self._config)
        return texts_of(found)

    @cached_property
    def _config(self) -> dict[str, Any]:
        """The config, which names the class of each node, as far as the overrides can be composed as they are."""
        read = {a: _read(a.partition("=")[2]) for a in self.arguments if _KEY.match(a.lstrip("~"))}
        plain = [a for a, value in read.items() if value is not _REFUSED and not isinstance(value, (Sweep, Glob))]
        choices = [a for a in plain if "." not in a.partition("=")[0]]
        for overrides in (plain, choices, []):
            try:
                return composed(self.conf, self.config_name, self.arguments, overrides)
            except Exception:  # some of them is wrong, which Hydra will say
                continue
        return {}


def _element(value: str, texts: "Texts", swept: bool) -> str:
    """Returns a value in quotes if it is a text that Hydra takes for something else.

    Args:
        texts: what the key takes.
        swept: whether it may be the values of a sweep.
    """
    match _read(value):
        case str() | None:
            return value
        case list() if texts.several or not texts.single:
            return value
        case Sweep() | Glob() if swept or not texts.single:
            return value
        case bool() | int() | float() if texts.others or not texts.single:
            return value
        case dict() if not texts.single:
            return value
    if value[:1] + value[-1:] == "[]" and (texts.several or not texts.single) and not _exists(value):
        alone = texts._replace(several=False)
        return f"[{','.join(_element(piece, alone, swept=False) for piece in _split(value[1:-1]))}]"
    if not texts.single and (value[:1] in _QUOTES or "${" in value):
        return value  # meant for Hydra, whose message says what is wrong
    text = in_quotes(value)
    return in_quotes(value.replace("${", _ESCAPED)) if _read(text) is _REFUSED else text


def _read(value: str) -> Any:
    """Returns what Hydra reads a value as; `_REFUSED` if it does not."""
    try:
        return OverridesParser.create().parse_override(f"key={value}").value()
    except HydraException:
        return _REFUSED


def _exists(path: str) -> bool:
    return os.path.lexists(os.path.expanduser(path))


def in_quotes(text: str) -> str:
    # Hydra reads backslashes only where a quote follows them
    return "'" + re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + (match[2] and "\\'"), text) + "'"


def _split(value: str) -> list[str]:
    """Returns the parts of a value between commas that are in no brackets or quotes."""
    pieces, depth, quote = [""], 0, ""
    for character in value:
        if character == "," and not depth and not quote:
            pieces.append("")
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES and not pieces[-1].strip():
            quote = character
        depth += (character in "([{") - (character in ")]}") if not quote else 0
        pieces[-1] += character
    return [piece.strip() for piece in (value.split(",") if depth or quote else pieces)]
