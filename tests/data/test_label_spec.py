"""The specification of labels, which a task is built from."""

import json
import math

import pytest

from maskwright.data.label_spec import LabelSpec

CLASSES = LabelSpec("class", ("bad", "good"), (3, 1))
TAGS = LabelSpec("tags", ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"), (6, 1, 1, 0, 0))
PLAIN = LabelSpec("tags", ("DT", "NN"), (1, 2), entities=False)
VALUES = LabelSpec("value", mean=2.5, std=0.5)


@pytest.mark.parametrize("spec", [CLASSES, TAGS, PLAIN, VALUES, LabelSpec("class", ("a", "b"))])
def test_a_specification_survives_a_checkpoint(spec):
    assert LabelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_kinds_are_the_kinds_of_entities_or_other_tags_or_the_classes():
    assert (CLASSES.kinds, TAGS.kinds, VALUES.kinds) == (["bad", "good"], ["LOC", "PER"], [])
    assert PLAIN.kinds == ["DT", "NN"]


def test_tags_of_older_checkpoints_are_those_of_entities():
    kept = {name: value for name, value in TAGS.to_dict().items() if name != "entities"}
    assert LabelSpec.from_dict(kept) == TAGS


def test_the_baseline_is_the_entropy_of_the_counts():
    assert CLASSES.baseline == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert VALUES.baseline == 1.0
    with pytest.raises(ValueError, match="how often"):
        LabelSpec("class", ("a", "b")).baseline  # noqa: B018
