"""Replaced-token detection: its losses are those of ELECTRA, what is sampled follows the generator."""

import numpy as np
import pytest
import torch
import transformers
from scipy.stats import chi2
from torchmetrics.functional.classification import binary_auroc, binary_f1_score

from maskwright.masking import Constant, Corruption, Masked, Masker, Tokens, Uniform, Vocabulary
from maskwright.masking.units import Nothing
from maskwright.models import CNN, LSTM, MLP, MaskedLMHead, Pretrained, Transformer
from maskwright.tasks import ReplacedTokenDetection
from maskwright.tasks.detection import Detection
from maskwright.tasks.rtd import copy_losses, replace_tokens, sample
from tests.tasks.test_mlm import VOCABULARY, make_batch

SHAPE = {"layers": 2, "hidden_size": 32, "heads": 4, "intermediate_size": 48}
ROWS = [[-1, *range(20), -1], [-1, *range(5), *[-1] * 16]]


def make(units=None, **settings) -> ReplacedTokenDetection:
    torch.manual_seed(0)
    encoder = Transformer(VOCABULARY, **SHAPE)
    vocabulary = Vocabulary(VOCABULARY, 4, range(5, VOCABULARY))
    masker = Masker(units or Tokens(), Uniform(), Constant(0.3), Corruption(0.8, 0.1, 0.1), vocabulary, seed=0)
    return ReplacedTokenDetection(
        smaller_encoder=lambda share: Transformer(VOCABULARY, **SHAPE | Transformer.narrowed(share, **SHAPE)),
        head_settings={"norm_epsilon": 1e-5},
        head=MaskedLMHead(encoder.embedding),
        masker=masker,
        evaluation_masker=masker,
        encoder=encoder,
        optimizer=None,
        schedule=None,
        seed=0,
        **settings,
    )


def detected(task, batch):
    masked = task.masker(batch)
    hidden = task._hidden(batch, masked)
    return masked, hidden, task._detect(batch, masked, hidden, task.masker)


def test_the_discriminator_loss_is_that_of_electra_in_transformers():
    """The same hidden states through transformers' head and loss."""
    task, batch = make(), make_batch(ROWS)
    torch.nn.init.normal_(task.detection_head.output.weight)
    batch["attention_mask"] = batch["words"] != -1
    batch["attention_mask"][:, 0] = True
    config = transformers.ElectraConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_attention_heads=2, hidden_act="gelu"
    )
    electra = transformers.ElectraForPreTraining(config).eval()
    theirs, ours = electra.discriminator_predictions, task.detection_head
    theirs.dense.load_state_dict(ours.dense.state_dict())
    theirs.dense_prediction.load_state_dict(ours.output.state_dict())
    masked, hidden, found = detected(task, batch)
    shown = replace_tokens(
        batch["input_ids"],
        masked,
        sample(task.head, hidden, task.masker.draws(batch).uniform("replacement", masked.positions)),
    )
    states = task.encoder(shown, batch["attention_mask"])
    electra.electra.forward = lambda *_, **__: transformers.modeling_outputs.BaseModelOutput(states)
    seen, labels = batch["attention_mask"].long(), (shown != batch["input_ids"]).long()
    expected = electra(input_ids=shown, attention_mask=seen, labels=labels)
    assert labels.sum() > 3
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.loss, expected.loss)
    assert found.number == seen.sum()


def test_the_generator_loss_is_that_of_electra_in_transformers():
    task, batch = make(), make_batch(ROWS)
    config = transformers.ElectraConfig(
        vocab_size=VOCABULARY, embedding_size=32, hidden_size=8, num_attention_heads=2
    )
    electra = transformers.ElectraForMaskedLM(config).eval()
    masked = task.masker(batch)
    states = task.generator(masked.input_ids)
    electra.electra.forward = lambda *_, **__: transformers.modeling_outputs.BaseModelOutput(states)
    electra.generator_predictions.forward = lambda hidden: task.head._transform(hidden)
    electra.generator_lm_head.load_state_dict(task.head.decoder.state_dict())
    labels = torch.full_like(masked.input_ids, -100)
    for row in range(2):
        places = masked.positions[row][masked.valid[row]]
        labels[row, places] = batch["input_ids"][row, places]
    expected = electra(input_ids=masked.input_ids, labels=labels).loss
    torch.testing.assert_close(task.loss(batch, masked)[0], expected)


def test_masked_tokens_alone_are_replaced_and_equal_ones_count_as_original():
    task, batch = make(), make_batch(ROWS)
    masked, _, found = detected(task, batch)
    may = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for row in range(2):
        may[row, masked.positions[row][masked.valid[row]]] = True
    assert not (found.replaced & ~may).any()
    ids, sampled = torch.tensor([[7, 8, 9], [7, 8, 9]]), torch.tensor([[8, 5], [6, 4]])
    positions, valid = torch.tensor([[1, 2], [0, 0]]), torch.tensor([[True, True], [True, False]])
    own = Masked(ids, positions, ids.gather(1, positions), valid)
    assert replace_tokens(ids, own, sampled).tolist() == [[7, 8, 5], [6, 8, 9]]


def test_what_is_sampled_follows_the_distribution_of_the_generator():
    torch.manual_seed(0)
    head = torch.nn.Linear(4, 12)
    hidden = torch.randn(1, 1, 4)
    chance = torch.rand(1, 50_000, dtype=torch.float64)
    drawn = sample(head, hidden.expand(1, 50_000, 4), chance)
    probabilities = head(hidden)[0, 0].softmax(-1).detach().numpy()
    expected, found = probabilities * 50_000, np.bincount(drawn[0].numpy(), minlength=12)
    assert ((found - expected) ** 2 / expected).sum() < chi2.ppf(1 - 1e-4, 11)
    impossible = torch.nn.Linear(4, 3)
    torch.nn.init.zeros_(impossible.weight)
    impossible.bias.data = torch.tensor([-1e4, 0.0, -1e4])
    edge = torch.tensor([[1e-16, 0.5, 1 - 1e-16]], dtype=torch.float64)
    assert sample(impossible, torch.randn(1, 3, 4), edge).tolist() == [[1, 1, 1]]


def test_the_same_examples_are_replaced_alike_in_any_batch():
    task, batch = make(), make_batch(ROWS)
    _, _, whole = detected(task, batch)
    for row in range(2):
        _, _, alone = detected(task, {name: tensor[row : row + 1] for name, tensor in batch.items()})
        assert torch.equal(alone.replaced[0], whole.replaced[row])


def test_no_gradient_of_the_discriminator_reaches_the_generator():
    task, batch = make(), make_batch(ROWS)
    torch.nn.init.normal_(task.detection_head.output.weight)
    _, _, found = detected(task, batch)
    found.loss.backward()
    assert all(parameter.grad is not None for parameter in task.encoder.parameters())
    own = {name: p for name, p in task.generator.named_parameters() if p is not task.encoder.embedding.weight}
    assert own
    assert all(parameter.grad is None for parameter in own.values())


def test_embeddings_are_shared_and_mapped_where_sizes_differ():
    task = make()
    assert task.generator.hidden_size == 8
    assert task.generator.embedding.weight is task.encoder.embedding.weight is task.head.decoder.weight
    assert task.generator.embedding(torch.tensor([[3]])).shape == (1, 1, 8)
    alike = make(generator_share=1.0)
    assert alike.generator.embedding is alike.encoder.embedding
    names = [name for name, _ in task.named_parameters()]
    assert "encoder.embedding.weight" in names
    assert not any(name.endswith("embedding.embedding.weight") for name in names)  # each weight once


def test_the_copy_mechanism_is_a_mixture_of_the_token_and_the_distribution():
    logits = torch.randn(2, 5)
    log_p, replaced = torch.randn(2, 5).sub(3), torch.rand(2, 5) < 0.5
    copies = torch.sigmoid(-logits)
    expected = -(copies * ~replaced + (1 - copies) * log_p.exp()).log()
    torch.testing.assert_close(copy_losses(logits, log_p, replaced), expected)


def test_all_tokens_are_predicted_by_the_discriminator():
    task, batch = make(all_tokens=True), make_batch(ROWS)
    masked, hidden, found = detected(task, batch)
    chance = task.masker.draws(batch).uniform("replacement", masked.positions)
    shown = replace_tokens(batch["input_ids"], masked, sample(task.head, hidden, chance))
    states = task.encoder(shown)
    log_p = task.original_head(states).log_softmax(-1).gather(2, batch["input_ids"][..., None])[..., 0]
    expected = copy_losses(task.detection_head(states), log_p, shown != batch["input_ids"]).mean()
    torch.testing.assert_close(found.loss, expected)
    one = torch.autograd.grad(found.loss, list(task.encoder.parameters()), retain_graph=True)
    two = torch.autograd.grad(expected, list(task.encoder.parameters()))
    for own, other in zip(one, two, strict=True):
        torch.testing.assert_close(own, other)


def test_scores_are_those_of_torchmetrics():
    torch.manual_seed(0)
    replaced = torch.rand(40, 50) < 0.2
    logits, counted = torch.randn(40, 50) + replaced, torch.rand(40, 50) < 0.9
    metric = Detection()
    for rows in (slice(0, 15), slice(15, 40)):
        metric.update(logits[rows], replaced[rows], counted[rows])
    found = metric.compute()
    own, true = logits[counted].sigmoid(), replaced[counted]
    assert found["accuracy"] == pytest.approx(((own > 0.5) == true).double().mean().item())
    assert found["f1"] == pytest.approx(binary_f1_score(own, true.int()).item())
    assert found["auc"] == pytest.approx(binary_auroc(own, true.int()).item(), abs=1e-3)
    assert found["share"] == pytest.approx(true.double().mean().item())


@pytest.mark.parametrize("share", [0, -0.5, 1.25])
def test_a_generator_larger_than_its_discriminator_is_refused(share):
    with pytest.raises(ValueError, match="generator_share must be above 0 and at most 1"):
        make(generator_share=share)


def test_a_mask_that_hides_nothing_is_refused():
    with pytest.raises(ValueError, match="hides no token, which leaves nothing to replace"):
        make(units=Nothing())


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.99, 1.0])
def test_narrower_encoders_have_that_share_of_the_widths(share, hub_model):
    own = {"layers": 3, "hidden_size": 96, "heads": 6, "intermediate_size": 256}
    narrow = own | Transformer.narrowed(share, **own)
    encoder = Transformer(VOCABULARY, **narrow)
    assert len(encoder.layers) == 3
    assert 0 < narrow["hidden_size"] <= own["hidden_size"] * max(share, 1 / 48)
    assert narrow["heads"] == max(round(6 * share), 1)
    assert narrow["intermediate_size"] == int(256 * share)
    for kind in (LSTM, CNN, MLP):
        settings = {"layers": 2, "hidden_size": 48}
        narrower = kind(VOCABULARY, **settings | kind.narrowed(share, **settings))
        assert narrower.hidden_size == pytest.approx(48 * share, abs=2)
        assert narrower.hidden_size <= 48
    settings = {"name": str(hub_model), "reinitialize": False}
    hub = Pretrained(200, **settings | Pretrained.narrowed(share, **settings))
    assert hub.hidden_size == pytest.approx(32 * share, abs=4)
    assert hub.model.config.num_attention_heads == max(round(2 * share), 1)
    hub.share_embedding(Pretrained(200, str(hub_model)).embedding)
    assert hub(torch.tensor([[5, 6, 7]])).shape == (1, 3, hub.hidden_size)
