"""Which workers a run is to have: said, refused before any work, and written down."""

from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation import engine
from fedrouter_sim.federation.engine import Engine, engine_record
from fedrouter_sim.operations.train import train


def test_by_default_there_is_this_process_alone() -> None:
    assert Engine.wanted(None, None) is None
    assert engine_record(None) == {"engine": "process", "workers": 1}
    assert engine_record(3)["workers"] == 3 and engine_record(3)["engine"].startswith("ray ")


def test_workers_or_a_cluster_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: name)
    assert Engine.wanted(2, None) == Engine(2)
    assert Engine.wanted(None, "10.0.0.1:6379") == Engine(None, "10.0.0.1:6379")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 2}, r"^--workers: the package ray is not installed; `pip install 'fedrouter-sim\[ray\]'`$"),
        ({"ray": "10.0.0.1:6379"}, "^--ray: the package ray is not installed"),
        ({"workers": 0}, "^--workers 0: must be at least 1$"),
        ({"ray": ""}, "^--ray '': names no cluster; for this machine give --workers alone$"),
        (
            {"workers": 10**9},
            r"^--workers 1000000000: this machine has \d+ processors; give at most \d+, or a cluster by",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=said):
        train(RunConfig(data="nowhere"), tmp_path / "run", **given)
    assert list(tmp_path.iterdir()) == []
