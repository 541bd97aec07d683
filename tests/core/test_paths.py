"""Names of folders."""

from pathlib import Path

import pytest

from maskwright.core.paths import cache_folder


@pytest.mark.parametrize("name", ["", None])
def test_no_name_of_a_cache_is_the_default(name):
    assert cache_folder(name) == Path.home() / ".cache" / "maskwright"
    assert cache_folder("~/other") == Path.home() / "other"
