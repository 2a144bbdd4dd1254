"""At which learning rate the groups of a round train."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim import simulation, train
from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.plan import Plan, Pool
from fedrouter_sim.federation.schedule import learning_rate
from fedrouter_sim.federation.workers import InProcess, Order
from fedrouter_sim.methods import find_method
from fedrouter_sim.methods.oracle import Oracle
from fedrouter_sim.simulation import simulate

ConfigMaker = Callable[..., RunConfig]
FederationMaker = Callable[..., Federation]


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """What clients are told to train, as a simulation goes."""
    seen: list[Order] = []
    train = InProcess.train

    def listening(workers: InProcess, orders: Sequence[Order], *given: Any) -> Any:
        seen.extend(orders)
        return train(workers, orders, *given)

    monkeypatch.setattr(InProcess, "train", listening)
    return seen


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("oracle", {"split": "dirichlet"}),
        ("fedrouter", {"drift_at": 2, "drift_to": "single"}),
        ("clustered", {"warmup_rounds": 1, "tasks": 3}),
    ],
)
def test_an_adapter_of_fewer_clients_trains_at_a_lower_rate_if_that_is_wanted(
    federate: FederationMaker, ordered: list[Order], method: str, changes: dict[str, Any]
) -> None:
    federation = federate(rounds=2, lr_scaling="clients", method=method, **changes)
    config, outcome = federation.config, simulate(federation, find_method(method), Observer())
    shares, records = set(), {record.round: record for record in outcome.records}
    for order in ordered:
        plan = [stage.plan for stage in outcome.stages if stage.begins <= order.round][-1]
        share = len({group.client for group in plan.groups if group.pool == order.group.pool}) / 4
        assert order.lr == learning_rate(order.round, 2, config.lr * math.sqrt(share), config.lr_min)
        said = records[order.round]
        assert said.rates.get(order.group.pool, said.lr) == order.lr and (order.group.pool in said.rates) == (share < 1)
        shares.add(share)
    assert len(shares) > 1 and {order.round for order in ordered} == {1, 2}


@pytest.mark.parametrize(("method", "scaling"), [("oracle", "none"), ("local", "clients"), ("fedavg", "clients")])
def test_else_all_adapters_train_at_one_rate(
    federate: FederationMaker, ordered: list[Order], method: str, scaling: str
) -> None:
    federation = federate(split="single", rounds=1, lr_scaling=scaling)
    [record] = simulate(federation, find_method(method), Observer()).records
    assert {order.lr for order in ordered} == {federation.config.lr} == {record.lr}
    assert "rates" not in record.to_dict()


def test_a_method_that_does_not_say_that_rates_follow_has_one(federate: FederationMaker, ordered: list[Order]) -> None:
    class Silent(Oracle):
        uses = frozenset()

    federation = federate(split="single", rounds=1, lr_scaling="clients")
    simulate(federation, Silent(), Observer())
    assert {order.lr for order in ordered} == {federation.config.lr}


def test_a_pool_that_nobody_trains_has_no_rate(federate: FederationMaker) -> None:
    class WithIdle(Oracle):
        def plan(self, federation: Federation) -> Plan:
            plan = super().plan(federation)
            return replace(plan, pools=(*plan.pools, Pool("idle", 1)))

    federation = federate(split="single", rounds=1, lr_scaling="clients", sharing="none")
    [record] = simulate(federation, WithIdle(), Observer()).records
    assert record.rates and "idle" not in record.rates


def test_with_privacy_rates_go_by_what_is_public(
    micro_config: ConfigMaker, ordered: list[Order], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    public = [("task_0",)] * 4
    monkeypatch.setattr(simulation, "public_members", lambda plan: public)
    settings = {"lr_scaling": "clients", "dp_epsilon": 8.0, "dp_delta": 1e-3, "tasks": 2, "local_clusters": 1}
    config = micro_config(rounds=1, local_steps=1, test_examples_per_client=1, **settings)
    train(config, tmp_path / "run")
    assert {(order.group.pool, order.lr) for order in ordered} <= {("task_0", config.lr), ("task_1", config.lr_min)}
    assert ordered
