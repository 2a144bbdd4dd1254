"""Clustered federated learning: FedAvg, then clients of like updates in pools of their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from inside import clients_of
from sklearn.cluster import AgglomerativeClustering

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.clustering.kmeans import numbered_by_first
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, LastRound, Plan
from fedrouter_sim.federation.schedule import learning_rate
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import find_method
from fedrouter_sim.methods.clustered import _changes_of_b, ward

Simulator = Callable[..., Any]
Same = Callable[[Adapter, Adapter], bool]


@pytest.fixture(scope="module")
def grouped(run_method: Simulator) -> Any:
    """Two clients a task, grouped after the second of four rounds; half of the clients take part in the others."""
    settings = {"rounds": 4, "warmup_rounds": 2, "local_steps": 8, "participation": 0.5, "lr_scaling": "none"}
    return run_method("clustered", clients=8, split="single", **settings)


def test_planted_groups_of_vectors_are_found_whatever_their_lengths() -> None:
    rng = np.random.default_rng(0)
    planted = [1, 0, 1, 2, 0, 2, 1, 0]
    directions = np.linalg.qr(rng.normal(size=(50, 50)))[0][:3]
    lengths = rng.uniform(0.01, 100, len(planted))[:, None]
    changes = (directions[planted] + 0.03 * rng.normal(size=(8, 50))) * lengths
    labels = ward(changes, 3)
    assert list(labels) == [0, 1, 0, 2, 1, 2, 0, 1]  # numbered by first client
    assert set(ward(changes, 1)) == {0}


def test_opposite_directions_are_not_alike() -> None:
    changes = np.array([[1.0, 0.0], [-5.0, 0.1], [7.0, 0.1], [-1.0, 0.0]])
    assert list(ward(changes, 2)) == [0, 1, 0, 1]


def test_no_more_pools_than_clients_and_a_client_without_change_is_no_fault() -> None:
    assert list(ward(np.eye(3), 5)) == [0, 1, 2]
    assert np.isfinite(ward(np.array([[0.0, 0.0], [1.0, 0.0], [0.9, 0.0]]), 2)).all()


def test_likeness_is_that_of_the_changes_of_b_alone() -> None:
    start = {"b.lora_B.weight": torch.ones(1, 2), "b.lora_A.weight": torch.zeros(2, 1)}
    start["a.lora_B.weight"] = torch.zeros(2, 1)
    trained = start | {"b.lora_A.weight": torch.full((2, 1), 9.0), "b.lora_B.weight": torch.tensor([[3.0, 0.5]])}
    updates = [Update(client, 0, "one", 1, 1, (), own, 1.0, 1, 1) for client, own in enumerate((trained, start))]
    changes = _changes_of_b(LastRound(Plan(), {"one": start}, tuple(updates)))
    assert changes.dtype == np.float32 and changes.tolist() == [[0.0, 0.0, 2.0, -0.5], [0.0] * 4]


def test_ward_goes_by_unit_rows_in_float64_and_leaves_the_changes_alone() -> None:
    rng = np.random.default_rng(1)
    changes = (rng.normal(size=(60, 301)) * rng.uniform(0.01, 100, (60, 1))).astype(np.float32)
    before = changes.copy()
    wide = changes.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    expected = AgglomerativeClustering(n_clusters=7, linkage="ward").fit_predict(unit)
    assert np.array_equal(ward(changes, 7), numbered_by_first(expected)) and np.array_equal(changes, before)


def test_without_a_number_of_pools_the_cut_decides(run_method: Simulator) -> None:
    settings = {"split": "single", "rounds": 2, "tasks": "auto"}
    short = {"clients": 3, "local_steps": 1, "test_examples_per_client": 1}
    counts = [len(run_method("clustered", cut=cut, **settings, **short).outcome.adapters) for cut in (-1.0, 1.0)]
    assert counts == [1, 3]
    done = run_method("clustered", clients=8, local_steps=8, **settings)
    tasks = ["".join({str(example.task) for example in client.examples}) for client in clients_of(done.federation)]
    pools = [group.pool for group in done.outcome.plan.groups]
    assert len(set(zip(tasks, pools, strict=True))) == len(set(pools)) > 1  # no pool is of two tasks


def test_clients_of_a_task_end_up_in_one_pool(grouped: Any) -> None:
    tasks = [{example.task for example in client.examples} for client in clients_of(grouped.federation)]
    assert all(len(own) == 1 for own in tasks)
    by_pool: dict[str, set[str]] = {}
    for group in grouped.outcome.plan.groups:
        by_pool.setdefault(group.pool, set()).update(tasks[group.client])
    assert [len(found) for found in by_pool.values()] == [1, 1, 1, 1]
    assert [pool.name for pool in grouped.outcome.plan.pools] == [f"clients_{n}" for n in range(4)]


def test_clients_are_grouped_once_after_the_warm_up(grouped: Any, same: Same) -> None:
    assert [done for done, _ in grouped.heard.plans] == [0, 2]
    assert [list(adapters) for adapters in grouped.heard.adapters.values()] == [
        ["global"], ["global"], *[[f"clients_{n}" for n in range(4)]] * 2
    ]  # fmt: skip
    assert [len(record.participants) for record in grouped.outcome.records] == [4, 8, 4, 4]
    assert grouped.heard.expected == [(2, 2 * 32), (2, 2 * 32)]
    assert not any(pool.private for pool in grouped.outcome.plan.pools)
    assert all(record.bytes_up > 0 for record in grouped.outcome.records)


def test_the_warm_up_is_fedavg(grouped: Any, run_method: Simulator, same: Same) -> None:
    fedavg = run_method("fedavg", clients=8, split="single", rounds=4, local_steps=8, participation=0.5)
    assert same(grouped.heard.adapters[1]["global"], fedavg.heard.adapters[1]["global"])


def test_new_pools_start_from_the_global_adapter(grouped: Any, same: Same) -> None:
    federation, config = grouped.federation, grouped.federation.config
    last_global = grouped.heard.adapters[2]["global"]
    update = grouped.heard.updates[3][0]
    [group] = grouped.outcome.plan.groups_of(update.client)
    assert group.pool == update.pool
    lr = learning_rate(3, 4, config.lr, config.lr_min)
    again = clients_of(federation)[update.client].train(group, last_global, None, 8, lr, 3)
    assert same(again.adapter, update.adapter)
    untouched = {pool.name for pool in grouped.outcome.plan.pools} - {u.pool for u in grouped.heard.updates[3]}
    assert all(same(grouped.heard.adapters[3][pool], last_global) for pool in untouched)


def test_the_pool_of_the_client_answers(grouped: Any) -> None:
    deployment = grouped.outcome.deployment
    for group in grouped.outcome.plan.groups:
        asked = Asked(group.client, ("a", "b"), lambda: pytest.fail("no need"))
        assert find_method("clustered").answered_by(deployment, asked, "fixed") == [Choice.of(group.pool)] * 2
    during_warm_up = Deployment(grouped.heard.plans[0][1].pools)
    assert find_method("clustered").answered_by(during_warm_up, asked, "fixed") == [Choice.of("global")] * 2


def test_fewer_rounds_than_the_default_warm_up_leave_one_for_the_groups(run_method: Simulator) -> None:
    warmup = RunConfig(rounds=2).warmup_rounds
    plans = run_method("clustered", rounds=2, warmup_rounds=warmup).heard.plans
    assert len(plans) == 2


def test_a_single_round_is_refused(run_method: Simulator) -> None:
    with pytest.raises(UserError, match=r"--rounds 1: method clustered .* give at least 2"):
        run_method("clustered", rounds=1)


@pytest.mark.parametrize("warmup_rounds", [2, 3])
def test_a_warm_up_of_all_rounds_is_refused(run_method: Simulator, warmup_rounds: int) -> None:
    with pytest.raises(UserError, match=f"--warmup-rounds {warmup_rounds}: must be below --rounds 2"):
        run_method("clustered", warmup_rounds=warmup_rounds, rounds=2)
