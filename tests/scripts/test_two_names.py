"""Rows of clients that name the same task in two ways."""

import json
from collections import Counter
from pathlib import Path

import pytest
import two_names

from fedrouter_sim.bundled import bundled


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("share", two_names.SHARES)
def test_every_row_is_dealt_out_once_and_clients_hold_two_tasks_by_one_of_two_names(
    share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["two_names.py", str(tmp_path / "rows")])
    two_names.main()
    found, given = rows(tmp_path / "rows" / f"{share}.jsonl"), rows(bundled("multitask") / f"{share}.jsonl")
    assert [{key: row[key] for key in given[0]} for row in found] == given
    names = {(row["client"], row["task"], row["named"]) for row in found}
    assert Counter(client for client, _, _ in names) == dict.fromkeys(range(two_names.CLIENTS), 2)
    assert len({named for _, _, named in names}) == 8
    first = {(task, named) for client, task, named in names if int(client) < 4}
    second = {(task, named) for client, task, named in names if int(client) >= 4}
    assert len(first) == len(second) == 4
    assert {task for task, _ in first} == {task for task, _ in second}
    sizes = Counter((row["client"], row["task"]) for row in found).values()
    assert max(sizes) - min(sizes) <= 1
