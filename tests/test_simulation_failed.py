"""The round loop where a client's training gives a number that is not finite."""

from collections.abc import Callable
from typing import Any

import pytest
from failing import let_fail

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.messages import Failed
from fedrouter_sim.methods import METHODS, find_method
from fedrouter_sim.simulation import simulate

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]


@pytest.mark.parametrize("method", [name for name in METHODS.names if find_method(name).trains and name != "central"])
def test_a_run_goes_on_without_a_client_whose_training_failed(
    run_method: Callable[..., Any], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the next plan is made of the updates of the round in which it failed."""
    let_fail(monkeypatch, {(1, 1)})
    done = run_method(method, clients=3, rounds=2, local_steps=2, tasks=2, warmup_rounds=1)
    first, *others = done.outcome.records
    failed = {group.pool for group in done.outcome.stages[0].plan.groups_of(1)}
    assert first.failed == {pool: [1] for pool in failed} and not any(record.failed for record in others)
    assert "failed" in first.to_dict() and "failed" not in others[0].to_dict()
    assert {update.client for update in done.heard.updates[1]} == {0, 2}
    assert {update.client for update in done.heard.updates[2]} == {0, 1, 2}
    assert first.steps == sum(update.steps for update in done.heard.updates[1]) + len(failed)


def test_a_pool_of_which_all_trainings_failed_keeps_its_adapter(
    run_method: Callable[..., Any], same: Same, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fail(monkeypatch, {(1, 2)})
    done = run_method("local", clients=2, local_steps=1)
    one, two = done.heard.adapters[1], done.heard.adapters[2]
    assert same(one["client_001"], two["client_001"]) and not same(one["client_000"], two["client_000"])
    assert done.outcome.records[1].losses.keys() == {"client_000"}


def test_a_round_of_which_all_trainings_failed_ends_the_run_with_advice(federate: FederationMaker) -> None:
    """Of real numbers: a step of this length makes weights that give no loss."""
    federation, heard = federate(method="fedavg", clients=2, rounds=2, local_steps=3, lr=1e38), list[Failed]()

    class Hears(Observer):
        def failed(self, failed: Failed) -> None:
            heard.append(failed)

    with pytest.raises(
        UserError, match=r"^round 1: no client's training .* at --lr 1e\+38, .*; lower --lr or --clip"
    ) as e:
        simulate(federation, find_method("fedavg"), Hears())
    assert "\n" not in str(e.value)
    assert [(one.client, one.pool, one.lr) for one in heard] == [(0, "global", 1e38), (1, "global", 1e38)]
    assert all(1 <= one.steps <= 3 and one.steps + one.spared == 3 for one in heard)


def test_that_some_would_have_been_late_or_gone_does_not_hide_that_all_failed(
    run_method: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fail(monkeypatch, {(client, 1) for client in range(3)})
    for failing in ({"stragglers": 0.99}, {"client_dropout": 0.99}):
        with pytest.raises(UserError, match="round 1: no client's training gave finite numbers"):
            run_method("fedavg", clients=3, rounds=2, local_steps=1, **failing)


def test_what_comes_from_the_round_before_is_no_training_of_a_round(
    run_method: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round after which the method plans anew needs updates of its own."""
    let_fail(monkeypatch, {(client, 2) for client in range(3)})
    with pytest.raises(UserError, match="round 2: no client's training gave finite numbers"):
        run_method("clustered", clients=3, rounds=3, local_steps=1, warmup_rounds=2, stragglers=0.6)
