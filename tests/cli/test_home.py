"""`~` in the paths that commands are given."""

from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.cli.home import with_home
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import absolute_paths

HOME_FLAGS = [
    ("train", "--data=~/x.jsonl", "--out=~/run"),
    ("train", "--config=~/x.toml"),
    ("train", "--hub-folder=~/x", "--data=org/name"),
    ("train", "--model=~/x.gguf"),
    ("train", "--split=~/x.py:X"),
    ("data", "~/x.jsonl"),
    ("data", "--model=~/x.gguf"),
    ("route", "~/x", "a text"),
    ("eval", "~/x"),
    ("aggregate", "~/x", "--out=~/y"),
    ("report", "~/x"),
    ("export", "~/x", "--out=~/y"),
    ("compare", "~/x", "~/y"),
    ("study", "~/x.toml"),
]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.mark.parametrize("arguments", HOME_FLAGS, ids=lambda words: words[0])
def test_every_command_looks_into_the_home_folder(cli: Any, home: Path, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert done.returncode == 2 and f"{home}/x" in done.stderr and "~" not in done.stderr
    assert list(Path().iterdir()) == []


def test_a_file_is_written_to_the_home_folder(cli: Any, home: Path) -> None:
    assert cli("init", "~/my.toml").returncode == 0 and (home / "my.toml").is_file()
    assert list(Path().iterdir()) == []


def test_texts_are_no_paths() -> None:
    def command(**values: Any) -> None:
        assert values == {"text": ["~/a"], "column": "~", "quiet": True, "file": None}

    with_home(command)(text=["~/a"], column="~", quiet=True, file=None)


def test_the_home_of_nobody_is_refused_and_no_folder_made(cli: Any, home: Path) -> None:
    done = cli("train", "--out=~no-such-user/run")
    assert done.returncode == 2 and "no home folder ~no-such-user" in done.stderr
    assert list(Path().iterdir()) == []


def test_settings_of_files_may_begin_with_the_home_folder(home: Path) -> None:
    (home / "mine.py").write_text("")
    config = absolute_paths(RunConfig(data="~/d", hub_folder="~/h", model="~/m", split="~/mine.py:Mine"))
    expected = (f"{home}/d", f"{home}/h", f"{home}/m", f"{home}/mine.py:Mine")
    assert (config.data, config.hub_folder, config.model, config.split) == expected
