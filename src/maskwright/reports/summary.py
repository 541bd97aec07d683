"""summary.json: the results of a run, what they cost, and on which machine they were obtained."""

import importlib.metadata
import json
import math
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from maskwright.core.atomic import write_file
from maskwright.core.device import device_name

_PACKAGES = ("lightning", "hydra-core", "datasets", "tokenizers", "transformers", "numpy")


def write(run_dir: Path, summary: dict[str, Any]) -> None:
    """Writes the summary completely or not at all."""
    text = json.dumps(plain(summary), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(run_dir / "summary.json", lambda path: path.write_text(text))


def read(run_dir: Path) -> dict[str, Any]:
    """Returns the summary of a run; an empty one if there is none that can be read."""
    try:
        return dict(json.loads((run_dir / "summary.json").read_text()))
    except (OSError, ValueError):
        return {}


def plain(value: Any) -> Any:
    """Returns the value with None in place of numbers that JSON cannot represent."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def circumstances() -> dict[str, Any]:
    """Returns the command, the version of the code, and the machine."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "command": " ".join(sys.argv),
        "git": _git_revision(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "machine": {"device": device_name(device), "threads": torch.get_num_threads()},
        "peak_memory_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _git_revision() -> str | None:
    """Returns the commit of the code, with `+changes` if the working tree differs from it."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None
