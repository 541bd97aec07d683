"""Compare runs and sweeps in one page. See `python src/report.py --help`."""

import argparse
from pathlib import Path

from maskwright.core.errors import ends_with_an_error
from maskwright.reports.comparison import FORMATS, report


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Turns runs and sweeps into one page. It composes no config, so it takes options, not keys.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, help="runs, sweeps, or folders that hold them at any depth"
    )
    parser.add_argument("--format", choices=FORMATS, default="html", help="default: html")
    parser.add_argument("--output", type=Path, help="the file to write; report.html or report.md by default")
    parser.add_argument("--metric", help="the quality to compare by; test/loss where runs have it")
    arguments = parser.parse_args()
    with ends_with_an_error():
        path, count = report(arguments.folders, arguments.format, arguments.output, arguments.metric)
    print(f"{count} run{'s' * (count != 1)} in {path}")


if __name__ == "__main__":
    main()
