"""Paths as users write them."""

from pathlib import Path

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.paths import at_home


def test_the_home_folder_stands_where_the_sign_for_it_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert at_home("~/a b/c") == str(tmp_path / "a b/c") and at_home("~") == str(tmp_path)
    assert at_home("~/mine.py:Mine") == f"{tmp_path}/mine.py:Mine"
    assert at_home("~root").startswith("/") and at_home("~root") != str(tmp_path)
    for other in ("", "a/~/b", "./~", "org/name", "-"):
        assert at_home(other) == other


def test_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(UserError, match="~no-such-user/run: there is no home folder ~no-such-user; give the path"):
        at_home("~no-such-user/run")
