"""Names of files: those of a run, in installed packages (`pkg://package/path`, as in Hydra), and on the hub."""

import importlib.util
import re
from pathlib import Path

from maskwright.core.errors import UserError

PACKAGE = "pkg://"
CHECKPOINTS = "checkpoints"  # the folder of a run's checkpoints
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # the newest, and the one before it
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")  # a possible name on the hub


def cache_folder(name: str | None) -> Path:
    """Returns the folder of prepared corpora; no name, as an empty `MASKWRIGHT_CACHE` gives, takes the default."""
    return Path(name or "~/.cache/maskwright").expanduser()


def on_disk(name: str, key: str) -> str:
    """Returns the local path for `pkg://package/path`, and any other name unchanged.

    Args:
        key: the config key, for messages.
    Raises:
        UserError: the package is not installed, or contains no such file.
    """
    if not name.startswith(PACKAGE):
        return name
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{key}='{name}': the package '{package}' is not installed.")
    path = Path(next(iter(found.submodule_search_locations))) / inside
    if not path.exists():
        raise UserError(f"{key}='{name}': the package '{package}' ships no such file.")
    return str(path)
