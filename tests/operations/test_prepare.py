"""From settings to clients: the same for every method."""

from collections.abc import Callable

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.methods import METHODS
from fedrouter_sim.operations.prepare import deal_data, unused_settings

ConfigMaker = Callable[..., RunConfig]


def test_every_method_gets_the_same_clients(micro_config: ConfigMaker) -> None:
    first = deal_data(micro_config())
    assert all(deal_data(micro_config(method=method)) == first for method in ("fedavg", "local", "oracle", "base"))
    assert deal_data(micro_config(seed=2)).clients != first.clients
    assert sum(len(client.train) for client in first.clients) == len(first.shares.train) == 80


@pytest.mark.parametrize(
    ("method", "given", "unused"),
    [
        ("fedrouter", {"tasks", "rounds", "normalize"}, []),
        ("fedavg", {"tasks", "rounds", "local_clusters"}, ["local_clusters", "tasks"]),
        ("base", {"rounds", "lr", "seed", "tasks"}, ["lr", "rounds", "tasks"]),
        ("fedrouter", {"alpha", "clients"}, ["alpha"]),
    ],
)
def test_unused_settings(micro_config: ConfigMaker, method: str, given: set[str], unused: list[str]) -> None:
    assert unused_settings(micro_config(method=method), METHODS[method], frozenset(given)) == unused


def test_alpha_is_used_by_dirichlet(micro_config: ConfigMaker) -> None:
    for changes in ({"split": "dirichlet"}, {"drift_at": 2, "drift_to": "dirichlet"}):
        assert unused_settings(micro_config(**changes), METHODS["fedrouter"], frozenset({"alpha"})) == []
