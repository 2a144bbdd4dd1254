"""What all methods share: grouping, the description of pools, choices, and the plan that follows a drift."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.methods import METHODS, Asked, Choice, Federation, Plan, Pool, client_pool, whole_group
from fedrouter_sim.methods.method import SPECIAL_SETTINGS, TRAINING_SETTINGS, group_by, pools_of, with_groups

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


def test_a_whole_group_holds_all_of_a_clients_examples(federate: FederationMaker) -> None:
    client = federate().clients[3]
    group = whole_group(client, "mine", rank=1, steps=3)
    assert group.examples == tuple(range(len(client.examples)))
    assert (group.client, group.rank, group.pool, group.steps, group.pull) == (3, 1, "mine", 3, None)


def test_pools_know_their_longest_response(federate: FederationMaker) -> None:
    clients = federate().clients
    groups = [group for client in clients for group in group_by(client, ["one"] * len(client.examples))]
    longest = max(len(example.response) for client in clients for example in client.encoded)
    assert pools_of(groups, clients, ["one", "empty"]) == (Pool("one", longest), Pool("empty", 1))


def test_other_groups_in_the_same_pools_never_shorten_an_answer(federate: FederationMaker) -> None:
    clients = federate(split="single").clients
    longest = [max(len(example.response) for example in client.encoded) for client in clients]
    short, long = int(np.argmin(longest)), int(np.argmax(longest))
    assert longest[short] < longest[long]
    two = (Pool("a", longest[long], "sum"), Pool("b", longest[short], None, private=True, parent="a"))
    plan = Plan((whole_group(clients[long], "a"), whole_group(clients[short], "b")), two, bytes_up=5, bytes_down=7)
    swapped = (whole_group(clients[short], "a"), whole_group(clients[long], "b"))
    after = with_groups(plan, swapped, clients)
    assert after.groups == swapped
    assert after.pools == (two[0], dataclasses.replace(two[1], answer_tokens=longest[long]))
    assert (after.bytes_up, after.bytes_down) == (0, 0)


@pytest.mark.parametrize("name", METHODS)
def test_every_plan_deals_each_example_once_to_every_adapter_of_its_client(
    federate: FederationMaker, name: str
) -> None:
    federation = federate(method=name)
    plan = METHODS[name].plan(federation)
    if name == "base":
        assert plan == Plan()
        return
    whole = 2 if name == "ditto" else 1  # ditto trains two adapters on all examples
    for client in plan.clients or federation.clients:
        groups = plan.groups_of(client.id)
        assert [group.rank for group in groups] == list(range(len(groups)))
        assert sorted(i for group in groups for i in group.examples) == sorted([*range(len(client.examples))] * whole)
        assert all(list(group.examples) == sorted(set(group.examples)) for group in groups)
        assert [group.examples[0] for group in groups] == sorted(group.examples[0] for group in groups)
    assert {group.pool for group in plan.groups} <= {pool.name for pool in plan.pools}
    assert (plan.router is not None) == ("global" in METHODS[name].routings)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "base"])
def test_after_a_drift_a_plan_deals_the_new_examples_to_the_same_pools(federate: FederationMaker, name: str) -> None:
    before, after = federate(method=name), federate(method=name, split="single")
    plan = METHODS[name].plan(before)
    follower = METHODS[name].follow(after, plan)
    assert [pool.name for pool in follower.pools] == [pool.name for pool in plan.pools]
    assert (follower.until, follower.then) == (plan.until, plan.then)
    for client in follower.clients or after.clients:
        groups = follower.groups_of(client.id)
        assert {i for group in groups for i in group.examples} == set(range(len(client.examples)))
        assert [group.rank for group in groups] == list(range(len(groups)))
    assert follower.groups != plan.groups
    for old, new in zip(plan.pools, follower.pools, strict=True):
        assert new.answer_tokens >= old.answer_tokens
        assert (new.private, new.label) == (old.private, old.label)


def test_the_pool_of_a_choice_is_that_of_the_largest_weight() -> None:
    assert Choice().pool is None
    assert (Choice.of(None).weights, Choice.of("a", 0.5)) == ((), Choice((("a", 1.0),), 0.5))
    assert Choice((("a", 0.4), ("b", 0.6))).pool == "b"
    assert Choice((("a", 0.5), ("b", 0.5))).pool == "a"  # the first of equals


def test_embeddings_of_what_is_asked_are_computed_once_and_only_if_wanted() -> None:
    calls: list[int] = []

    def embed() -> np.ndarray:
        calls.append(1)
        return np.ones((1, 2), dtype=np.float32)

    asked = Asked(0, (), embed)
    assert not calls
    assert asked.embeddings is asked.embeddings
    assert len(calls) == 1


def test_a_clients_pool_is_named_after_it() -> None:
    assert [client_pool(number) for number in (0, 12, 1000)] == ["client_000", "client_012", "client_1000"]


def test_settings_that_methods_use_are_settings() -> None:
    settings = {field.name for field in dataclasses.fields(RunConfig)}
    assert settings >= SPECIAL_SETTINGS
    assert settings >= TRAINING_SETTINGS
    assert not SPECIAL_SETTINGS & TRAINING_SETTINGS
    used = [name for method in METHODS.values() for name in method.uses]
    assert set(used) == SPECIAL_SETTINGS  # every special setting serves some method
