"""Pairs of texts as rows, compared with what `transformers` makes of them."""

import json

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from tokenizers import processors

from maskwright.corpora.inputs import inputs
from maskwright.corpora.labels import Labelled
from maskwright.data.unlabelled import rows_of_inputs
from maskwright.models import Pretrained
from maskwright.models.encoder import types_of
from maskwright.text.tokenizer import Pretrained as PretrainedTokenizer
from maskwright.text.tokenizer import Tokenizer, Trained
from maskwright.text.tokenizer.pairs import PairLayout, pair_lengths
from tests.texts import make_text

PAIRS = [
    (make_text(1, 1), make_text(2, 1)),
    (make_text(3, 1), make_text(4, 9)),
    (make_text(5, 9), make_text(6, 1)),
    (make_text(7, 9), make_text(8, 9)),
    ("a", "b"),
]
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 70,
}


def learned() -> Tokenizer:
    return Trained("wordpiece", 150, lowercase=True).make(lambda: iter([[make_text(s) for s in range(60)]]))


def write_bert(folder):
    """A folder with a BERT and a tokenizer of its layout."""
    tokenizer = learned()
    tokenizer.save(folder)
    config = transformers.BertConfig(vocab_size=len(tokenizer), **SIZES, pad_token_id=tokenizer.pad_id)
    return transformers.BertModel(config)


def write_roberta(folder):
    """A folder with a RoBERTa and a tokenizer of its layout: `<s> a </s></s> b </s>`, all of type 0."""
    tokenizer = learned()
    tokenizer.save(folder)
    file = folder / "tokenizer.json"
    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>", "[UNK]": "<unk>"}
    described = file.read_text()
    for ours, theirs in names.items():
        described = described.replace(json.dumps(ours), json.dumps(theirs))
    file.write_text(described)
    backend = tokenizers.Tokenizer.from_file(str(file))
    cls, sep = ((name, backend.token_to_id(name)) for name in ("<s>", "</s>"))
    backend.post_processor = processors.RobertaProcessing(sep, cls, trim_offsets=False, add_prefix_space=False)
    backend.save(str(file))
    roles = ("pad", "cls", "sep", "mask", "unk")
    settings = {f"{role}_token": name for role, name in zip(roles, names.values(), strict=True)}
    settings |= {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), **SIZES, type_vocab_size=1, pad_token_id=tokenizer.pad_id
    )
    return transformers.RobertaModel(config)


@pytest.mark.parametrize(("write", "types", "special"), [(write_bert, 2, 3), (write_roberta, 0, 4)])
def test_rows_and_hidden_states_equal_those_of_transformers(tmp_path, write, types, special):
    torch.manual_seed(0)
    model = write(tmp_path)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer = PretrainedTokenizer(str(tmp_path)).make(lambda: iter(()))
    assert tokenizer.pair_layout.special == special
    texts = list(inputs((Labelled(a, None, b) for a, b in PAIRS), str, None))
    rows = rows_of_inputs(texts, "class", tokenizer, {"block_size": 60, "truncate": "head"})
    everything = np.arange(len(rows))
    batch = {name: torch.from_numpy(array) for name, array in rows.read(everything, everything).items()}
    firsts, seconds = map(list, zip(*PAIRS, strict=True))
    expected = theirs(
        firsts,
        seconds,
        truncation=True,
        max_length=60,
        padding=True,
        return_tensors="pt",
        return_token_type_ids=True,
    )
    assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
    assert batch["attention_mask"].tolist() == expected["attention_mask"].bool().tolist()
    assert batch["token_types"].tolist() == expected["token_type_ids"].tolist()
    assert rows.lengths.tolist() == expected["attention_mask"].sum(1).tolist()

    encoder = Pretrained(len(tokenizer), str(tmp_path)).eval()
    assert encoder.token_types == types
    with torch.no_grad():
        found = encoder(batch["input_ids"], batch["attention_mask"], **types_of(encoder, batch))
        hidden = model.eval()(**expected).last_hidden_state
        blind = encoder(batch["input_ids"], batch["attention_mask"])
    seen = batch["attention_mask"]
    torch.testing.assert_close(found[seen], hidden[seen])
    assert torch.allclose(found[seen], blind[seen]) == (types == 0)


def test_words_are_numbered_over_both_texts_and_special_tokens_are_none():
    tokenizer = learned()
    texts = list(inputs([Labelled("one two", None, "two one")], str, None))
    rows = rows_of_inputs(texts, "class", tokenizer, {"block_size": 60, "truncate": "head"})
    batch = rows.read(np.arange(1), np.arange(1))
    ids, words = batch["input_ids"][0], batch["words"][0]
    special = tokenizer.is_special[ids]
    assert special.sum() == 3
    assert (words[special] == -1).all()
    assert sorted({*words[~special].tolist()}) == [0, 1, 2, 3]
    between = int(np.flatnonzero(special)[1])
    assert words[between + 1] == words[between - 1] + 1


def test_a_tokenizer_without_a_template_takes_that_of_bert():
    tokenizer = learned()
    tokenizer.backend.post_processor = processors.Sequence([])
    assert Tokenizer(tokenizer.backend, tokenizer.special).pair_layout == PairLayout((tokenizer.sep_id,))


@pytest.mark.parametrize("room", [0, 1, 7, 8, 40])
def test_the_longer_text_is_cut_first_as_tokenizers_does(room):
    tokenizer = learned()
    numbers = [(a, b) for a in range(1, 13) for b in range(1, 13)]
    found = pair_lengths(np.array(numbers), room)
    tokenizer.backend.enable_truncation(room + 3, strategy="longest_first")
    expected = []
    for a, b in numbers:
        sequences = tokenizer.backend.encode(" ".join("." * a), " ".join("." * b)).sequence_ids
        expected.append([sequences.count(0), sequences.count(1)])
    assert found.tolist() == expected


def test_both_ends_of_a_cut_text_are_shown():
    tokenizer = learned()
    texts = list(inputs([Labelled("a b c d e f g h i e", None, "t y")], str, None))
    rows = rows_of_inputs(texts, "class", tokenizer, {"block_size": 9, "truncate": "both"})
    batch = rows.read(np.arange(1), np.arange(1))
    assert tokenizer.decode(batch["input_ids"][0].tolist()) == "a b i e t y"
