"""`python src/mask.py`, from its config to its output."""

import html
import re
import shlex
from xml.etree import ElementTree

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.reports import masks
from maskwright.run.assemble import make_maskers, prepare, vocabulary_of
from maskwright.run.overrides import quoted
from maskwright.run.preview import preview
from maskwright.settings.commands import PreviewSettings
from tests.conftest import ROOT, compose_command
from tests.integration.test_documents import shown
from tests.masking.test_strategies import STRATEGIES
from tests.programs import call

MASK = ROOT / "src" / "mask.py"
TEXT = "The old sailor, they say, crosses the harbour with great care in 1984."


@pytest.fixture
def settings(corpus, cache) -> list[str]:
    return [
        "data=text",
        f"data.source={corpus}",
        f"data.cache_dir={cache}",
        "tokenizer.vocabulary_size=300",
        "preparation.workers=1",
        "title=test",
    ]


@pytest.fixture
def look(settings):
    def look_at(*overrides: str):
        return preview(compose_command("mask", *settings, *quoted(overrides, str(ROOT / "conf"), "mask")))

    return look_at


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_previewed(look, capsys, strategy):
    found = look(f"mask={strategy}", f"text={TEXT}", "draws=2")
    shown = capsys.readouterr().out
    assert "draw 1:" in shown
    assert "draw 2:" in shown
    assert "most often hidden" in shown
    words = dict(found.words)
    assert {"old", "sailor", ",", "1984"} <= words.keys()
    if strategy == "none":
        assert (found.ratio, found.units) == (0, {})
        return
    assert sum(found.units.values()) == pytest.approx(1)
    assert max(words.values()) > 0.1
    if strategy in ("span", "ngram", "pmi"):
        assert max(found.units) > 1
    if strategy in ("token", "wholeword", "frequency", "tfidf", "adaptive"):
        assert set(found.units) == {1}
        assert found.ratio == pytest.approx(0.3, abs=0.06)
    if strategy == "lexicon":
        assert words["sailor"] == 0


@pytest.mark.parametrize("command", shown(r"python src/mask\.py"))
def test_documented_commands_run(look, tmp_path, capsys, command):
    overrides = [o for o in shlex.split(command)[2:] if not o.startswith("output=")]
    if len(overrides) < len(shlex.split(command)[2:]):
        overrides.append(f"output={tmp_path / 'm.html'}")
    if "--help" not in overrides and "[" not in command.split()[2]:
        look(*overrides)
        assert "draw 1:" in capsys.readouterr().out


def test_hidden_tokens_are_marked(look, capsys):
    look("mask=wholeword", "mask/corruption=mask_only", f"text={TEXT}", "draws=1", "mask.ratio=1.0")
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("draw 1"))
    assert line.startswith("draw 1: [The] [old] [sailor][,] [they] [say][,] [crosses]")
    look("mask=token", "mask/corruption=keep_only", f"text={TEXT}", "draws=1", "mask.ratio=1.0")
    assert "[1984 =]" in capsys.readouterr().out
    look("mask=wholeword", "mask/corruption=random_only", f"text={TEXT}", "draws=1", "mask.ratio=1.0")
    assert "[old → " in capsys.readouterr().out


def test_statistics_are_counted(look):
    found = look("mask=span", "mask.ratio=1.0", f"text={TEXT}", "draws=1")
    assert found.ratio == 1
    assert {share for _, share in found.words} == {1.0}
    assert max(found.units) <= 10


def test_a_text_of_the_corpus_is_the_default(look, capsys):
    look("mask=token", "draws=1")
    assert len(capsys.readouterr().out.split("draw 1: ")[1]) > 20


def test_several_texts_are_shown(look, capsys):
    look("mask=token", "text=[one sailor,two painters cross the river]", "draws=1")
    assert capsys.readouterr().out.count("draw 1 of text") == 2


@pytest.mark.parametrize("ending", ["html", "png", "svg"])
def test_pictures_are_written(look, tmp_path, ending):
    path = tmp_path / "deep" / f"mask.{ending}"
    look("mask=span", "text=A <b> & $5 sailor says it's [so]; " + TEXT * 3, f"output={path}", "draws=2")
    content = path.read_bytes()
    if ending == "png":
        assert content.startswith(b"\x89PNG")
        return
    page = content.decode()
    if ending == "svg":
        ElementTree.fromstring(page)
        return
    assert page.count(">draw ") == 2
    assert "<b>" not in page
    assert "background-color: #ffd54d" in page
    assert [p.name for p in path.parent.iterdir()] == ["mask.html"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["output=mask.pdf"], r"output=mask\.pdf is no picture .* \.html, \.png, \.svg"),
        (["draws=0"], "draws=0 is not a whole number"),
        (["text="], "is no text"),
        (["mask.ratio=2"], r"mask\.ratio is 2"),
        (["mask.dynamic=1"], r"mask\.dynamic=1"),
        (["progress=2"], r"progress=2"),
        (["seed=x"], r"seed='x'"),
        (["data.block_size=2"], r"data\.block_size=2"),
        (["+foo=1"], r"no key 'foo'"),
    ],
)
def test_invalid_settings_are_refused(look, overrides, message):
    with pytest.raises(UserError, match=message):
        look(*overrides)


TEXTS = [
    "tis the season",
    "'tis the season",
    '"quoted start" and more',
    "[MASK] [SEP] hello",
    "[brackets] (paren)",
    "a\\",
    "a\\'b c",
    "a\\\\'b ${home} \\",
    "{a: b}, c=d; 1e5 null",
    "null",
    "nullable",
    "5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_reach_the_config_unchanged(text):
    cfg = compose_command("mask", *quoted([f"text={text}"], str(ROOT / "conf"), "mask"))
    assert cfg.text == (None if text == "null" else text)


@pytest.mark.parametrize("choice", ["wordpiece", "bpe", "unigram"])
@pytest.mark.parametrize("strategy", ["token", "wholeword", "span"])
def test_pictures_contain_every_character_exactly_once(settings, tmp_path, choice, strategy):
    text = 'The (old) "sailor" cost $5.00, naïve ﬁne 😀 \n and Ⅳ a  b'
    overrides = [f"tokenizer={choice}", "tokenizer.vocabulary_size=350", "mask.ratio=0.6", f"mask={strategy}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = PreviewSettings.parse(
            OmegaConf.to_container(compose("mask", [*settings, *overrides]), resolve=True)
        )
    data, parts = prepare(config)
    batch, shard = data.encode([text])
    masker = make_maskers(config, parts, vocabulary_of(data.tokenizer, data))["mask"]
    for epoch in range(20):
        batch["epochs"][:] = epoch
        [cut] = masks.segments(masker, data.tokenizer, batch, shard)
        assert "".join(part.text for part in cut) == text


def test_the_command(settings, tmp_path):
    """As typed in a shell, with a text that the grammar of Hydra would not accept."""
    text = "text=What a day, isn't it: [well], {good} (x=1) ${home} 100% \\\\ 'said' she!"
    result = call(MASK, "mask=span", text, "mask.ratio=0.1", *settings, "output=m.html", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "m.html").read_text()
    plain = html.unescape(re.sub("<[^>]+>", "", page))
    for part in ("${home}", "[well]", "{good}"):
        assert part.strip("[]{}$") in plain
    assert [path.name for path in tmp_path.iterdir()] == ["m.html"]  # no other files are left


def test_help_and_typos(tmp_path):
    shown = call(MASK, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "Look at what a mask does to a text" in shown.stdout
    wrong = call(MASK, "mask=spam", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "mask=spam does not exist. Did you mean 'span'?" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    wrong = call(MASK, "txt=hello", cwd=tmp_path)
    assert "There is no key or group 'txt'. Did you mean 'text'?" in wrong.stderr


class ByVocabulary:
    """A user's own weights, whose constructor takes the size of the vocabulary."""

    def __init__(self, vocabulary_size: int, least: float = 0.5):
        self.of_ids = torch.linspace(least, 1, vocabulary_size)

    def __call__(self, batch):
        return self.of_ids[batch["input_ids"]]


def test_a_users_own_parts_may_take_the_size_of_the_vocabulary(look):
    target = "_target_: tests.integration.test_preview.ByVocabulary"
    found = look("~mask.weights", f"+mask.weights={{{target}, least: 0.1}}", f"text={TEXT}", "draws=1")
    assert found.ratio == pytest.approx(0.3, abs=0.06)
    with pytest.raises(UserError, match=r"mask\.weights\.most is no setting of ByVocabulary"):
        look("~mask.weights", f"+mask.weights={{{target}, most: 0.1}}", f"text={TEXT}")
