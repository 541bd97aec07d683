"""Writes the report of a study anew, from the values by arm and seed that it keeps.

    python scripts/studies/reporting.py logs/studies/masking/study.json

Writes the tables and the picture beside the file and with its name: study.md and study.svg. A study does the same
whenever one of its parts ends. In a document with the lines `<!-- study -->` and `<!-- end -->`, only what is
between them is replaced.
"""

import argparse
import re
import statistics
from pathlib import Path

from figures import Study, read
from findings import describe

from maskwright.core.atomic import write_file
from maskwright.core.errors import ends_with_an_error

BLOCK = re.compile(r"(<!-- study -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="the study.json of studies")
    arguments = parser.parse_args()
    with ends_with_an_error():
        for path in arguments.files:
            write(path, read(path))


def write(path: Path, study: Study) -> None:
    """Writes the tables and the picture of a study, beside its JSON file `path`; each completely or not at all."""
    document = path.with_suffix(".md")
    text = written(document.read_text(encoding="utf-8") if document.is_file() else "", study)
    write_file(document, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    write_file(path.with_suffix(".svg"), lambda temporary: draw(temporary, study))


def written(document: str, study: Study) -> str:
    """Returns a document with the tables of a study between its marks, or these tables alone if it has none."""
    text = f"{table(study)}\n{describe(study)}"
    return BLOCK.sub(lambda block: block[1] + text + block[2], document) if BLOCK.search(document) else text


def table(study: Study) -> str:
    """Returns mean ± standard deviation of each arm as Markdown."""
    heads = [f"{metric.title}{', %' * metric.percent}" for metric in study.values]
    lines = ["| | seeds | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for arm in study.arms():
        cells = [str(max(len(values.get(arm, {})) for values in study.values.values()))]
        for metric, values in study.values.items():
            own = values.get(arm, {}).values()
            spread = f" ± {metric.show(statistics.stdev(own))}" if len(own) > 1 else ""
            cells.append(f"{metric.show(statistics.mean(own))}{spread}" if own else "")
        lines.append(f"| `{arm}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(path: Path, study: Study) -> None:
    """Draws one panel per main metric: a dot for each seed, and mean and standard deviation of each arm."""
    import matplotlib
    from matplotlib.figure import Figure

    arms = study.arms()
    drawn = {metric: values for metric, values in study.values.items() if metric.main}
    figure = Figure(figsize=(3.2 * len(drawn) + 1, 0.4 * len(arms) + 1.6), layout="constrained")
    for number, (metric, values) in enumerate(drawn.items()):
        axes = figure.add_subplot(1, len(drawn), number + 1)
        scale = 100 if metric.percent else 1
        for place, arm in enumerate(arms):
            own = [scale * value for value in values.get(arm, {}).values()]
            if own:
                axes.plot(own, [place] * len(own), "o", color="#9aa7b8", markersize=4)
                spread = statistics.stdev(own) if len(own) > 1 else 0
                axes.errorbar(statistics.mean(own), place, xerr=spread, fmt="|", color="#1f4e8c", capsize=3)
        axes.set_yticks(range(len(arms)), arms if number == 0 else [""] * len(arms))
        axes.set_ylim(len(arms) - 0.5, -0.5)
        axes.set_title(f"{metric.title}{', %' if metric.percent else ''}", fontsize=9)
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(study.title, fontsize=10)
    with matplotlib.rc_context({"svg.hashsalt": study.title}):  # the same file for the same values
        figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
