"""Models of the hub against `transformers` itself, on folders in the hub's layout."""

import pytest
import torch
import transformers

from maskwright.errors import UserError
from maskwright.models.pretrained import Pretrained, PretrainedHead, masked_lm_head

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
OTHERS = {  # of a type, beside those
    "Albert": {"embedding_size": 8},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "ModernBert": TOKENS,
}


def saved(kind: str, folder):
    """A small masked language model of a type, and the folder that it was saved to."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES, **OTHERS.get(kind, {}))
    model = getattr(transformers, f"{kind}ForMaskedLM")(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    return model.eval(), str(folder)


@pytest.mark.parametrize(
    "kind",
    [
        "Albert",
        "Bert",
        "Camembert",
        "Deberta",
        "DistilBert",
        "Electra",
        "ModernBert",
        "MPNet",
        "Roberta",
        "XLMRoberta",
    ],
)
def test_predictions_are_those_of_transformers(tmp_path, kind):
    theirs, folder = saved(kind, tmp_path)
    encoder = Pretrained(60, folder)
    head = masked_lm_head(encoder)
    assert isinstance(head, PretrainedHead)
    assert encoder.training
    assert all(module.training for module in (*encoder.modules(), *head.modules()))
    encoder.eval(), head.eval()
    ids, seen = torch.randint(3, 60, (2, 9)), torch.arange(9) < torch.tensor([[9], [5]])
    positions = torch.tensor([[1, 4], [0, 3]])
    expected = theirs(ids, attention_mask=seen).logits
    found = head(encoder(ids, seen, positions))
    for row in range(2):
        torch.testing.assert_close(found[row], expected[row, positions[row]], rtol=1e-4, atol=1e-5)
    loss, right = head.loss(encoder(ids, seen, positions), ids.gather(1, positions), torch.ones(2, 2) > 0)
    logits = found.flatten(0, 1)
    assert loss.item() == pytest.approx(
        torch.nn.functional.cross_entropy(logits, ids.gather(1, positions).flatten()).item(), rel=1e-4
    )
    assert right.flatten().tolist() == (logits.argmax(1) == ids.gather(1, positions).flatten()).tolist()


def test_an_encoder_without_a_head_gets_a_new_one_over_its_embeddings(tmp_path):
    config = transformers.BertConfig(**SIZES)
    transformers.BertModel(config).save_pretrained(tmp_path)
    encoder = Pretrained(60, str(tmp_path))
    assert encoder.masked_lm is None
    assert masked_lm_head(encoder).decoder.weight is encoder.embedding.weight
    assert not any("pooler" in name for name, _ in encoder.named_parameters())


def test_weights_may_start_anew_and_dropout_be_chosen(tmp_path):
    theirs, folder = saved("Bert", tmp_path)
    anew = Pretrained(60, folder, dropout=0.3, reinitialize=True)
    assert not torch.equal(anew.embedding.weight, theirs.get_input_embeddings().weight)
    assert {module.p for module in anew.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


def test_rows_may_be_as_long_as_positions_reach(tmp_path):
    _, folder = saved("Roberta", tmp_path)
    encoder = Pretrained(60, folder).eval()
    assert encoder.longest == 31
    assert encoder(torch.full((1, 31), 7)).shape == (1, 31, 16)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no model of the hub"):
        Pretrained(60, str(tmp_path / "nothing"))
    model, folder = saved("Bert", tmp_path)
    with pytest.raises(UserError, match="has 60 tokens, and the tokenizer"):
        Pretrained(61, folder)
    state = model.state_dict()
    del state["bert.encoder.layer.1.output.dense.weight"]
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(UserError, match=r"no weights for .*encoder\.layer\.1\.output\.dense\.weight"):
        Pretrained(60, folder)
