"""The formats that a model can be exported to."""

from pathlib import Path
from typing import Protocol

from maskwright.export.check import Outputs
from maskwright.export.graph import Exportable
from maskwright.export.hf import HuggingFace


class Format(Protocol):
    """One format.

    Attributes:
        exact: whether outputs stay those of the model in float32, but for rounding.
    """

    exact: bool

    def write(self, own: Exportable, folder: Path) -> None:
        """Writes files into an empty folder.

        Raises:
            UserError: the format cannot express the model.
        """

    def open(self, own: Exportable, folder: Path) -> Outputs:
        """Opens what was written, as those would who have these files alone."""


FORMATS: dict[str, Format] = {"hf": HuggingFace()}
