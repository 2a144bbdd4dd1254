"""What all methods share: plans that deal every example, and the plan that follows a drift."""

import dataclasses
from collections.abc import Callable

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, LastRound, Plan, Pool
from fedrouter_sim.methods import METHODS, find_method
from fedrouter_sim.methods.method import Method

FederationMaker = Callable[..., Federation]


def planned_for(federation: Federation, plan: Plan) -> Federation:
    """Return the federation whose clients a plan's groups are of."""
    return federation.gathered() if plan.gathered else federation


@pytest.mark.parametrize("name", METHODS.names)
def test_every_plan_deals_each_example_once_to_every_adapter_of_its_client(
    federate: FederationMaker, name: str
) -> None:
    federation = federate(method=name)
    plan = find_method(name).plan(federation)
    if name == "base":
        assert plan == Plan()
        return
    assert plan.gathered == (name == "central")
    whole = 2 if name == "ditto" else 1  # ditto trains two adapters on all examples
    for client in planned_for(federation, plan).clients:
        groups = plan.groups_of(client.id)
        assert [group.rank for group in groups] == list(range(len(groups)))
        assert sorted(i for group in groups for i in group.examples) == sorted([*range(client.examples)] * whole)
        assert all(list(group.examples) == sorted(set(group.examples)) for group in groups)
        assert [group.examples[0] for group in groups] == sorted(group.examples[0] for group in groups)
        assert max(group.answer_tokens for group in groups) == client.answer_tokens
    assert {group.pool for group in plan.groups} <= {pool.name for pool in plan.pools}
    assert max(pool.answer_tokens for pool in plan.pools) == federation.longest_answer
    assert (plan.router is not None) == (plan.archive is not None) == ("global" in find_method(name).routings)


@pytest.mark.parametrize("name", [name for name in METHODS.names if name != "base"])
def test_after_a_drift_a_plan_deals_the_new_examples_to_the_same_pools(federate: FederationMaker, name: str) -> None:
    before, after = federate(method=name), federate(method=name, split="single")
    plan = find_method(name).plan(before)
    follower = find_method(name).follow(after, plan)
    assert [pool.name for pool in follower.pools] == [pool.name for pool in plan.pools]
    assert (follower.until, follower.more_follows) == (plan.until, plan.more_follows)
    assert follower.gathered == plan.gathered
    for client in planned_for(after, follower).clients:
        groups = follower.groups_of(client.id)
        assert {i for group in groups for i in group.examples} == set(range(client.examples))
        assert [group.rank for group in groups] == list(range(len(groups)))
        assert max(group.answer_tokens for group in groups) == client.answer_tokens
    assert follower.groups != plan.groups
    for old, new in zip(plan.pools, follower.pools, strict=True):
        assert new.answer_tokens >= old.answer_tokens
        assert (new.private, new.label) == (old.private, old.label)


class Least(Method):
    """A method that defines what every method has to, and no more."""

    name = "least"

    def plan(self, federation: Federation) -> Plan:
        return Plan((Group(0, 0, (0,), "a"), Group(2, 0, (1,), "b")), (Pool("a", 99), Pool("b", 1)))

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        return []


def test_by_default_every_group_takes_all_its_clients_new_examples(federate: FederationMaker) -> None:
    federation, method = federate(), Least()
    follower = method.follow(federation, method.plan(federation))
    zero, two = federation.clients[0], federation.clients[2]
    assert follower.groups == (
        Group(0, 0, tuple(range(zero.examples)), "a", answer_tokens=zero.answer_tokens),
        Group(2, 0, tuple(range(two.examples)), "b", answer_tokens=two.answer_tokens),
    )
    assert follower.pools == (Pool("a", 99), Pool("b", two.answer_tokens))


def test_by_default_a_method_trains_and_leaves_nothing_to_choose() -> None:
    assert (Least.trains, Least.routings, Least.uses) == (True, ("fixed",), frozenset())


def test_a_method_whose_plan_says_that_more_follows_has_to_say_what(federate: FederationMaker) -> None:
    last = LastRound(Plan(), {}, ())
    with pytest.raises(NotImplementedError, match="method least: its plan says that more follows"):
        Least().next_plan(federate(), last)


@pytest.mark.parametrize("name", METHODS.names)
def test_methods_whose_plans_say_that_more_follows_have_a_next_plan(federate: FederationMaker, name: str) -> None:
    plan = find_method(name).plan(federate(method=name))
    assert plan.more_follows == (METHODS.class_of(name).next_plan is not Method.next_plan)
    assert (plan.until is not None) == plan.more_follows


def test_settings_that_methods_use_are_settings() -> None:
    settings = {field.name for field in dataclasses.fields(RunConfig)}
    used = frozenset[str]().union(*(METHODS.class_of(name).uses for name in METHODS.names))
    assert used <= settings
    assert used and not METHODS.class_of("base").uses
