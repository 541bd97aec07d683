"""The protocol of annotations, and the imports of processes that open one."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from maskwright.annotations import Annotation, Collocations, Entities, Frequency, Lexicon, Tfidf
from maskwright.annotations.annotation import identity, needs_tags
from maskwright.annotations.first_tokens import FirstTokens
from maskwright.masking import Uniform, Words

ALL = [Collocations(), Entities(), Frequency(), Tfidf(), Lexicon(), FirstTokens()]


class Plain:
    """An annotation that inherits from nothing."""

    name = "plain"
    kind = "weights"
    reads_text = False

    def settings(self):
        return []

    def learn(self, folder, shards, tokenizer):
        pass

    def open(self, folder, tokenizer):
        return lambda shard: np.ones(len(shard.ids))


@pytest.mark.parametrize("part", [*ALL, Plain()], ids=lambda part: type(part).__name__)
def test_annotations_are_recognised(part):
    assert isinstance(part, Annotation)
    assert not needs_tags(part)


def test_other_parts_are_not_annotations():
    assert not isinstance(Words(), Annotation)
    assert not isinstance(Uniform(), Annotation)
    assert needs_tags(Entities("tags"))


def test_the_identity_of_a_foreign_class_includes_its_code():
    assert "inherits from nothing" in identity(Plain())[-1]
    assert identity(Frequency()) == ["maskwright.annotations.frequency", "Frequency", 2, ""]
    assert identity(Collocations()) == ["maskwright.annotations.collocations", "Collocations", 1, ""]


@pytest.mark.parametrize("part", ALL[:-1], ids=lambda part: part.name)
def test_annotations_return_their_numbers_from_the_batch(part):
    assert part({part.name: "numbers"}) == "numbers"  # as weights
    assert part({part.name: "numbers"}, "draws", "budget") == "numbers"  # as units


def test_workers_that_annotate_import_no_torch():
    """Unpickling what a worker is sent imports its modules."""
    code = (
        "import pickle, sys, maskwright.annotations, maskwright.annotations.storage, "
        "maskwright.corpora.documents, maskwright.text.tokens\n"
        f"assert len(pickle.load(sys.stdin.buffer)) == {len(ALL)}\n"
        "print(sorted({'torch', 'lightning', 'datasets', 'transformers'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(ALL), capture_output=True)
    assert result.stdout.decode().strip() == "[]", result.stderr.decode()
