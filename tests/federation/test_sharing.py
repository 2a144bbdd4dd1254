"""Sharing at the server: what a rule is told of a round, and what becomes of what it gives."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from fedrouter_sim.adapters.aggregation import find_aggregation
from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.privacy.summing import NoisedMeans
from fedrouter_sim.federation.server import Server
from fedrouter_sim.federation.sharing import TaskSharing, task_sharing
from fedrouter_sim.messages import Update

A, B = "x.lora_A.weight", "x.lora_B.weight"


def constant(value: float) -> Adapter:
    return {A: torch.full((2, 3), value), B: torch.full((4, 2), value)}


def update(client: int, pool: str, examples: int, value: float) -> Update:
    return Update(client, 0, pool, 1, examples, (), constant(value), loss=1.0, steps=1, tokens=1)


class Told(Sharing):
    """Keeps what it was told, and gives what `make` makes of it."""

    name = "told"

    def __init__(self, make: Callable[[SharedRound], Mapping[str, Adapter]] = lambda round_: round_.means) -> None:
        super().__init__()
        self.rounds: list[SharedRound] = []
        self._make = make

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        self.rounds.append(round_)
        return self._make(round_)


def server_of(rule: Sharing, noised: NoisedMeans | None = None) -> Server:
    server = Server(constant(0.0), WeightedMean, 1, noised=noised, sharing=TaskSharing(rule, RunConfig(rounds=5)))
    server.open({"a": None, "b": None, "own": None})
    server.admit(private=["own"], expected={"a": 2, "b": 1}, members=[{"a", "b"}, {"a"}])
    return server


def told_of(number: int, *updates: Update) -> tuple[SharedRound, Server]:
    """What a rule is told of a round in which these came, and the server after it."""
    rule = Told()
    server = server_of(rule)
    server.begin(number)
    for one in updates:
        server.receive(one)
    server.aggregate()
    [told] = rule.rounds
    return told, server


def test_a_rule_is_told_of_the_task_pools_and_never_of_private_ones() -> None:
    told, server = told_of(3, update(0, "a", 1, 4.0), update(0, "own", 5, 9.0), update(1, "a", 3, 8.0))
    assert (told.number, told.rounds, told.pools) == (3, 5, ("a", "b"))
    assert told.held == [{"a": 1.0}, {"a": 3.0}] and told.examples == {"a": 4.0, "b": 0.0}
    assert told.starts["a"][B][0, 0] == 0.0 and told.means["a"][B][0, 0] == 7.0 and list(told.changes) == ["a"]
    assert told.squares == {"a": {A: 6 * (16 + 3 * 64) / 4, B: 8 * (16 + 3 * 64) / 4}}
    assert told.square_counts == {"a": 1.0 + 9.0}
    assert server.adapters["own"][B][0, 0] == 9.0


def test_two_updates_of_a_client_one_of_them_late_are_two() -> None:
    told, _ = told_of(2, update(0, "a", 2, 4.0), update(0, "a", 2, 4.0), update(1, "a", 2, 4.0))
    assert told.held == [{"a": 4.0}, {"a": 2.0}]
    assert told.square_counts["a"] / told.examples["a"] ** 2 == pytest.approx(1 / 3)


def test_what_it_gives_is_what_the_pools_become() -> None:
    server = server_of(Told(lambda round_: dict.fromkeys(["b", "a"], constant(2.0))))
    server.begin(1)
    server.receive(update(0, "a", 1, 4.0))
    before = server.adapters
    server.aggregate()
    assert list(server.adapters) == ["a", "b", "own"] and before["a"][B][0, 0] == 0.0
    assert [adapter[B][0, 0].item() for adapter in server.adapters.values()] == [2.0, 2.0, 0.0]


def test_a_round_in_which_nothing_counts_shares_nothing() -> None:
    rule = Told(lambda round_: dict.fromkeys("ab", constant(2.0)))
    server = server_of(rule)
    server.begin(1)
    server.receive(update(0, "a", 1, 4.0))
    server.skip()
    server.aggregate()
    server.begin(2)
    server.receive(update(0, "own", 1, 4.0))
    server.aggregate()
    assert rule.rounds == [] and server.adapters["a"][B][0, 0] == 0.0


def test_a_refused_update_and_those_of_the_round_before_do_not_count() -> None:
    rule = Told()
    server = server_of(rule)
    for number in (1, 2):
        server.begin(number)
        server.receive(update(number, "a", 1, 4.0))
        server.receive(update(7, "a", 1, np.nan))
        server.aggregate()
    assert [told.held for told in rule.rounds] == [[{"a": 1.0}], [{"a": 1.0}]]


def test_under_noise_it_goes_by_who_is_expected_not_by_who_came() -> None:
    told = []
    for sent in ([], [update(1, "a", 3, 0.1)]):
        rule = Told()
        server = server_of(rule, NoisedMeans(1.0, 0.5, seed=1))
        server.begin(1)
        for one in sent:
            server.receive(one)
        server.aggregate()
        told.append(rule.rounds[0])
    assert told[0].held == told[1].held == [{"a": 1.0, "b": 1.0}, {"a": 1.0}]
    assert told[0].squares == told[1].squares == {}
    assert list(told[0].changes) == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda round_: {"a": constant(1.0)}, r"Told gave no usable adapters \(ValueError: it gave the pools \['a'\]"),
        (lambda round_: {pool: {A: torch.ones(2, 3)} for pool in "ab"}, "adapters differ in their keys"),
        (lambda round_: dict.fromkeys("ab", constant(torch.inf)), "is not finite"),
        (lambda round_: {pool: {k: v.double() for k, v in constant(1.0).items()} for pool in "ab"}, "float64, not"),
        (lambda round_: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_rule_that_gives_nothing_of_use_ends_the_run_with_a_line(
    make: Callable[[SharedRound], Mapping[str, Adapter]], words: str
) -> None:
    server = server_of(Told(make))
    server.begin(1)
    server.receive(update(0, "a", 1, 4.0))
    with pytest.raises(UserError, match=f"^--sharing: .*{words}"):
        server.aggregate()


def test_only_methods_whose_pools_are_tasks_share() -> None:
    config = RunConfig(sharing="affinity", option=("keep=0.25",), rounds=7)
    found = task_sharing(config, {"tasks", "sharing"})
    assert found is not None and found.rule.name == "affinity" and vars(found.rule)["keep"] == 0.25
    assert task_sharing(config, {"tasks"}) is None
    assert task_sharing(RunConfig(sharing="none"), {"sharing"}) is None


def test_a_rule_is_told_whether_the_groups_of_a_client_share_its_steps() -> None:
    for budget, summed in (("shared", True), ("per-group", False)):
        sharing = task_sharing(RunConfig(budget=budget), {"sharing"})
        assert sharing is not None
        sharing.rule = told = Told()
        sharing.begin(1)
        sharing.add(0, "a", 3, constant(1.0), constant(0.0))
        sharing.result({"a": constant(0.0)}, {"a": constant(1.0)})
        assert [round_.summed for round_ in told.rounds] == [summed]


def test_factors_of_no_common_basis_are_not_shared() -> None:
    assert task_sharing(RunConfig(aggregation="product"), {"sharing"}) is None
    assert task_sharing(RunConfig(aggregation="krum"), {"sharing"}) is not None


@pytest.mark.parametrize(("rule", "told", "counted"), [("mean", {"a", "b"}, 900.0), ("median", set(), 1.0)])
def test_under_a_rule_that_guards_no_length_of_an_update_counts_and_no_count(
    rule: str, told: set[str], counted: float
) -> None:
    """One client could make unrelated tasks share everything by a long update, as all would count as noise, and take
    what others did for a task from it, by examples that it does not have."""
    kept, sharing = Told(), task_sharing(RunConfig(aggregation=rule), {"sharing"})
    assert sharing is not None
    sharing.rule = kept
    server = Server(constant(0.0), find_aggregation(rule, 2), 1, sharing=sharing)
    server.open({"a": None, "b": None})
    server.begin(1)
    for one in (update(0, "a", 1, 4.0), update(1, "a", 1, 5.0), update(2, "a", 900, 1e3), update(0, "b", 1, 4.0)):
        server.receive(one)
    server.aggregate()
    assert kept.rounds[0].squares.keys() == told
    assert kept.rounds[0].held == [{"a": 1.0, "b": 1.0}, {"a": 1.0}, {"a": counted}]
