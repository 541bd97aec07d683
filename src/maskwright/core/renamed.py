"""Keys and targets that were renamed: error messages give the new names, and older checkpoints are still read."""

from collections.abc import Mapping
from typing import Any

KEYS = {
    "hardware.accumulate": "hardware.accumulate_grad_batches",
    "hardware.preparation_workers": "preparation.workers",
    "optimizer.iterations": "optimizer.ns_steps",
    "task.finetuning.thaw": "task.finetuning.gradual_unfreezing",
    "data.parts": "data.sources",
}
TARGETS = {
    "maskwright.data.text.TextData": "maskwright.data.packed.TextData",
    "maskwright.masking.Collocations": "maskwright.annotations.Collocations",
    "maskwright.masking.Entities": "maskwright.annotations.Entities",
    "maskwright.masking.Frequency": "maskwright.annotations.Frequency",
    "maskwright.masking.Lexicon": "maskwright.annotations.Lexicon",
    "maskwright.masking.Tfidf": "maskwright.annotations.Tfidf",
    # one class per task, whether it is learned alone or together with masked tokens
    "maskwright.tasks.MultitaskClassification": "maskwright.tasks.Classification",
    "maskwright.tasks.MultitaskRegression": "maskwright.tasks.Regression",
    "maskwright.tasks.MultitaskTagging": "maskwright.tasks.Tagging",
}


def new_key(key: str) -> str | None:
    """Returns the current name of a key if the key, or a group that contains it, was renamed; else None."""
    for old, new in KEYS.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return None


def new_target(target: str) -> str | None:
    """Returns the current path of a class or function of this project if it has moved; else None."""
    return TARGETS.get(target)


def with_new_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a plain config that an older version saved, with the names of this version."""
    moved: dict[str, dict[str, Any]] = {}
    renamed = _renamed(config, "", moved)
    for group, keys in moved.items():
        renamed[group] = keys | renamed.get(group, {})
    return renamed


def _renamed(config: Mapping[str, Any], path: str, moved: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns a node of a config with new names; keys that are now of another group go to `moved`."""
    renamed: dict[str, Any] = {}
    for key, value in config.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            value = _renamed(value, here, moved)
        elif key == "_target_":
            value = TARGETS.get(value, value)
        group, _, name = KEYS.get(here, here).rpartition(".")
        if group == path:
            renamed[name] = value
        else:
            moved.setdefault(group, {})[name] = value
    return renamed


def with_new_shapes(checkpoint: dict[str, Any]) -> None:
    """Gives `first_share` of a transformer, a scalar in older checkpoints, a dimension; FSDP2 shards no scalars.

    Args:
        checkpoint: is changed, the state of its optimizer included.
    """
    weights = checkpoint["state_dict"]
    scalars = [name for name, weight in weights.items() if name.endswith(".first_share") and weight.ndim == 0]
    weights.update({name: weights[name].reshape(1) for name in scalars})
    if not scalars:
        return
    for optimizer in checkpoint.get("optimizer_states", ()):
        for state in optimizer["state"].values():
            state.update(
                {name: mean.reshape(1) for name, mean in state.items() if name != "step" and not mean.ndim}
            )
