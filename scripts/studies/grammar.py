"""Trains a model with several seeds and scores minimal pairs with each, as a table by phenomenon.

    python scripts/studies/grammar.py --pairs ../shared/data/phueb/Zorro --overrides experiment=fast_mini \\
        data=wikipedia data.source=../shared/data/wikimedia/wikipedia data.block_size=64 data.batch_size=32

Accuracies are means over the paradigms of a phenomenon; those of several seeds are given as their mean and standard
deviation. Beside them stand the same architecture untrained, which shows what its tokenizer and its length alone
do, and a model for which all tokens are equally probable. Runs that have finished are not made again, nor are their
scores. Writes grammar.json and grammar.md into the folder.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies import ROOT, call, run

from maskwright.core.atomic import write_file
from maskwright.core.errors import ends_with_an_error

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="a file or folder of minimal pairs")
    parser.add_argument("--limit", type=int, help="pairs of each paradigm; all of them if it is left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "studies" / "grammar")
    parser.add_argument("--overrides", nargs="*", default=[], help="of all runs: experiment=…")
    arguments = parser.parse_args()
    found: dict[int, list[Row]] = {}
    for seed in arguments.seeds:
        folder = arguments.folder / f"seed-{seed}"
        run(folder, [*arguments.overrides, f"seed={seed}"])
        found[seed] = scored(folder, arguments.pairs.resolve(), arguments.limit)
        write(arguments.folder, found)
    print((arguments.folder / "grammar.md").read_text())


def scored(run_dir: Path, pairs: Path, limit: int | None) -> list[Row]:
    """Returns the rows that `src/score.py` writes for the pairs, without the outcome of each pair.

    Raises:
        RuntimeError: it fails.
    """
    output = run_dir / f"pairs-{pairs.name}-{limit or 'all'}.jsonl"
    if not output.is_file():
        given = [f"run={run_dir}", f"pairs={pairs}", f"output={output}"]
        job = call(run_dir / "scoring", "score.py", [*given, f"limit={limit or 'null'}"])
        if job.status:
            raise RuntimeError(f"{run_dir} could not be scored: {job.error()}")
    rows = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    return [{key: value for key, value in row.items() if key != "outcomes"} for row in rows]


def write(folder: Path, found: dict[int, list[Row]]) -> None:
    """Writes what has been found so far."""
    lines = ["| | " + " | ".join(f"seed {seed}" for seed in found) + " | mean | untrained | constant |"]
    lines.append("|---" * (len(found) + 4) + "|")
    for rows in zip(*found.values(), strict=True):
        if rows[0]["level"] != "paradigm":
            lines.append(_line(rows))
    content = json.dumps(found, indent=1) + "\n"
    text = "\n".join(lines) + "\n"
    write_file(folder / "grammar.md", lambda path: path.write_text(text, encoding="utf-8"))
    write_file(folder / "grammar.json", lambda path: path.write_text(content, encoding="utf-8"))


def _line(rows: Sequence[Row]) -> str:
    shares = [100 * row["accuracy"] for row in rows]
    mean = f"{statistics.fmean(shares):.1f}" + (f" ± {statistics.stdev(shares):.1f}" if len(shares) > 1 else "")
    untrained = statistics.fmean(100 * row["untrained"] for row in rows)
    cells = [*(f"{share:.1f}" for share in shares), mean, f"{untrained:.1f}", f"{100 * rows[0]['constant']:.1f}"]
    return f"| {rows[0]['name'].replace('_', ' ')} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    with ends_with_an_error():
        main()
