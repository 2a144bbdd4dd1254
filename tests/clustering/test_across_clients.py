"""Clustering across clients: local centroids become tasks, unweighted, and go back to their clients."""

import re

import numpy as np
import pytest

from fedrouter_sim.clustering.across_clients import cluster_globally, split_by_client, stacked_centroids
from fedrouter_sim.clustering.kmeans import kmeans
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.randomness import derive_seed


def message(client: int, *values: float, size: int = 5) -> CentroidMessage:
    """A client's local clusters on a line."""
    centroids = np.array([[value, 0] for value in values], dtype=np.float32)
    return CentroidMessage(client, centroids, np.full(len(values), size), np.ones(len(values), dtype=np.int64))


MESSAGES = [message(3, 0.0, 10.0), message(7, 10.5), message(9, 20.0, 0.5, 20.5)]


def test_rows_are_the_local_clusters_of_all_clients_in_their_order() -> None:
    assert stacked_centroids(MESSAGES)[:, 0].tolist() == [0.0, 10.0, 10.5, 20.0, 0.5, 20.5]
    found = cluster_globally(MESSAGES, 3, seed=4)
    assert found.labels.tolist() == [0, 1, 1, 2, 0, 2]
    assert found.centroids[:, 0].tolist() == [0.25, 10.25, 20.25]
    assert split_by_client(found.labels, MESSAGES) == ((0, 1), (1,), (2, 0, 2))


def test_a_large_cluster_counts_as_a_small_one() -> None:
    weighted = [message(0, 0.0, size=1000), message(1, 1.0, size=1)]
    assert cluster_globally(weighted, 1, seed=0).centroids[0, 0] == 0.5


def test_it_is_kmeans_with_a_seed_of_its_own() -> None:
    points = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    messages = [CentroidMessage(c, points[5 * c : 5 * c + 5], np.ones(5), np.ones(5)) for c in range(12)]
    found = cluster_globally(messages, 7, seed=11)
    expected = kmeans(points, 7, derive_seed(11, "global clustering"))
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.centroids.tobytes() == expected.centroids.tobytes()


def test_more_tasks_than_different_centroids_are_refused_with_the_remedy() -> None:
    twice = [message(0, 0.0, 10.0), message(1, 10.0)]
    words = "--tasks 3 is more than the 2 different local centroids that 2 clients sent; lower --tasks, or raise"
    with pytest.raises(UserError, match=re.escape(words)):
        cluster_globally(twice, 3, seed=0)
    assert len(cluster_globally(twice, 2, seed=0).centroids) == 2
