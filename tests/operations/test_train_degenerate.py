"""Federations at the edge: each trains, or is refused in one line. The table of docs/data-and-models.md says which."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.operations.train import train

METHODS: dict[str, dict[str, Any]] = {
    "fedrouter": {"method": "fedrouter", "tasks": 2},
    "auto": {"method": "fedrouter", "tasks": "auto"},
    "fedavg": {"method": "fedavg"},
    "clustered": {"method": "clustered", "rounds": 2, "tasks": 2},
    "feddpa": {"method": "feddpa"},
}
FEW = "--tasks {} is more than the {} (different local centroids|local clusters)"
TEST = tuple(Example(f"what is {number} and 1?", "it is 3", "a") for number in range(50, 52))


def rows(count: int, same: bool = False, response: str = "it is {}") -> list[Example]:
    return [
        Example(f"what is {0 if same else number} and 1?", response.format(0 if same else number), "a")
        for number in range(count)
    ]


# What trains, by what else is set, and how it is refused: by method, or for "all" others; without one it trains.
CASES: dict[str, tuple[list[Example], dict[str, Any], dict[str, str]]] = {
    "one client": (rows(6), {"clients": 1}, {}),
    "one example": (rows(1), {"clients": 1}, {"fedrouter": FEW.format(2, 1)}),
    "one example, one task": (rows(1), {"clients": 1, "tasks": 1}, {}),
    "more clients than examples": (rows(1), {}, {"all": "--clients 2: client 1 would get no example of 1"}),
    "identical rows": (rows(6, same=True), {}, {"fedrouter": FEW.format(2, 1)}),
    "identical rows, one task": (rows(6, same=True), {"tasks": 1}, {}),
    "responses that leave no room": (
        rows(4, response="x y z " * 200),
        {},
        {"all": r"4 of 4 training rows do not fit; .*correct them, or leave them out with --on-bad-row skip"},
    ),
    "responses that leave no room, left out": (
        rows(4, response="x y z " * 200),
        {"on_bad_row": "skip"},
        {"all": "client 0 would have no training row left"},
    ),
    "responses without a word": (rows(4, response=" "), {}, {"all": r"shares.train\[0\]: its response is ' '"}),
    "more tasks than centroids": (
        rows(6),
        {"tasks": 7},
        {"fedrouter": FEW.format(7, 4), "auto": FEW.format(7, 4)},
    ),
    "more local clusters than rows": (rows(6), {"local_clusters": 9}, {}),
    "hardly anybody present": (rows(6), {"participation": 0.01}, {}),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_a_federation_at_the_edge_trains_or_is_refused_in_one_line(
    micro_config: Callable[..., RunConfig], backbone: Any, tmp_path: Path, case: str, method: str
) -> None:
    given, more, refused = CASES[case]
    small = {"clients": 2, "rounds": 1, "local_steps": 1, "batch_size": 2, "test_examples_per_client": 1}
    settings = small | METHODS[method] | more
    if method == "auto" and settings["tasks"] != "auto":
        settings["affinity"] = "both"  # by which the tasks are found, but for their number
    config, shares = micro_config(**settings), Shares(tuple(given), (), TEST)
    if wanted := refused.get(method) or refused.get("all"):
        with pytest.raises(UserError, match=wanted) as caught:
            train(config, tmp_path / "run", backbone=backbone, shares=shares)
        assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []
        return
    done = train(config, tmp_path / "run", backbone=backbone, shares=shares)
    assert done.summary.optimizer_steps > 0
    if case.startswith("identical") and config.method == "fedrouter":
        assert done.summary.tasks_found == 1
    if case == "hardly anybody present" and method == "fedavg":
        assert done.summary.optimizer_steps == 1


@pytest.mark.parametrize("setting", [{"clients": 0}, {"participation": 0.0}, {"rounds": 0}])
def test_a_federation_of_nobody_is_refused(micro_config: Callable[..., RunConfig], setting: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^--(clients 0|participation 0\.0|rounds 0): must be (above 0|at least 1)"):
        micro_config(**setting)
