"""The picture of a run's final table."""

import sys
from pathlib import Path

import picture
import pytest


def test_it_shows_the_summary_and_fetches_nothing(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["picture.py", str(finished_run), str(tmp_path / "table.svg")])
    picture.main()
    svg = (tmp_path / "table.svg").read_text(encoding="utf-8")
    assert "ROUGE-1" in svg and "fedrouter" in svg and "url(http" not in svg
    first = svg
    picture.main()
    assert (tmp_path / "table.svg").read_text(encoding="utf-8") == first
