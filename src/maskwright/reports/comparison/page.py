"""The comparison of runs as one HTML page that needs nothing else."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from maskwright.reports.comparison.compare import SEED, lines, numeric_keys, shown
from maskwright.reports.comparison.content import Content
from maskwright.reports.comparison.gather import Curve

_POINTS = 60_000  # of all curves together, about 1 MB


def render(content: Content) -> str:
    """Returns the page."""
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    head, rows = content.run_rows()
    runs = [[f'<a href="{escape(quote(row[0] or "."))}/">{escape(row[0])}</a>', _status(row[1])] for row in rows]
    body = [link + [escape(cell) for cell in row[2:]] for link, row in zip(runs, rows, strict=True)]
    tables = ""
    if content.groups and content.quality:
        group_head, group_rows = content.group_rows()
        tables += _table("Means over seeds", group_head, [[escape(cell) for cell in row] for row in group_rows])
    tables += _table("Runs", head, body)
    if problems := content.problems():
        items = "".join(f"<li><b>{escape(name)}</b> {escape(text)}</li>" for name, text in problems)
        tables += f'<section><h2>Problems</h2><ul class="problems">{items}</ul></section>'
    if content.equal:
        rows = [[escape(key), escape(shown(value))] for key, value in content.equal.items()]
        inner = _table("Equal in all runs", ["setting", "value"], rows)
        tables += f"<details><summary>{len(rows)} settings are equal in all runs</summary>{inner}</details>"
    # "<" is escaped so that no text can end the script
    data = json.dumps(_plots(content), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    states = [run.status for run in content.runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    title = f"{len(states)} run{'s' * (len(states) != 1)}"
    parts = {"TITLE": title, "HEADING": title, "COUNTS": escape(counts), "TABLES": tables, "DATA": data}
    for name, text in parts.items():
        before, after = template.split(f"<!--{name}-->", 1)
        template = before + text + after
    return template


def _status(status: str) -> str:
    known = status if status in ("completed", "failed", "interrupted") else "unfinished"
    return f'<span class="status {known}">{escape(status)}</span>'


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table that sorts by click; its cells are HTML."""
    cells = "".join(f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in head)
    body = "".join(
        "<tr>"
        + "".join(f'<th scope="row">{c}</th>' if not i else f"<td>{c}</td>" for i, c in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f'<section><h2>{title}</h2><div class="wide" tabindex="0" role="region" aria-label="{title}"><table>'
        f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _plots(content: Content) -> dict[str, Any]:
    """Returns the data of the plots: curves by metric, and the quality by each numeric key."""
    of_run = {id(run): at for at, group in enumerate(content.groups) for run in group.runs}
    total = sum(len(run.curves) for run in content.runs)
    most = max(12, min(200, _POINTS // max(1, total)))
    curves: dict[str, list[dict[str, Any]]] = {}
    for name, run in zip(content.names, content.runs, strict=True):
        for metric, curve in run.curves.items():
            line = {"run": name, "group": of_run.get(id(run), -1), "points": _thin(curve, most)}
            curves.setdefault(metric, []).append(line)
    keys = [key for key in content.keys if key != SEED]
    quality = content.quality or ""
    swept = {key: lines(content.groups, keys, key, quality) for key in numeric_keys(content.runs, keys)}
    order = ("validation/loss", "train/loss", "validation/", "train/")
    return {
        "groups": [group.label for group in content.groups],
        "curves": dict(
            sorted(curves.items(), key=lambda item: next(i for i, o in enumerate(order) if item[0].startswith(o)))
        ),
        "quality": quality,
        "swept": {key: found for key, found in swept.items() if found},
    }


def _thin(curve: Curve, most: int) -> list[list[float]]:
    """Returns at most `most` points at even distances, the first and the last among them."""
    last = len(curve) - 1
    chosen = range(last + 1) if last < most else [round(i * last / (most - 1)) for i in range(most)]
    return [[curve[i][0], float(f"{curve[i][1]:.5g}")] for i in chosen]
