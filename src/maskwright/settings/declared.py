"""What classes declare about themselves before they are built. A user's own class need not declare anything."""

import re

from maskwright.core.errors import UserError
from maskwright.settings.build import find_target
from maskwright.settings.component import Component


def brings_tokenizer(model: Component) -> bool:
    """Returns whether an encoder comes with weights that belong to a tokenizer of their own."""
    return getattr(find_target(model, "model"), "brings_tokenizer", False) and not model.get("reinitialize")


def trains_tokenizer(tokenizer: Component) -> bool:
    """Returns whether a tokenizer is trained on the corpus."""
    return getattr(find_target(tokenizer, "tokenizer"), "is_trained", False)


def check_model(model: Component) -> None:
    """Checks that the settings of an encoder fit together, without building it.

    Raises:
        UserError: they do not; the message names them.
    """
    check = getattr(find_target(model, "model"), "check_settings", None)
    if check is not None:
        try:
            check(**model.arguments)
        except ValueError as error:
            # the class names its arguments, which are below `model` in the config
            names = "|".join(map(re.escape, model))
            raise UserError(re.sub(rf"\b({names})=", r"model.\1=", str(error)).rstrip(".") + ".") from error
