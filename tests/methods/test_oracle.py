"""The oracle pools by true label: what FedRouter does under perfect clustering."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Asked, Deployment, Labelled
from fedrouter_sim.methods import find_method
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
    oracle = simulate(federate(**changes), find_method("oracle"), Observer())
    fedrouter = simulate(federate(**changes), find_method("fedrouter"), Observer())
    as_routed = {
        one.pool: two.pool for one, two in zip(oracle.plan.groups, fedrouter.plan.groups, strict=True)
    }  # label_2 -> task_0
    assert len(as_routed) == len(set(as_routed.values())) == 4
    for one, two in zip(oracle.plan.groups, fedrouter.plan.groups, strict=True):
        assert dataclasses.replace(one, pool=as_routed[one.pool], clusters=two.clusters) == two
    initial = federate().initial
    for pool, adapter in oracle.adapters.items():
        assert same(adapter, fedrouter.adapters[as_routed[pool]])
        assert not same(adapter, initial)
    for one, two in zip(oracle.records, fedrouter.records, strict=True):
        assert {as_routed[pool]: loss for pool, loss in one.losses.items()} == two.losses


def test_pools_are_the_labels(federate: FederationMaker) -> None:
    plan = find_method("oracle").plan(federate())
    assert [pool.label for pool in plan.pools] == TASKS
    assert [pool.name for pool in plan.pools] == ["label_0", "label_1", "label_2", "label_3"]


def test_answers_by_label_and_by_the_backbone_for_an_unknown_one(federate: FederationMaker) -> None:
    plan = find_method("oracle").plan(federate())
    tasks = ("sum", "poem", "title")
    asked = Labelled(0, ("x", "x", "x"), lambda: pytest.fail("nobody needs embeddings"), tasks)
    choices = find_method("oracle").answered_by(Deployment(plan.pools), asked, "fixed")
    assert [choice.pool for choice in choices] == ["label_2", None, "label_3"]


def test_a_sample_without_label_is_refused_in_one_line(federate: FederationMaker) -> None:
    plan = find_method("oracle").plan(federate())
    texts = ("x", "What is it? " * 9)
    asked = Labelled(0, texts, lambda: pytest.fail("nobody needs embeddings"), ("sum", None))
    with pytest.raises(UserError, match=r"^method oracle answers by true task label, and 'What is it\? .*'") as caught:
        find_method("oracle").answered_by(Deployment(plan.pools), asked, "fixed")
    assert "\n" not in str(caught.value)


def test_it_says_that_it_answers_by_label_and_cannot_do_without(federate: FederationMaker) -> None:
    assert find_method("oracle").answers_by_label
    plan = find_method("oracle").plan(federate())
    asked = Asked(0, ("x",), lambda: pytest.fail("nobody needs embeddings"))
    with pytest.raises(ValueError, match="method oracle answers by label, and is not told any"):
        find_method("oracle").answered_by(Deployment(plan.pools), asked, "fixed")


def test_a_pool_is_as_long_as_its_labels_longest_response(federate: FederationMaker) -> None:
    federation = federate()
    longest = dict.fromkeys(TASKS, 0)
    for client in clients_of(federation):
        for example, encoded in zip(client.examples, client.encoded, strict=True):
            longest[example.task or ""] = max(longest[example.task or ""], len(encoded.response))
    assert {pool.label: pool.answer_tokens for pool in find_method("oracle").plan(federation).pools} == longest


def test_unlabelled_data_is_refused(federate: FederationMaker) -> None:
    unlabelled = federate(relabel=lambda example: dataclasses.replace(example, task=None))
    with pytest.raises(UserError, match=r"--method oracle .* --task-column"):
        find_method("oracle").plan(unlabelled)


def test_examples_without_a_label_among_others_are_refused(federate: FederationMaker) -> None:
    def unlabelled(example: Example) -> Example:
        return dataclasses.replace(example, task=None if example.task == "sum" else example.task)

    with pytest.raises(UserError, match="--method oracle pools by task label and some training examples have none"):
        find_method("oracle").plan(federate(relabel=unlabelled))
