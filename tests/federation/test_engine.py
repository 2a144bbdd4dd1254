"""Which workers a run is to have: said, refused before any work, and written down."""

import sys
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation import engine
from fedrouter_sim.federation.engine import Engine, connected, engine_record
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


class Starting:
    """A Ray that does not start so often."""

    def __init__(self, error: BaseException, times: int) -> None:
        self.error, self.left = error, times
        self.began = self.ended = self.running = 0

    def is_initialized(self) -> bool:
        return False

    def init(self, *given: Any, **more: Any) -> None:
        self.began += 1
        self.left -= 1
        self.running += 1
        if self.left >= 0:
            raise type(self.error)(*self.error.args)

    def kill_all_processes(self, check_alive: bool) -> None:
        self.running -= 1

    def shutdown(self) -> None:
        self.ended += 1


@pytest.mark.parametrize(
    ("address", "error", "times", "began"),
    [
        (None, RuntimeError("The current node timed out during startup."), 1, 2),
        (None, RuntimeError("The current node timed out during startup."), 9, 3),
        (None, RuntimeError("no shared memory"), 9, 1),
        ("10.0.0.1:6379", RuntimeError("timed out"), 9, 1),
        (None, KeyboardInterrupt(), 9, 1),
    ],
)
def test_ray_that_is_not_there_in_time_is_started_again_and_none_is_left(
    address: str | None, error: BaseException, times: int, began: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray, expected = Starting(error, times), UserError if isinstance(error, Exception) else KeyboardInterrupt
    monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
    if times > 1:
        with pytest.raises(expected), connected(Engine(1, address)):
            pytest.fail("it is there")
    else:
        with connected(Engine(1, address)) as there:
            assert there is ray
    assert (ray.began, ray.ended) == (began, began)
    assert ray.running == (1 if times == 1 or isinstance(error, KeyboardInterrupt) else 0)  # which shutdown ends
