"""Whole entities in tagged words, and scores for finding them."""

from collections import Counter

from maskwright.corpora.tag_schemes import iob2

Chunk = tuple[str, int, int]  # kind, index of the first word, and index after the last word


def chunks(tags: list[str]) -> set[Chunk]:
    """Returns the chunks in the tags of one text, of any scheme, as found by the CoNLL-2000 evaluation script."""
    found: set[Chunk] = set()
    kind, first = "", 0
    for place, tag in enumerate([*iob2(tags).tags, "O"]):
        if kind and not tag.startswith("I-"):
            found.add((kind, first, place))
            kind = ""
        if tag.startswith("B-"):
            kind, first = tag[2:], place
    return found


def entity_scores(
    targets: list[list[str]], predicted: list[list[str]]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Returns precision, recall and F1 of whole entities, for all kinds together and for each kind.

    They are those of conlleval and seqeval.

    Args:
        targets, predicted: the tags of each text.
    """
    correct: Counter[str] = Counter()
    actual: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for own, other in zip(map(chunks, targets), map(chunks, predicted), strict=True):
        for counter, found in ((correct, own & other), (actual, own), (given, other)):
            counter.update(kind for kind, _, _ in found)
    return _scores(correct.total(), actual.total(), given.total()), {
        kind: _scores(correct[kind], actual[kind], given[kind]) for kind in sorted(actual | given)
    }


def _scores(correct: int, actual: int, given: int) -> dict[str, float]:
    return {
        "precision": correct / max(given, 1),
        "recall": correct / max(actual, 1),
        "f1": 2 * correct / max(given + actual, 1),
    }
