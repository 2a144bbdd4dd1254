"""Text that is not ours, where it is shown."""

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.showing import plain, shown


@pytest.mark.parametrize(
    ("text", "is_then"),
    [
        ("as it is: é, 漢字, 👩‍🚀\n\t", "as it is: é, 漢字, 👩‍🚀\n\t"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m", r"\x9b31m"),
        ("a\x00b\rc\x07", r"a\x00b\x0dc\x07"),
        ("\u202etxt.exe\u2066", r"\u202etxt.exe\u2066"),
        ("\ud800", r"\ud800"),
        ("a\u2028b", r"a\u2028b"),
    ],
)
def test_what_steers_a_terminal_or_a_page_is_written_out(text: str, is_then: str) -> None:
    assert plain(text) == is_then
    assert plain(plain(text)) == is_then


def test_a_value_is_shown_in_one_short_line() -> None:
    assert shown("a\nb") == "'a b'"
    assert shown("x" * 1000) == f"'{'x' * 60}...'"
    assert shown(["\x1b"] * 100).startswith(r"['\x1b'") and len(shown(["\x1b"] * 100)) < 70
    assert shown("x", "") == "x" and shown(3) == "3" and shown(None) == "None"


def test_a_message_holds_nothing_that_steers_and_is_not_long() -> None:
    assert str(UserError("a\x1b[2Jb")) == r"a\x1b[2Jb"
    assert len(str(UserError("x" * 10_000))) < 1600
