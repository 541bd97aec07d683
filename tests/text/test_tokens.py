import math

import numpy as np
import pytest

from maskwright.text.packing import PackedBlocks
from maskwright.text.tokenizer import Tokenizer, Trained
from maskwright.text.tokens import Tokens, entropy, write_tokens
from tests.texts import make_text

TEXTS = [make_text(seed, sentences=1 + seed % 7) for seed in range(150)]


def _slice(first: int, last: int) -> list[str]:
    return TEXTS[first:last]


def _open():
    return {"train": _slice}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    Trained("wordpiece", 200, lowercase=True).make(lambda: iter([TEXTS])).save(folder)
    return folder


def write(folder, tokenizer_folder, workers=1, **options) -> Tokens:
    folder.mkdir()
    write_tokens(
        folder,
        _open,
        {"train": [(i, i + 30) for i in range(0, len(TEXTS), 30)]},
        tokenizer_folder,
        workers,
        lambda *_: None,
        **options,
    )
    return Tokens.open(folder / "train")


def test_tokens_are_read_as_they_were_written(folder, tmp_path):
    tokens, tokenizer = write(tmp_path / "a", folder), Tokenizer.load(folder)
    begin = 0
    for text, end in zip(TEXTS, tokens.ends, strict=True):
        [(ids, starts)] = tokenizer.encode([text])
        assert tokens.ids[begin:end].tolist() == [*ids.tolist(), tokenizer.sep_id]
        assert (tokens.flags[begin : end - 1] & 1).tolist() == starts.astype(int).tolist()
        begin = end
    assert begin == len(tokens.ids) == tokens.count + tokens.documents
    assert tokens.ids.dtype == np.uint16


def test_tokens_do_not_depend_on_the_number_of_processes(folder, tmp_path):
    one, two = write(tmp_path / "one", folder), write(tmp_path / "two", folder, workers=2)
    for name in ("ids", "flags", "ends"):
        assert (getattr(one, name) == getattr(two, name)).all()


def test_ids_may_be_stored_as_uint32(folder, tmp_path):
    assert write(tmp_path / "wide", folder, id_type="uint32").ids.dtype == np.uint32


def test_unigram_entropy_is_that_of_the_tokens(folder, tmp_path):
    tokens, tokenizer = write(tmp_path / "a", folder), Tokenizer.load(folder)
    _, counts = np.unique(tokens.ids[tokens.ids != tokenizer.sep_id], return_counts=True)
    shares = counts / counts.sum()
    assert tokens.unigram_entropy == pytest.approx(-(shares * np.log(shares)).sum())
    assert entropy(np.array([1, 1, 0, 2])) == pytest.approx(1.5 * math.log(2))
    assert entropy(np.array([0, 3])) == 0


@pytest.mark.parametrize("block_size", [3, 16, 37, 10_000])
def test_packing_loses_nothing_and_repeats_nothing(folder, tmp_path, block_size):
    tokens, tokenizer = write(tmp_path / "a", folder), Tokenizer.load(folder)
    blocks = PackedBlocks(tokens, tokenizer, block_size)
    batch = blocks.read(np.arange(len(blocks)))
    assert batch["input_ids"].shape == (len(blocks), block_size)
    seen = []
    for row in batch["input_ids"]:
        real = row[row != tokenizer.pad_id]
        assert real[0] == tokenizer.cls_id
        assert real[-1] == tokenizer.sep_id
        seen += real[1:-1].tolist()
    assert seen == tokens.ids.tolist()


def test_words_and_documents_of_a_block(folder, tmp_path):
    tokens, tokenizer = write(tmp_path / "a", folder), Tokenizer.load(folder)
    blocks = PackedBlocks(tokens, tokenizer, 32)
    batch = blocks.read(np.arange(len(blocks)))
    ids, words, documents = batch["input_ids"], batch["words"], batch["documents"]
    special = np.isin(ids, [tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id])
    assert ((words == -1) == special).all()
    assert ((documents == -1) == (ids == tokenizer.pad_id)).all()
    for row in range(len(blocks)):
        numbers = words[row][words[row] >= 0]
        assert (np.diff(numbers, prepend=-1) <= 1).all()
        assert (np.diff(numbers) >= 0).all()
        assert len(numbers) == 0 or numbers[0] == 0
        real = documents[row][documents[row] >= 0]
        assert set(np.diff(real)) <= {0, 1}
        assert real[0] == 0
        # a document ends after its separator; the last [SEP] of the block closes its last document
        separators = np.flatnonzero(ids[row] == tokenizer.sep_id)
        assert real[-1] == len(separators) - 1 - (separators[-2:-1] == separators[-1:] - 1).sum()
    # inside a block, a word starts where the tokenizer says so
    content = tokens.flags[: 30 * (len(blocks) - 1)].reshape(-1, 30) & 1
    inside = words[:-1, 1:-1]
    both = (inside[:, 1:] >= 0) & (inside[:, :-1] >= 0)
    assert ((np.diff(inside, axis=1) == 1) == content[:, 1:].astype(bool))[both].all()


def test_unknown_tokens_are_not_maskable(folder, tmp_path):
    tokenizer = Tokenizer.load(folder)
    unknown = tokenizer.backend.token_to_id("[UNK]")
    ids = np.array([7, unknown, 8, 9, tokenizer.sep_id], dtype=np.uint16)
    tokens = Tokens(ids, np.ones(5, dtype=np.uint8), np.array([5]), np.zeros(0), 0.0)
    [words] = PackedBlocks(tokens, tokenizer, 8).read(np.array([0]))["words"].tolist()
    assert words == [-1, 0, -1, 2, 3, -1, -1, -1]


def test_blocks_are_the_same_in_any_order(folder, tmp_path):
    tokens, tokenizer = write(tmp_path / "a", folder), Tokenizer.load(folder)
    blocks = PackedBlocks(tokens, tokenizer, 24)
    together = blocks.read(np.array([5, 0, 11]))
    for row, number in enumerate([5, 0, 11]):
        alone = blocks.read(np.array([number]))
        assert all((alone[name][0] == together[name][row]).all() for name in alone)
