"""What the check of a config.json says about each type of model that `transformers` knows, without weights."""

import json
from pathlib import Path

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from maskwright.core.errors import UserError
from maskwright.models import Pretrained

TYPES = sorted(CONFIG_MAPPING)
USABLE = "may be an encoder, and is tried"  # only a model with weights tells


def judge(kind: str, folder: Path) -> str:
    """Returns why models of a type are refused, or `USABLE`, for a config.json that names the type alone.

    Args:
        folder: where that file is written.
    """
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    try:
        Pretrained.check_settings(name=str(folder))
    except UserError as error:
        reason = str(error).partition("cannot be used: ")[2].partition(". Choose")[0]
        # what else it says of single types, such as a package that is missing, is not the same everywhere
        return reason.partition(": ")[0] or "transformers does not open it"
    return USABLE
