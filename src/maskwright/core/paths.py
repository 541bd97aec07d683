"""Names of what lies elsewhere: in installed packages (`pkg://package/path`, as Hydra has it), or on the hub."""

import importlib.util
import re
from pathlib import Path

from maskwright.core.errors import UserError

PACKAGE = "pkg://"
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")  # what may be a name on the hub


def on_disk(name: str, key: str) -> str:
    """A name as it is, or, of `pkg://package/path`, the path on this disk.

    Args:
        key: of the config, for messages.
    Raises:
        UserError: the package is not installed, or ships no such thing.
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
