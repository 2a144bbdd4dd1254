"""FedRouter: clusters become groups and pools, and labels are never read."""

import dataclasses
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.methods import METHODS, Asked, Deployment, Federation
from fedrouter_sim.simulation import Observer, Outcome, simulate

FederationMaker = Callable[..., Federation]
FEDROUTER = METHODS["fedrouter"]


def same_label() -> Callable[[Example], Example]:
    return lambda example: dataclasses.replace(example, task="x")


def no_label() -> Callable[[Example], Example]:
    return lambda example: dataclasses.replace(example, task=None)


def other_labels() -> Callable[[Example], Example]:
    numbers = count()
    return lambda example: dataclasses.replace(example, task=f"label {next(numbers) % 7}")


@pytest.mark.parametrize("relabel", [same_label, no_label, other_labels])
def test_labels_change_no_byte(
    federate: FederationMaker,
    tmp_path: Path,
    same: Callable[[Adapter, Adapter], bool],
    relabel: Callable[[], Callable[[Example], Example]],
) -> None:
    outcomes: list[Outcome] = []
    for name, federation in (("true", federate()), ("changed", federate(relabel=relabel()))):
        outcomes.append(simulate(federation, FEDROUTER, Observer()))
        (tmp_path / name).mkdir()
        router = outcomes[-1].plan.router
        assert router is not None
        router.save(tmp_path / name)
    one, two = outcomes
    assert one.adapters.keys() == two.adapters.keys()
    assert all(same(one.adapters[task], two.adapters[task]) for task in one.adapters)
    assert (one.plan.groups, one.plan.pools) == (two.plan.groups, two.plan.pools)
    for path in (tmp_path / "true").iterdir():
        assert path.read_bytes() == (tmp_path / "changed" / path.name).read_bytes()


def test_groups_follow_the_clusters(federate: FederationMaker) -> None:
    federation = federate()
    plan = FEDROUTER.plan(federation)
    router = plan.router
    assert router is not None
    assert [pool.name for pool in plan.pools] == ["task_0", "task_1", "task_2", "task_3"]
    assert [pool.answer_tokens for pool in plan.pools] == router.answer_tokens()
    for client, assigned in zip(federation.clients, router.assignment, strict=True):
        labels = plan.local_clusters[client.id]
        for group in plan.groups_of(client.id):
            assert {f"task_{assigned[cluster]}" for cluster in group.clusters} == {group.pool}
            assert group.examples == tuple(np.flatnonzero(np.isin(labels, group.clusters)))
        assert router.tasks_of(client.id) == sorted(set(assigned))


def test_task_centroids_are_means_of_local_centroids(federate: FederationMaker) -> None:
    router = FEDROUTER.plan(federate()).router
    assert router is not None
    points = np.concatenate([message.centroids for message in router.clients])
    tasks = np.concatenate([np.array(assigned) for assigned in router.assignment])
    for task, centroid in enumerate(router.centroids):
        np.testing.assert_allclose(centroid, points[tasks == task].mean(0), atol=1e-5)
    assert list(tasks[np.sort(np.unique(tasks, return_index=True)[1])]) == list(range(len(router.centroids)))


def test_clusters_of_one_task_are_one_group(federate: FederationMaker) -> None:
    plan = FEDROUTER.plan(federate(tasks=1, local_clusters=3))
    assert [group.clusters for group in plan.groups] == [(0, 1, 2)] * 4
    assert [group.rank for group in plan.groups] == [0] * 4


def test_standardising_uses_all_clients_features(federate: FederationMaker) -> None:
    federation = federate(normalize="standardize")
    normalizer = FEDROUTER.plan(federation).router.normalizer  # type: ignore[union-attr]
    every = np.concatenate([client.embeddings for client in federation.clients]).astype(np.float64)
    np.testing.assert_allclose(normalizer.mean, every.mean(0), atol=1e-5)
    np.testing.assert_allclose(normalizer.deviation, every.std(0), rtol=1e-4)


@pytest.mark.parametrize(("kind", "features"), [("none", 0), ("l2", 0), ("standardize", 32)])
def test_setup_traffic(federate: FederationMaker, kind: str, features: int) -> None:
    plan = FEDROUTER.plan(federate(normalize=kind, local_clusters=2, tasks=3))
    message = 2 * 32 * 4 + 2 * 8 + 2 * 8  # centroids, sizes, longest responses
    sums = 2 * features * 8 + 8 if features else 0
    assert plan.bytes_up == 4 * (message + sums)
    assert plan.bytes_down == 4 * (3 * 32 * 4 + 2 * features * 4) + 8 * 8  # centroids, features; eight assignments


def test_answers_by_the_nearest_task(federate: FederationMaker) -> None:
    federation = federate()
    plan = FEDROUTER.plan(federation)
    router = plan.router
    assert router is not None
    every = [example for client in federation.clients for example in client.examples]
    embeddings = np.concatenate([client.embeddings for client in federation.clients])
    deployment, asked = Deployment(plan.pools, router), Asked(1, every, lambda: embeddings)
    wide = FEDROUTER.answered_by(deployment, asked, "global")
    points = router.normalizer(embeddings)
    distances = np.linalg.norm(points[:, None] - router.centroids[None], axis=2)
    assert [choice.pool for choice in wide] == [f"task_{task}" for task in distances.argmin(1)]
    first, second = np.sort(distances, axis=1)[:, :2].T
    np.testing.assert_allclose([choice.margin for choice in wide], second - first, rtol=1e-2, atol=1e-3)
    narrow = {choice.pool for choice in FEDROUTER.answered_by(deployment, asked, "local")}
    assert narrow == {f"task_{task}" for task in router.tasks_of(1)} < {choice.pool for choice in wide}


def test_one_task_has_no_margin(federate: FederationMaker) -> None:
    federation = federate(tasks=1)
    client, plan = federation.clients[0], FEDROUTER.plan(federation)
    asked = Asked(0, client.examples, lambda: client.embeddings)
    choices = FEDROUTER.answered_by(Deployment(plan.pools, plan.router), asked, "global")
    assert {(choice.pool, choice.margin) for choice in choices} == {("task_0", None)}


def test_too_many_tasks_are_refused(federate: FederationMaker) -> None:
    with pytest.raises(UserError, match="--tasks 9 is more than the 8 different"):
        FEDROUTER.plan(federate(tasks=9))
