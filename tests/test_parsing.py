"""JSON and TOML of strangers: what is read, and what is refused without a word of what stands in it."""

import os
from pathlib import Path

import pytest

from fedrouter_sim import parsing
from fedrouter_sim.parsing import parse_json, parse_toml, read_bounded


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested more than 60 deep"),
        ('{"a":' * 61 + "1" + "}" * 61, "nested more than 60 deep"),
        ("9" * 400, "a number of 400 digits is more than 64 bits hold"),
        ("[-" + "7" * 5000 + "]", "a number of 5000 digits"),
        ("9223372036854775808", "more than 64 bits"),
        ("1e999", "too large"),
        ("Infinity", "Infinity is no number of JSON"),
        ("[NaN]", "NaN is no number of JSON"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        (r'["\ud800"]', "half a character"),
        (r'{"\udc00": 1}', "half a character"),
        ("secret", "Expecting value"),
    ],
)
def test_what_is_beyond_the_limits_of_json_is_refused_and_not_repeated(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse_json(text)
    assert "secret" not in str(refused.value) and len(str(refused.value)) < 200


def test_json_is_read_with_whole_numbers_of_64_bits_and_where_asked_for_with_nan() -> None:
    assert parse_json('{"a": [9223372036854775807, -9223372036854775808, 1.5, null, "é"]}') == {
        "a": [2**63 - 1, -(2**63), 1.5, None, "é"]
    }
    assert parse_json("[" * 60 + "]" * 60)
    assert str(parse_json("[NaN, Infinity]", constants=True)) == "[nan, inf]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = " + "[" * 20_000 + "]" * 20_000, "nested more than 60 deep"),
        ("x = " + "9" * 5000, "more digits than 64 bits hold"),
        ("x = " + "9" * 400, "more than 64 bits hold"),
        ("x = =", "Invalid value"),
    ],
)
def test_what_is_beyond_the_limits_of_toml_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_toml(text)


def test_a_pipe_a_folder_and_a_file_without_end_are_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ValueError, match="no regular file"):
            read_bounded(tmp_path / name)
    (tmp_path / "large").write_bytes(b" " * 11)
    monkeypatch.setattr(parsing, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="has 11 bytes, and at most 10 are read"):
        read_bounded(tmp_path / "large")
