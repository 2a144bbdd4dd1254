"""The router by ensembles: who answers is as with soft, and how they do is not."""

import numpy as np
import pytest

from fedrouter_sim.adapters.together import ByAnswer
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing import find_router
from fedrouter_sim.routing.ensemble import Ensemble
from fedrouter_sim.routing.prototypes import NearestPrototype
from fedrouter_sim.routing.rule import Landmarks
from fedrouter_sim.routing.soft import SoftPrototypes

CENTROIDS = np.array([[0, 0], [4, 0], [0, 4.5]], dtype=np.float32)
POINTS = np.array([[-2, -2], [0.26, 0.1], [1.9, 2.1]], dtype=np.float32)
LANDMARKS = Landmarks(CENTROIDS, CENTROIDS, np.arange(3), temperature=4.0)


def test_weights_are_those_of_soft_but_for_small_ones() -> None:
    found, soft = Ensemble().route(POINTS, LANDMARKS).weights, SoftPrototypes().route(POINTS, LANDMARKS).weights
    assert found is not None and soft is not None
    np.testing.assert_array_equal(found[[0, 2]], soft[[0, 2]])
    assert (found[0] > 0).sum() == 1  # surely of one task
    assert (found[1] > 0).sum() == 2 and (soft[1] > 0).sum() == 1
    assert 0.01 < found[1].min(where=found[1] > 0, initial=1) < 0.05


def test_task_and_confidence_are_those_of_prototypes() -> None:
    found, hard = Ensemble().route(POINTS, LANDMARKS), NearestPrototype().route(POINTS, LANDMARKS)
    for name in ("task", "distance", "margin", "confidence"):
        np.testing.assert_array_equal(getattr(found, name), getattr(hard, name))


def test_adapters_are_averaged_in_probability() -> None:
    assert find_router("ensemble").together == ByAnswer()
    assert find_router("soft").together is None
    with pytest.raises(UserError, match="--option nearest=0: must be at least 1"):
        find_router("ensemble", {"nearest": "0"})
