"""The shards of a corpus: runs of its files, whose documents and tokens are folders of their own in the cache.

Which files are a shard depends on their order, sizes and names alone, so that a file that is added or changed makes
one shard anew, on any number of processes or machines. A file of 16 MiB or more is a shard by itself; smaller ones
are gathered in runs of about that size, each of which ends where a hash of a name says so.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from maskwright.corpora.recipe import Recipe, SourceRecipe
from maskwright.corpora.splits import place_of

_BYTES = 16 * 2**20


def sharded(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """Returns the shards of a corpus in order, with the names of their sources; or the corpus itself.

    Sources with tags, which are numbered throughout, make one shard with all others. So does by itself a source
    with a limit, which counts over all of its files, and one that is not read file by file.
    """
    if any(own.source.tags is not None for own in recipe.sources.values()):
        return [("", recipe)]
    shards = [(name, Recipe({"": part})) for name, own in recipe.sources.items() for part in _parts(own)]
    return shards if len(shards) > 1 else [("", recipe)]


def _parts(recipe: SourceRecipe) -> list[SourceRecipe]:
    splits = "+".join(recipe.named).split("+")
    files = recipe.source.files_in_order(splits) if recipe.limit is None else None
    if files is None or len({*splits}) < len(splits):
        return [recipe]
    runs = _runs(path for _, path in files)
    return [recipe] if len(runs) < 2 else [replace(recipe, source=recipe.source.only({*run})) for run in runs]


def _runs(files: Iterable[Path]) -> list[list[Path]]:
    """Cuts files into the runs that are shards."""
    runs: list[list[Path]] = []
    ended = True
    for path in files:
        size = path.stat().st_size
        if ended or size >= _BYTES:
            runs.append([])
        runs[-1].append(path)
        ended = place_of(str(path.resolve())) < size / _BYTES
    return runs
