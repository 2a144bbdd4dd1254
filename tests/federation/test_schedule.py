"""Who takes part in a round, at which learning rate, and for how many steps."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Plan, Pool
from fedrouter_sim.federation.schedule import (
    client_steps,
    expected_share,
    last_round,
    learning_rate,
    participants,
    poisson_participants,
    round_learning_rate,
    sample_participants,
    share_steps,
    shares_of_rate,
    steps_of_round,
)

ConfigMaker = Callable[..., RunConfig]


def groups_of_sizes(*sizes: int, client: int = 0) -> list[Group]:
    return [Group(client, rank, tuple(range(size)), f"task_{rank}") for rank, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "local_steps", "expected"),
    [
        ((30, 10), 8, [6, 2]),
        ((10, 10, 10), 10, [4, 3, 3]),  # the remainder goes to the first of equals
        ((12, 19), 10, [4, 6]),  # 3.87 and 6.13: the larger remainder wins
        ((97, 1, 1, 1), 10, [7, 1, 1, 1]),  # at least 1, taken from who has most
        ((5,), 10, [10]),
        ((9, 1), 1, [1, 1]),  # more groups than steps
        ((9, 1, 1), 3, [1, 1, 1]),
        ((), 10, []),
    ],
)
def test_groups_share_the_steps_by_examples(sizes: tuple[int, ...], local_steps: int, expected: list[int]) -> None:
    assert share_steps(groups_of_sizes(*sizes), local_steps, "shared") == expected


def test_shared_steps_sum_to_the_budget() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        sizes = generator.integers(1, 200, generator.integers(1, 6))
        local_steps = int(generator.integers(len(sizes), 30))
        steps = share_steps(groups_of_sizes(*sizes), local_steps, "shared")
        assert sum(steps) == local_steps
        assert min(steps) >= 1
        if 1 not in steps:
            exact = local_steps * sizes / sizes.sum()
            assert (abs(np.array(steps) - exact) < 1).all()


def test_under_per_group_each_group_takes_all_steps() -> None:
    assert share_steps(groups_of_sizes(97, 1, 1), 10, "per-group") == [10, 10, 10]
    assert share_steps([], 10, "per-group") == []


@pytest.mark.parametrize("budget", ["shared", "per-group"])
def test_steps_that_a_method_fixed_are_taken_whatever_the_budget(budget: str) -> None:
    groups = [dataclasses.replace(g, steps=n) for g, n in zip(groups_of_sizes(97, 3), (2, 9), strict=True)]
    assert share_steps(groups, 10, budget) == [2, 9]
    with pytest.raises(ValueError, match="either all or none"):
        share_steps([groups[0], *groups_of_sizes(3)], 10, budget)


def test_a_client_takes_the_steps_of_its_own_groups(micro_config: ConfigMaker) -> None:
    plan = Plan((*groups_of_sizes(30, 10), *groups_of_sizes(5, client=2)))
    assert [client_steps(plan, client, micro_config(local_steps=8)) for client in range(3)] == [[6, 2], [], [8]]
    assert client_steps(plan, 0, micro_config(local_steps=8, budget="per-group")) == [8, 8]


def test_a_round_takes_the_steps_of_its_participants(micro_config: ConfigMaker) -> None:
    plan = Plan((*groups_of_sizes(30, 10), *groups_of_sizes(5, client=1)))
    assert steps_of_round(plan, [0, 1], micro_config(local_steps=8)) == 16
    assert steps_of_round(plan, [0, 1], micro_config(local_steps=8, participation=0.5)) == 8
    per_group = micro_config(local_steps=8, budget="per-group", participation=0.5)
    assert steps_of_round(plan, [0, 1], per_group) == 12  # 24 by two clients: those to be expected of one
    assert steps_of_round(Plan(), [0, 1], per_group) == 0
    alone = micro_config(local_steps=8, participation=0.25, dp_epsilon=8.0)  # each client by itself, perhaps nobody
    assert steps_of_round(plan, [0, 1], alone) == 4
    assert expected_share(2, alone) == 0.25 and expected_share(2, micro_config(participation=0.25)) == 0.5


@pytest.mark.parametrize(("clients", "participation", "expected"), [(10, 0.25, 2), (10, 0.01, 1), (3, 1.0, 3)])
def test_participants_are_a_rounded_share_and_at_least_one(clients: int, participation: float, expected: int) -> None:
    assert participants(clients, participation) == expected


@pytest.mark.parametrize(("participation", "expected"), [(1.0, 4), (0.5, 2), (0.75, 3), (0.6, 2), (0.01, 1)])
def test_so_many_different_clients_are_sampled_in_client_order(participation: float, expected: int) -> None:
    clients = [3, 5, 8, 11]
    for round_ in range(1, 20):
        chosen = sample_participants(clients, participation, 1, round_)
        assert len(chosen) == len(set(chosen)) == expected
        assert set(chosen) <= set(clients)
        assert chosen == sorted(chosen)


def test_participants_are_keyed_by_seed_and_round() -> None:
    def sampled(seed: int, round_: int) -> tuple[int, ...]:
        return tuple(sample_participants(range(4), 0.5, seed, round_))

    rounds = [sampled(1, round_) for round_ in range(1, 40)]
    assert rounds == [sampled(1, round_) for round_ in range(1, 40)]
    assert rounds != [sampled(2, round_) for round_ in range(1, 40)]
    assert len(set(rounds)) == 6  # every pair of four clients comes up


def test_learning_rate_follows_the_cosine() -> None:
    rates = [learning_rate(round_, 4, 5e-3, 1e-4) for round_ in (1, 2, 3, 4)]
    half = (5e-3 - 1e-4) / 2
    assert rates == pytest.approx([5e-3, 1e-4 + half * (1 + math.sqrt(0.5)), 1e-4 + half, 1e-4 + half * 0.292893219])
    assert learning_rate(1, 1, 0.1, 0.0) == pytest.approx(0.1)
    assert {learning_rate(round_, 5, 0.1, 0.1) for round_ in range(1, 6)} == {0.1}


def test_beyond_the_rounds_of_the_run_the_schedule_starts_anew(micro_config: ConfigMaker) -> None:
    config = micro_config(rounds=3, lr=0.02, lr_min=1e-4)
    rates = [round_learning_rate(round_, config) for round_ in range(1, 8)]
    assert rates == [learning_rate(round_, 3, 0.02, 1e-4) for round_ in (1, 2, 3, 1, 2, 3, 1)]
    assert len(set(rates)) == 3


def test_a_share_of_the_rate_falls_from_there_and_not_below_the_lowest(micro_config: ConfigMaker) -> None:
    config = micro_config(rounds=3, lr=0.02, lr_min=0.01)
    half, less = ([round_learning_rate(round_, config, share) for round_ in (1, 2, 3)] for share in (0.6, 0.1))
    assert half == [learning_rate(round_, 3, 0.6 * 0.02, 0.01) for round_ in (1, 2, 3)]
    assert less == [0.01] * 3


def test_the_rate_of_a_pool_goes_with_the_root_of_the_clients_that_train_it() -> None:
    pools = [Pool("all", 1), Pool("some", 1), Pool("asleep", 1), Pool("own", 1, private=True)]
    members = [{"all", "some"}, {"all", "own"}, {"all"}, {"all"}]
    assert shares_of_rate(pools, members, 4) == {"all": 1.0, "some": 0.5, "asleep": 0.0, "own": 1.0}


def test_a_plan_lasts_until_its_own_round_or_the_runs_last(micro_config: ConfigMaker) -> None:
    config, groups = micro_config(rounds=3), tuple(groups_of_sizes(4))
    assert last_round(Plan(groups), config) == 3
    assert last_round(Plan(groups, until=2), config) == 2
    assert last_round(Plan(groups, until=6), config) == 6
    assert last_round(Plan(), config) == last_round(Plan(until=6), config) == 0  # nothing to train


def test_poisson_samples_take_each_client_on_its_own_and_may_be_empty() -> None:
    drawn = [poisson_participants(range(20), 0.3, 1, round_) for round_ in range(200)]
    assert drawn == [poisson_participants(range(20), 0.3, 1, round_) for round_ in range(200)]
    sizes = [len(clients) for clients in drawn]
    assert abs(sum(sizes) / len(sizes) - 6) < 0.5 and len(set(sizes)) > 5
    assert all(clients == sorted(clients) for clients in drawn)
    assert poisson_participants(range(20), 1.0, 1, 1) == list(range(20))
    assert poisson_participants(range(3), 1e-9, 1, 1) == []
