"""Keys of the command line that take several options of a group, or several values, without brackets."""

from collections.abc import Sequence

_MASKS = (
    "+mask@{key}.{name}={name}",
    "mask/ratio@{key}.{name}.ratio=bert",  # the share of `evaluation_mask`
)
# of each command, keys that take options of a group, and what is overridden for each option
_OPTIONS: dict[str, dict[str, Sequence[str]]] = {
    "train": {"evaluation_masks": _MASKS},
    "evaluate": {"masks": _MASKS, "data": ("+data@{key}.{name}={name}",)},
}
_VALUES = {"evaluate": ("ratios",)}
_SWEPT = ("data",)  # keys whose commas are those of a sweep, where there is one


def expanded(arguments: Sequence[str], config_name: str) -> list[str]:
    """Returns the arguments of a command as Hydra takes them.

    `masks=token,span`, or `masks=[token,span]`, becomes a choice of `mask` for each name, at `masks.<name>`; so the
    settings of each can be overridden: `masks.span.units.max_words=5`.
    """
    sweeps = any(argument in ("-m", "--multirun") for argument in arguments)
    return [own for argument in arguments for own in _expanded(argument, config_name, sweeps)]


def _expanded(argument: str, config_name: str, sweeps: bool) -> list[str]:
    key, _, value = argument.partition("=")
    inner = value.removeprefix("[").removesuffix("]")
    listed = value != inner
    if key in _VALUES.get(config_name, ()) and "," in value and not listed:
        return [f"{key}=[{value}]"]
    overrides = _OPTIONS.get(config_name, {}).get(key)
    names = [name.strip() for name in inner.split(",") if name.strip()]
    if overrides is None or not names or value == "null":
        return [argument]
    if key in _SWEPT and not listed and (sweeps or len(names) == 1):
        return [argument]
    return [own.format(key=key, name=name) for name in dict.fromkeys(names) for own in overrides]
