"""The study of sharing: its grid, that it goes on where it was, and its tables."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import sharing
from shares import grid, measure
from shares.show import tables

from fedrouter_sim.adapters.sharing import SHARINGS
from fedrouter_sim.config.words import NONE
from fedrouter_sim.runs.entries import check_entries

ROOT = Path(__file__).resolve().parents[2]


def test_every_rule_is_measured_and_all_settings_can_be_run() -> None:
    assert {way.get("sharing") for way in grid.WAYS.values()} == {None, NONE, *SHARINGS.names}
    for part in grid.PARTS:
        wanted = list(grid.trials(part, grid.SPLITS[part], list(grid.WAYS), "told", [1, 2]))
        assert len({trial.key for trial in wanted}) == len(wanted)
        for trial in wanted:
            check_entries(trial.config(None))


def test_settings_follow_the_trial() -> None:
    told = grid.Trial(grid.EMBEDDED, "single", "fedrouter affinity, linear", "told", 3).config(None)
    assert (told.method, told.sharing, told.option, told.seed) == ("fedrouter", "affinity", ("power=1",), 3)
    assert (told.tasks, told.local_clusters, told.split) == (4, 1, "single")
    auto = grid.Trial(grid.REAL, "dual", "oracle none", "auto", 3).config("rows")
    assert (auto.tasks, auto.data, auto.clients, auto.sharing) == ("auto", "rows", 4, "none")


def record(split: str, way: str, seed: int, **measured: float | None) -> dict[str, Any]:
    return {"part": "embedded", "split": split, "way": way, "tasks": "told", "seed": seed, "measured": measured}


def test_tables_hold_means_over_seeds() -> None:
    records = [
        record("dual", "fedavg", 1, **{"own rouge1": 0.5, "all loss": 1.0, "seconds": 10.4}),
        record("dual", "fedavg", 2, **{"own rouge1": 0.6, "all loss": 2.0, "seconds": 10.8, "routing": None}),
        record("single", "oracle none", 1, **{"own rouge1": 0.25}),
        record("single", "oracle gone", 1, **{"own rouge1": 0.5}),  # by a rule that is no more
    ]
    lines = tables(records)
    assert "| fedavg | told | 0.550 |  |  | 1.500 |  |  | 11 |  | 2 |" in lines
    assert lines.index("`single`:") > lines.index("`dual`:") and "oracle none" in lines[-2]
    assert lines[-1].startswith("| oracle gone | told | 0.500 |")


def test_the_page_has_the_marks() -> None:
    text = (ROOT / "docs" / "results" / "sharing.md").read_text(encoding="utf-8")
    for part in grid.PARTS:
        assert text.index(f"<!-- sharing {part} -->") < text.index(f"<!-- end of sharing {part} -->")


def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measured(config: Any, backbone: Any) -> dict[str, float]:
        asked.append(config.method)
        return {"own rouge1": 0.5, "own loss": 1.0, "all rouge1": 0.5, "all loss": 1.0}

    class NoBackbone:
        def __init__(self, *_: Any) -> None:
            pass

        def serves(self, _: Any) -> bool:
            return True

    monkeypatch.setattr(sharing, "measured", measured)
    monkeypatch.setattr(sharing, "Backbone", NoBackbone)
    for most in ("2", "3"):
        monkeypatch.setattr(sys, "argv", ["sharing.py", "embedded", "--out", str(tmp_path), "--most", most])
        sharing.main()
    lines = [json.loads(line) for line in (tmp_path / "embedded.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["way"] for line in lines] == list(grid.WAYS)[:5] and len(asked) == 5


def test_what_is_measured(micro_config: Any, backbone: Any) -> None:
    quick = {"rounds": 1, "local_steps": 1, "test_examples_per_client": 1}
    found = measure.measured(micro_config(method="oracle", sharing="affinity", **quick), backbone)
    for data in ("own", "all"):
        assert found[f"{data} loss"] > 0 and 0 <= found[f"{data} rouge1"] <= 1  # type: ignore[operator]
    assert found["megabytes"] > 0 and any(name.startswith("all loss/") for name in found)  # type: ignore[operator]
