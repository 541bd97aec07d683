import subprocess
import sys
from collections import Counter

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from maskwright.core.errors import UserError
from maskwright.core.hub import missing_package
from maskwright.text.tokenizer import Pretrained, Tokenizer, Trained
from maskwright.text.tokenizer.alphabet import alphabet, ranked_characters
from maskwright.text.tokenizer.wrapper import LONG, cut
from tests.conftest import ROOT
from tests.texts import make_text

TEXTS = [make_text(seed) + " (so they say)" for seed in range(100)]
KINDS = ["wordpiece", "bpe", "unigram"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request) -> Tokenizer:
    return Trained(request.param, 320, lowercase=request.param != "bpe").make(lambda: iter([TEXTS]))


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    """The text's words, put together from their tokens."""
    [(ids, starts)] = tokenizer.encode([text])
    out: list[list[int]] = []
    for i, start in zip(ids.tolist(), starts.tolist(), strict=True):
        if start:
            out.append([])
        out[-1].append(i)
    return [tokenizer.decode(word).strip() for word in out]


def test_words_are_the_words_of_the_text(tokenizer):
    expected = [
        "the",
        "old",
        "sailor",
        ",",
        "crosses",
        "(",
        "in",
        "1984",
        ")",
        "the",
        "well",
        "-",
        "known",
        "river",
        ".",
    ]
    assert words(tokenizer, "the old sailor, crosses (in 1984) the well-known river.") == expected


def test_line_ends_are_in_no_word(tokenizer):
    found = [word for word in words(tokenizer, "the river\nthe old harbour\n\nsong") if word]
    assert found == ["the", "river", "the", "old", "harbour", "song"]


def test_letters_of_several_bytes_stay_in_their_word():
    """In the byte alphabet, half of a letter looks like punctuation: ç ends in the byte that is written §."""
    texts = ["a façade in Málaga (the garçon said “no”)"] * 20
    tokenizer = Trained("bpe", 270, lowercase=False).make(lambda: iter([texts]))
    expected = ["a", "façade", "in", "Málaga", "(", "the", "garçon", "said", "“", "no", "”", ")"]
    assert words(tokenizer, texts[0]) == expected


def test_words_longer_than_a_token_stay_whole(tokenizer):
    [(ids, _)] = tokenizer.encode(["unforgettable"])
    assert len(ids) > 1
    assert words(tokenizer, "an unforgettable winter") == ["an", "unforgettable", "winter"]


def test_special_tokens_in_a_text_are_text(tokenizer):
    [(ids, _)] = tokenizer.encode(["the [MASK] and [SEP] river"])
    assert not set(ids.tolist()) & set(tokenizer.special_ids) - {tokenizer.backend.token_to_id("[UNK]")}


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_training_is_reproducible_in_another_process(kind):
    script = (
        "from maskwright.text.tokenizer import Trained; from tests.texts import make_text; "
        f"tokenizer = Trained('{kind}', 320, True).make(lambda: iter([[make_text(seed) for seed in range(100)]])); "
        "print(sorted(tokenizer.backend.get_vocab().items()))"
    )
    first, second = (
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert len(first) > 1000
    assert first == second


def test_wordpieces_are_those_of_the_words_and_fill_the_vocabulary():
    tokenizer = Trained("wordpiece", 200, lowercase=True).make(lambda: iter([TEXTS]))
    vocabulary = tokenizer.backend.get_vocab()
    assert len(vocabulary) == 200
    assert {"the", "##er"} <= vocabulary.keys()
    characters = {piece for piece in vocabulary if len(piece) == 1}
    assert {f"##{character}" for character in characters} <= vocabulary.keys()
    [(ids, _)] = tokenizer.encode(["zebra the"])
    assert tokenizer.backend.token_to_id("[UNK]") in ids  # no z in the texts
    assert vocabulary["the"] in ids


def test_the_alphabet_is_that_of_normal_texts():
    lower = normalizers.BertNormalizer(lowercase=True)
    ranked = ranked_characters(iter([["Ää a", "b B\n"], ["c"]]), lower)
    assert alphabet(ranked, 100, None) == ["a", "b", "c"]
    ranked = ranked_characters(iter([["bbb cc aa d"]]), lower)
    assert alphabet(ranked, 5, None) == ["a", "b"]  # a and c are equally frequent
    assert alphabet(ranked, 100, 1) == ["b"]
    assert alphabet(Counter("中文a"), 3, None) == ["中", "文"]


def test_ids_are_split_into_special_and_ordinary(tokenizer):
    assert len(tokenizer.special_ids) == 5
    assert sorted(tokenizer.special_ids + tokenizer.ordinary_ids) == list(range(len(tokenizer)))
    assert len(tokenizer) <= 320


def test_saved_tokenizers_open_here_and_with_transformers(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    text = "The old sailor forgets a well-known song."
    [(ids, starts)] = tokenizer.encode([text])
    [(again, starts_again)] = Tokenizer.load(tmp_path).encode([text])
    assert again.tolist() == ids.tolist()
    assert starts_again.tolist() == starts.tolist()
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(text)["input_ids"] == [tokenizer.cls_id, *ids.tolist(), tokenizer.sep_id]
    assert theirs.mask_token_id == tokenizer.mask_id
    assert theirs("[MASK]", add_special_tokens=False)["input_ids"] == [tokenizer.mask_id]


def test_a_sentencepiece_tokenizer_that_splits_at_blanks_only(tmp_path):
    """As those of XLM-R and ALBERT: punctuation comes glued to its word, and must still be its own."""
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    # trained on text in which punctuation stands alone, so that its pieces are its own
    texts = [" ".join(text.replace(".", " . ").replace(",", " , ").split()) for text in TEXTS]
    backend.train_from_iterator(
        texts,
        trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    backend.decoder = decoders.Metaspace()
    tokenizer = Tokenizer(backend, {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"})
    assert words(tokenizer, "the river, the winter.") == ["the", "river", ",", "the", "winter", "."]


def test_pretrained_loads_a_folder(tmp_path):
    trained = Trained("wordpiece", 300, lowercase=True).make(lambda: iter([TEXTS]))
    trained.save(tmp_path)
    loaded = Pretrained(str(tmp_path)).make(lambda: iter([]))
    [(ids, starts)] = loaded.encode(TEXTS[:1])
    [(expected, expected_starts)] = trained.encode(TEXTS[:1])
    assert ids.tolist() == expected.tolist()
    assert starts.tolist() == expected_starts.tolist()
    assert loaded.special_ids == trained.special_ids


def test_a_changed_folder_has_another_digest(tmp_path):
    Trained("wordpiece", 200, lowercase=True).make(lambda: iter([TEXTS])).save(tmp_path)
    before = Pretrained(str(tmp_path)).digest()
    assert before == Pretrained(str(tmp_path)).digest() != ""
    Trained("wordpiece", 100, lowercase=True).make(lambda: iter([TEXTS])).save(tmp_path)
    assert Pretrained(str(tmp_path)).digest() != before


def test_pretrained_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer\.name='.*nowhere'.*tokenizer=wordpiece"):
        Pretrained(str(tmp_path / "nowhere")).make(lambda: iter([]))


def test_a_tokenizer_without_mask_is_refused_where_one_is_asked_for():
    backend = Backend(models.WordLevel({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2}))
    tokenizer = Tokenizer(backend, {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]"})
    assert not tokenizer.has_mask
    with pytest.raises(UserError, match="no mask token"):
        tokenizer.mask_id  # noqa: B018


def test_a_vocabulary_too_small_for_its_alphabet_is_refused():
    with pytest.raises(UserError, match=r"tokenizer\.vocabulary_size=200"):
        Trained("bpe", 200, lowercase=False)


def test_special_tokens_are_those_that_a_tokenizer_puts_around_a_text(tmp_path):
    words = ["<|begin|>", "<|end|>", "<|mask|>", "a", "b"]
    backend = Backend(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="a"))
    backend.add_special_tokens(words[:3])
    backend.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A <|end|>", special_tokens=[("<|begin|>", 0), ("<|end|>", 1)]
    )
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    found = Pretrained(str(tmp_path)).make(lambda: iter(()))
    assert (found.cls_id, found.sep_id, found.pad_id, found.mask_id) == (0, 1, 1, 2)


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ImportError("You need to install sacremoses to use XLMTokenizer. See https://…"), "sacremoses"),
        (ImportError("requires the SentencePiece library but it was not found"), "sentencepiece"),
        (ModuleNotFoundError("No module named 'fugashi'", name="fugashi"), "fugashi"),
        (ValueError("sacremoses"), None),
    ],
)
def test_a_missing_package_is_named(error, package):
    assert missing_package(error) == package


@pytest.mark.parametrize("kind", KINDS)
def test_marks_that_are_letters_stay(kind):
    texts = ["कुल कूल が か می\u200cخواهم میخواهم Café cafe"] * 20
    for strip in (False, True):
        tokenizer = Trained(kind, 330, True, strip_accents=strip).make(lambda: iter([texts]))
        ids = [tokenizer.encode([word])[0][0].tolist() for word in texts[0].split()]
        assert ids[0] != ids[1]
        assert ids[2] != ids[3]
        assert ids[4] != ids[5]
        assert (ids[6] == ids[7]) == strip


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_any_length_are_known(kind):
    tokenizer = Trained(kind, 320, lowercase=False).make(lambda: iter([["acgt" * 5000, "catgatc " * 30]]))
    [(ids, _)] = tokenizer.encode(["acgtca" * 25])
    assert tokenizer.backend.token_to_id("[UNK]") not in ids


def test_a_chinese_vocabulary_reaches_its_size():
    characters = [chr(0x4E00 + i) for i in range(300)]
    tokenizer = Trained("wordpiece", 200, lowercase=True).make(lambda: iter([["".join(characters)] * 3]))
    assert len(tokenizer) == 200


def test_a_unigram_vocabulary_below_its_alphabet_is_refused():
    text = "".join(chr(0x4E00 + i) for i in range(300))
    with pytest.raises(UserError, match=r"tokenizer\.vocabulary_size=64 .* special tokens are 306"):
        Trained("unigram", 64, lowercase=True).make(lambda: iter([[text]]))


def test_the_tokens_of_a_text_have_its_bytes(tokenizer):
    text = TEXTS[0].lower()
    [(ids, _)] = tokenizer.encode([text])
    assert tokenizer.byte_lengths[ids].sum() == len(text.replace(" ", "").encode())
    assert not tokenizer.byte_lengths[tokenizer.special_ids].any()


@pytest.mark.parametrize(("kind", "fallback"), [("bpe", False), ("unigram", True)])
def test_tokens_of_parts_of_a_character_have_its_bytes(kind, fallback):
    own = Trained(kind, 600, lowercase=False, byte_fallback=fallback).make(lambda: iter([TEXTS]))
    text = "naïve 書 of 🙂"
    [(ids, _)] = own.encode([text])
    assert own.byte_lengths[ids].sum() == len(text.replace(" ", "").encode())


def test_long_texts_are_cut_and_have_the_same_tokens(tokenizer):
    text = "\n".join(make_text(seed) for seed in range(500)) + "  and so on"
    assert len(text) > 2 * LONG
    assert "".join(cut(text)) == text
    assert len(list(cut(text))) > 2
    assert tokenizer._cuts_at_blanks
    out = tokenizer.encode(["a river", text, "a song"])
    for (ids, starts), whole in zip(out, ["a river", text, "a song"], strict=True):
        [(expected, expected_starts)] = tokenizer._encode([whole])
        assert ids.tolist() == expected.tolist()
        assert starts.tolist() == expected_starts.tolist()


def test_characters_outside_a_unigram_vocabulary_are_spelled_in_bytes(tmp_path):
    tokenizer = Trained("unigram", 600, lowercase=False, byte_fallback=True).make(lambda: iter([TEXTS]))
    assert len(tokenizer) <= 600
    text = "the 中文 river, 👍🏽 Ωmega <0x41> a<b 好。"
    [(ids, _, offsets)] = tokenizer.encode([text], offsets=True)
    assert tokenizer.backend.token_to_id("[UNK]") not in ids
    assert tokenizer.decode(ids.tolist()) == text
    found = ["the", "中文", "river", ",", "👍🏽", "Ωmega", "<", "0x41", ">", "a", "<", "b", "好", "。"]
    assert words(tokenizer, text) == found
    assert offsets.max() == len(text)
    assert len(ids) > len(found)
    tokenizer.save(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)(text, add_special_tokens=False)["input_ids"] == ids.tolist()
    plain = Trained("unigram", 600, lowercase=False).make(lambda: iter([TEXTS]))
    assert plain.backend.token_to_id("[UNK]") in plain.encode([text])[0][0]


def test_wordpiece_spells_no_characters_in_bytes():
    with pytest.raises(UserError, match=r"byte_fallback=true.*tokenizer=unigram.*tokenizer=bpe"):
        Trained("wordpiece", 300, lowercase=True, byte_fallback=True)


def test_offsets_of_long_texts_are_those_of_the_whole():
    tokenizer = Trained("wordpiece", 320, lowercase=True).make(lambda: iter([TEXTS]))
    text = " ".join(make_text(seed) for seed in range(300))
    assert len(text) > LONG
    [cut_up], [whole] = tokenizer.encode([text], offsets=True), tokenizer._encode([text], offsets=True)
    assert all((one == other).all() for one, other in zip(cut_up, whole, strict=True))
