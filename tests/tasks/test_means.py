import pytest
import torch
from torch.nn import functional as F

from maskwright.tasks.means import Means


@pytest.mark.parametrize("counts", [[1, 1000], [3, 0, 500, 7], [64, 64, 64], [0]])
def test_targets_weigh_the_same_whatever_their_batch(counts):
    generator = torch.Generator().manual_seed(0)
    means, losses, rights = Means(("loss", "accuracy")), [], []
    for count in counts:
        logits = torch.randn(count, 5, generator=generator) * (1 + count)  # losses differ between batches
        targets = torch.randint(5, (count,), generator=generator)
        own, right = F.cross_entropy(logits, targets, reduction="none"), logits.argmax(1) == targets
        number = max(count, 1)
        means.update({"loss": own.sum() / number, "accuracy": right.sum() / number}, torch.tensor(count))
        losses.append(own)
        rights.append(right.float())
    total = max(sum(counts), 1)
    found = means.compute()
    assert found["loss"].item() == pytest.approx(torch.cat(losses).sum().item() / total, rel=1e-6)
    assert found["accuracy"].item() == pytest.approx(torch.cat(rights).sum().item() / total, rel=1e-6)


def test_computing_begins_anew():
    means = Means(("loss",))
    for value in (1.0, 3.0):
        means.update({"loss": torch.tensor(value)}, torch.tensor(5))
        assert means.compute()["loss"] == value


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_losses_that_are_not_finite_are_not_hidden(bad):
    means = Means(("loss",))
    means.update({"loss": torch.tensor(bad)}, torch.tensor(1))
    means.update({"loss": torch.tensor(1.0)}, torch.tensor(9))
    assert not means.compute()["loss"].isfinite()
