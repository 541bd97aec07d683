"""Models of the hub, compared with `transformers` itself, on folders in the hub's layout."""

import json

import pytest
import torch
import transformers

from maskwright.core.errors import UserError
from maskwright.models import Pretrained, masked_lm_head
from maskwright.models.pretrained import saved_architecture
from maskwright.models.pretrained.head import PretrainedHead

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
        "Ernie",
        "Longformer",
        "ModernBert",
        "MPNet",
        "RemBert",
        "Roberta",
        "RoFormer",
        "XLMRoberta",
    ],
)
def test_predictions_equal_those_of_transformers(tmp_path, kind):
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


@pytest.mark.parametrize("named", [None, "BertForPreTraining"])
def test_a_head_is_found_under_all_known_names(tmp_path, named):
    theirs, folder = saved("Bert", tmp_path)
    path = tmp_path / "config.json"
    config = {**json.loads(path.read_text()), "architectures": named and [named]}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    encoder = Pretrained(60, folder)
    assert torch.equal(masked_lm_head(encoder).decoder.bias, theirs.cls.predictions.decoder.bias)
    encoder.save_architecture(tmp_path)
    again = Pretrained(60, **saved_architecture({"name": folder}, tmp_path))
    assert again.own_head() is not None
    assert again.state_dict().keys() == encoder.state_dict().keys()


def test_unused_weights_of_a_model_are_listed(tmp_path):
    config = transformers.BertConfig(**SIZES)
    transformers.BertForPreTraining(config).save_pretrained(tmp_path / "two_heads")
    assert "cls.seq_relationship.weight" in Pretrained(60, str(tmp_path / "two_heads")).unexpected_keys
    transformers.ElectraForPreTraining(transformers.ElectraConfig(**SIZES)).save_pretrained(tmp_path / "electra")
    discriminator = Pretrained(60, str(tmp_path / "electra"))  # knows which tokens were replaced, not by which
    assert discriminator.own_head() is None
    assert any(name.startswith("discriminator_predictions") for name in discriminator.unexpected_keys)
    discriminator.save_architecture(tmp_path)
    assert Pretrained(60, **saved_architecture({"name": ""}, tmp_path)).own_head() is None
    transformers.MobileBertForPreTraining(
        transformers.MobileBertConfig(
            **{**SIZES, "hidden_size": 32}, embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16
        )
    ).save_pretrained(tmp_path / "mobile")
    mobile = Pretrained(60, str(tmp_path / "mobile"))
    assert mobile.own_head() is not None
    assert "cls.seq_relationship.weight" in mobile.unexpected_keys


def test_an_encoder_without_a_head_gets_a_new_one_over_its_embeddings(tmp_path):
    config = transformers.BertConfig(**SIZES)
    transformers.BertModel(config).save_pretrained(tmp_path)
    encoder = Pretrained(60, str(tmp_path))
    assert encoder.own_head() is None
    assert masked_lm_head(encoder).decoder.weight is encoder.embedding.weight
    assert not any("pooler" in name for name, _ in encoder.named_parameters())


def test_weights_may_be_reinitialised_and_dropout_may_be_chosen(tmp_path):
    theirs, folder = saved("Bert", tmp_path)
    anew = Pretrained(60, folder, dropout=0.3, reinitialize=True)
    assert not torch.equal(anew.embedding.weight, theirs.get_input_embeddings().weight)
    assert {module.p for module in anew.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}
    _, folder = saved("ModernBert", tmp_path / "modern")
    anew = Pretrained(60, folder, dropout=0.3)
    assert {module.p for module in anew.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


def test_the_most_positions_of_a_row_are_those_of_the_model(tmp_path):
    _, folder = saved("Roberta", tmp_path)
    encoder = Pretrained(60, folder).eval()
    assert encoder.max_length == 31
    assert encoder(torch.full((1, 31), 7)).shape == (1, 31, 16)


def test_names_that_are_no_model_are_refused(tmp_path):
    with pytest.raises(UserError, match="is no model of the hub"):
        Pretrained(60, str(tmp_path / "nothing"))
    model, folder = saved("Bert", tmp_path)
    with pytest.raises(UserError, match="has 60 tokens, but the tokenizer has 161"):
        Pretrained(161, folder)
    state = model.state_dict()
    del state["bert.encoder.layer.1.output.dense.weight"]
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(UserError, match=r"no weights for .*encoder\.layer\.1\.output\.dense\.weight"):
        Pretrained(60, folder)


def test_damaged_weights_and_weights_of_other_shapes_are_refused(tmp_path):
    _, folder = saved("Bert", tmp_path)
    path = tmp_path / "config.json"
    config = path.read_text()
    path.write_text(config.replace('"intermediate_size": 24', '"intermediate_size": 20'))
    with pytest.raises(UserError, match="damaged weights, or some of other shapes"):
        Pretrained(60, folder)
    path.write_text(config)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(UserError, match="damaged weights"):
        Pretrained(60, folder)


@pytest.mark.parametrize(
    ("kind", "architecture", "changes", "reason"),
    [
        ("Bert", "BertModel", {"is_decoder": True}, "says that it is a decoder"),
        ("Roberta", "RobertaForCausalLM", {}, "it is a decoder \\(RobertaForCausalLM\\)"),
        ("GPT2", "GPT2LMHeadModel", {}, "it is a decoder"),
        ("XLM", "XLMWithLMHeadModel", {"causal": True}, "says that it is a decoder"),
        ("T5", "T5EncoderModel", {"is_encoder_decoder": False}, "an encoder and a decoder"),
        ("Nystromformer", "NystromformerModel", {"num_landmarks": 8}, "cannot mask padding"),
        ("Xmod", "XmodModel", {}, "names no default_language"),
    ],
)
def test_what_is_no_encoder_is_refused_from_its_config_alone(tmp_path, kind, architecture, changes, reason):
    config = getattr(transformers, f"{kind}Config")(**changes, architectures=[architecture])
    config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f"cannot be used: .*{reason}"):
        Pretrained.check_settings(name=str(tmp_path))


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "Esm", "DistilBert", "EuroBert"])
def test_embeddings_and_heads_are_enlarged_for_added_tokens(tmp_path, kind):
    theirs, folder = saved(kind, tmp_path)
    encoder = Pretrained(62, folder, dropout=0.0).eval()
    head = masked_lm_head(encoder).eval()
    ids = torch.randint(3, 60, (1, 9))
    assert (encoder.added_tokens, encoder.embedding.weight.shape[0]) == (2, 62)
    assert isinstance(head, PretrainedHead)
    torch.testing.assert_close(head(encoder(ids))[..., :60], theirs(ids).logits, rtol=1e-4, atol=1e-5)
    encoder.save_architecture(tmp_path)
    assert Pretrained(62, **saved_architecture({"name": folder}, tmp_path)).added_tokens == 0


def test_a_new_head_is_as_wide_as_the_embeddings(tmp_path):
    config = transformers.ElectraConfig(**SIZES, embedding_size=8)
    transformers.ElectraForPreTraining(config).save_pretrained(tmp_path)
    encoder = Pretrained(60, str(tmp_path))
    assert masked_lm_head(encoder)(encoder(torch.ones(1, 4, dtype=torch.long))).shape == (1, 4, 60)


def test_code_of_a_model_is_run_only_where_it_is_allowed(tmp_path):
    (tmp_path / "own.py").write_text(
        "from transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own'\n"
        "class OwnModel(BertModel):\n    config_class = OwnConfig\n"
    )
    transformers.BertModel(transformers.BertConfig(**SIZES)).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "own", "auto_map": classes}))
    with pytest.raises(UserError, match=r"set model\.trust_remote_code=true"):
        Pretrained(60, str(tmp_path))
    assert type(Pretrained(60, str(tmp_path), trust_remote_code=True).model).__name__ == "OwnModel"
