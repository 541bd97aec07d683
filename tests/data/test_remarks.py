"""What a run says of text that is lost."""

import json

import pytest

from maskwright.text.tokenizer import Trained
from tests.texts import make_text


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (lambda text: text, []),
        (lambda text: text.replace(". ", ".<br />\n", 2), []),  # 2 % of the characters, all of them tags
        (
            lambda text: text.replace("the", "<b class='x'>the</b>"),
            ["% of characters in cleaning, tags of HTML included (data.cleaning)"],
        ),
        (lambda text: text.replace(".", "\ufffd"), ["% of characters in cleaning (data.cleaning)"]),
    ],
    ids=["plain", "few tags", "many tags", "characters"],
)
def test_losses_of_cleaning_are_told(make, tmp_path, spoiled, said):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": spoiled(make_text(seed))}) + "\n" for seed in range(60)))
    cleaning = ["html_tags", "html_entities", "control_characters", "unicode_nfc", "whitespace"]
    remarks = make(source=str(path), cleaning=cleaning, cache_dir=str(tmp_path)).remarks()
    assert len(remarks) == len(said)
    for remark, words in zip(remarks, said, strict=True):
        assert remark.startswith("text lost: ")
        assert words in remark


def test_one_remark_tells_all_that_is_lost(make, tmp_path):
    folder = tmp_path / "texts"
    for split, seeds in {"train": range(60), "validation": range(60, 70), "test": range(70, 80)}.items():
        (folder / split).mkdir(parents=True)
        texts = [make_text(seed) for seed in seeds] + ["\x01"]  # which readers pass on
        if split == "validation":
            texts = [f"{text} \u4e2d\u6587" for text in texts[:-1]] + texts[-1:]
        (folder / split / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "labels.jsonl").write_text('{"text": "a"}\n')
    for name in "abcd":
        (folder / f"{name}.pdf").write_text("")
    splits = {split: split for split in ("train", "validation", "test")}
    [remark] = make(
        source=str(folder), splits=splits, cleaning=["control_characters"], cache_dir=str(tmp_path / "cache")
    ).remarks()
    assert remark.startswith(
        "text lost: 3 of 83 texts empty after cleaning, so left out, "
        "1 file left out (labels.jsonl) whose names say no split, while others do "
        "(data.splits.train=train+other takes them), "
        "4 files left out (a.pdf, b.pdf, c.pdf, …) of a kind, or in a place, that is not read, "
    )
    assert remark.endswith("% of validation tokens unknown (tokenizer=bpe knows every character)")


def test_a_vocabulary_with_bytes_knows_every_character(make, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": make_text(seed)}) + "\n" for seed in range(60)))
    tokenizer = Trained("unigram", 600, lowercase=True, byte_fallback=True)
    data = make(source=str(path), tokenizer=tokenizer, cache_dir=str(tmp_path))
    assert data.remarks() == []
    assert data.encode(["\u4e2d\u6587"])[0]["input_ids"].shape == (1, 2 + 1 + 6)
