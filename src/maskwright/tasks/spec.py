"""The specification of a task, which is known before it is built."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from maskwright.data.label_spec import LabelKind


@dataclass(frozen=True)
class Metric:
    """A number that an evaluation logs as `<split>/<name>`.

    Args:
        better: whether lower (`min`) or higher (`max`) values are better.
        of_labels: whether it is also logged for each class or kind of entity, as `<split>/<name>/<label>`.
    """

    name: str
    better: Literal["min", "max"]
    of_labels: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """What a task with given settings needs and provides.

    Attributes:
        label_kind: the kind of labels that it learns from; None if it needs text alone.
        metrics: the metrics of an evaluation.
        primary: the name of the metric that models are compared by.
        predicts_tokens: whether it has a head for masked tokens.
        needs_masks: whether masks that hide nothing leave nothing to learn, in training or in evaluation.
        predicts_texts: whether it makes predictions for texts without labels, see `LabelledTask.collect`.
        reads_causally: whether its encoder has to accept causal masks, see `Encoder.can_be_causal`.
        weighs_ratios: whether the ratio of its mask has to say what a loss under it counts for, see `Diffusion`.
        learns_counts: whether models of counts learn it, see `Encoder.learns_from_counts`.
        reads_neighbours: whether its head for masked tokens may be a `BigramHead`.
        translates: whether it writes a text for a text, see `Translation.translate`, and hides the one from the
            other in a row.
    """

    label_kind: LabelKind | None
    metrics: tuple[Metric, ...]
    primary: str
    predicts_tokens: bool
    needs_masks: bool = False
    predicts_texts: bool = False
    reads_causally: bool = False
    weighs_ratios: bool = False
    learns_counts: bool = False
    reads_neighbours: bool = False
    translates: bool = False

    def metric(self, name: str) -> Metric | None:
        """Returns the metric of this name; None if there is none."""
        return next((metric for metric in self.metrics if metric.name == name), None)


class Baseline(NamedTuple):
    """The loss of a model that ignores its input.

    Attributes:
        value: the loss, in its units.
        name: how the loss is obtained, and its units.
    """

    value: float
    name: str
