"""The formats that a model can be exported to."""

from pathlib import Path
from typing import Protocol

from maskwright.export.check import Outputs
from maskwright.export.graph import Exportable
from maskwright.export.hf import HuggingFace
from maskwright.export.litert import LiteRT
from maskwright.export.onnx import Onnx


class Format(Protocol):
    """One format.

    Attributes:
        quantizes: whether weights can be written with fewer bits.
    """

    quantizes: bool

    def write(self, own: Exportable, folder: Path, quantize: str | None) -> None:
        """Writes files into an empty folder.

        Args:
            quantize: int8 writes weights of 8 bits; None keeps float32.
        Raises:
            UserError: the format cannot express the model.
        """

    def open(self, own: Exportable, folder: Path) -> Outputs:
        """Opens what was written, as those would who have these files alone."""


FORMATS: dict[str, Format] = {"hf": HuggingFace(), "onnx": Onnx(), "litert": LiteRT()}
