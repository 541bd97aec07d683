from maskwright.core.changes import changes, listed


def test_changes_have_dotted_keys():
    before = {"a": 1, "b": {"c": 2, "d": [1]}, "e": 0}
    now = {"a": 1, "b": {"c": 3, "d": [1]}, "f": "x"}
    found = changes(before, now)
    assert [change.key for change in found] == ["b.c", "e", "f"]
    assert listed(found) == "b.c was 2 and is 3; e was 0 and is None; f was None and is 'x'"
    assert changes(before, before) == []
