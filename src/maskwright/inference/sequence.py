"""The tags of the words of a text under a linear-chain CRF, in NumPy; see `models.layers.crf`.

Shapes: K words, C tags.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sequences:
    """Scores of sequences of tags.

    Args:
        begin, end: (C,) of the first and of the last tag of a text.
        transition: (C, C) of the column's tag after the row's.
    """

    begin: np.ndarray
    transition: np.ndarray
    end: np.ndarray

    def best(self, scores: np.ndarray, opens: bool) -> np.ndarray:
        """Returns (K,) the most likely sequence (Viterbi, 1967).

        Args:
            scores: (K, C) of each tag by itself.
            opens: whether the text begins here; else any tag may come first.
        """
        path, back = self.begin * opens + scores[0], []
        for own in scores[1:]:
            paths = path[:, None] + self.transition
            back.append(paths.argmax(0))
            path = paths.max(0) + own
        tags = [int((path + self.end).argmax())]
        for origin in reversed(back):
            tags.append(int(origin[tags[-1]]))
        return np.array(tags[::-1])

    def marginals(self, scores: np.ndarray, opens: bool) -> np.ndarray:
        """Returns (K, C) the probability of each tag over all sequences. See `best`."""
        forward, backward = [self.begin * opens + scores[0]], [self.end]
        for own in scores[1:]:
            forward.append(_sum(forward[-1][:, None] + self.transition, 0) + own)
        for own in scores[:0:-1]:
            backward.append(_sum(self.transition + (own + backward[-1]), 1))
        both = np.array(forward) + np.array(backward[::-1])
        return np.exp(both - _sum(both, 1)[:, None])


def _sum(values: np.ndarray, axis: int) -> np.ndarray:
    return np.logaddexp.reduce(values, axis)
