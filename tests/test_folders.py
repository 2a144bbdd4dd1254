"""Folders take their place in one step; one process holds a name; nothing that was made is lost."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from fedrouter_sim import folders
from fedrouter_sim.errors import UserError
from fedrouter_sim.folders import (
    building_of,
    claimed,
    forget_aside,
    new_folder,
    place_of,
    refuse_existing,
    refuse_taken,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


@pytest.mark.parametrize("other", ["folder", "empty folder", "file", "link"])
def test_what_came_up_meanwhile_is_left_alone_and_the_result_kept_by_another_name(tmp_path: Path, other: str) -> None:
    (tmp_path / "one-2").touch()
    said = r"--out .*one: came up while this was made, which is kept as .*one-3$"
    with pytest.raises(UserError, match=said), new_folder(tmp_path / "one", overwrite=False) as building:
        (building / "new.txt").write_text("new")
        if other == "file":
            (tmp_path / "one").write_text("other")
        elif other == "link":
            (tmp_path / "one").symlink_to("nowhere")
        else:
            (tmp_path / "one").mkdir()
        if other == "folder":
            (tmp_path / "one" / "other.txt").write_text("other")
    assert names(tmp_path) == ["one", "one-2", "one-3"] and names(tmp_path / "one-3") == ["new.txt"]
    assert other != "folder" or names(tmp_path / "one") == ["other.txt"]
    assert other != "file" or (tmp_path / "one").read_text() == "other"


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


def test_a_folder_that_is_there_is_replaced_only_if_wished_and_of_its_kind(tmp_path: Path) -> None:
    refuse_existing(tmp_path / "new", False, ("mark.txt", "both.txt"), "a run folder")
    out = tmp_path / "old"
    out.mkdir()
    with pytest.raises(UserError, match=r"--out .*old: is there already; .*--overwrite"):
        refuse_existing(out, False, ("mark.txt", "both.txt"), "a run folder")
    with pytest.raises(UserError, match=r"--out .*old: is not a run folder, so --overwrite leaves it alone"):
        refuse_existing(out, True, ("mark.txt", "both.txt"), "a run folder")
    (out / "mark.txt").touch()
    with pytest.raises(UserError, match="is not a run folder"):
        refuse_existing(out, True, ("mark.txt", "both.txt"), "a run folder")
    (out / "both.txt").touch()
    refuse_existing(out, True, ("mark.txt", "both.txt"), "a run folder")
    with pytest.raises(UserError, match="is there already"):
        refuse_existing(out, False, ("mark.txt", "both.txt"), "a run folder")


def test_it_grows_under_a_known_name_and_what_a_dead_process_left_there_goes(tmp_path: Path) -> None:
    left = building_of(tmp_path / "one")
    left.mkdir()
    (left / "half.txt").touch()
    (tmp_path / ".one.lock").write_text("1\n")  # of a process that lives no more, as nobody holds it
    with new_folder(tmp_path / "one", overwrite=False) as building:
        assert building == left and names(building) == []
        assert place_of(building) == place_of(tmp_path / "one") == tmp_path / "one"
    assert names(tmp_path) == ["one"]


def test_a_name_is_held_by_one_process(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with new_folder(tmp_path / "one", overwrite=False) as building:
        for same in (tmp_path / "one", tmp_path / "link" / "one", tmp_path / "x" / ".." / "one"):
            said = rf"--out {same}: process {os.getpid()} is writing it"
            with pytest.raises(UserError, match=said), new_folder(same, overwrite=True):
                pytest.fail("the work must not begin")
            with pytest.raises(UserError, match=said):
                refuse_taken(same)
        (building / "x.txt").touch()
    refuse_taken(tmp_path / "one")
    assert names(tmp_path) == ["link", "one"] and names(tmp_path / "one") == ["x.txt"]


def test_what_grew_there_before_comes_back_if_it_is_not_replaced(tmp_path: Path) -> None:
    left = building_of(tmp_path / "one")
    for replaced in (False, True):
        left.mkdir(exist_ok=True)
        (left / "half.txt").touch()
        with claimed(tmp_path / "one") as place:
            place.begin(aside=True)
            assert names(left) == []
            if replaced:
                forget_aside(left)
            else:
                place.restore()
        assert names(left) == ([] if replaced else ["half.txt"]) and names(tmp_path) == [".one.partial"]


def test_what_a_process_put_aside_that_died_at_once_comes_back(tmp_path: Path) -> None:
    aside, building = tmp_path / ".one.aside", building_of(tmp_path / "one")
    for begun in (False, True):
        shutil.rmtree(building, ignore_errors=True)
        aside.mkdir()
        (aside / "half.txt").touch()
        if begun:  # and nothing was worth keeping yet
            building.mkdir()
        with claimed(tmp_path / "one"):
            assert names(building) == ["half.txt"] and not aside.exists()


def test_a_link_in_the_place_of_the_lock_empties_no_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / ".one.lock").symlink_to("mine.txt")
    with pytest.raises(UserError, match="it cannot be written"), claimed(tmp_path / "one"):
        pytest.fail("the work must not begin")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UserError, match="--out one: the working directory is gone"):
        place_of(Path("one"))


def test_folders_that_were_made_for_nothing_go_again(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "a" / "b" / "one", overwrite=False):
        raise RuntimeError
    assert names(tmp_path) == []


def test_the_end_of_the_road_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"--out .*dangling: is a link to nowhere, which is not there"):
        refuse_existing(tmp_path / "dangling", True, ("mark.txt", "both.txt"), "a run folder")
    run = tmp_path / "run"
    (run / "deep").mkdir(parents=True)
    (run / "mark.txt").touch()
    (run / "both.txt").touch()
    for inside in (run, run / "deep"):
        monkeypatch.chdir(inside)
        with pytest.raises(UserError, match="the working directory lies in it"):
            refuse_existing(run if inside != run else Path(), True, ("mark.txt", "both.txt"), "a run folder")
    said = r"--out .*mark.txt/x: it cannot be written \((Not a directory|File exists)\)"
    with pytest.raises(UserError, match=said), claimed(run / "mark.txt" / "x"):
        pytest.fail("the work must not begin")


def test_through_a_link_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "old.txt").touch()
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link"
    link.symlink_to(tmp_path / "one")
    with new_folder(link, overwrite=True) as building:
        (building / "new.txt").touch()
    assert link.is_symlink() and names(tmp_path) == ["elsewhere", "one"] and names(link) == ["new.txt"]


@pytest.mark.parametrize("swaps", [True, False])
def test_whenever_it_stops_a_folder_is_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool
) -> None:
    """Every rename and removal of an overwriting in turn is the last thing that a process does."""
    if not swaps:  # a disk that cannot swap two names
        monkeypatch.setattr(folders, "_renamed", lambda *given: False)
    died = True
    number = 0
    while died:
        place, died, number = tmp_path / str(number) / "one", False, number + 1
        place.mkdir(parents=True)
        (place / "x.txt").write_text("old")
        child = os.fork()
        if child == 0:
            left = [number]

            def step(left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)

            for owner, name in ((folders, "_renamed"), (Path, "rename"), (shutil, "rmtree")):
                real = getattr(owner, name)
                setattr(owner, name, lambda *given, real=real, **more: (step(), real(*given, **more))[1])
            with new_folder(place, overwrite=True) as building:
                (building / "x.txt").write_text("new")
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        with claimed(place) as found:  # who comes next
            assert (place / "x.txt").read_text() in (("old", "new") if died else ("new",))
            found.drop()
        assert names(place.parent) == ["one"]
    assert number > 3


def test_a_folder_that_has_gone_is_said_in_one_line(tmp_path: Path) -> None:
    said = r"--out .*one: .*\.one\.partial, where it grows, has gone or cannot be written"
    with pytest.raises(UserError, match=said), new_folder(tmp_path / "one", overwrite=False) as building:
        shutil.rmtree(building)
        (building / "x.txt").touch()
    assert names(tmp_path) == []


def test_a_disk_without_locks_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*given: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(folders.fcntl, "flock", no_locks)
    with new_folder(tmp_path / "one", overwrite=False) as building:
        (building / "x.txt").touch()
    assert names(tmp_path) == ["one"]
