from types import SimpleNamespace

import pytest
import torch

from maskwright.masking import Constant, Corruption, Masker, Tokens, Uniform, Vocabulary
from maskwright.models import MaskedLMHead, Transformer
from maskwright.models.layers.varlen_attention import sequence_ends
from maskwright.optim import muon
from maskwright.tasks import MaskedLanguageModeling

VOCABULARY = 50


@pytest.fixture
def task() -> MaskedLanguageModeling:
    torch.manual_seed(0)
    encoder = Transformer(VOCABULARY, 1, 16, 2, 16)
    vocabulary = Vocabulary(VOCABULARY, 4, range(5, VOCABULARY))
    masker = Masker(Tokens(), Uniform(), Constant(0.3), Corruption(0.8, 0.1, 0.1), vocabulary, seed=0)
    return MaskedLanguageModeling(
        head=MaskedLMHead(encoder.embedding),
        masker=masker,
        evaluation_masker=masker,
        encoder=encoder,
        optimizer=None,
        schedule=None,
        seed=0,
    )


def make_batch(words):
    words = torch.tensor(words)
    return {
        "input_ids": torch.randint(5, VOCABULARY, words.shape),
        "words": words,
        "documents": torch.zeros_like(words),
        "examples": torch.arange(len(words)),
        "epochs": torch.zeros(len(words), dtype=torch.long),
    }


def test_loss_is_the_mean_over_masked_positions(task):
    batch = make_batch([[-1, *range(20), -1], [-1, *range(5), *[-1] * 16]])
    masked = task.masker(batch)
    loss, accuracy, count = task.loss(batch, masked)
    logits = task.head(task.encoder(masked.input_ids)).log_softmax(-1)
    losses, right = [], []
    for row in range(2):
        for position, target in zip(masked.positions[row][masked.valid[row]], masked.targets[row], strict=False):
            losses.append(-logits[row, position, target])
            right.append(logits[row, position].argmax() == target)
    assert count == len(losses) == 6 + 2
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    assert accuracy.item() == pytest.approx(sum(right) / len(right))


def test_a_batch_with_nothing_to_predict_has_loss_and_gradients_zero(task):
    batch = make_batch([[-1] * 6, [-1] * 6])
    loss, accuracy, count = task.loss(batch, task.masker(batch))
    loss.backward()
    assert loss == accuracy == count == 0
    gradients = [p.grad for p in task.parameters() if p.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("apart", [False, True])
def test_a_step_on_a_gpu_does_not_make_the_host_wait(task, apart):
    task.cuda()
    task.cross_document_attention = not apart
    batch = make_batch([[-1, *range(20), -1], [-1, *range(5), *[-1] * 16]])
    batch["sequence_ends"] = torch.from_numpy(sequence_ends(batch["documents"].numpy()))
    batch = {name: tensor.cuda() for name, tensor in batch.items()}
    optimizer = muon(task, 1e-3, 1e-3, 0.95, 3, (0.9, 0.98), 1e-6, 0.01)

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            loss, _, _ = task.loss(batch, task.masker(batch))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_attention_is_masked_at_padding_and_between_documents(task):
    batch = make_batch([[-1, 0, 1, -1]])
    assert task.attention_mask(batch) is None
    batch["attention_mask"] = torch.tensor([[True, True, True, False]])
    assert task.attention_mask(batch) is batch["attention_mask"]
    task.cross_document_attention = False
    batch["documents"] = torch.tensor([[0, 0, 1, -1]])
    assert task.attention_mask(batch)[0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("algorithm", "size", "expected"),
    [
        ("norm", 2.0, [1.2, -1.6]),
        ("value", 2.0, [2.0, -2.0]),
        ("value", 3.5, [3.0, -3.5]),
        (None, 0, [3.0, -4.0]),
        ("norm", None, [3.0, -4.0]),
    ],
)
def test_gradients_are_clipped_as_asked(task, monkeypatch, algorithm, size, expected):
    task.trainer = SimpleNamespace(precision_plugin=None, global_step=9, log_every_n_steps=10)
    logged = {}
    monkeypatch.setattr(task, "log", lambda name, value: logged.update({name: float(value)}))
    task.encoder = torch.nn.Linear(1, 2, bias=False)
    task.head = task.masker = None
    task.encoder.weight.grad = torch.tensor([[3.0], [-4.0]])
    task.configure_gradient_clipping(None, size, algorithm)
    torch.testing.assert_close(task.encoder.weight.grad[:, 0], torch.tensor(expected))
    assert logged == {"train/gradient_norm": 5.0}  # before clipping
    task.trainer.global_step, logged = 10, {}
    task.configure_gradient_clipping(None, size, algorithm)
    assert not logged
