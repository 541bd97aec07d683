"""Masked diffusion: the weights on an example by hand, and what the bound is for a model whose answer is known."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from maskwright.masking import Corruption, Diffusion, Masker, Tokens, Uniform, Vocabulary
from maskwright.models import BaseEncoder, MaskedLMHead, Transformer
from maskwright.tasks import MaskedDiffusion
from tests.tasks.test_mlm import VOCABULARY, make_batch

MASK = 4


def make(encoder=None, head=None, schedule="linear", **settings) -> MaskedDiffusion:
    torch.manual_seed(0)
    encoder = encoder or Transformer(VOCABULARY, 2, 16, 2, 16)
    vocabulary = Vocabulary(VOCABULARY, MASK, range(5, VOCABULARY))
    masker = Masker(Tokens(), Uniform(), Diffusion(schedule), Corruption(1, 0, 0), vocabulary, seed=0)
    task = MaskedDiffusion(
        head=head or MaskedLMHead(encoder.embedding, initial_std=0.3),
        masker=masker,
        evaluation_masker=masker,
        byte_lengths=torch.full((VOCABULARY,), 3),
        encoder=encoder,
        optimizer=None,
        schedule=None,
        seed=0,
        **settings,
    )
    task.trainer = SimpleNamespace(global_step=0, max_steps=10, accumulate_grad_batches=1, callbacks=[])
    return task


def rows(number, length=34):
    return make_batch([[-1, *range(length - 2), -1]] * number)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_loss_is_mdlms_on_examples_by_hand(schedule):
    """Sum of -log p of masked tokens times -alpha' / (1 - alpha) at the time that was drawn, over all tokens."""
    task, batch = (
        make(schedule=schedule),
        rows(5) | {"words": torch.tensor([[-1, *range(32), -1]] * 4 + [[-1] * 34])},
    )
    selection = task.masker.select(batch)
    masked = task.masker.corrupt(batch["input_ids"], selection)
    low, total = 0.001, 0.0
    for row in range(4):
        time = task.masker.draws(batch).row("ratio")[row, 0].clone().requires_grad_()
        share = time if schedule == "linear" else (math.pi / 2 * time).cos()
        hidden_share = low + (1 - low) * share  # 1 - alpha
        hidden_share.backward()
        assert hidden_share.item() == pytest.approx(selection.ratio[row].item())
        weight = abs(time.grad / (1 - low)) / hidden_share.detach()
        logits = task.head(task.encoder(masked.input_ids[row : row + 1]))[0].log_softmax(-1)
        for position, target in zip(masked.positions[row], masked.targets[row], strict=True):
            if masked.input_ids[row, position] == MASK and batch["words"][row, position] >= 0:
                total -= weight * logits[position, target]
    loss, _ = task.learn(batch)
    assert loss.item() == pytest.approx(total.item() / (4 * 32), rel=1e-4)
    loss.backward()
    assert all(p.grad is not None for p in task.parameters())


def test_factors_of_a_head_scale_its_loss_and_gradients():
    torch.manual_seed(0)
    head = MaskedLMHead(nn.Embedding(30, 8), initial_std=0.3)
    hidden = torch.randn(3, 5, 8, requires_grad=True)
    targets, valid, factors = torch.randint(30, (3, 5)), torch.rand(3, 5) < 0.7, torch.rand(3, 5) * 9
    each = nn.functional.cross_entropy(head(hidden).flatten(0, 1), targets.flatten(), reduction="none").view(3, 5)
    expected = (each * factors)[valid].sum() / valid.sum()
    expected.backward()
    gradients = [hidden.grad.clone(), *(p.grad.clone() for p in head.parameters())]
    hidden.grad = None
    head.zero_grad()
    loss, _ = head.loss(hidden, targets, valid, factors)
    loss.backward()
    assert torch.allclose(loss, expected, rtol=1e-5)
    for found, gradient in zip([hidden.grad, *(p.grad for p in head.parameters())], gradients, strict=True):
        assert torch.allclose(found, gradient, rtol=1e-4, atol=1e-6)


class Blind(BaseEncoder):
    """An encoder that sees nothing."""

    def __init__(self):
        super().__init__()
        self.hidden_size, self.embedding, self.layers = 1, nn.Embedding(VOCABULARY, 1), nn.ModuleList()

    def embed(self, input_ids, attention_mask=None):
        return torch.ones(*input_ids.shape, 1)

    def encode(self, hidden_BTH, attention_mask=None, positions=None):
        return hidden_BTH if positions is None else torch.ones(*positions.shape, 1)


class Unigram(MaskedLMHead):
    """A head that predicts the same distribution everywhere."""

    def __init__(self, shares):
        nn.Module.__init__(self)
        self.decoder = nn.Linear(1, VOCABULARY)
        with torch.no_grad():
            self.decoder.weight.zero_()
            self.decoder.bias.copy_(shares.log())

    def _transform(self, hidden):
        return hidden


@pytest.mark.parametrize("passes", [1, 8])
@torch.no_grad()
def test_the_bound_of_a_unigram_model_is_its_cross_entropy(passes):
    """The standard error is 2 % with 400 rows of 32 tokens at a ratio each, and 0.8 % with eight times as many."""
    torch.manual_seed(1)
    shares = torch.rand(VOCABULARY).square().softmax(0)
    shares[:5] = 1e-12
    shares /= shares.sum()
    task, batch = make(Blind(), Unigram(shares), bound_passes=passes), rows(400)
    batch["input_ids"] = torch.multinomial(shares, batch["input_ids"].numel(), True).view(batch["input_ids"].shape)
    inside = batch["input_ids"][:, 1:-1]
    expected = -shares.log()[inside].mean().item()
    for part in range(4):  # in batches, as an evaluation reads them
        task.validation_step({name: value[100 * part : 100 * part + 100] for name, value in batch.items()}, part)
    found = task.evaluation_metrics("validation")
    assert found["bound"].item() == pytest.approx(expected, rel=0.06 if passes == 1 else 0.03)
    assert found["bits_per_byte"].item() == pytest.approx(found["bound"].item() / 3 / math.log(2), rel=1e-6)
    # and the loss of training has that mean
    losses = [task.learn(batch | {"epochs": batch["epochs"] + epoch})[0].item() for epoch in range(8)]
    assert sum(losses) / 8 == pytest.approx(expected, rel=0.03)


@torch.no_grad()
def test_every_evaluation_sees_the_same_ratios_spread_over_the_examples():
    task, batch = make(bound_passes=2), rows(32)
    found = [task.noised(batch, number) for number in (0, 1)]
    for number, (masked, ratio) in enumerate(found):
        inside = ratio.sort().values
        assert (inside.diff() < 0.04).all()
        assert inside[0] < number / 2 + 0.04
        assert inside[-1] > number / 2 + 0.46
        again, _ = make(bound_passes=2, schedule="cosine").noised(batch, number)  # whatever training does
        assert torch.equal(again.input_ids, masked.input_ids)
        alone, _ = task.noised({name: value[7:9] for name, value in batch.items()}, number)
        assert torch.equal(alone.input_ids, masked.input_ids[7:9])
        shown = masked.input_ids == MASK
        assert torch.equal(shown, masked.valid)
        assert (masked.valid[:, 1:-1].double().mean(1) - ratio).abs().mean() < 0.1
    assert not torch.equal(found[0][0].valid, found[1][0].valid)


@pytest.mark.parametrize("step", [1, 13, 32, 89, 233, 1024])
def test_ratios_are_uniform_whichever_examples_a_limit_leaves(step):
    batch = rows(1000, length=4)
    _, ratio = make().noised(batch | {"examples": step * torch.arange(1000)}, 0)
    shares = torch.histc(ratio, 4, 0, 1) / 1000
    # four standard errors, of pairs that lie together
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.08)


def test_totals_of_a_step_weigh_its_micro_batches():
    task, batch = make(), rows(6)
    whole, accuracy = task.learn(batch)
    task.trainer.accumulate_grad_batches = 3
    task.trainer.world_size, task.trainer.global_rank = 1, 0
    task._totals = {name: value.double() for name, value in task.step_totals(batch).items()}
    parts = [
        task.learn({name: value[first : first + 2] for name, value in batch.items()}) for first in range(0, 6, 2)
    ]
    assert sum(loss for loss, _ in parts).item() / 3 == pytest.approx(whole.item(), rel=1e-5)
    assert sum(right for _, right in parts).item() / 3 == pytest.approx(accuracy.item(), rel=1e-5)
