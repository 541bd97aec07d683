"""Writes folders for ONNX Runtime: a graph for any number of rows and positions, and what reads its outputs."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.export import card
from maskwright.export.check import Outputs
from maskwright.export.description import describe
from maskwright.export.graph import Exportable, refuse_pairs, untraceable
from maskwright.export.programs import with_onnx
from maskwright.export.tokenizer import write_tokenizer
from maskwright.inference.graph import MODEL, Graph

_ROWS, _LENGTH, _POSITIONS = 2, 16, 3  # of the inputs that the graph is traced with; a size of 1 would stay fixed
_AXES = {  # of the arguments and of the output
    "input_ids": ("batch", "length"),
    "attention_mask": ("batch", "length"),
    "positions": ("batch", "positions"),
    "cases": ("batch", "positions"),
}
_ROUNDED = ["MatMul", "Gemm", "LSTM", "Gather"]  # int8 convolutions are slower than those of float32
_MOST = 2**31 - 2**24  # bytes of weights that fit in the same file as the graph


class Onnx:
    """See `Format`."""

    quantizes = True

    def write(self, own: Exportable, folder: Path, quantize: str | None) -> None:
        refuse_pairs("onnx", own)
        _check_packages()
        with _quiet():
            if quantize is None:
                _export(own, folder / MODEL)
            else:
                with tempfile.TemporaryDirectory() as kept:
                    path = Path(kept) / MODEL
                    _export(own, path)
                    _quantize(path, folder / MODEL)
        describe(own, folder)
        write_tokenizer(own, folder, ready=True)
        card.write(own, folder, with_onnx(own))

    def open(self, own: Exportable, folder: Path) -> Outputs:
        return Graph(folder)


def _check_packages() -> None:
    """Raises a UserError if a package is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f'format=onnx needs {error.name}: pip install "maskwright[onnx]"') from None


def _export(own: Exportable, path: Path) -> None:
    """Writes the graph.

    Raises:
        UserError: it cannot be traced.
    """
    names = list(own.inputs)
    axes = {name: dict(enumerate(_AXES[name])) for name in names}
    output = ["batch"] if own.kind in ("class", "labels", "value") else ["batch", "positions"]
    large = sum(weight.nbytes for weight in own.module.parameters()) > _MOST
    shared: dict[str, Any] = {"input_names": names, "output_names": ["logits"], "external_data": large}
    if any(isinstance(module, nn.RNNBase) for module in own.module.modules()):
        # rows of several lengths are packed, which torch.export does not know
        shared |= {"dynamo": False, "opset_version": 17, "dynamic_axes": axes | {"logits": dict(enumerate(output))}}
    else:
        shared |= {"dynamo": True, "dynamic_shapes": tuple(axes.values()), "verbose": False}
    try:
        torch.onnx.export(own.module, _example(own), path, **shared)
    except Exception as error:  # of many classes, and those of the exporters are not public
        raise untraceable("onnx", own, error) from error


def _example(own: Exportable) -> tuple[Tensor, ...]:
    length = min(_LENGTH, own.max_length or _LENGTH)
    ids = torch.full((_ROWS, length), own.tokenizer.cls_id)
    seen = torch.ones_like(ids)
    seen[1, length // 2 :] = 0
    found = {"input_ids": ids, "attention_mask": seen}
    for name in ("positions", "cases"):  # a tensor each: one that is given twice would be one input
        found[name] = torch.arange(_POSITIONS).repeat(_ROWS, 1)
    return tuple(found[name] for name in own.inputs)


def _quantize(path: Path, target: Path) -> None:
    """Writes a graph with weights of 8 bits; activations are rounded to 8 bits as they come.

    What transforms weights, as the transposition of a decoder that is tied to the embeddings, is done once before,
    else the result would be rounded anew in each call.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = path.with_name("ready.onnx")
    quant_pre_process(path, ready, skip_symbolic_shape=True)
    quantize_dynamic(ready, target, op_types_to_quantize=_ROUNDED, weight_type=QuantType.QInt8, per_channel=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what the exporters say about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
