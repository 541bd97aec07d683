"""A slow reference implementation of maskers in plain Python, for one row and one number at a time."""

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

    def signed(self, stream: str, index: int) -> int:
        bits = self.bits(stream, index)
        return bits - BITS if bits >= BITS // 2 else bits

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
    units: list[int], weights: list[float] | None, budget: int, max_length: int, draws: RowDraws, single: bool
) -> set[int]:
    """The positions that are hidden."""
    members: dict[int, list[int]] = {}
    for position, unit in enumerate(units):
        if unit >= 0:
            members.setdefault(unit, []).append(position)
    fitting = {unit: positions for unit, positions in members.items() if len(positions) <= max_length}
    ranked = order(fitting, weights, draws)
    if members and not ranked:
        fitting = {position: [position] for positions in members.values() for position in positions}
        ranked = order(fitting, weights, draws)
    sizes = [len(fitting[unit]) for unit in ranked]
    available = sum(sizes)
    limit = math.inf
    if available > budget:
        covering = sum(size * size for size in sizes) / available
        limit = max(budget - covering * draws.uniform("limit"), 0.5)
    hidden: set[int] = set()
    before = 0
    for unit, size in zip(ranked, sizes, strict=True):
        if before >= (budget if single else limit):
            break
        hidden.update(fitting[unit])
        before += size
    return hidden


def blocks(places: list[int], columns: int, smallest: int, aspect, attempts: int, budget: int, draws: RowDraws):
    """The cells of each rectangle, in order, on a grid whose cells are numbered line by line."""
    maskable = len(places)
    lines = -(-maskable // columns)
    left, covered, found = min(budget, maskable), set(), []
    for number in range(attempts):
        area, shape, top, side = (draws.uniform("blocks", 4 * number + i) for i in range(4))
        least = min(smallest, left)
        area = least + area * (left - least)
        shape = math.exp(math.log(aspect[0]) + shape * (math.log(aspect[1]) - math.log(aspect[0])))
        height = min(max(round(math.sqrt(area * shape)), 1), lines)
        width = min(max(round(math.sqrt(area / shape)), 1), columns)
        top, side = int(top * (lines - height + 1)), int(side * (columns - width + 1))
        cells = {
            line * columns + column for line in range(top, top + height) for column in range(side, side + width)
        }
        new = {cell for cell in cells if cell < maskable} - covered
        if new and len(new) <= left:
            found.append(new)
            covered |= new
            left -= len(new)
    singles = sorted(set(range(maskable)) - covered, key=lambda cell: draws.signed("singles", places[cell]))[:left]
    return found + [{cell} for cell in singles]


def show(ids, hidden: set[int], units, corruption, draws: RowDraws, mask_id: int, ordinary, counts) -> list[int]:
    """Returns the tokens of the corrupted row."""
    urn = (
        [i for i in ordinary for _ in range(counts[i] + 1)] if corruption.replacements == "frequency" else ordinary
    )
    out = list(ids)
    for position in hidden:
        draw = draws.uniform("corruption", units[position] if corruption.per == "unit" else position)
        if draw < corruption.mask:
            out[position] = mask_id
        elif draw < corruption.mask + corruption.random:
            out[position] = urn[math.floor(draws.uniform("replacement", position) * len(urn))]
    return out
