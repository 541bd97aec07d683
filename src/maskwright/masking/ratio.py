"""How much is masked: the share of a row's maskable tokens, as a function of the run's progress.

A ratio has `maximum`, the most that it ever answers, and is called with the progress of training in
[0, 1] and the batch's draws. It answers a float, or a (B,) tensor of one share per row.
"""

from torch import Tensor

from maskwright.masking.draws import Draws


class Constant:
    """The same share always.

    Raises:
        ValueError: the share is not in (0, 1].
    """

    def __init__(self, value: float):
        if not 0 < value <= 1:
            raise ValueError(f"mask.ratio is {value}; a share of the tokens lies above 0 and is at most 1")
        self.value = self.maximum = float(value)

    def __call__(self, progress: float, draws: Draws) -> float | Tensor:
        return self.value
