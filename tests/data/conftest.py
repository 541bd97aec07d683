"""A data module on the small corpus."""

from collections.abc import Callable

import pytest
import torch

from maskwright.core.engines import Preparation
from maskwright.data.packed import TextData
from maskwright.text.tokenizer import Trained

CORPUS = {  # settings that all data modules of the tests share
    "config": None,
    "column": "text",
    "document": "row",
    "cleaning": ["whitespace"],
    "limit": None,
    "tokenizer": Trained("wordpiece", 300, lowercase=True),
    "id_type": "auto",
    "seed": 1,
    "preparation": Preparation(workers=1),
}


@pytest.fixture
def make(corpus, cache) -> Callable[..., TextData]:
    """A function that makes and prepares a data module, with the given settings changed."""

    def make_data(**changes) -> TextData:
        settings = CORPUS | {
            "source": str(corpus),
            "splits": {"train": "train", "validation": 0.1, "test": 0.1},
            "block_size": 32,
            "batch_size": 8,
            "evaluation_batch_size": 8,
            "evaluation_limit": None,
            "cache_dir": str(cache),
        }
        data = TextData(**settings | changes)
        data.prepare_data()
        data.setup()
        return data

    return make_data


def take(loader, number: int) -> list[dict[str, torch.Tensor]]:
    """Returns the first batches of a loader."""
    iterator = iter(loader)
    return [next(iterator) for _ in range(number)]
