"""The oracle pools by true label: what FedRouter does under perfect clustering."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.client import Client
from fedrouter_sim.methods import METHODS, Asked, Deployment, Federation
from fedrouter_sim.simulation import Observer, simulate

FederationMaker = Callable[..., Federation]
TASKS = ["opinion", "reverse", "sum", "title"]


def separate(client: Client) -> np.ndarray:
    """Embed by label: clusters that nothing could confuse."""
    rng = np.random.default_rng(client.id)
    corners = 100 * np.eye(4)[[TASKS.index(example.task or "") for example in client.examples]]
    return (corners + rng.normal(size=corners.shape)).astype(np.float32)


def test_equals_fedrouter_under_perfect_clustering(
    federate: FederationMaker, monkeypatch: pytest.MonkeyPatch, same: Callable[[Adapter, Adapter], bool]
) -> None:
    monkeypatch.setattr(Client, "embeddings", property(separate))
    changes = {"lora_dropout": 0.2, "participation": 0.75, "rounds": 3}
    oracle = simulate(federate(**changes), METHODS["oracle"], Observer())
    fedrouter = simulate(federate(**changes), METHODS["fedrouter"], Observer())
    as_routed = {
        one.pool: two.pool for one, two in zip(oracle.plan.groups, fedrouter.plan.groups, strict=True)
    }  # label_2 -> task_0
    assert len(as_routed) == len(set(as_routed.values())) == 4
    for one, two in zip(oracle.plan.groups, fedrouter.plan.groups, strict=True):
        assert dataclasses.replace(one, pool=as_routed[one.pool], clusters=two.clusters) == two
    initial = federate().backbone.initial_adapter(1)
    for pool, adapter in oracle.adapters.items():
        assert same(adapter, fedrouter.adapters[as_routed[pool]])
        assert not same(adapter, initial)
    for one, two in zip(oracle.records, fedrouter.records, strict=True):
        assert {as_routed[pool]: loss for pool, loss in one.losses.items()} == two.losses


def test_pools_are_the_labels(federate: FederationMaker) -> None:
    plan = METHODS["oracle"].plan(federate())
    assert [pool.label for pool in plan.pools] == TASKS
    assert [pool.name for pool in plan.pools] == ["label_0", "label_1", "label_2", "label_3"]


def test_answers_by_label_and_by_the_backbone_for_an_unknown_one(federate: FederationMaker) -> None:
    plan = METHODS["oracle"].plan(federate())
    examples = [Example("x", "y", "sum"), Example("x", "y", "poem"), Example("x", "y"), Example("x", "y", "title")]
    asked = Asked(0, examples, lambda: pytest.fail("nobody needs embeddings"))
    choices = METHODS["oracle"].answered_by(Deployment(plan.pools), asked, "fixed")
    assert [choice.pool for choice in choices] == ["label_2", None, None, "label_3"]


def test_unlabelled_data_is_refused(federate: FederationMaker) -> None:
    unlabelled = federate(relabel=lambda example: dataclasses.replace(example, task=None))
    with pytest.raises(UserError, match=r"--method oracle .* --task-column"):
        METHODS["oracle"].plan(unlabelled)
