"""Texts in which mask tokens are written, or words hidden."""

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

from maskwright.core.errors import UserError
from maskwright.inference.masked_model import MaskedModel
from maskwright.models import MLP, masked_lm_head
from maskwright.text.masked_text import MaskReader
from maskwright.text.tokenizer import Tokenizer, Trained
from tests.texts import make_text

TEXTS = [make_text(seed) for seed in range(50)]
SPECIAL = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}


def like_roberta(prefix: bool) -> Tokenizer:
    """Byte-level BPE, the mask of which takes the blank before it."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=list(SPECIAL.values())[:-1],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return with_mask(backend, trainer)


def like_xlm_roberta(scheme: str) -> Tokenizer:
    """Unigram that splits at blanks only."""
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=list(SPECIAL.values())[:-1], unk_token="<unk>", show_progress=False
    )
    return with_mask(backend, trainer)


def with_mask(backend: Backend, trainer) -> Tokenizer:
    backend.train_from_iterator(TEXTS, trainer)
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    return Tokenizer(backend, SPECIAL)


def trained(kind: str) -> Tokenizer:
    return Trained(kind, 400, lowercase=True).make(lambda: iter([TEXTS]))


TOKENIZERS = {
    "wordpiece": lambda: trained("wordpiece"),
    "bpe": lambda: trained("bpe"),
    "unigram": lambda: trained("unigram"),
    "roberta": lambda: like_roberta(prefix=False),
    "roberta, prefix": lambda: like_roberta(prefix=True),
    "xlm-roberta, always": lambda: like_xlm_roberta("always"),
    "xlm-roberta, first": lambda: like_xlm_roberta("first"),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


def reader_of(tokenizer: Tokenizer) -> MaskReader:
    encoder = MLP(len(tokenizer), hidden_size=4, layers=1)
    return MaskReader(MaskedModel(encoder, masked_lm_head(encoder), tokenizer))


WRITTEN = [
    "The old [MASK] crosses the harbour at night.",
    "[MASK] old sailor[MASK]",
    "the [MASK] [MASK], the[MASK][MASK] river  [MASK] . [MASK]",
    "[MASK]",
    "the river ([MASK]) and 'n [MASK]'s letter\n[MASK] night",
]


def test_masks_are_read_as_transformers_reads_them(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    theirs, own = PreTrainedTokenizerFast.from_pretrained(tmp_path), reader_of(tokenizer)
    for written in WRITTEN:
        text = written.replace("[MASK]", own.mask)
        (read,) = own.read([text])
        assert read.ids.tolist() == theirs(text, add_special_tokens=False).input_ids, text
        assert len(read.masks) == written.count("[MASK]")
        for other in ("[MASK]", "<mask>"):  # for tokenizers of any kind
            (same,) = own.read([written.replace("[MASK]", other)])
            assert same.ids.tolist() == read.ids.tolist()
            assert same.text == written.replace("[MASK]", other)


def test_other_special_tokens_in_a_text_are_text(tokenizer):
    own = reader_of(tokenizer)
    sep = f" {tokenizer.special['sep']} river"
    (read,) = own.read([own.mask + sep])
    assert read.ids[1:].tolist() == tokenizer.encode([sep])[0][0].tolist()
    assert (
        tokenizer.mask_id not in tokenizer.encode([own.mask])[0][0]
    )  # a copy reads masks, the tokenizer never does


def test_hidden_words_are_masked_wherever_they_stand(tokenizer):
    own = reader_of(tokenizer)
    text = "the sailor forgets the harbour, theatre of the sailor."
    (read,) = own.read([text], ["the", "sailor"])
    whole = tokenizer.encode([text], offsets=True)[0]
    assert read.encoded.ids.tolist() == whole[0].tolist()  # the tokens that training would mask
    left = "".join(text[a:b] for i, (a, b) in enumerate(read.encoded.offsets) if i not in read.masks)
    assert "theatre" in left.replace(" ", "")
    assert "sailor" not in left
    assert own.filled(read, read.encoded.ids[read.masks].tolist()) == text  # what was hidden makes the text again


def test_several_words_in_a_row_can_be_hidden(tokenizer):
    own = reader_of(tokenizer)
    (read,) = own.read(["the quiet library forgets the river"], ["quiet library"])
    (each,) = own.read(["the quiet library forgets the river"], ["quiet", "library"])
    assert {*each.masks} <= {*read.masks}  # and the blank between them, where it is a token


@pytest.mark.parametrize(
    ("text", "hide", "message"),
    [
        (
            "the river",
            [],
            r"The text 'the river' has no mask. Write (\[MASK\]|<mask>) where a token is missing, or",
        ),
        ("the river", ["rivers"], "hide='rivers' is no word of the text 'the river'. Did you mean 'river'?"),
        ("the river", ["riv"], "hide='riv' is no word of the text 'the river'."),
    ],
)
def test_texts_without_masks_are_refused(tokenizer, text, hide, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        reader_of(tokenizer).read([text], hide)


def test_an_empty_text_has_no_masks(tokenizer):
    assert [len(read.masks) for read in reader_of(tokenizer).read(["", " "])] == [0, 0]
    assert len(reader_of(tokenizer).read([""], ["the"])[0].masks) == 0


def test_candidates_are_single_tokens(tokenizer):
    own = reader_of(tokenizer)
    token = own.candidate("the")
    assert tokenizer.decode([token]).strip() == "the"
    assert own.filled(own.read([f"of {own.mask} of"])[0], [token]) == "of the of"
    assert own.candidate(own.spelling(token)) == token
    with pytest.raises(UserError, match="'theatre' is not one token of this model but"):
        own.candidate("theatre")
    with pytest.raises(UserError, match="is not one token"):
        own.candidate(own.mask)


def test_pieces_of_a_word_are_joined_and_blanks_kept():
    own = reader_of(trained("wordpiece"))
    (read,) = own.read(["The old [MASK] [MASK], ([MASK])."])
    the, piece = (
        own.candidate("the"),
        next(i for i in own.tokenizer.ordinary_ids if own.spelling(i).startswith("##")),
    )
    assert own.filled(read, [the, piece, the]) == f"The old the{own.spelling(piece)[2:]}, (the)."
    assert own.filled(read, [piece, the, the]) == f"The old{own.spelling(piece)[2:]} the, (the)."


def test_a_tokenizer_without_a_mask_token_is_refused():
    tokenizer = trained("wordpiece")
    special = {role: token for role, token in tokenizer.special.items() if role != "mask"}
    with pytest.raises(UserError, match="has no mask token"):
        reader_of(Tokenizer(tokenizer.backend, special))
