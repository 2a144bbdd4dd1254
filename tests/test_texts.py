"""Texts out of bytes, and what is said of bytes that are none."""

import io
from pathlib import Path

import pytest

from fedrouter_sim.texts import as_text, half_character, read_utf8, undecodable


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_at_the_beginning_is_obeyed_and_taken_off(encoding: str) -> None:
    assert as_text(io.BytesIO("é\nb".encode(encoding))).read() == "é\nb"
    assert as_text(io.BytesIO("".encode(encoding))).read() == ""


def test_a_file_is_read_with_or_without_mark(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "a.toml").write_text("a = 'é'", encoding=encoding)
        assert read_utf8(tmp_path / "a.toml") == "a = 'é'"


def test_the_place_of_a_byte_that_is_not_utf8_is_named() -> None:
    said = str(undecodable(io.BytesIO("é\nab".encode() + b"\xe9c\n")))
    assert said == "byte 6 (line 2) is 0xe9, which is not UTF-8; save the file as UTF-8"


def test_half_a_character_is_found() -> None:
    assert half_character("a\ud83d") and not half_character("a😀é") and not half_character("a")
