"""Draws a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.core.atomic import write_file


def draw(confusion: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Writes a PNG.

    Args:
        confusion: (C, C) how many examples of the row's class were predicted as the column's.
        names: the names of the C classes.
    """
    from matplotlib.figure import Figure  # takes a second to import

    size = min(3 + 0.5 * len(names), 20)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set(xlabel="predicted", ylabel="label")
    for row in range(len(names)):
        for column in range(len(names)):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", color=colour)
    write_file(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
