"""Tables between the marks of a document."""

from pathlib import Path

import pytest
from marked_tables import markdown, write_between_marks

from fedrouter_sim.errors import UserError


def test_a_table_is_put_at_the_end_and_then_written_over(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n", encoding="utf-8")
    write_between_marks(page, "study", {"part": ["old"], "other": ["kept"]})
    page.write_text(page.read_text(encoding="utf-8") + "After.\n", encoding="utf-8")
    write_between_marks(page, "study", {"part": markdown(("way", "score"), [("one", "0.5")])})
    part = "<!-- study part -->\n\n| way | score |\n|---|---:|\n| one | 0.5 |\n\n<!-- end of study part -->\n"
    other = "<!-- study other -->\n\nkept\n\n<!-- end of study other -->\n"
    assert page.read_text(encoding="utf-8") == f"Before.\n\n{part}\n{other}After.\n"


def test_a_document_that_is_not_there_is_made(tmp_path: Path) -> None:
    write_between_marks(tmp_path / "new.md", "study", {"part": ["line"]})
    text = (tmp_path / "new.md").read_text(encoding="utf-8")
    assert text == "<!-- study part -->\n\nline\n\n<!-- end of study part -->\n"


def test_what_stands_behind_a_first_mark_without_a_last_is_not_lost(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- study part -->\nold\nAfter.\n", encoding="utf-8")
    with pytest.raises(UserError, match="has <!-- study part --> without <!-- end of study part -->"):
        write_between_marks(page, "study", {"part": ["new"]})
    assert page.read_text(encoding="utf-8").endswith("After.\n")


def test_names_stand_to_the_left_and_numbers_to_the_right() -> None:
    assert markdown(("a", "b", "c"), [], names=2) == ["| a | b | c |", "|---|---|---:|"]
