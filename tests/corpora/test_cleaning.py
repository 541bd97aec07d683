import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.cleaning import STEPS, Cleaner

DEFAULT = ["html_tags", "html_entities", "control_characters", "unicode_nfc", "whitespace"]


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("html_tags", "one<br />two <b>three</b><!-- no -->", "one two  three  "),
        ("html_tags", "a < b and c > d, <3", "a < b and c > d, <3"),
        ("html_tags", "if a<b and c>d then", "if a<b and c>d then"),
        ("html_tags", "<half " + "of the text " * 1000 + "is > that", None),
        ("html_tags", "List<String> x; vector<int>; <name>", None),
        ("html_tags", "<a href=\"x?a=1\" title='b > c'>d</a><td nowrap width=5/><!DOCTYPE html>", " d   "),
        ("html_entities", "?a=1&section=2&copy &notit; &lt;", "?a=1&section=2&copy &notit; <"),
        ("html_entities", "&#x41;&#66;&nosuch;", "AB&nosuch;"),
        ("control_characters", "می\u200cخواهم 👩\u200d💻 क्\u200dष", None),
        ("control_characters", "co\u00adoperate\u200e", "cooperate"),
        ("html_entities", "Tom &amp; Jerry&#39;s caf&eacute;", "Tom & Jerry's café"),
        ("control_characters", "a\x00b\u200bc\ufeff\td\ne", "abc\td\ne"),
        ("unicode_nfc", "cafe\u0301 \ufb01", "café \ufb01"),
        ("unicode_nfkc", "\ufb01ne \uff21", "fine A"),
        ("whitespace", "  a \t\u00a0b \n\n \n c  ", "a b\nc"),
        ("wikitext_joins", "well @-@ known 1 @,@ 000 3 @.@ 5", "well-known 1,000 3.5"),
    ],
)
def test_each_step(step, before, after):
    assert STEPS[step](before) == (before if after is None else after)  # None: unchanged


def test_steps_run_in_the_given_order():
    assert Cleaner(["html_entities", "html_tags"])("&lt;b&gt;x") == " x"
    assert Cleaner(["html_tags", "html_entities"])("&lt;b&gt;x") == "<b>x"


def test_cleaning_twice_changes_nothing():
    clean = Cleaner(DEFAULT)
    once = clean("A  <i>B</i>\x07 cafe\u0301\n\n\n&nbsp;c ")
    assert once == "A B café\nc"
    assert clean(once) == once


def test_the_error_for_an_unknown_step_suggests_the_nearest():
    with pytest.raises(UserError, match="'whitespac'.*Did you mean 'whitespace'"):
        Cleaner(["whitespac"])
