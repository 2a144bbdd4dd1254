"""Weights of tasks by distance, the nearest task, and the confidence of the rules that go by them."""

import numpy as np
import pytest

from fedrouter_sim.routing.centroid import NearestCentroid
from fedrouter_sim.routing.prototypes import NearestPrototype
from fedrouter_sim.routing.rule import Landmarks
from fedrouter_sim.routing.weighing import nearest_task, routes_to, task_weights

REACH = np.array([[1.0, 2.0, 3.0], [4.0, 2.0, 2.0]])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 30.0])
def test_weights_are_a_softmax_of_squared_distances(temperature: float) -> None:
    by_hand = np.exp(-(REACH**2) / temperature)
    np.testing.assert_allclose(task_weights(REACH, temperature), by_hand / by_hand.sum(axis=1, keepdims=True))


def test_weights_of_far_texts_are_still_numbers() -> None:
    np.testing.assert_allclose(task_weights(np.array([[1e3, 1e3 + 1]]), 1.0), [[1, 0]])


def test_the_nearest_task_the_first_of_equal_ones_and_its_weight() -> None:
    found = nearest_task(REACH, 4.0)
    assert (found.task.tolist(), found.distance.tolist(), found.margin.tolist()) == ([0, 1], [1, 2], [1, 0])
    assert found.confidence is not None
    np.testing.assert_allclose(found.confidence, task_weights(REACH, 4.0).max(axis=1))


def test_the_margin_of_a_task_that_is_not_the_nearest_is_below_zero() -> None:
    assert routes_to(np.array([2, 0]), REACH, np.ones(2)).margin.tolist() == [-2, -2]
    assert np.isinf(routes_to(np.array([0]), np.ones((1, 1)), np.ones(1)).margin).all()


def test_confidence_is_over_the_tasks_that_may_answer_and_keeps_its_place() -> None:
    centroids = np.array([[0, 0], [4, 0], [0, 9]], dtype=np.float32)
    prototypes, owners = np.concatenate([centroids, [[3, 3]]]).astype(np.float32), np.array([0, 1, 2, 2])
    points = np.array([[1, 0], [3, 2]], dtype=np.float32)
    for rule, distances in (
        (NearestCentroid(), np.linalg.norm(points[:, None] - centroids, axis=2)),
        (NearestPrototype(), np.array([[1, 3, np.sqrt(13)], [np.sqrt(13), np.sqrt(5), 1]])),
    ):
        landmarks = Landmarks(centroids, prototypes, owners, temperature=5.0)
        every = rule.route(points, landmarks).confidence
        np.testing.assert_allclose(every, task_weights(distances, 5.0).max(axis=1), rtol=1e-5)
        some = rule.route(points, landmarks.among([0, 2])).among([0, 2], 3)
        np.testing.assert_allclose(some.confidence, task_weights(distances[:, [0, 2]], 5.0).max(axis=1), rtol=1e-5)
