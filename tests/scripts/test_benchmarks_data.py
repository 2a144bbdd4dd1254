"""The benchmark of many short rows: what it writes, and what it measures."""

from pathlib import Path

import pytest
from benchmarks import data

from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import tasks_of
from fedrouter_sim.examples.sources import load_shares


def test_the_rows_are_different_labelled_and_the_same_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        data.write_rows(tmp_path / name, 400)
    shares = load_shares(str(tmp_path / "one"), Reading(seed=0))
    assert shares == load_shares(str(tmp_path / "two"), Reading(seed=0))
    assert [len(shares.train), len(shares.test)] == [380, 20]
    assert len({example.instruction for example in (*shares.train, *shares.test)}) == 400
    assert tasks_of(shares.train) == tasks_of(shares.test) == sorted(data.TASKS)


def test_every_phase_has_its_seconds_and_a_peak_that_only_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CLIENTS", 5)
    data.write_rows(tmp_path, 200)
    found = data._phases(str(tmp_path))
    assert [row["phase"] for row in found] == ["start", "load", "digest", "partition", "tokenise"]
    assert all(row["seconds"] > 0 for row in found[1:])
    peaks = [row["peak_bytes"] for row in found]
    assert peaks == sorted(peaks) and peaks[0] > 0
