"""Causal and masked prediction with one head, compared with loops over single tokens."""

from types import SimpleNamespace

import pytest
import torch

from maskwright.masking import Constant, Corruption, Draws, Masker, Tokens, Uniform, Vocabulary
from maskwright.models import MaskedLMHead, Transformer
from maskwright.models.layers.causal import Causal
from maskwright.tasks import Hybrid
from maskwright.tasks.hybrid import next_tokens
from tests.tasks.test_mlm import VOCABULARY, make_batch


def make(step=0, **settings) -> Hybrid:
    torch.manual_seed(0)
    encoder = Transformer(VOCABULARY, 2, 16, 2, 16, convolution=2, value_residual=True)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    vocabulary = Vocabulary(VOCABULARY, 4, range(5, VOCABULARY))
    masker = Masker(Tokens(), Uniform(), Constant(0.3), Corruption(0.8, 0.1, 0.1), vocabulary, seed=0)
    task = Hybrid(
        head=MaskedLMHead(encoder.embedding, initial_std=0.3),
        masker=masker,
        evaluation_masker=masker,
        encoder=encoder,
        optimizer=None,
        schedule=None,
        seed=0,
        **settings,
    )
    task.trainer = SimpleNamespace(global_step=step, max_steps=10, accumulate_grad_batches=1, callbacks=[])
    return task


def rows(number=6, length=14):
    batch = make_batch([[-1, *range(length - 2), -1]] * (number - 1) + [[-1, 0, 1, 2, *[-1] * (length - 4)]])
    return batch | {"attention_mask": batch["words"].ge(0) | (torch.arange(length) < 5)}


def losses(task, batch, causal, masked, shift):
    """The cross-entropy of each target, of causal rows and of the others, with a forward pass for each row."""
    found = {True: [], False: []}
    for row in range(len(batch["input_ids"])):
        seen = batch["attention_mask"][row : row + 1]
        if causal[row]:
            ids, mask = batch["input_ids"][row : row + 1], Causal(seen)
            asked = [(t, ids[0, t]) for t in range(1, ids.shape[1]) if batch["words"][row, t] >= 0]
        else:
            ids, mask = masked.input_ids[row : row + 1], seen
            valid = masked.valid[row]
            asked = list(zip(masked.positions[row][valid].tolist(), masked.targets[row][valid], strict=True))
        logits = task.head(task.encoder(ids, mask)).log_softmax(-1)[0]
        for position, target in asked:
            place = position - 1 if causal[row] or shift else position
            found[bool(causal[row])].append(-logits[place, target])
    return {kind: torch.stack(values) if values else torch.zeros(0) for kind, values in found.items()}


def gradients(task, loss):
    task.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("shift", [True, False])
def test_loss_is_that_of_a_loop_over_tokens(shift):
    task, batch = make(shift=shift), rows()
    causal = task.causal_rows(batch)
    assert 0 < causal.sum() < 6
    assert torch.equal(causal, Draws(0, batch["epochs"], batch["examples"]).row("causal")[:, 0] < 0.5)
    loss, accuracy = task.learn(batch)
    slow = losses(task, batch, causal, task.masker(batch), shift)
    share = causal.double().mean()
    expected = share * slow[True].mean() + (1 - share) * slow[False].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.dtype == torch.float32
    assert 0 <= accuracy <= 1
    fast, slow = gradients(task, loss), gradients(task, expected)
    assert fast.keys() == slow.keys()
    for name, gradient in slow.items():
        assert torch.allclose(fast[name], gradient.float(), rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize(
    ("objective", "causal", "shift"), [("causal", True, True), ("mlm", False, False), ("mntp", False, True)]
)
def test_each_objective_alone(objective, causal, shift):
    task, batch = make(phases=[{"objective": objective}]), rows()
    assert task.causal_rows(batch) is causal
    slow = losses(task, batch, [causal] * 6, task.masker(batch), shift)[causal]
    loss, _ = task.learn(batch)
    assert loss.item() == pytest.approx(slow.mean().item(), rel=1e-5)


def test_next_tokens_are_those_that_could_be_masked():
    batch = rows()
    following = next_tokens(batch)
    for row in range(6):
        assert (
            following.targets[row][following.valid[row]].tolist()
            == batch["input_ids"][row][batch["words"][row] >= 0].tolist()
        )
    assert torch.equal(batch["input_ids"].gather(1, following.positions), following.targets)


def test_mntp_predicts_a_masked_token_from_the_position_before():
    task, batch = make(phases=[{"objective": "mntp"}]), rows()
    masked = task.masker(batch)
    changed = masked.input_ids.clone()
    hidden = task.encoder(changed, batch["attention_mask"])
    expected = task.head(hidden.gather(1, (masked.positions - 1).clamp(min=0)[..., None].expand(-1, -1, 16)))
    assert torch.allclose(task(batch, masked), expected, atol=1e-5)  # as it is used, too


def test_phases_begin_at_the_step_that_their_share_says():
    phases = [{"objective": "causal", "until": 0.3}, {"objective": "hybrid", "until": 0.7}, {"objective": "mlm"}]
    batch, kinds = rows(), []
    for step in range(10):
        causal = make(step, phases=phases).causal_rows(batch)
        kinds.append("both" if isinstance(causal, torch.Tensor) else "causal" if causal else "masked")
    assert kinds == ["causal"] * 3 + ["both"] * 4 + ["masked"] * 3


def test_whole_steps_are_drawn():
    found = [make(step, causal_share=0.25, causal_per="step").causal_rows(rows()) for step in range(400)]
    assert {*found} == {True, False}
    assert sum(found) / 400 == pytest.approx(0.25, abs=0.08)  # four standard errors


def test_totals_of_a_step_weigh_its_micro_batches():
    """The sum over micro-batches is the loss of the whole step, with any number of causal rows in each."""
    task, batch = make(), rows()
    whole, accuracy = task.learn(batch)
    task.trainer.accumulate_grad_batches = 3
    task._totals = {name: value.double() for name, value in task.step_totals(batch).items()}
    task.trainer.world_size, task.trainer.global_rank = 1, 0
    parts = [
        task.learn({name: value[first : first + 2] for name, value in batch.items()}) for first in range(0, 6, 2)
    ]
    assert sum(loss for loss, _ in parts).item() / 3 == pytest.approx(whole.item(), rel=1e-5)
    assert sum(right for _, right in parts).item() / 3 == pytest.approx(accuracy.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("phases", "shift", "causal"),
    [
        (None, True, False),
        ([{"objective": "causal", "until": 0.5}, {"objective": "mlm"}], False, False),
        ([{"objective": "mlm", "until": 0.5}, {"objective": "mntp"}], True, False),
        ([{"objective": "causal"}], True, True),
    ],
)
@torch.no_grad()
def test_it_is_used_as_its_last_phase_reads(phases, shift, causal):
    task, batch = make(phases=phases), rows()
    ids, seen = batch["input_ids"], batch["attention_mask"]
    hidden = task.encoder(ids, Causal(seen) if causal else seen)
    found = task.token_encoder(ids, seen)
    assert torch.equal(found[:, 1:], hidden[:, :-1] if shift else hidden[:, 1:])
    assert not any(name.startswith("token_encoder") for name in task.state_dict())


def test_the_spec_says_what_is_needed():
    spec = Hybrid.spec({"causal_share": 0.5})
    assert spec.reads_causally
    assert spec.predicts_tokens
    assert not spec.learns_counts
    assert spec.metric("causal_loss").better == "min"
    for settings in ({"causal_share": 0}, {"phases": [{"objective": "mntp"}]}):
        own = Hybrid.spec(settings)
        assert not own.reads_causally
        assert own.metric("causal_loss") is None
