"""Central training: the oracle with everybody's examples in one place."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from inside import clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Labelled
from fedrouter_sim.methods import find_method

Simulator = Callable[..., Any]
Same = Callable[[Adapter, Adapter], bool]
SIZES = {"label_0": 24, "label_1": 16, "label_2": 20, "label_3": 20}


def steps_per_pool(done: Any) -> list[Counter[str]]:
    found = []
    for updates in done.heard.updates.values():
        counts: Counter[str] = Counter()
        for update in updates:
            counts[update.pool] += update.steps
        found.append(counts)
    return found


@pytest.mark.parametrize("budget", ["shared", "per-group"])
def test_with_one_client_it_is_the_oracle_to_the_bit(run_method: Simulator, same: Same, budget: str) -> None:
    changes = {"clients": 1, "split": "all", "sharing": "none", "lora_dropout": 0.2, "local_steps": 7, "budget": budget}
    central, oracle = run_method("central", **changes), run_method("oracle", **changes)
    assert list(central.outcome.adapters) == list(oracle.outcome.adapters) == list(SIZES)
    assert all(same(central.outcome.adapters[pool], oracle.outcome.adapters[pool]) for pool in SIZES)
    assert [record.losses for record in central.outcome.records] == [r.losses for r in oracle.outcome.records]


@pytest.mark.parametrize("changes", [{}, {"local_steps": 7}, {"budget": "per-group"}, {"split": "single"}])
def test_a_task_takes_the_steps_of_all_clients_together(run_method: Simulator, changes: dict[str, Any]) -> None:
    central, oracle = run_method("central", **changes), run_method("oracle", **changes)
    assert steps_per_pool(central) == steps_per_pool(oracle)
    assert [record.steps for record in central.outcome.records] == [r.steps for r in oracle.outcome.records]


def test_with_partial_participation_it_takes_as_many_steps_as_the_participants(run_method: Simulator) -> None:
    done = run_method("central", participation=0.5, local_steps=8)
    assert [record.steps for record in done.outcome.records] == [16, 16]
    assert done.heard.expected == [(2, 32)]


def test_all_examples_of_a_task_are_in_one_group(run_method: Simulator) -> None:
    done = run_method("central", rounds=1, local_steps=1)
    everyone = [example for client in clients_of(done.federation) for example in client.examples]
    [client] = clients_of(done.outcome.stages[0].federation)
    assert done.outcome.plan.gathered
    assert list(client.examples) == everyone
    assert {group.pool: len(group.examples) for group in done.outcome.plan.groups} == SIZES
    labels = {pool.name: pool.label for pool in done.outcome.plan.pools}
    for group in done.outcome.plan.groups:
        assert {everyone[i].task for i in group.examples} == {labels[group.pool]}
    assert [record.participants for record in done.outcome.records] == [[0]]


def test_nothing_is_sent(run_method: Simulator) -> None:
    done = run_method("central")
    assert [(record.bytes_up, record.bytes_down) for record in done.outcome.records] == [(0, 0)] * 2
    assert done.outcome.traffic == Traffic()


def test_answers_by_label(run_method: Simulator) -> None:
    done = run_method("central", rounds=1, local_steps=1)
    asked = Labelled(3, ("x", "x"), lambda: pytest.fail("no need"), ("sum", "poem"))
    choices = find_method("central").answered_by(done.outcome.deployment, asked, "fixed")
    assert [choice.pool for choice in choices] == ["label_2", None]


def test_unlabelled_data_is_refused(federate: Callable[..., Federation]) -> None:
    unlabelled = federate(relabel=lambda example: dataclasses.replace(example, task=None))
    with pytest.raises(UserError, match=r"--method central .* --task-column"):
        find_method("central").plan(unlabelled)
