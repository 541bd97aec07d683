"""Keys of the command line that take several options of a group, or several values, without brackets."""

from collections.abc import Callable, Sequence

# of each command, keys that take options of a group, and what is overridden for each of them
_OPTIONS: dict[str, dict[str, Callable[[str], list[str]]]] = {
    "train": {
        "evaluation_masks": lambda name: [
            f"+mask@evaluation_masks.{name}={name}",
            f"mask/ratio@evaluation_masks.{name}.ratio=bert",  # that of evaluation_mask
        ]
    },
    "evaluate": {
        "masks": lambda name: [f"+mask@masks.{name}={name}"],
        "data": lambda name: [f"+data@data.{name}={name}"],
    },
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
    choose = _OPTIONS.get(config_name, {}).get(key)
    names = [name.strip() for name in inner.split(",") if name.strip()]
    if choose is None or not names or value == "null":
        return [argument]
    if key in _SWEPT and not listed and (sweeps or len(names) == 1):
        return [argument]
    return [override for name in dict.fromkeys(names) for override in choose(name)]
