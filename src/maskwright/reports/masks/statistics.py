"""What a mask does over many draws."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from maskwright.annotations.shards import Shard
from maskwright.masking import Masker


@dataclass(frozen=True)
class Statistics:
    """What a mask did over many draws of some texts.

    Attributes:
        ratio: share of the maskable tokens that were hidden.
        units: how many hidden units had each number of words.
        words: pairs of a word and the share of draws in which it was hidden, most often first; the mean
            where a word occurs several times.
    """

    ratio: float
    units: dict[int, float]
    words: list[tuple[str, float]]


def statistics(
    masker: Masker, batch: dict[str, Tensor], shard: Shard, draws: int, progress: float = 0.0
) -> Statistics:
    """Counts over `draws` epochs."""
    assert shard.texts is not None
    assert shard.offsets is not None
    hidden, maskable = 0, 0
    lengths: Counter[int] = Counter()
    often: dict[str, list[float]] = {}
    begins = [0, *shard.ends[:-1].tolist()]
    for row, text in enumerate(shard.texts):
        many = {name: tensor[row : row + 1].expand(draws, *tensor.shape[1:]) for name, tensor in batch.items()}
        many["epochs"] = torch.arange(draws)
        units, masked = masker.units_in(many, progress), masker(many, progress)
        chosen = torch.zeros(many["input_ids"].shape, dtype=torch.bool)
        at = torch.where(masked.valid)
        chosen[at[0], masked.positions[at]] = True
        words = many["words"]
        hidden += int(chosen.sum())
        maskable += int((words >= 0).sum())
        # a pair of unit and word counts once; then the words of each unit are counted
        pairs = torch.stack((at[0], units[chosen], words[chosen])).unique(dim=1)
        _, sizes = pairs[:2].unique(dim=1, return_counts=True)
        lengths.update(sizes.tolist())
        shares = chosen.double().mean(0).numpy()
        own = words[0].numpy()
        offsets = shard.offsets[begins[row] : shard.ends[row] - 1]
        for word in np.unique(own[own >= 0]):
            positions = np.flatnonzero(own == word)
            spelled = text[offsets[positions[0] - 1, 0] : offsets[positions[-1] - 1, 1]].strip()
            often.setdefault(spelled, []).append(float(shares[positions].mean()))
    total = sum(lengths.values())
    ranked = sorted(((word, float(np.mean(shares))) for word, shares in often.items()), key=lambda pair: -pair[1])
    return Statistics(hidden / max(maskable, 1), {n: count / total for n, count in sorted(lengths.items())}, ranked)


def table(found: Statistics, draws: int, number: int = 6) -> Table:
    """The statistics on the terminal."""
    shown = Table(title=f"Over {draws:,} draws", show_header=False)
    shown.add_row("hidden tokens", f"{found.ratio:.1%}")
    shown.add_row("words of a unit", _listed([(str(n), share) for n, share in found.units.items()]) or "none")
    shown.add_row("most often hidden", _listed(found.words[:number]))
    shown.add_row("least often hidden", _listed(found.words[::-1][:number]))
    return shown


def _listed(pairs: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in pairs).replace("[", r"\[")
