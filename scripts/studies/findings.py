"""What the seeds of a study show about its arms, and what they leave open."""

import math
import textwrap
from dataclasses import dataclass

from figures import Metric, Study

from maskwright.reports.statistics import Comparison, Estimate, compare, holm, seeds_needed, smallest_difference

ALPHA, POWER = 0.05, 0.8
WIDTH = 120  # of a line in documents


@dataclass(frozen=True)
class Finding:
    """One arm compared with the baseline.

    Attributes:
        p: of the t-test, corrected for all comparisons of the study.
        p_equivalence: the same of the tests of equivalence; None without a margin.
    """

    metric: Metric
    arm: str
    found: Comparison
    p: float
    p_equivalence: float | None

    @property
    def verdict(self) -> str:
        within = self.p_equivalence is not None and self.p_equivalence < ALPHA
        if self.p >= ALPHA:
            return "equivalent" if within else "open"
        return ("higher" if self.found.difference.value > 0 else "lower") + ", within the margin" * within


def findings(study: Study) -> tuple[list[Finding], list[str]]:
    """Returns all comparisons with the baseline, and a sentence for each reason why some cannot be made.

    Arms are compared over the seeds that both have. The comparisons of all main metrics are one family.
    """
    made: list[tuple[Metric, str, Comparison]] = []
    problems: dict[tuple[str, str], list[str]] = {}  # arms, by metric and reason
    for metric, values in study.values.items():
        baseline = values.get(study.baseline, {})
        for arm in study.arms()[1:] if metric.main and baseline else []:
            own = values.get(arm, {})
            shared = own.keys() & baseline.keys()
            one, other = ({seed: side[seed] for seed in shared} for side in (own, baseline))
            try:
                if not shared:
                    raise ValueError(f"there is no seed in common with `{study.baseline}`")
                made.append((metric, arm, compare(one, other, metric.margin)))
            except ValueError as error:
                reason = f"{error}.".replace("?.", "?")
                problems.setdefault((metric.title, reason), []).append(f"`{arm}`")
    corrected = holm([found.p for _, _, found in made])
    equivalent = [found.p_equivalence for _, _, found in made if found.p_equivalence is not None]
    p_equivalence = iter(holm(equivalent))
    return [
        Finding(metric, arm, found, p, None if found.p_equivalence is None else next(p_equivalence))
        for (metric, arm, found), p in zip(made, corrected, strict=True)
    ], [f"{', '.join(arms)}, {title}: {reason}" for (title, reason), arms in problems.items()]


def describe(study: Study) -> str:
    """Returns the comparisons of a study with its baseline, as Markdown."""
    made, problems = findings(study)
    parts = []
    if made:
        parts += [_method(study, made), _table(study, made), _metrics(made)]
    if problems:
        parts.append("Not compared:\n\n" + "\n".join(f"- {problem}" for problem in problems) + "\n")
    return "\n".join(parts)


def _method(study: Study, made: list[Finding]) -> str:
    least, most = (side(finding.found.n for finding in made) for side in (min, max))
    seeds = f"{least} seeds" if least == most else f"{least} to {most} seeds"
    with_margin = sum(one.p_equivalence is not None for one in made)
    corrected = f"both are corrected by Holm's method for the {len(made)} comparisons of the study"
    if with_margin < len(made):
        corrected += f", p (equivalence) for the {with_margin} of them that have a margin"
    over_texts = (
        " Intervals over seeds and texts resample both (Sellam et al., 2022); few seeds make them too narrow."
    )
    return _filled(
        f"Differences to `{study.baseline}` are paired by seed, over {seeds}, with Student's t; intervals are of "
        "95 %, each of one comparison. p is that of no difference, and p (equivalence) that of a true difference "
        f"beyond the margin, by two one-sided tests (TOST); {corrected}. Where neither is below {ALPHA:g}, the "
        "comparison is open: the study shows neither a difference nor that it is too small to matter. A test that "
        "assumes no normal distribution, by flips of signs, cannot give a p below "
        f"{2 / 2**least:g} with {least} seeds." + (over_texts if study.over_texts else "")
    )


def _table(study: Study, made: list[Finding]) -> str:
    texts = study.over_texts
    heads = ["", "", "seeds", f"− {study.baseline}", "95 % interval", *(["over seeds and texts"] if texts else [])]
    heads += ["p (Holm)", "p (equivalence, Holm)", ""]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for one in made:
        difference = one.found.difference
        cells = [one.metric.title, f"`{one.arm}`", str(one.found.n), one.metric.show(difference.value, signed=True)]
        cells.append(_interval(one.metric, difference))
        if texts:
            cells.append(_interval(one.metric, texts.get(one.metric.title, {}).get(one.arm)))
        cells += [_p(one.p), _p(one.p_equivalence)]
        lines.append("| " + " | ".join([*cells, one.verdict]) + " |")
    return "\n".join(lines) + "\n"


def _metrics(made: list[Finding]) -> str:
    """What so many seeds can find in each metric, and what they leave open, as a list."""
    text = ""
    for metric in dict.fromkeys(one.metric for one in made):
        own = [one for one in made if one.metric == metric]
        undecided = [one for one in own if one.verdict == "open"]
        if undecided:
            low = metric.show(min(one.found.difference.low for one in undecided), signed=True)
            high = metric.show(max(one.found.difference.high for one in undecided), signed=True)
            arms = ", ".join(f"`{one.arm}`" for one in undecided)
            left_open = f"Open: {arms}; their intervals exclude differences beyond {low} and {high}."
        else:
            left_open = "Nothing is open."
        text += _filled(
            f"- {metric.title}{', %' * metric.percent}: {_found(metric, own, len(made))} {left_open}", "  "
        )
    return text


def _found(metric: Metric, made: list[Finding], family: int) -> str:
    """Which differences a study can find, by the standard deviation of single seeds, pooled over the arms."""
    freedom = sum(one.found.n - 1 for one in made)
    deviation = math.sqrt(sum((one.found.n - 1) * one.found.deviation**2 for one in made) / freedom)
    n = min(one.found.n for one in made)
    alone, first = (metric.show(smallest_difference(deviation, n, POWER, ALPHA / tests)) for tests in (1, family))
    text = (
        f"the standard deviation of a difference over seeds is {metric.show(deviation)}, pooled over the arms. "
        f"With it, {n} seeds find a true difference of {alone} in {100 * POWER:.0f} % of cases if it is the only "
        f"one tested, and of {first} at the level that Holm's method asks of the first of {family}."
    )
    if metric.margin is None:
        return text
    try:
        needed = f"{seeds_needed(metric.margin, deviation, POWER, ALPHA):,}"
    except ValueError:  # too many to count
        needed = "more than 100,000"
    return f"{text} The margin is {metric.show(metric.margin)}; {needed} seeds find that difference, tested alone."


def _filled(text: str, indent: str = "") -> str:
    lines = textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _interval(metric: Metric, found: Estimate | None) -> str:
    if found is None:
        return ""
    return f"[{metric.show(found.low, signed=True)}, {metric.show(found.high, signed=True)}]"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
