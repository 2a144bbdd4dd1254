"""Arrow: how adapters are weighed is told, and no embedding is asked for."""

import numpy as np
import pytest

from fedrouter_sim.adapters.by_token import ByToken
from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Pool
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.routing import find_router
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import Router

CENTROIDS = np.array([[0, 0], [4, 0], [0, 5]], dtype=np.float32)


def test_its_options_and_defaults_are_pefts() -> None:
    assert find_router("arrow").together == ByToken(3, 1.0)
    assert find_router("arrow", {"top_k": "2", "temperature": "0.5"}).together == ByToken(2, 0.5)
    for options in ({"top_k": "0"}, {"temperature": "0"}, {"temperature": "nan"}):
        with pytest.raises(UserError, match="must be at least 1, and above 0"):
            find_router("arrow", options)
    assert find_router("soft").together is None


def test_its_choices_are_all_candidates_by_token_and_nothing_is_embedded() -> None:
    def embed() -> Floats:
        pytest.fail("was embedded")

    router = Router(CENTROIDS, Normalizer("none"), 8, "", "arrow", ("top_k=2",))
    archive = Archive((CentroidMessage(0, CENTROIDS[:2], np.ones(2, int), np.ones(2, int)),), ((0, 2),))
    deployment = Deployment(tuple(Pool(f"task_{task}", 5) for task in range(3)), router, archive)
    asked = Asked(0, ("a", "b"), embed)
    third, half = (("task_0", 1 / 3), ("task_1", 1 / 3), ("task_2", 1 / 3)), (("task_0", 0.5), ("task_2", 0.5))
    assert FedRouter().answered_by(deployment, asked, "global") == [Choice(third, together=ByToken(2))] * 2
    assert FedRouter().answered_by(deployment, asked, "local") == [Choice(half, together=ByToken(2))] * 2


def test_a_text_that_nobody_answers_goes_to_the_nearest_prototype() -> None:
    router = Router(CENTROIDS, Normalizer("none"), 8, "", "arrow")
    assert router.route(np.array([[3, 1], [0, 4]], dtype=np.float32)).task.tolist() == [1, 2]
