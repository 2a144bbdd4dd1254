"""Routes, the table of routers, and the paper's rule."""

from pathlib import Path

import numpy as np
import pytest

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing import BARE, FIXED, GLOBAL, LOCAL, ORACLE, ROUTERS, ROUTINGS, find_router, task_name
from fedrouter_sim.routing.centroid import NearestCentroid
from fedrouter_sim.routing.prototypes import NearestPrototype
from fedrouter_sim.routing.router import Router
from fedrouter_sim.routing.rule import Landmarks, Routes

POINTS = np.array([[3, 4], [9, 0]], dtype=np.float32)


def routes(weights: list[list[float]] | None = None) -> Routes:
    return Routes(
        np.array([1, 0]), np.array([5.0, 1.0]), np.array([2.0, 3.0]), None if weights is None else np.array(weights)
    )


def test_hard_routes_among_candidates_are_renamed() -> None:
    found = routes().among([2, 5], 7)
    assert list(found.task) == [5, 2]
    assert (list(found.distance), list(found.margin)) == ([5.0, 1.0], [2.0, 3.0])
    assert found.weights is None


def test_weights_among_candidates_stand_at_their_tasks() -> None:
    found = routes([[0.25, 0.75], [1.0, 0.0]]).among([0, 3], 4)
    assert list(found.task) == [3, 0]
    np.testing.assert_array_equal(found.weights, [[0.25, 0, 0, 0.75], [1, 0, 0, 0]])


def test_the_nearest_centroid_is_by_l2() -> None:
    found = NearestCentroid().route(POINTS, Landmarks.of_centroids(np.array([[0, 0], [10, 0]], dtype=np.float32)))
    assert list(found.task) == [0, 1]
    np.testing.assert_allclose(found.distance, [5, 1], rtol=1e-6)
    np.testing.assert_allclose(found.margin, [np.sqrt(65) - 5, 8], rtol=1e-6)
    assert found.weights is None


def test_a_single_centroid_has_no_rival() -> None:
    found = NearestCentroid().route(POINTS, Landmarks.of_centroids(np.zeros((1, 2), dtype=np.float32)))
    assert list(found.task) == [0, 0]
    assert np.isinf(found.margin).all()


def test_the_table_of_routers() -> None:
    assert list(ROUTERS.names) == ["centroid", "prototypes", "soft", "ensemble", "knn", "arrow"]
    assert isinstance(find_router("centroid"), NearestCentroid)
    assert isinstance(find_router("nearest"), NearestCentroid)  # as it was called
    assert isinstance(find_router("prototypes"), NearestPrototype)
    assert find_router("centroid", {"of_another": "x"}).name == "centroid"
    with pytest.raises(
        UserError,
        match="--router magic: choose one of centroid, prototypes, soft, ensemble, knn, arrow, or give your own as",
    ):
        find_router("magic")


def test_a_router_of_ones_own_is_found_by_file_and_class(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from fedrouter_sim.routing.centroid import NearestCentroid\n"
        "class Mine(NearestCentroid):\n    name = 'mine'\n"
        "class Other:\n    name = 'other'\n",
        encoding="utf-8",
    )
    assert find_router(f"{file}:Mine").name == "mine"
    with pytest.raises(UserError, match="no class Other that is a"):
        find_router(f"{file}:Other")


def test_the_names_of_routings_and_of_task_adapters() -> None:
    assert ROUTINGS == (GLOBAL, LOCAL, FIXED, ORACLE, BARE) == ("global", "local", "fixed", "oracle", "none")
    assert [task_name(task) for task in (0, 12)] == ["task_0", "task_12"]


@pytest.mark.parametrize("given", ["None", "Routes(np.zeros(1, int), np.array([np.nan]), np.zeros(1))"])
def test_what_a_rule_gives_is_checked(tmp_path: Path, given: str) -> None:
    text = f"""
import numpy as np
from fedrouter_sim import Routes, RoutingRule


class Odd(RoutingRule):
    name = "odd"

    def route(self, points, landmarks):
        return {given}
"""
    (tmp_path / "odd.py").write_text(text, encoding="utf-8")
    centroids = np.zeros((2, 3), dtype=np.float32)
    router = Router(centroids, Normalizer("none"), 8, "", rule=f"{tmp_path / 'odd.py'}:Odd")
    with pytest.raises(UserError, match="route has to give Routes of 1 texts with finite distances"):
        router.route(np.zeros((1, 3), dtype=np.float32))
