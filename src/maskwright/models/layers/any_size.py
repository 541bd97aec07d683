"""Tables that take the size of what is loaded."""

from collections.abc import Mapping
from typing import Any

from torch import nn


class AnySize(nn.Module):
    """The base class of modules whose own buffers take the size of those in a checkpoint: a new table is empty."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in dict(self.named_buffers(recurse=False)).items():
            if (saved := state_dict.get(prefix + name)) is not None:
                setattr(self, name, buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
