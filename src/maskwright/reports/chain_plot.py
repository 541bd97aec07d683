"""A picture of Markov chains: their energies, and how many of their steps were accepted.

Shapes: C chains, W sweeps.
"""

from pathlib import Path

import numpy as np

from maskwright.core.atomic import write_file


def draw_chains(path: Path, energies: np.ndarray, accepted: np.ndarray | None, burn_in: int, unit: str) -> None:
    """Writes a PNG file.

    Args:
        energies: (C, W + 1), before the first sweep and after each.
        accepted: (C, W), the share of the steps of each sweep that were accepted; None draws energies alone.
        burn_in: sweeps before the first sample, which a line shows.
        unit: what an energy is, for its axis.
    """
    from matplotlib.figure import Figure  # takes a second to import

    figure = Figure(figsize=(8, 4 if accepted is None else 6.5), layout="constrained")
    axes = figure.subplots(1 if accepted is None else 2, squeeze=False, sharex=True)[:, 0]
    for energy in energies:
        axes[0].plot(energy, linewidth=0.8, alpha=0.7)
    axes[0].set(ylabel=unit, title=f"{len(energies)} chains")
    if accepted is not None:
        sweeps = np.arange(1, accepted.shape[1] + 1)
        for share in accepted:
            axes[1].plot(sweeps, share, linewidth=0.8, alpha=0.4)
        axes[1].plot(sweeps, accepted.mean(0), color="black", label=f"mean, {accepted.mean():.1%} over all sweeps")
        axes[1].set(ylabel="share of steps accepted", ylim=(-0.02, 1.02))
        axes[1].legend()
    for own in axes:
        own.axvline(burn_in, color="grey", linestyle="--")
        own.grid(alpha=0.3)
    axes[-1].set(xlabel="sweeps; the first sample is taken at the dashed line")
    write_file(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
