"""Predicts tokens from distributions over the states of a hidden Markov model."""

import torch
from torch import Tensor, nn

from maskwright.models.layers.log_probabilities import LogProbabilities
from maskwright.models.layers.visible_token import score_with_seen, with_seen

_CHUNK = 256  # positions whose distributions over the vocabulary exist at the same time


class HMMHead(nn.Module):
    """p(token) is the sum over states of p(state) p(token | state).

    Args:
        emissions: (V, S), shared with the encoder.
        kept: see `layers.visible_token`.
    """

    def __init__(self, emissions: LogProbabilities, kept: float):
        super().__init__()
        self.emissions, self.kept = emissions, kept

    def forward(self, hidden_BKH: Tensor) -> Tensor:
        """Returns log-probabilities (B, K, V) of hidden states (B, K, S + 1), see `HMM`."""
        states, seen = _parts(hidden_BKH)
        with torch.autocast(states.device.type, enabled=False):
            log = _log(states @ self.emissions.probabilities().T)
        return with_seen(log, seen, self.kept).unflatten(0, hidden_BKH.shape[:2])

    def loss(self, hidden_BKH: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean cross-entropy in nats of the valid targets (B, K), and which are predicted right (B, K)."""
        states, seen = _parts(hidden_BKH)
        asked = targets.flatten()
        with torch.autocast(states.device.type, enabled=False):
            emissions_VS = self.emissions.probabilities()
            likeliest = [(part @ emissions_VS.T).max(-1) for part in states.split(_CHUNK)]
            best, token = (torch.cat(parts) for parts in zip(*likeliest, strict=True))
            of_target, of_seen = (_log((states * emissions_VS[ids]).sum(-1)) for ids in (asked, seen.clamp(min=0)))
        score, takes_seen = score_with_seen(
            of_target, _log(best), of_seen, seen == asked, seen, self.kept, len(emissions_VS)
        )
        right = torch.where(takes_seen, seen, token) == asked
        valid_N = valid.flatten()
        return -(score * valid_N).sum() / valid_N.sum().clamp(min=1), right.view_as(valid)


def _parts(hidden_BKH: Tensor) -> tuple[Tensor, Tensor]:
    """Returns distributions over states (N, S), and the ids (N,) that are seen."""
    flat = hidden_BKH.flatten(0, 1)
    return flat[:, :-1], flat[:, -1].long()


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
