"""Runs a file of LiteRT on a batch of any shape: `litert_run.py model.tflite inputs.npz outputs.npy`.

It runs in the environment that `make litert` makes, without this package. Each row is cut to its tokens, and padded
to the shortest signature that it fits in; more positions than that has are asked for one part after another.

Shapes: B rows, T positions, K of them.
"""

import sys
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def outputs_of_row(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the outputs (K, C) at positions, or (C,), of inputs (T,) and (K,)."""
    tokens = inputs["attention_mask"].sum()
    needed = max(tokens, len(inputs.get("cases", ())))  # the cases of words read each other
    lengths = sorted(int(name.removeprefix("length_")) for name in model.get_signature_list())
    signature = model.get_signature_runner(f"length_{next(length for length in lengths if length >= needed)}")
    shapes = {name: details["shape"] for name, details in signature.get_input_details().items()}
    whole = {name: inputs[name][:tokens] for name in ("input_ids", "attention_mask")}
    if "positions" not in inputs:
        return call(signature, shapes, whole)
    count, size = len(inputs["positions"]), shapes["positions"][1]
    parts = []
    for at in range(0, max(count, 1), size):  # once where there are none, for the shape of the outputs
        some = {name: value[at : at + size] for name, value in inputs.items() if name not in whole}
        parts.append(call(signature, shapes, whole | some))
    return np.concatenate(parts)[:count]


def call(signature: Any, shapes: dict[str, Any], inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the outputs of a signature for inputs that are padded with zeros to its shapes."""
    padded = {name: np.zeros(shape, np.int32) for name, shape in shapes.items()}
    for name, value in inputs.items():
        padded[name][0, : len(value)] = value
    [outputs] = signature(**padded).values()
    return outputs[0].copy()  # a view into the memory of the model


if __name__ == "__main__":
    opened, given, found = Interpreter(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]
    columns = {name: given[name] for name in given.files}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    np.save(found, np.stack([outputs_of_row(opened, row) for row in rows]))
