"""What all methods share: grouping, the description of pools, and the registry."""

import dataclasses
from collections.abc import Callable

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.methods import METHODS, Federation, Plan, find_method
from fedrouter_sim.methods.method import group_by, pools_of

FederationMaker = Callable[..., Federation]


def test_groups_are_ranked_by_first_example(federate: FederationMaker) -> None:
    client = federate().clients[2]
    keys = ["b", "a", "b", "c"] + ["a"] * (len(client.examples) - 4)
    groups = group_by(client, keys, {"a": (1,), "b": (0, 2)})
    assert [(group.pool, group.rank, group.clusters) for group in groups] == [
        ("b", 0, (0, 2)), ("a", 1, (1,)), ("c", 2, ())
    ]  # fmt: skip
    assert [group.examples[:2] for group in groups] == [(0, 2), (1, 4), (3,)]
    assert all(group.client == 2 for group in groups)


def test_pools_know_their_longest_response(federate: FederationMaker) -> None:
    clients = federate().clients
    groups = [group for client in clients for group in group_by(client, ["one"] * len(client.examples))]
    longest = max(len(example.response) for client in clients for example in client.encoded)
    pools = pools_of(groups, clients, ["one", "empty"], {"one": "sum"})
    assert [(pool.name, pool.answer_tokens, pool.label) for pool in pools] == [
        ("one", longest, "sum"),
        ("empty", 1, None),
    ]


@pytest.mark.parametrize("name", METHODS)
def test_every_plan_deals_each_example_once(federate: FederationMaker, name: str) -> None:
    federation = federate(method=name)
    plan = METHODS[name].plan(federation)
    if name == "base":
        assert plan == Plan()
        return
    for client in federation.clients:
        groups = plan.groups_of(client.id)
        assert [group.rank for group in groups] == list(range(len(groups)))
        assert sorted(i for group in groups for i in group.examples) == list(range(len(client.examples)))
        assert all(list(group.examples) == sorted(group.examples) for group in groups)
        assert [group.examples[0] for group in groups] == sorted(group.examples[0] for group in groups)
    assert {group.pool for group in plan.groups} <= {pool.name for pool in plan.pools}
    assert (plan.router is not None) == ("global" in METHODS[name].routings)


def test_registry() -> None:
    assert set(METHODS) == {"fedrouter", "fedavg", "local", "oracle", "base"}
    assert all(method.name == name for name, method in METHODS.items())
    assert find_method("fedavg") is METHODS["fedavg"]
    with pytest.raises(UserError, match="--method nope: choose one of fedrouter, fedavg"):
        find_method("nope")


def test_ignored_settings_are_settings() -> None:
    settings = {field.name for field in dataclasses.fields(RunConfig)}
    assert all(method.ignores <= settings for method in METHODS.values())
    assert not METHODS["fedrouter"].ignores
