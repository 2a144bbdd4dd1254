"""The router by neighbours: votes by size, and how sure they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.routing import find_router
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.knn import NearestNeighbours
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.routing.router import Router
from fedrouter_sim.routing.rule import Landmarks

PLACES = np.array([[0, 0], [1, 0], [2, 0], [9, 0]], dtype=np.float32)
OWNERS = np.array([0, 1, 1, 0])
LANDMARKS = Landmarks(np.zeros((2, 2), dtype=np.float32), PLACES, OWNERS, sizes=np.array([10, 3, 3, 1]))
POINT = np.array([[0, 0]], dtype=np.float32)


def test_neighbours_vote_by_their_sizes() -> None:
    found = NearestNeighbours(k=3).route(POINT, LANDMARKS)
    assert found.task.tolist() == [0]
    np.testing.assert_allclose(found.confidence, (3 * 10 / 16 + 0.5) / 4)
    alike = NearestNeighbours(k=3).route(POINT, replace(LANDMARKS, sizes=None))
    assert alike.task.tolist() == [1]  # two against one
    np.testing.assert_allclose(alike.confidence, (2 + 0.5) / 4)
    assert (alike.distance.tolist(), alike.margin.tolist()) == ([1], [-1])  # outvoted, the nearest is another


def test_of_equal_votes_the_nearest_wins_and_few_prototypes_all_vote() -> None:
    even = replace(LANDMARKS, sizes=np.array([5, 5, 5, 5]))
    assert NearestNeighbours(k=2).route(np.array([[0.9, 0]], dtype=np.float32), even).task.tolist() == [1]
    found = NearestNeighbours(k=50).route(POINT, even)
    assert found.task.tolist() == [0]
    np.testing.assert_allclose(found.confidence, 2.5 / 5)


def test_its_router_keeps_every_local_centroid_with_its_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clients = tuple(
        CentroidMessage(c, rng.normal(size=(6, 3)).astype(np.float32), np.arange(6) + c, np.ones(6, int))
        for c in range(4)
    )
    archive = Archive(clients, ((0, 0, 0, 1, 1, 1),) * 4)
    all_, few = (router_of(archive, Normalizer("none"), 8, "", rule) for rule in ("knn", "prototypes"))
    assert all_.prototypes is not None and few.prototypes is not None and few.sizes is None
    np.testing.assert_array_equal(all_.prototypes, np.concatenate([message.centroids for message in clients]))
    np.testing.assert_array_equal(all_.sizes, np.concatenate([message.sizes for message in clients]))
    assert len(few.prototypes) == 16
    np.testing.assert_array_equal(all_.centroids, few.centroids)
    assert len(all_.told) == 4 and all_.told[3] is all_.sizes and len(few.told) == 3  # clients vote by sizes
    all_.save(tmp_path)
    loaded, texts = Router.load(tmp_path), rng.normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.route(texts).confidence, all_.route(texts).confidence)
    np.testing.assert_array_equal(loaded.route(texts, [1]).task, 1)


def test_it_needs_a_neighbour() -> None:
    with pytest.raises(UserError, match="--option k=0: must be at least 1"):
        find_router("knn", {"k": "0"})
