"""The comparison script goes through every method and split, and goes on where it was."""

import csv
import sys
from pathlib import Path

import pytest
import reproduce


def compare(monkeypatch: pytest.MonkeyPatch, out: Path) -> list[dict[str, str]]:
    monkeypatch.setattr(sys, "argv", ["reproduce.py", "--smoke", "--seeds", "7", "--out", str(out)])
    reproduce.main()
    return list(csv.DictReader((out / "results.csv").open(encoding="utf-8")))


def test_every_method_stands_on_every_split_and_a_second_call_runs_nothing(monkeypatch, tmp_path):
    found = compare(monkeypatch, tmp_path)
    assert [(row["split"], row["method"]) for row in found] == [
        (split, method) for split in ("single", "dual") for method in ("fedrouter", "fedavg", "local", "oracle", "base")
    ]
    assert all(0 <= float(row["all"]) <= 1 for row in found)
    monkeypatch.setattr(reproduce, "train", lambda *_, **__: pytest.fail("ran again"))
    assert compare(monkeypatch, tmp_path) == found
    assert len((tmp_path / "table.md").read_text().splitlines()) == 12
