"""The rule that goes by prototypes, and landmarks among candidates."""

import numpy as np

from fedrouter_sim.routing.centroid import NearestCentroid
from fedrouter_sim.routing.prototypes import NearestPrototype, task_distances
from fedrouter_sim.routing.rule import Landmarks

# Task 0 lies left and right of task 1, so that their centroids are the same; task 2 is far away.
LANDMARKS = Landmarks(
    np.array([[0, 0], [0, 0], [0, 50]], dtype=np.float32),
    np.array([[-10, 0], [0, 0], [10, 0], [0, 50]], dtype=np.float32),
    np.array([0, 1, 0, 2]),
    temperature=3.0,
)
POINTS = np.array([[-8, 0], [9, 0], [1, 0], [0, 40], [6, 0]], dtype=np.float32)


def test_the_nearest_prototype_decides_and_the_margin_is_to_another_task() -> None:
    found = NearestPrototype().route(POINTS, LANDMARKS)
    assert found.task.tolist() == [0, 0, 1, 2, 0]
    np.testing.assert_allclose(found.distance, [2, 1, 1, 10, 4], rtol=1e-5)
    np.testing.assert_allclose(found.margin, [6, 8, 8, 30, 2], rtol=1e-5)
    assert found.weights is None


def test_distances_are_to_the_nearest_prototype_of_each_task() -> None:
    everything = np.linalg.norm(POINTS[:, None] - LANDMARKS.prototypes[None], axis=2)
    expected = np.stack([everything[:, [0, 2]].min(1), everything[:, 1], everything[:, 3]], axis=1)
    np.testing.assert_allclose(task_distances(POINTS, LANDMARKS), expected, rtol=1e-5)


def test_a_single_task_has_no_rival() -> None:
    found = NearestPrototype().route(POINTS, LANDMARKS.among([0]))
    assert set(found.task.tolist()) == {0} and np.isinf(found.margin).all()
    np.testing.assert_allclose(found.distance, [2, 1, 9, np.hypot(10, 40), 4], rtol=1e-5)


def test_landmarks_among_candidates_are_numbered_by_their_places() -> None:
    some = LANDMARKS.among([0, 2])
    assert (some.prototypes[:, 0].tolist(), some.owners.tolist()) == ([-10, 10, 0], [0, 0, 1])
    assert (some.centroids.tolist(), some.temperature) == ([[0, 0], [0, 50]], 3.0)


def test_with_a_prototype_a_task_both_rules_agree() -> None:
    landmarks = Landmarks.of_centroids(np.array([[0, 0], [10, 0], [0, 10]], dtype=np.float32))
    points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32) * 10
    one, other = NearestPrototype().route(points, landmarks), NearestCentroid().route(points, landmarks)
    assert one.task.tolist() == other.task.tolist() and len(set(one.task.tolist())) == 3
    np.testing.assert_allclose(one.distance, other.distance, rtol=1e-5)
    np.testing.assert_allclose(one.margin, other.margin, rtol=1e-4, atol=1e-5)
