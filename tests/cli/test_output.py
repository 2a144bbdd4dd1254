"""Results go to standard output, notes and progress to standard error."""

import io
import json

import pytest

from fedrouter_sim.cli.output import display_for, note, print_result
from fedrouter_sim.federation.observers import Display

Captured = pytest.CaptureFixture[str]


def test_json_is_one_line_of_standard_output_and_nothing_else(capsys: Captured) -> None:
    print_result({"a": [1, None], "text": "é [bold] 中"}, ["a table"], as_json=True)
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and json.loads(out) == {"a": [1, None], "text": "é [bold] 中"}
    assert "é" in out and err == ""


def test_json_for_another_encoding_is_the_same_json(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    print_result({"text": "é 中"}, [], as_json=True)
    out.flush()
    assert json.loads(out.buffer.getvalue()) == {"text": "é 中"}  # type: ignore[attr-defined]  # of BytesIO


def test_people_get_the_tables_in_order_and_no_json(capsys: Captured) -> None:
    print_result({"a": 1}, ["first table", "second table"], as_json=False)
    out, err = capsys.readouterr()
    assert out == "first table\nsecond table\n" and err == ""


def test_a_note_goes_to_standard_error_unless_quiet(capsys: Captured) -> None:
    note("mind this", quiet=False)
    note("not this", quiet=True)
    assert capsys.readouterr() == ("", "note: mind this\n")


def test_a_quiet_display_prints_nothing(capsys: Captured) -> None:
    with display_for(quiet=True) as display:
        assert isinstance(display, Display)
        display.started("training", 3)
        display.advanced(1)
    assert capsys.readouterr() == ("", "")


def test_a_progress_display_leaves_standard_output_alone(capsys: Captured) -> None:
    with display_for(quiet=False) as display:
        display.started("training", 3)
        display.advanced(3)
    assert capsys.readouterr().out == ""
