"""Calibration: which rows, what clients send of them, and what the router learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.clustering.kmeans import distances
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.federation.calibrating import AskReach, calibrated
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.finding import find_tasks
from fedrouter_sim.federation.task_questions import AskParts, Sketching
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.routing.prototypes import task_distances
from fedrouter_sim.routing.reach import LEVELS, TEMPERATURES, temperature_losses


def test_a_tenth_of_the_rows_drawn_by_the_seed(federate: Any, backbone: Any) -> None:
    examples = clients_of(federate())[0].examples

    def drawn(count: int, **changes: Any) -> list[int]:
        many = (examples * 5)[:count]
        config = federate(**changes).config
        return Client(0, many, backbone, config).calibration_rows.tolist()

    assert [len(drawn(count)) for count in (4, 5, 19, 20, 47)] == [0, 1, 1, 2, 4]
    assert drawn(47) == sorted(set(drawn(47))) and drawn(47)[-1] < 47
    assert drawn(47) == drawn(47) != drawn(47, seed=2)


def test_a_client_describes_the_distances_of_its_calibration_rows(federate: Any) -> None:
    federation = federate()
    plan = FedRouter().plan(federation)
    client = clients_of(federation)[1]
    assert plan.router is not None
    tasks = {one.id: np.zeros(len(one.examples), dtype=np.int64) for one in clients_of(federation)}
    question = AskReach(plan.router, tasks)
    answer = question.answer(client)
    rows, landmarks = client.calibration_rows, plan.router.landmarks
    to_all = distances(plan.router.normalizer(client.embeddings[rows]), landmarks.prototypes)
    owners = landmarks.owners[to_all.argmin(axis=1)]
    assert list(answer.counts) == [(owners == task).sum() for task in range(len(plan.router.centroids))]
    for task in set(owners.tolist()):
        np.testing.assert_allclose(answer.quantiles[task], np.quantile(to_all.min(axis=1)[owners == task], LEVELS))
    assert len(answer.losses) == len(TEMPERATURES)
    own = len(set(owners.tolist())) * len(LEVELS) * 4
    assert answer.nbytes == own + 8 * len(answer.counts) + 8 * len(TEMPERATURES)
    assert plan.router.rule == "centroid" and question.nbytes == landmarks.prototypes.nbytes + 8 * len(landmarks.owners)
    assert AskReach(replace(plan.router, rule="prototypes"), tasks).nbytes == 0  # they were told before


def test_the_temperature_is_of_the_distances_that_the_rule_goes_by(federate: Any) -> None:
    federation = federate()
    router, client = FedRouter().plan(federation).router, clients_of(federation)[1]
    assert router is not None and len(router.landmarks.prototypes) > len(router.centroids)
    tasks = np.arange(len(client.examples)) % len(router.centroids)
    rows = client.calibration_rows
    points = router.normalizer(client.embeddings[rows])
    to_centroids = distances(points, router.centroids)
    to_prototypes = task_distances(points, router.landmarks)
    assert (to_prototypes.min(axis=1) < to_centroids.min(axis=1)).any()
    for rule, expected in (("centroid", to_centroids), ("prototypes", to_prototypes)):
        answer = AskReach(replace(router, rule=rule), {client.id: tasks}).answer(client)
        np.testing.assert_array_equal(answer.losses, temperature_losses(expected, tasks[rows]))


def test_a_client_of_few_rows_answers_for_all_of_them(federate: Any) -> None:
    federation = federate(examples_per_client=4)
    client = clients_of(federation)[0]
    router = FedRouter().plan(federation).router
    assert router is not None and not len(client.calibration_rows)
    assert AskReach(router, {0: np.zeros(4, dtype=np.int64)}).answer(client).counts.sum() == 4


@pytest.mark.parametrize("changes", [{}, {"tasks": "auto", "local_clusters": "auto"}])
def test_the_plan_has_a_calibrated_router(federate: Any, changes: dict[str, Any]) -> None:
    federation = federate(**changes)
    plan = FedRouter().plan(federation)
    router = plan.router
    assert router is not None and router.reach is not None and router.reach_of_all is not None
    assert router.reach.shape == (len(router.centroids), len(LEVELS)) and router.temperature in TEMPERATURES
    assert (np.diff(router.reach, axis=1) >= 0).all() and (router.reach_of_all > 0).any()
    embeddings = np.concatenate([client.embeddings for client in clients_of(federation)])
    scores = router.unseen(embeddings)
    assert scores is not None and scores.shape == (len(embeddings),) and ((scores >= 0) & (scores < 1)).all()
    again = calibrated(federation, router, {g.client: _tasks(plan, g.client) for g in plan.groups})
    np.testing.assert_array_equal(again.reach, router.reach)
    assert again.temperature == router.temperature


def _tasks(plan: Any, client: int) -> Any:
    place = [message.client for message in plan.archive.clients].index(client)
    return np.asarray(plan.archive.assignment[place])[plan.local_clusters[client]]


def test_calibration_rows_make_no_prototype_where_a_part_has_others(federate: Any) -> None:
    federation = federate(tasks="auto", local_clusters="auto")
    client = clients_of(federation)[0]
    count, held = len(client.examples), client.calibration_rows
    parts = np.zeros(count, dtype=np.int64)
    parts[held[0]] = 1  # a part of nothing but a calibration row
    asked = AskParts(Normalizer("none"), {0: 0 * parts}, {0: parts}, Sketching(federation.initial, 1), by_cluster=True)
    sent = asked.answer(client).sent
    others = np.setdiff1d(np.arange(count), held)
    first = 0 if held[0] else 1
    np.testing.assert_allclose(sent.centroids[first], client.embeddings[others].mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sent.centroids[1 - first], client.embeddings[held[0]], rtol=1e-5)
    assert sent.sizes.sum() == count


def test_the_papers_centroids_are_means_of_all_rows(federate: Any) -> None:
    federation = federate()
    found = find_tasks(federation)
    for client, answer in zip(clients_of(federation), found.clients, strict=True):
        points = found.normalizer(client.embeddings)
        for cluster, centroid in enumerate(answer.sent.centroids):
            own = points[answer.grouping.labels == cluster]
            np.testing.assert_allclose(centroid, own.mean(axis=0), rtol=1e-4, atol=1e-5)
