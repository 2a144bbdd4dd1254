"""What a run will cost, against what it then does cost."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from inside import backbone_of, clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.estimate import estimate_cost
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.methods import find_method
from fedrouter_sim.simulation import simulate

FederationMaker = Callable[..., Federation]
Simulator = Callable[..., Any]


def estimated(federate: FederationMaker, method: str, **changes: Any) -> Cost:
    federation = federate(method=method, **changes)
    return estimate_cost(federation, find_method(method).plan(federation), backbone_of(federation), 10)


@pytest.mark.parametrize("method", ["fedrouter", "fedavg", "local", "ditto", "central"])
@pytest.mark.parametrize("budget", ["shared", "per-group"])
def test_steps_and_tokens_are_those_of_the_run(
    federate: FederationMaker, run_method: Simulator, method: str, budget: str
) -> None:
    cost = estimated(federate, method, budget=budget)
    records = run_method(method, budget=budget).outcome.records
    assert cost.steps == sum(record.steps for record in records)
    assert cost.tokens == pytest.approx(sum(record.tokens for record in records), rel=0.15)
    assert cost.seconds_per_step is not None and cost.train_seconds is not None and not cost.more_follows


def test_with_partial_participation_it_is_what_is_to_be_expected(federate: FederationMaker) -> None:
    whole, half = estimated(federate, "fedavg"), estimated(federate, "fedavg", participation=0.5)
    assert half.steps == whole.steps / 2 and half.tokens == pytest.approx(whole.tokens / 2, abs=1)


@pytest.mark.parametrize("method", ["clustered", "feddpa"])
def test_a_later_plan_is_said_to_follow(federate: FederationMaker, method: str) -> None:
    assert estimated(federate, method).more_follows


def test_the_bare_backbone_trains_nothing(federate: FederationMaker) -> None:
    cost = estimated(federate, "base")
    assert (cost.steps, cost.tokens, cost.adapters, cost.longest_answer) == (0, 0, 0, 0)
    assert (cost.seconds_per_step, cost.train_seconds) == (None, None)


def test_the_sizes_are_those_of_the_adapter_that_is_sent(federate: FederationMaker, run_method: Simulator) -> None:
    cost = estimated(federate, "fedavg")
    [record] = run_method("fedavg", rounds=1).outcome.records
    assert cost.adapter_bytes * 4 == record.bytes_up and cost.adapter_parameters * 4 == cost.adapter_bytes
    assert cost.parameters == 46_464  # 2 blocks of 12,704, 256 positions and 400 tokens of 32, a norm of 64


def test_the_rest_is_of_the_plan_and_the_machine(federate: FederationMaker) -> None:
    federation = federate()
    plan, backbone = find_method("fedrouter").plan(federation), backbone_of(federation)
    cost = estimate_cost(federation, plan, backbone, answers=10)
    assert (cost.answers, cost.adapters, cost.longest_answer) == (10, 4, federation.longest_answer)
    assert (cost.dtype, cost.device, cost.threads) == (backbone.dtype, backbone.device, torch.get_num_threads())


def test_the_step_that_is_timed_is_of_the_largest_group(
    federate: FederationMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = federate()
    plan = find_method("fedrouter").plan(federation)
    largest = max(plan.groups, key=lambda group: len(group.examples))
    tried: list[Any] = []
    for client in clients_of(federation):
        monkeypatch.setattr(client, "trial_step", lambda group: tried.append(group) or 100)
    cost = estimate_cost(federation, plan, backbone_of(federation), answers=1)
    assert set(tried) == {largest}
    assert cost.seconds_per_step is not None
    assert cost.train_seconds == pytest.approx(cost.seconds_per_step / 100 * cost.tokens, rel=1e-2)


def test_estimating_sends_nothing_and_changes_no_adapter(
    federate: FederationMaker, same: Callable[[Adapter, Adapter], bool]
) -> None:
    known = simulate(federate(lora_dropout=0.2), find_method("fedavg"), Observer())
    federation = federate(lora_dropout=0.2)
    plan = find_method("fedavg").plan(federation)
    estimate_cost(federation, plan, backbone_of(federation), 10)
    assert federation.workers.outbox.total == Traffic()
    outcome = simulate(federation, find_method("fedavg"), Observer(), plan=plan)
    assert same(outcome.adapters["global"], known.adapters["global"])
    assert [record.tokens for record in outcome.records] == [record.tokens for record in known.records]
