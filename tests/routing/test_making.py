"""Routers made from archives, and what clients are told of them."""

from pathlib import Path
from typing import Any

import numpy as np

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.making import MOST_PROTOTYPES, router_of
from fedrouter_sim.routing.router import Router

RNG = np.random.default_rng(0)
MANY = MOST_PROTOTYPES + 5


def message(client: int, points: Any, sizes: Any) -> CentroidMessage:
    return CentroidMessage(client, np.array(points, np.float32), np.array(sizes), np.ones(len(sizes), dtype=np.int64))


# Task 1 has as many local clusters as fit; task 0 more.
FEW = message(3, [[100, 0], [100, 7]], [1, 30])
CROWD = message(5, RNG.normal(size=(MANY, 2)), RNG.integers(1, 9, MANY))
ARCHIVE = Archive((FEW, CROWD), ((1, 1), (0,) * MANY))


def made(rule: str = "prototypes", archive: Archive = ARCHIVE) -> Router:
    return router_of(archive, Normalizer("none"), 99, "abc", rule, ("a=1",))


def test_centroids_are_unweighted_means_of_local_centroids() -> None:
    router = made()
    np.testing.assert_allclose(router.centroids, [CROWD.centroids.mean(0), [100, 3.5]], rtol=1e-4, atol=1e-6)
    assert (router.max_tokens, router.backbone_digest, router.rule, router.options) == (
        99,
        "abc",
        "prototypes",
        ("a=1",),
    )


def test_a_task_of_few_local_clusters_has_them_for_prototypes_and_others_as_many_as_may_be() -> None:
    router = made()
    assert router.prototypes is not None and router.owners is not None
    assert router.owners.tolist() == [0] * MOST_PROTOTYPES + [1, 1]
    assert sorted(router.prototypes[-2:].tolist()) == FEW.centroids.tolist()
    for prototype in router.prototypes[:MOST_PROTOTYPES]:
        assert (CROWD.centroids.min(0) <= prototype).all() and (prototype <= CROWD.centroids.max(0)).all()


def test_a_thinned_prototype_lies_where_most_rows_are() -> None:
    pairs = [[10 * i + near, 0] for i in range(MOST_PROTOTYPES) for near in (0, 1)]
    archive = Archive((message(0, pairs, [3, 1] * MOST_PROTOTYPES),), ((0,) * len(pairs),))
    found = made(archive=archive).prototypes
    assert found is not None
    np.testing.assert_allclose(found[:, 0], [10 * i + 0.25 for i in range(MOST_PROTOTYPES)], rtol=1e-5)


def test_the_same_archive_gives_the_same_router_also_through_files(tmp_path: Path) -> None:
    router = made()
    router.save(tmp_path)
    loaded = Router.load(tmp_path)
    for one in (made(), loaded):
        assert one.centroids.tobytes() == router.centroids.tobytes()
        assert one.landmarks.prototypes.tobytes() == router.landmarks.prototypes.tobytes()
        assert one.landmarks.owners.tolist() == router.landmarks.owners.tolist()
    assert (loaded.rule, loaded.temperature) == ("prototypes", router.temperature)
    points = RNG.normal(size=(30, 2)).astype(np.float32) * 60
    assert loaded.route(points).task.tolist() == router.route(points).task.tolist()


def test_clients_are_told_what_the_rule_goes_by() -> None:
    count, router = MOST_PROTOTYPES + 2, made()
    assert [told.nbytes for told in made("centroid").told] == [2 * 2 * 4]
    assert [told.nbytes for told in router.told] == [2 * 2 * 4, count * 2 * 4, count * 8]
    bare = Router(router.centroids, router.normalizer, 99, "abc", "prototypes")  # as those of before
    assert [told.nbytes for told in bare.told] == [2 * 2 * 4]
