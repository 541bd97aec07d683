from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.masking import Vocabulary
from maskwright.run.assemble import build_masks, make_maskers, other_data
from maskwright.settings.commands import TrainSettings
from tests.conftest import compose_train


class OfVocabulary:
    """Weights of a class of a user's own, which need the size of the vocabulary."""

    def __init__(self, vocabulary_size: int, first: int = 0):
        if not 0 <= first < vocabulary_size:
            raise ValueError(f"first is {first}; it is one of {vocabulary_size} tokens")
        self.weight = torch.ones(vocabulary_size)
        self.weight[:first] = 0

    def __call__(self, batch: Any) -> Any:
        return self.weight[batch["input_ids"]]


def settings(**weights: Any) -> TrainSettings:
    config = OmegaConf.to_container(compose_train("run_dir=x", "tokenizer.vocabulary_size=300"), resolve=True)
    config["mask"]["weights"] = {"_target_": f"{__name__}.OfVocabulary", **weights}
    return TrainSettings.parse(config)


@pytest.mark.parametrize("weights", [{"first": 300}, {"first": "many"}, {"last": 1}])
def test_parts_that_need_the_vocabulary_are_refused_before_it_is_known(weights):
    [name] = weights
    with pytest.raises(UserError, match=rf"^mask\.weights\.{name}\b"):
        build_masks(settings(**weights))


def test_such_parts_get_the_size_of_the_vocabulary():

    chosen = settings(first=7)
    maskers = make_maskers(chosen, build_masks(chosen), Vocabulary(120, 4, range(5, 120)))
    assert len(maskers["mask"].weights.weight) == 120


def test_data_of_a_finished_run_has_its_types():
    given = {"source": None, "limit": 1e2, "column": "1", "splits": {"train": "train", "test": "0.1"}}
    converted = {**given, "limit": 100, "splits": {"train": "train", "test": 0.1}}
    assert [*map(repr, other_data(given).items())] == [*map(repr, converted.items())]
    with pytest.raises(UserError, match="data.limit='many'"):
        other_data({"limit": "many"})
