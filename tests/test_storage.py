"""Files and folders appear whole or not at all, and what is read back is checked."""

import errno
import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import (
    NoRoom,
    named,
    no_room,
    read_json,
    read_json_lines,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_text_is_written_as_utf8_into_folders_made_for_it_without_leftovers(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "x.txt", "é 中\n")
    assert (tmp_path / "a" / "b" / "x.txt").read_bytes() == "é 中\n".encode()
    assert names(tmp_path / "a" / "b") == ["x.txt"]


def test_writing_again_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "a long first text")
    write_text(tmp_path / "x.txt", "short")
    assert (tmp_path / "x.txt").read_text() == "short"
    assert names(tmp_path) == ["x.txt"]


def test_a_reader_of_the_old_file_never_sees_the_new_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"


@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path, existing: bool) -> None:
    if existing:
        write_text(tmp_path / "x.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "x.txt", "x" * 100_000 + "\ud800")
    assert names(tmp_path) == (["x.txt"] if existing else [])
    assert not existing or (tmp_path / "x.txt").read_text() == "old"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_is_not_json_is_refused_before_the_file_is_touched(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "x.json", {"new": value})
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert names(tmp_path) == ["x.json"]


def test_json_is_indented_and_readable_in_any_script(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": "中", "a": [1, None]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": "中", "a": [1, None]}
    assert "中" in text and text.startswith('{\n  "b"') and text.endswith("}\n")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_follows_the_users_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "x.txt", "x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == mode


def test_a_json_object_comes_back_and_anything_else_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": ["é", None]})
    assert read_json(path, "mend it") == {"a": ["é", None]}
    for content, words in ((b"{", "not readable"), (b"\xff\xfe", "not readable"), (b"[1]", "not a JSON object")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"x\.json: {words}.*; mend it$") as caught:
            read_json(path, "mend it")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"none\.json: not readable .*; mend it$"):
        read_json(tmp_path / "none.json", "mend it")


def test_lines_of_json_are_read_one_by_one_and_each_has_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1, "b": 2}\n{"a": 3, "b": null}\n', encoding="utf-8")
    assert list(read_json_lines(path, {"a": Any, "b": Any}, "mend it")) == [{"a": 1, "b": 2}, {"a": 3, "b": None}]
    path.write_text('{"a": 1}\n{"a": 2}\n{"b": 3}\n', encoding="utf-8")
    reading = read_json_lines(path, {"a": Any}, "mend it")
    assert [next(reading), next(reading)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(UserError, match=r"x\.jsonl: damaged \(line 3 lacks one of a\); mend it$"):
        next(reading)


@pytest.mark.parametrize("content", [b"{\n", b"[1]\n", b"\xff\xfe\n", b"{}\n\n", None])
def test_what_is_no_file_of_json_lines_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.jsonl: damaged .*; mend it$") as caught:
        list(read_json_lines(tmp_path / "x.jsonl", {}, "mend it"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "File too large"),
        (RuntimeError("I/O error: some words (os error 28)"), "No space left on device"),
        (OSError(errno.ENOENT, "No such file"), None),
        (RuntimeError("(os error 2)"), None),
        (ValueError("full"), None),
    ],
)
def test_a_disk_that_takes_no_more_is_known_by_its_errors(error: Exception, said: str | None, tmp_path: Path) -> None:
    assert no_room(error) == said
    with pytest.raises(UserError if said else type(error)) as caught, named(f"--out {tmp_path / 'run'}"):
        raise error
    if said:
        assert str(caught.value).startswith(f"--out {tmp_path / 'run'}: cannot be written ({said}); make room")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_finds_no_room_names_its_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scores.json"
    write_text(path, "old")

    def full(*given: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    with pytest.raises(UserError, match=r"scores\.json: cannot be written \(No space left on device\)"):
        write_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_dead_process_left_of_a_file_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    (tmp_path / ".x.txt.dead.tmp").touch()
    (tmp_path / ".y.txt.other.tmp").touch()
    with (tmp_path / ".x.txt.alive.tmp").open("wb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        write_text(tmp_path / "x.txt", "x")
        assert names(tmp_path) == [".x.txt.alive.tmp", ".y.txt.other.tmp", "x.txt"]


def test_a_file_below_a_folder_that_finds_no_room_is_named_by_the_folder(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "full")
    error.add_note("the rest is kept")
    said = r"^--out x: cannot be written \(full\); .* place; the rest is kept$"
    with pytest.raises(NoRoom, match=said), named("--out x"), named("inside"):
        raise error
    with pytest.raises(UserError, match=r"^mend it$"), named("--out x"):
        raise UserError("mend it")
