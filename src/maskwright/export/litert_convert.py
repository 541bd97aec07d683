"""Converts programs of `torch.export` into one file of LiteRT: `litert_convert.py programs/ model.tflite [--int8]`.

It runs in the environment that `make litert` makes, without this package. Each `<name>.pt2` becomes a signature of
that name; they share their weights.
"""

import sys
from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import quantizer, recipe

if __name__ == "__main__":
    programs, target, *options = sys.argv[1:]
    converter = litert_torch.Converter()
    for path in sorted(Path(programs).glob("*.pt2")):
        program = torch.export.load(path)
        positional, named = program.example_inputs
        converter.signature(path.stem, program.module(check_guards=False), positional, named)
    converter.convert().export(target)
    if "--int8" in options:  # weights; activations are rounded as they come
        small = quantizer.Quantizer(target, recipe.dynamic_wi8_afp32()).quantize()
        small.export_model(target, overwrite=True)
