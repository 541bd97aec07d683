"""What is predicted for a text, as rows of files of predictions and answers of a server hold it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwright.corpora.entities import chunks
from maskwright.corpora.marks import Spans

THRESHOLD = 0.5  # probability from which on a text is said to have a label, of those that may have several


def row_of_class(names: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    """Returns what is predicted for a text.

    Args:
        names: of the C classes.
        probabilities: (C,).
    """
    return {
        "predicted": names[int(probabilities.argmax())],
        "probability": round(float(probabilities.max()), 6),
        "probabilities": {name: round(float(p), 6) for name, p in zip(names, probabilities, strict=True)},
    }


def row_of_labels(names: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    """Returns which labels are predicted for a text that may have several.

    Args:
        names: of the C labels.
        probabilities: (C,) of each label, which need not add up to 1.
    """
    return {
        "predicted": [name for name, p in zip(names, probabilities, strict=True) if p >= THRESHOLD],
        "probabilities": {name: round(float(p), 6) for name, p in zip(names, probabilities, strict=True)},
    }


def row_of_words(
    text: str, words: Spans, tags: Sequence[str], probabilities: Sequence[float], entities: bool
) -> dict[str, Any]:
    """Returns a text with the tags of its words.

    Args:
        words: the first character of each word, and the one after its last.
        tags, probabilities: of each word.
        entities: whether tags are those of entities.
    """
    found = []
    kinds = chunks(list(tags)) if entities else set()
    for kind, first, last in sorted(kinds, key=lambda chunk: chunk[1]):
        start, end = words[first][0], words[last - 1][1]
        found.append({"kind": kind, "start": start, "end": end, "text": text[start:end]})
    return {
        "text": text,
        "words": [text[start:end] for start, end in words],
        "offsets": [list(span) for span in words],
        "predicted": list(tags),
        "probabilities": list(probabilities),
        "entities": found,
    }


def per_text(texts: np.ndarray, outputs: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the mean outputs and the target of each text, which may be spread over several rows (windows).

    Args:
        texts: (R,) the number of the text that each row shows.
        outputs: (R, O).
        targets: (R,), or (R, C) of several labels.
    """
    own, first, of = np.unique(texts.astype(np.int64), return_index=True, return_inverse=True)
    total = np.zeros((len(own), outputs.shape[1]))
    np.add.at(total, of, outputs)
    return {"texts": own, "outputs": total / np.bincount(of)[:, None], "targets": targets[first]}
