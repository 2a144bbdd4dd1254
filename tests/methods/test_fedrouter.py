"""FedRouter: clusters become groups and pools, and labels are never read."""

import dataclasses
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inside import calibration_traffic, clients_of, instructions_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Asked, Deployment
from fedrouter_sim.methods import find_method
from fedrouter_sim.simulation import Observer, Outcome, simulate

FederationMaker = Callable[..., Federation]
FEDROUTER = find_method("fedrouter")


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
        router, archive = outcomes[-1].plan.router, outcomes[-1].plan.archive
        assert router is not None and archive is not None
        router.save(tmp_path / name)
        archive.save(tmp_path / name)
    one, two = outcomes
    assert one.adapters.keys() == two.adapters.keys()
    assert all(same(one.adapters[task], two.adapters[task]) for task in one.adapters)
    assert (one.plan.groups, one.plan.pools) == (two.plan.groups, two.plan.pools)
    assert len(list((tmp_path / "true").iterdir())) == 3
    for path in (tmp_path / "true").iterdir():
        assert path.read_bytes() == (tmp_path / "changed" / path.name).read_bytes()


def test_groups_follow_the_clusters(federate: FederationMaker) -> None:
    federation = federate()
    plan = FEDROUTER.plan(federation)
    archive = plan.archive
    assert archive is not None
    assert [pool.name for pool in plan.pools] == ["task_0", "task_1", "task_2", "task_3"]
    assert [pool.answer_tokens for pool in plan.pools] == archive.answer_tokens(4)
    for client, assigned in zip(federation.clients, archive.assignment, strict=True):
        labels = plan.local_clusters[client.id]
        for group in plan.groups_of(client.id):
            assert {f"task_{assigned[cluster]}" for cluster in group.clusters} == {group.pool}
            assert group.examples == tuple(np.flatnonzero(np.isin(labels, group.clusters)))
        assert archive.tasks_of(client.id) == sorted(set(assigned))


def test_task_centroids_are_means_of_local_centroids(federate: FederationMaker) -> None:
    plan = FEDROUTER.plan(federate())
    router, archive = plan.router, plan.archive
    assert router is not None and archive is not None
    points = np.concatenate([message.centroids for message in archive.clients])
    tasks = np.concatenate([np.array(assigned) for assigned in archive.assignment])
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
    every = np.concatenate([client.embeddings for client in clients_of(federation)]).astype(np.float64)
    np.testing.assert_allclose(normalizer.mean, every.mean(0), atol=1e-5)
    np.testing.assert_allclose(normalizer.deviation, every.std(0), rtol=1e-4)


@pytest.mark.parametrize(("kind", "features"), [("none", 0), ("l2", 0), ("standardize", 32)])
def test_setup_traffic(federate: FederationMaker, kind: str, features: int) -> None:
    federation = federate(normalize=kind, local_clusters=2, tasks=3)
    plan = FEDROUTER.plan(federation)
    traffic = federation.workers.outbox.total
    up, down = calibration_traffic(federation, plan)
    message = 2 * 32 * 4 + 2 * 8 + 2 * 8  # centroids, sizes, longest responses
    sums = 2 * features * 8 + 8 if features else 0
    assert traffic.up == 4 * (message + sums) + up
    # Centroids, features; eight assignments.
    assert traffic.down == 4 * (3 * 32 * 4 + 2 * features * 4) + 8 * 8 + down


def test_with_prototypes_clients_are_told_them_and_their_tasks(federate: FederationMaker) -> None:
    told, traffic = [], []
    for rule in ("centroid", "prototypes"):
        federation = federate(local_clusters=2, tasks=3, router=rule)
        plan = FEDROUTER.plan(federation)
        assert plan.router is not None and len(plan.router.landmarks.prototypes) == 8  # the local clusters: few
        told.append(sum(landmark.nbytes for landmark in plan.router.told))
        traffic.append(federation.workers.outbox.total)
    assert told[1] - told[0] == 8 * (32 * 4 + 8)
    assert traffic[0] == traffic[1]  # to calibrate, clients need the prototypes in any case: they are sent once


def test_without_a_number_of_tasks_a_run_has_as_many_adapters_as_it_finds(run_method: Callable[..., Any]) -> None:
    done = run_method("fedrouter", tasks="auto", local_clusters="auto")
    plan = done.outcome.plan
    assert plan.router is not None and plan.linked is not None
    assert list(done.outcome.adapters) == [f"task_{task}" for task in range(len(plan.router.centroids))]
    assert (plan.router.rule, plan.router.normalizer.kind) == ("prototypes", "cosine")
    for client, labels in plan.local_clusters.items():
        groups = plan.groups_of(client)
        assert sorted(i for group in groups for i in group.examples) == list(range(len(labels)))
        for group in groups:
            assert group.examples == tuple(np.flatnonzero(np.isin(labels, group.clusters)))


def test_answers_by_the_nearest_task(federate: FederationMaker) -> None:
    federation = federate()
    plan = FEDROUTER.plan(federation)
    router, archive = plan.router, plan.archive
    assert router is not None and archive is not None
    every = [example for client in clients_of(federation) for example in client.examples]
    embeddings = np.concatenate([client.embeddings for client in clients_of(federation)])
    deployment, asked = plan.deployment, Asked(1, instructions_of(every), lambda: embeddings)
    wide = FEDROUTER.answered_by(deployment, asked, "global")
    points = router.normalizer(embeddings)
    distances = np.linalg.norm(points[:, None] - router.centroids[None], axis=2)
    assert [choice.pool for choice in wide] == [f"task_{task}" for task in distances.argmin(1)]
    first, second = np.sort(distances, axis=1)[:, :2].T
    np.testing.assert_allclose([choice.margin for choice in wide], second - first, rtol=1e-2, atol=1e-3)
    narrow = {choice.pool for choice in FEDROUTER.answered_by(deployment, asked, "local")}
    assert narrow == {f"task_{task}" for task in archive.tasks_of(1)} < {choice.pool for choice in wide}


def test_answers_know_the_distance_to_their_centroid(federate: FederationMaker) -> None:
    federation = federate()
    plan, client = FEDROUTER.plan(federation), clients_of(federation)[2]
    assert plan.router is not None and plan.archive is not None
    points = plan.router.normalizer(client.embeddings)
    distances = np.linalg.norm(points[:, None] - plan.router.centroids[None], axis=2)
    asked = Asked(2, instructions_of(client.examples), lambda: client.embeddings)
    wide = FEDROUTER.answered_by(plan.deployment, asked, "global")
    np.testing.assert_allclose([choice.distance for choice in wide], distances.min(1), rtol=1e-3, atol=1e-3)
    narrow = FEDROUTER.answered_by(plan.deployment, asked, "local")
    own = distances[:, plan.archive.tasks_of(2)].min(1)
    np.testing.assert_allclose([choice.distance for choice in narrow], own, rtol=1e-3, atol=1e-3)


def test_without_an_archive_only_global_routing_answers(federate: FederationMaker) -> None:
    federation = federate()
    plan, client = FEDROUTER.plan(federation), clients_of(federation)[0]
    texts = instructions_of(client.examples)
    shipped, nobody = Deployment(plan.pools, plan.router), Asked(None, texts, lambda: client.embeddings)
    known = FEDROUTER.answered_by(plan.deployment, Asked(0, texts, lambda: client.embeddings), "global")
    assert FEDROUTER.answered_by(shipped, nobody, "global") == known
    with pytest.raises(UserError, match=r"--routing local: goes by clients\.safetensors, which this run lacks"):
        FEDROUTER.answered_by(shipped, nobody, "local")
    with pytest.raises(UserError, match="--client"):
        FEDROUTER.answered_by(plan.deployment, nobody, "local")
    with pytest.raises(ValueError, match="answers by a router"):
        FEDROUTER.answered_by(Deployment(plan.pools), nobody, "global")


MIXING = '''"""Mixes the nearest centroids, so many."""

import numpy as np

from fedrouter_sim.routing.rule import Routes, RoutingRule


class Mixing(RoutingRule):
    name = "mixing"

    def __init__(self, most: int = 2) -> None:
        self.most = most

    def route(self, points, landmarks):
        centroids = landmarks.centroids
        distances = np.linalg.norm(points[:, None] - centroids[None], axis=2)
        order = np.argsort(distances, axis=1, kind="stable")
        weights = np.zeros(distances.shape)
        np.put_along_axis(weights, order[:, : self.most], 1 / min(self.most, len(centroids)), axis=1)
        first = distances.min(1)
        return Routes(order[:, 0], first, np.zeros(len(points)), weights)
'''


@pytest.mark.parametrize(("option", "most"), [((), 2), (("most=3",), 3)])
def test_a_router_of_ones_own_may_mix_adapters(
    federate: FederationMaker, tmp_path: Path, option: tuple[str, ...], most: int
) -> None:
    file = tmp_path / "mixing.py"
    file.write_text(MIXING, encoding="utf-8")
    federation = federate(router=f"{file}:Mixing", option=option)
    plan, client = FEDROUTER.plan(federation), clients_of(federation)[0]
    assert plan.router is not None and plan.archive is not None
    asked = Asked(0, instructions_of(client.examples), lambda: client.embeddings)
    wide = FEDROUTER.answered_by(plan.deployment, asked, "global")
    assert {len(choice.weights) for choice in wide} == {most}
    distances = np.linalg.norm(plan.router.normalizer(client.embeddings)[:, None] - plan.router.centroids[None], axis=2)
    for choice, row in zip(wide, distances, strict=True):
        nearest = sorted(np.argsort(row, kind="stable")[:most])
        assert choice.weights == tuple((f"task_{task}", 1 / most) for task in nearest)
    own = plan.archive.tasks_of(0)
    narrow = FEDROUTER.answered_by(plan.deployment, asked, "local")
    assert {pool for choice in narrow for pool, _ in choice.weights} <= {f"task_{task}" for task in own}
    assert {len(choice.weights) for choice in narrow} == {min(most, len(own))}


def test_one_task_has_no_margin(federate: FederationMaker) -> None:
    federation = federate(tasks=1)
    client, plan = clients_of(federation)[0], FEDROUTER.plan(federation)
    asked = Asked(0, instructions_of(client.examples), lambda: client.embeddings)
    choices = FEDROUTER.answered_by(Deployment(plan.pools, plan.router), asked, "global")
    assert {(choice.pool, choice.margin) for choice in choices} == {("task_0", None)}


def test_too_many_tasks_are_refused(federate: FederationMaker) -> None:
    with pytest.raises(UserError, match="--tasks 9 is more than the 8 different"):
        FEDROUTER.plan(federate(tasks=9))
