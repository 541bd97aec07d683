"""Words that are added to a tokenizer."""

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from maskwright.core.errors import UserError
from maskwright.text.tokenizer import Pretrained, Tokenizer, Trained
from maskwright.text.tokenizer.extending import check_extensible, extend
from tests.texts import make_text

TEXTS = [make_text(seed) for seed in range(40)]
OWN = ["Zymurgyst and Klebsiella, klebsiella! The zymurgyst's klebsiella (Klebsiella).", "klebsiella_x zymurgysts"]


@pytest.fixture(
    scope="module",
    params=["wordpiece", "wordpiece, cased", "bpe", "bpe without prefix", "unigram", "bpe of pieces"],
)
def tokenizer(request, tmp_path_factory):
    kind = request.param
    if kind == "bpe of pieces":
        from tokenizers import trainers

        backend = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
        backend.normalizer = normalizers.Lowercase()
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
        backend.decoder = decoders.Metaspace()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        backend.train_from_iterator(
            [*TEXTS, *OWN], trainers.BpeTrainer(vocab_size=150, special_tokens=special, show_progress=False)
        )
        return Tokenizer(backend, dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True)))
    name = kind.split(",")[0].split()[0]
    made = Trained(name, 300, lowercase=kind != "wordpiece, cased").make(
        lambda: iter([TEXTS, ["z y m u r g s t k l e b i a n d Z K T _ ' ! ( ) , . ;"]])
    )
    if kind == "bpe without prefix":  # as RoBERTa
        made.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made


def ids_of(tokenizer, text):
    return tokenizer.encode([text])[0][0].tolist()


def test_the_words_that_save_the_most_become_tokens(tokenizer):
    found = extend(tokenizer, [OWN * 9], 3)
    extension = found.extension
    assert len(extension.pieces) == 3
    assert (extension.first, extension.base) == (len(tokenizer), tokenizer.digest)
    assert len(found) == len(tokenizer) + 3
    for number, pieces in enumerate(extension.pieces):
        assert len(pieces) > 1
        text = found.decode([extension.first + number])
        before = tokenizer.decode(list(pieces))
        assert text.strip() == before.strip()
    # casing is that of the tokenizer
    cased = tokenizer.backend.normalizer is None or tokenizer.backend.normalizer.normalize_str("K") == "K"
    blank = "" if tokenizer.backend.model.__class__.__name__ == "WordPiece" else " "
    assert len(ids_of(found, f"{blank}klebsiella")) == 1
    assert (ids_of(found, f"{blank}Klebsiella") == ids_of(found, f"{blank}klebsiella")) is not cased
    # words are whole
    text = "A zymurgyst, klebsiella; and Klebsiella."
    for (ids, starts), of_before in [(found.encode([text])[0], tokenizer.encode([text])[0])]:
        assert starts[ids >= extension.first].all()
        assert starts.sum() == of_before[1].sum()
        new = np.flatnonzero(ids >= extension.first)
        assert len(new)
    total = sum(len(ids_of(tokenizer, text)) for text in OWN * 9)
    assert extension.total == total
    # WordPiece leaves the word beside _ as it was
    assert sum(len(ids_of(found, text)) for text in OWN * 9) <= total - extension.saved + 9 * 7


def test_offsets_and_spans_stay_right(tokenizer):
    found = extend(tokenizer, [OWN * 9], 3)
    text = "The klebsiella, of klebsiella"
    ids, _, offsets = found.encode([text], offsets=True)[0]
    shown = [
        text[first:last].strip()
        for (first, last), i in zip(offsets.tolist(), ids, strict=True)
        if i >= found.extension.first
    ]
    assert shown == ["klebsiella", "klebsiella"]


def test_other_texts_keep_their_tokens(tokenizer):
    found = extend(tokenizer, [OWN * 9], 3)
    for text in [*TEXTS, "kleb siella zymurg yst", "zymurgy", "Z (K) !"]:
        assert ids_of(found, text) == ids_of(tokenizer, text)
    # around the words, too, tokens stay
    text = "The small klebsiella, and others."
    before, after = ids_of(tokenizer, text), ids_of(found, text)
    [at] = [place for place, i in enumerate(after) if i >= found.extension.first]
    pieces = list(found.extension.pieces[after[at] - found.extension.first])
    assert after[:at] + pieces + after[at + 1 :] == before
    if isinstance(tokenizer.backend.model, models.WordPiece | models.BPE):
        assert ids_of(found, " zymurgystical klebsiellas") == ids_of(tokenizer, " zymurgystical klebsiellas")


def test_it_is_saved_and_opened_by_transformers(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    found = extend(tokenizer, [OWN * 9], 3)
    found.save(tmp_path)
    again = Pretrained(str(tmp_path)).make(lambda: iter(()))
    loaded = Tokenizer.load(tmp_path)
    assert again.extension == loaded.extension == found.extension
    assert again.digest == loaded.digest == found.digest
    text = "The klebsiella, and klebsiella's (klebsiella)."
    theirs = AutoTokenizer.from_pretrained(tmp_path)(text, add_special_tokens=False)["input_ids"]
    assert theirs == ids_of(again, text) == ids_of(found, text)
    with pytest.raises(UserError, match="was extended before, by 3 words"):
        Pretrained(str(tmp_path), extend=5).make(lambda: iter(()))


def test_where_there_are_no_words_nothing_is_added(tokenizer):
    assert extend(tokenizer, [[""]], 9) is tokenizer


def test_bpe_with_marks_at_the_ends_of_words_is_refused():
    backend = tokenizers.Tokenizer(
        models.BPE({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "a</w>": 3}, [], end_of_word_suffix="</w>")
    )
    own = Tokenizer(backend, {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]"})
    with pytest.raises(UserError, match="BPE with marks at the ends of words"):
        check_extensible(own, "it")
