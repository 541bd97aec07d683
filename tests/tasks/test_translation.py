"""What a task that translates masks, hides and writes."""

from types import SimpleNamespace

import pytest
import sacrebleu
import torch
from torch import nn

from maskwright.data.label_spec import LabelSpec
from maskwright.masking import Adaptive, Constant, Corruption, Masker, Nothing, Tokens, Uniform, Vocabulary
from maskwright.models import LSTM, MaskedLMHead, Transformer
from maskwright.reports import translations
from maskwright.tasks import Translation
from maskwright.tasks.drafts import Sources, drafts
from maskwright.tasks.translation import is_source, only

VOCABULARY, SPECIAL = 40, 5
PAD, UNK, CLS, SEP, MASK = range(SPECIAL)


def make_task(encoder=None, units=None, **changes) -> Translation:
    torch.manual_seed(0)
    encoder = encoder or Transformer(
        VOCABULARY, 2, 16, 2, 16, convolution=2, token_types=2, restart_positions=True, initial_std=0.3
    )
    vocabulary = Vocabulary(VOCABULARY, MASK, range(SPECIAL, VOCABULARY))
    corruption = Corruption(1.0, 0.0, 0.0)
    masker = Masker(units or Nothing(), Uniform(), Constant(0.5), corruption, vocabulary, seed=1)
    task = Translation(
        head=MaskedLMHead(encoder.embedding),
        labels=LabelSpec("translation"),
        masker=masker,
        encoder=encoder,
        optimizer=None,
        schedule=None,
        seed=1,
        **changes,
    )
    task.progress = lambda step=None: 0.0
    return task.eval()


def make_batch(*pairs) -> dict[str, torch.Tensor]:
    """Rows of sources and targets, as lists of ids."""
    width = max(len(a) + len(b) for a, b in pairs) + 3
    batch = {name: torch.zeros(len(pairs), width, dtype=torch.long) for name in ("input_ids", "token_types")}
    batch |= {"words": torch.full_like(batch["input_ids"], -1), "documents": torch.zeros_like(batch["input_ids"])}
    for row, (source, target) in enumerate(pairs):
        ids = [CLS, *source, SEP, *target, SEP]
        batch["input_ids"][row, : len(ids)] = torch.tensor(ids)
        batch["token_types"][row, len(source) + 2 : len(ids)] = 1
        is_text = torch.tensor([i >= SPECIAL for i in ids])
        batch["words"][row, : len(ids)] = torch.where(is_text, torch.arange(len(ids)), -1)
        batch["documents"][row, len(ids) :] = -1
    order = torch.arange(len(pairs))
    return batch | {
        "attention_mask": batch["documents"] >= 0,
        "source_tokens": torch.tensor([len(a) for a, _ in pairs]),
        "begins": torch.tensor([len(a) + 2 for a, _ in pairs]),
        "targets": torch.tensor([len(b) for _, b in pairs]),
        "examples": order,
        "texts": order,
        "epochs": torch.zeros_like(order),
        "weight": torch.ones(1),
    }


PAIRS = [(list(range(5, 12)), list(range(20, 26))), ([7, 8], [30]), (list(range(10, 19)), list(range(30, 34)))]


def test_only_targets_are_masked_and_at_least_one_of_their_tokens():
    task, batch = make_task(), make_batch(*PAIRS)
    counts = []
    for epoch in range(200):
        batch["epochs"] = torch.full((3,), epoch)
        masked = task.target_masker(only(batch, ~is_source(batch)))
        changed = masked.input_ids != batch["input_ids"]
        assert not (changed & is_source(batch)).any()
        assert (masked.input_ids[changed] == MASK).all()
        counts.append(changed.sum(1))
    found = torch.stack(counts)
    assert found[:, 1].unique().tolist() == [1]
    assert found[:, 0].unique().tolist() == [1, 2, 3, 4, 5, 6]
    # round(6 u) is uniform between 1 and 5, half as likely at 6; and 0, half as likely, is 1: on average 3.08
    assert found[:, 0].double().mean() == pytest.approx(3.08, abs=4 * 1.6 / 200**0.5)


def test_masks_of_source_and_target_are_drawn_independently(monkeypatch):
    task, batch = make_task(units=Tokens()), make_batch(*PAIRS)
    seen = []
    monkeypatch.setattr(task, "_losses", lambda batch, masked, *_: seen.append(masked) or (torch.zeros(()),) * 4)
    monkeypatch.setattr(task, "log_step", lambda *_: None)
    monkeypatch.setattr(task, "weigh", lambda *_: 1.0)
    with pytest.raises(TypeError):  # a stand-in has no rows
        task.learn(batch)
    source, hidden = is_source(batch), seen[0].input_ids == MASK
    assert (hidden & source).sum(1).tolist() == [4, 1, 5]  # half of the words of each source
    assert torch.equal(hidden & ~source, task.target_masker(only(batch, ~source)).input_ids == MASK)
    assert seen[0].positions[seen[0].valid].min() >= 4  # what is predicted are tokens of targets
    assert task.masker.seed != task.target_masker.seed


def test_the_source_does_not_depend_on_the_target_or_its_length():
    task = make_task()
    one, other = make_batch(PAIRS[0]), make_batch((PAIRS[0][0], [37] * 15))
    hidden = []
    for batch in (one, other):
        own = Sources.of(batch)
        made = drafts(own, batch["targets"], MASK, SEP)
        hidden.append(task.encoder(made.input_ids, made.attention_mask, None, made.token_types)[:, :9])
    torch.testing.assert_close(*hidden)
    alone = Sources.of(one)
    seen = torch.ones(1, 9, dtype=torch.bool)
    torch.testing.assert_close(task.encoder(alone.input_ids, seen, None, alone.token_types), hidden[0])
    # and what is predicted of the target depends on both
    assert not torch.allclose(
        *(task._losses(batch, task.target_masker(only(batch, ~is_source(batch))))[0] for batch in (one, other))
    )


def test_drafts_are_rows_as_those_of_training():
    batch = make_batch(*PAIRS)
    made = drafts(Sources.of(batch), batch["targets"], MASK, SEP)
    targets = ~is_source(batch) & (batch["words"] >= 0)
    assert torch.equal(made.free, targets)
    real = batch["attention_mask"]
    assert torch.equal(made.input_ids[real], batch["input_ids"].masked_fill(targets, MASK)[real])
    assert torch.equal(made.token_types[real], batch["token_types"][real])
    assert torch.equal(made.attention_mask.any(1), real)


def test_loss_and_counts(monkeypatch):
    task, batch = make_task(label_smoothing=0.2), make_batch(*PAIRS)
    masked = task.target_masker(only(batch, ~is_source(batch)))
    loss, length_loss, right, right_length = task._losses(batch, masked, 0.2)
    sees = is_source(batch)[:, None, :] | ~is_source(batch)[:, :, None]
    sees &= batch["attention_mask"][:, None, :]
    hidden = task.encoder(masked.input_ids, sees, None, batch["token_types"])
    logits = task.head(hidden)[masked.input_ids == MASK]
    wanted = batch["input_ids"][masked.input_ids == MASK]
    expected = nn.functional.cross_entropy(logits, wanted, label_smoothing=0.2)
    torch.testing.assert_close(loss, expected)
    assert right.sum() == (logits.argmax(-1) == wanted).sum()
    torch.testing.assert_close(length_loss, torch.tensor(81.0).log())  # which begins with all alike
    assert len(right_length) == 3
    totals = task.step_totals(batch)
    assert totals == {"tokens": masked.valid.sum(), "rows": torch.tensor(3)}


class Copies(nn.Module):
    """An encoder that shows at each position of a target the token of the source that is as far from its begin."""

    def __init__(self, begins: int):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.eye(VOCABULARY))
        self.hidden_size, self.begins = VOCABULARY, begins
        self.keeps_documents_apart = True

    def forward(self, input_ids, attention_mask=None, positions=None):
        source = (torch.arange(input_ids.shape[1]) - self.begins + 1).clamp(min=0)
        hidden = self.embedding(input_ids[:, source])
        return hidden if positions is None else hidden.gather(1, positions[..., None].expand(-1, -1, VOCABULARY))


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_a_model_that_copies_translates_into_the_source(monkeypatch, iterations):
    task = make_task(Copies(begins=9))
    monkeypatch.setattr(task, "head", nn.Identity())
    with torch.no_grad():
        task.length.output.bias[40] = 9.0  # the same length as the source; all others are alike
    batch = make_batch(PAIRS[0], (list(range(30, 37)), [6] * 3))
    found = task.translate(Sources.of(batch), SEP, 60, iterations, 1)
    assert found.ids == [PAIRS[0][0], list(range(30, 37))]
    of_copy = 1 - torch.log(torch.e + torch.tensor(VOCABULARY - 1.0))  # of a score of 1, where others have 0
    assert found.scores == pytest.approx([float(of_copy)] * 2, abs=1e-5)


def test_the_best_of_several_lengths_is_taken(monkeypatch):
    """After its 7 tokens, a source goes on with a separator, which is never written: what is, is uncertain."""
    task = make_task(Copies(begins=9))
    monkeypatch.setattr(task, "head", nn.Identity())
    with torch.no_grad():
        task.length.output.bias[40:43] = torch.tensor([7.0, 8, 9])  # 9 tokens are likelier than 8, and 7
    sources = Sources.of(make_batch(PAIRS[0]))
    (one,) = task.translate(sources, SEP, 60, 4, 1).ids
    assert len(one) == 9
    assert min(one) >= SPECIAL
    assert task.translate(sources, SEP, 60, 4, 3).ids == [PAIRS[0][0]]
    (short,) = task.translate(sources, SEP, 15, 4, 3).ids
    assert len(short) <= 5  # there is no room for more: 9 before it, and a separator after it


def test_bleu_and_chrf_are_those_of_sacrebleu():
    translated = ["Ein Mann schläft auf einer Bank.", "Zwei Hunde laufen am Strand entlang ."]
    references = ["Ein Mann schläft auf der Bank.", "Zwei Hunde rennen am Strand."]
    found = translations.scores(translated, references)
    assert found["bleu"] == sacrebleu.corpus_bleu(translated, [references]).score
    assert found["chrf"] == sacrebleu.corpus_chrf(translated, [references]).score
    assert translations.scores(references, references) == {"bleu": pytest.approx(100), "chrf": 100}
    by_character = translations.scores(translated, references, "char")
    assert by_character["bleu"] == sacrebleu.corpus_bleu(translated, [references], tokenize="char").score


def test_what_cannot_hide_the_target_is_refused():
    with pytest.raises(ValueError, match="LSTM cannot hide the target"):
        make_task(LSTM(VOCABULARY, 1, 16))


def test_masks_that_learn_are_refused():
    encoder = Transformer(VOCABULARY, 1, 16, 2, 16)
    vocabulary = Vocabulary(VOCABULARY, MASK, range(SPECIAL, VOCABULARY))
    weights = Adaptive()
    masker = Masker(Tokens(), weights, Constant(0.5), Corruption(1.0, 0.0, 0.0), vocabulary, seed=1)
    with pytest.raises(ValueError, match="Adaptive learns"):
        Translation(
            head=SimpleNamespace(),
            labels=LabelSpec("translation"),
            masker=masker,
            encoder=encoder,
            optimizer=None,
            schedule=None,
            seed=1,
        )
