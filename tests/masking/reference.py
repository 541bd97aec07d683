"""What a masker does, once more: slow, one row and one number after the other, in plain Python."""

import math
import zlib

BITS = 2**64


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % BITS
    return x ^ (x >> 31)


def fold(key: int, number: int) -> int:
    return mix((key + number * 0x9E3779B97F4A7C15) % BITS)


class RowDraws:
    """The random numbers of one example in one epoch."""

    def __init__(self, seed: int, epoch: int, example: int):
        self.row = fold(fold(fold(0x9E3779B97F4A7C15, seed), epoch), example)

    def bits(self, stream: str, index: int | None = None) -> int:
        key = fold(self.row, zlib.crc32(stream.encode()))
        return key if index is None else fold(key, index)

    def uniform(self, stream: str, index: int | None = None) -> float:
        return ((self.bits(stream, index) >> 12) + 0.5) / 2**52


def runs(words: list[int], shares: list[float], draws: RowDraws) -> list[int]:
    """Unit ids of runs of words: lengths are drawn one after the other and laid out from the first word on."""
    run_of_word, run = [], 0
    while len(run_of_word) < len(words) + 1:
        u, length = draws.uniform("runs", run), 1
        while length < len(shares) and u >= math.fsum(shares[:length]):
            length += 1
        run_of_word += [run] * length
        run += 1
    units, unit, before = [], -1, None
    for word in words:
        if word < 0:
            units.append(-1)
            before = None
            continue
        if run_of_word[word] != before:
            unit += 1
        before = run_of_word[word]
        units.append(unit)
    return units


def order(members: dict[int, list[int]], weights: list[float] | None, draws: RowDraws) -> list[int]:
    """The unit ids in the order in which they are taken; those of weight 0 are left out."""
    if weights is None:
        return sorted(members, key=lambda unit: (draws.bits("order", unit) % 2**63) >> 16)
    race = {}
    for unit, positions in members.items():
        weight = sum(weights[position] for position in positions) / len(positions)
        if weight > 0:
            race[unit] = -math.log(draws.uniform("order", unit)) / weight
    return sorted(race, key=race.__getitem__)


def choose(
    units: list[int], weights: list[float] | None, budget: int, room: int, draws: RowDraws, single: bool
) -> set[int]:
    """The positions that are hidden."""
    members: dict[int, list[int]] = {}
    for position, unit in enumerate(units):
        if unit >= 0:
            members.setdefault(unit, []).append(position)
    if members and all(len(positions) > room for positions in members.values()):
        members = {position: [position] for positions in members.values() for position in positions}
    members = {unit: positions for unit, positions in members.items() if len(positions) <= room}
    ranked = order(members, weights, draws)
    sizes = [len(members[unit]) for unit in ranked]
    available = sum(sizes)
    limit = math.inf
    if available > budget:
        covering = sum(size * size for size in sizes) / available
        limit = max(budget - covering * draws.uniform("limit"), 0.5)
    hidden: set[int] = set()
    before = 0
    for unit, size in zip(ranked, sizes, strict=True):
        if single and len(hidden) == budget:
            break
        if before < limit and before + size <= room:
            hidden.update(members[unit])
        before += size
    return hidden


def show(ids: list[int], hidden: set[int], units: list[int], corruption, draws: RowDraws, mask_id: int, ordinary):
    """What stands in the row."""
    out = list(ids)
    for position in hidden:
        lot = draws.uniform("corruption", units[position] if corruption.per == "unit" else position)
        if lot < corruption.mask:
            out[position] = mask_id
        elif lot < corruption.mask + corruption.random:
            out[position] = ordinary[math.floor(draws.uniform("replacement", position) * len(ordinary))]
    return out
