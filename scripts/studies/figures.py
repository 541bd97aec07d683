"""The figures of a study: what was measured for each arm and seed."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from maskwright.core.errors import UserError
from maskwright.reports.statistics import Estimate

Values = dict[str, dict[int, float]]  # by arm and seed


@dataclass(frozen=True)
class Metric:
    """A figure that a study compares.

    Args:
        title: its name in tables.
        percent: whether it is a share, which is shown in per cent.
        main: whether its differences are tested and drawn.
        margin: the difference that is too small to matter, as a share or in the unit of the metric; None tests no
            equivalence.
    """

    title: str
    percent: bool = True
    main: bool = True
    margin: float | None = None

    def show(self, value: float, signed: bool = False) -> str:
        return f"{100 * value if self.percent else value:{'+' if signed else ''}.{2 if self.percent else 3}f}"


@dataclass(frozen=True)
class Study:
    """The values of all finished parts.

    Attributes:
        title: heading of the picture.
        baseline: the arm that the others are compared with.
        values: of each metric, by arm and seed.
        over_texts: of metrics that count texts, the difference of each arm to the baseline with its interval over
            seeds and texts, by title and arm.
    """

    title: str
    baseline: str
    values: dict[Metric, Values]
    over_texts: dict[str, dict[str, Estimate]] = field(default_factory=dict)

    def arms(self) -> list[str]:
        """Returns the arms that have results, the baseline first."""
        names = {arm for values in self.values.values() for arm in values}
        return sorted(names, key=lambda arm: (arm != self.baseline, arm))

    def json(self) -> str:
        """Returns the study as JSON, which `read` reads."""
        metrics = [dataclasses.asdict(metric) for metric in self.values]
        values = {metric.title: values for metric, values in self.values.items()}
        content = {"title": self.title, "baseline": self.baseline, "metrics": metrics, "values": values}
        return json.dumps(content | {"over_texts": self.over_texts}, indent=1) + "\n"


def read(path: Path) -> Study:
    """Returns the study in a JSON file.

    Raises:
        UserError: the file is missing, or not one that a study wrote.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {
            Metric(**metric): {
                arm: {int(seed): float(value) for seed, value in seeds.items()}
                for arm, seeds in content["values"][metric["title"]].items()
            }
            for metric in content["metrics"]
        }
        over_texts = {
            title: {arm: Estimate(*found) for arm, found in arms.items()}
            for title, arms in content.get("over_texts", {}).items()
        }
        return Study(content["title"], content["baseline"], values, over_texts)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Name the study.json in the folder of a study.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not the study.json of a study ({type(error).__name__}: {error}). Studies of code before "
            "2026-11-26 write it anew when they are started again, from the runs that they keep."
        ) from error
