"""Writes folders for LiteRT, the successor of TensorFlow Lite: a file for phones and small machines.

Shapes are fixed there, so that the file has a signature for each of a few lengths, of one row each. The converter
wants packages of its own, which lie in an environment beside that of this package and run in their own process.

Shapes: T positions, K of them.
"""

import contextlib
import io
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.export import card
from maskwright.export.check import Inputs, Outputs
from maskwright.export.description import describe
from maskwright.export.graph import Exportable, refuse_pairs, untraceable
from maskwright.export.programs import with_litert
from maskwright.export.tokenizer import write_tokenizer
from maskwright.models import BigramHead

MODEL = "model.tflite"
ENVIRONMENT = Path(__file__).parents[3] / ".venv-litert"  # what `make litert` makes
MASKS = 8  # K of a signature that predicts tokens
_LENGTHS = (32, 128, 512)  # T of signatures, beside the most positions of a row
_PROGRAMS = Path(__file__).parent


class LiteRT:
    """See `Format`."""

    quantizes = True

    def write(self, own: Exportable, folder: Path, quantize: str | None) -> None:
        refuse_pairs("litert", own)
        _check(own)
        with tempfile.TemporaryDirectory() as kept:
            lengths = lengths_of(own)
            console().print(f"Converting for rows of {', '.join(map(str, lengths))} tokens, which takes a minute.")
            for length in lengths:
                torch.export.save(_traced(own, length), Path(kept) / f"length_{length}.pt2")
            _run("litert_convert.py", kept, folder / MODEL, *([] if quantize is None else ["--int8"]))
        describe(own, folder)
        write_tokenizer(own, folder, ready=True)
        card.write(own, folder, with_litert(own))

    def open(self, own: Exportable, folder: Path) -> Outputs:
        longest = lengths_of(own)[-1]

        def outputs(inputs: Inputs) -> Any:
            if (length := int(inputs["attention_mask"].sum(1).max())) > longest:
                raise UserError(f"format=litert has no signature for {length} tokens. Texts of file are too long.")
            with tempfile.TemporaryDirectory() as kept:
                given, found = Path(kept) / "inputs.npz", Path(kept) / "outputs.npy"
                np.savez(given, **inputs)  # type: ignore[arg-type]
                _run("litert_run.py", folder / MODEL, given, found)
                return np.load(found)

        return outputs


def lengths_of(own: Exportable) -> list[int]:
    """Returns T of each signature, ascending."""
    longest = own.max_length or _LENGTHS[-1]
    return [*(length for length in _LENGTHS if length < longest), longest]


def _check(own: Exportable) -> None:
    """Raises a UserError if the converter is not installed, or for a model that it cannot express."""
    if any(isinstance(part, nn.RNNBase) for part in own.module.modules()):
        raise UserError("format=litert cannot express an LSTM, whose rows are packed by length. Use format=onnx.")
    if any(isinstance(part, BigramHead) for part in own.module.modules()):
        raise UserError(
            "format=litert cannot express counts of neighbours in the logits, which LiteRT does not scatter. Use "
            "format=onnx, or a run with model.bigrams=0."
        )
    if not (ENVIRONMENT / ".installed").exists():
        raise UserError("format=litert needs an environment of its own, of 2 GB. Make it once: make litert")


def _traced(own: Exportable, length: int) -> torch.export.ExportedProgram:
    """Returns the module as a program for rows of T positions.

    Raises:
        UserError: PyTorch cannot trace it.
    """
    count = length if own.kind == "tags" else MASKS
    shapes = {"input_ids": length, "attention_mask": length, "positions": count, "cases": count}
    inputs = {name: torch.zeros(1, shapes[name], dtype=torch.int64) for name in own.inputs}
    inputs["attention_mask"] += 1
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # where it prints whole graphs
            warnings.simplefilter("ignore")
            return torch.export.export(own.module, (), inputs)
    except Exception as error:  # of many classes, and those of torch.export are not public
        raise UserError(f"{untraceable('litert', own, error)} format=onnx may still write it.") from error


def _run(program: str, *arguments: Any) -> None:
    """Runs a program of this folder in the environment of LiteRT.

    Raises:
        UserError: it fails.
    """
    done = subprocess.run(
        [ENVIRONMENT / "bin" / "python", _PROGRAMS / program, *arguments], capture_output=True, text=True
    )
    if done.returncode:
        said = [f"it ended with status {done.returncode}", *done.stderr.strip().splitlines()]
        raise UserError(f"format=litert: {program} failed: {said[-1 if done.returncode > 0 else 0]}")
