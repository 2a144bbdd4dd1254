"""Settings that name an entry, a file or a folder."""

from pathlib import Path

import pytest
from needed_settings import needed_with

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import absolute_paths, table_settings


def test_settings_that_name_an_entry_of_a_table_take_any_text() -> None:
    """Whoever uses the entry looks it up: the table may be the user's own file."""
    names = table_settings()
    assert names == {
        "method": "methods", "metric": "metrics", "format": "row formats", "split": "splits", "drift_to": "splits",
        "aggregation": "aggregation rules", "sharing": "sharing rules", "affinity": "affinities", "router": "routers",
        "attack": "attacks",
    }  # fmt: skip
    for name in names:
        config = RunConfig.build({name: "mine.py:Mine"}, needed_with(name, "mine.py:Mine"))
        assert getattr(config, name) == "mine.py:Mine"


def test_files_of_own_entries_become_absolute_and_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    for name in table_settings():
        given = {name: "mine.py:Mine"} | needed_with(name, "mine.py:Mine")
        assert getattr(absolute_paths(RunConfig.build(given)), name) == f"{tmp_path / 'mine.py'}:Mine"
        absent = given | {name: "absent.py:Mine"}
        assert getattr(absolute_paths(RunConfig.build(absent)), name) == "absent.py:Mine"
    assert absolute_paths(RunConfig()) == RunConfig()
