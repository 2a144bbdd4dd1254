"""Files and folders appear whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.storage import new_folder, write_json, write_text


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


def test_a_new_folder_appears_only_at_the_end_with_all_its_files(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "one"
    with new_folder(target, overwrite=False) as building:
        (building / "x.txt").write_text("x")
        assert building != target and not target.exists()
        assert building.parent == target.parent  # so that one rename moves it
    assert names(target) == ["x.txt"]
    assert names(tmp_path / "runs") == ["one"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_new_folder_vanishes_on_an_exception(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(tmp_path / "one", overwrite=False) as building:
        (building / "deep").mkdir()
        (building / "deep" / "x.txt").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "old.txt").write_text("old")
    with pytest.raises(FileExistsError), new_folder(tmp_path / "one", overwrite=False):
        pytest.fail("the work must not begin")
    assert names(tmp_path) == ["one"] and names(tmp_path / "one") == ["old.txt"]


def test_a_folder_that_came_up_meanwhile_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), new_folder(tmp_path / "one", overwrite=False) as building:
        (building / "new.txt").write_text("new")
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "other.txt").write_text("other")
    assert names(tmp_path) == ["one"] and names(tmp_path / "one") == ["other.txt"]


def test_overwrite_replaces_the_whole_folder_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "old.txt").write_text("old")
    with new_folder(tmp_path / "one", overwrite=True) as building:
        (building / "new.txt").write_text("new")
        assert names(tmp_path / "one") == ["old.txt"]
    assert names(tmp_path) == ["one"] and names(tmp_path / "one") == ["new.txt"]


def test_overwrite_keeps_the_old_folder_on_an_exception(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "one", overwrite=True):
        raise RuntimeError
    assert names(tmp_path) == ["one"] and names(tmp_path / "one") == ["old.txt"]


def test_overwrite_without_an_old_folder_makes_a_new_one(tmp_path: Path) -> None:
    with new_folder(tmp_path / "one", overwrite=True) as building:
        (building / "new.txt").write_text("new")
    assert names(tmp_path / "one") == ["new.txt"]
