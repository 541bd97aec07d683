"""What classes declare about themselves before they are built. A user's own class need not declare anything."""

import re

from maskwright.core.errors import UserError
from maskwright.settings.build import find_target
from maskwright.settings.component import Component


def brings_tokenizer(model: Component) -> bool:
    """Returns whether an encoder comes with weights that belong to a tokenizer of their own."""
    return getattr(find_target(model, "model"), "brings_tokenizer", False) and not model.get("reinitialize")


def without_lora(model: Component) -> Component:
    """Returns an encoder without the settings of its adapters, which are put in after its weights are loaded."""
    return Component(
        model.target, {key: own for key, own in model.arguments.items() if key != "lora"}, model.partial
    )


def lora_of(model: Component) -> Component | None:
    """Returns the settings of the adapters of an encoder; None if it has none."""
    lora = model.get("lora")
    return lora if isinstance(lora, Component) and lora.get("rank") is not None else None


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
            check(**without_lora(model).arguments)
        except ValueError as error:
            # the class names its arguments, which are below `model` in the config
            names = "|".join(map(re.escape, model))
            raise UserError(re.sub(rf"\b({names})=", r"model.\1=", str(error)).rstrip(".") + ".") from error
