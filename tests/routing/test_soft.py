"""The soft router: few tasks together, sure texts by one alone."""

import numpy as np
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.routing import find_router
from fedrouter_sim.routing.prototypes import NearestPrototype
from fedrouter_sim.routing.rule import Landmarks
from fedrouter_sim.routing.soft import SoftPrototypes

CENTROIDS = np.array([[0, 0], [4, 0], [0, 4.5]], dtype=np.float32)
POINTS = np.array([[0, 0], [1.9, 0.1], [1.9, 2.1]], dtype=np.float32)
LANDMARKS = Landmarks(CENTROIDS, CENTROIDS, np.arange(3), temperature=4.0)
SQUARED = (np.linalg.norm(POINTS[:, None] - CENTROIDS, axis=2) ** 2).astype(np.float64)


def test_a_sure_text_is_answered_by_one_and_others_by_the_two_nearest() -> None:
    found = SoftPrototypes().route(POINTS, LANDMARKS)
    assert found.weights is not None
    assert found.weights[0].tolist() == [1, 0, 0]  # exactly: no mixture is needed
    by_hand = np.exp(-SQUARED / 4)
    np.testing.assert_allclose(found.weights[1], [*by_hand[1, :2] / by_hand[1, :2].sum(), 0], rtol=1e-4)
    assert (found.weights > 0).sum(axis=1).tolist() == [1, 2, 2]
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)


def test_task_and_confidence_are_those_of_prototypes() -> None:
    soft, hard = SoftPrototypes().route(POINTS, LANDMARKS), NearestPrototype().route(POINTS, LANDMARKS)
    for name in ("task", "distance", "margin", "confidence"):
        np.testing.assert_array_equal(getattr(soft, name), getattr(hard, name))


def test_more_or_fewer_tasks_may_answer() -> None:
    one, all_ = (find_router("soft", {"nearest": n}).route(POINTS, LANDMARKS).weights for n in ("1", "9"))
    assert one is not None and all_ is not None
    np.testing.assert_array_equal(one, np.eye(3)[SQUARED.argmin(axis=1)])
    assert (all_[2] > 0).all()


def test_of_many_tasks_alike_the_nearest_stay() -> None:
    centroids = np.zeros((30, 2), dtype=np.float32)
    landmarks = Landmarks(centroids, centroids, np.arange(30))
    weights = SoftPrototypes(nearest=30).route(POINTS[:1], landmarks).weights
    np.testing.assert_allclose(weights, 1 / 30)  # below 0.05, and none is larger


def test_it_needs_at_least_one_task() -> None:
    with pytest.raises(UserError, match="--option nearest=0: must be at least 1"):
        find_router("soft", {"nearest": "0"})
