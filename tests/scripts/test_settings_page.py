"""The page of all settings."""

import settings_page


def test_the_page_is_what_the_settings_say():
    written = settings_page.PAGE.read_text(encoding="utf-8")
    assert written == settings_page.settings_page(), "run `python scripts/settings_page.py`"


def test_flags_in_a_help_text_are_code_and_bars_do_not_end_a_cell():
    assert settings_page._cell("see --lr-min, a|b") == "see `--lr-min`, a/b"
