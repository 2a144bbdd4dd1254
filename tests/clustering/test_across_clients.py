"""Clustering across clients: local centroids become tasks, unweighted, and go back to their clients."""

import re

import numpy as np
import pytest

from fedrouter_sim.clustering.across_clients import (
    auto_clusters,
    cluster_globally,
    link_parts,
    split_by_client,
    stacked_centroids,
)
from fedrouter_sim.clustering.affinities import find_affinity
from fedrouter_sim.clustering.kmeans import kmeans
from fedrouter_sim.config import RunConfig
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


def sketched(client: int, *halves: tuple[list[float], list[float]]) -> CentroidMessage:
    """A client's local clusters in one place, by the sketches of their halves."""
    count = len(halves)
    ones, places = np.ones(count, dtype=np.int64), np.zeros((count, 2), dtype=np.float32)
    return CentroidMessage(client, places, ones, ones, np.array(halves, dtype=np.float32))


BETWEEN = ([1.0, 1.0], [0.0, 0.0])  # one row: its other half is empty, and it leans to either side
TWO_KINDS = [sketched(0, ([1.0, 0.0], [1.0, 0.0])), sketched(1, BETWEEN), sketched(2, ([0.0, 1.0], [0.0, 1.0]))]
GRADIENT = find_affinity("gradient")


def test_what_is_sketched_from_a_row_joins_nothing_and_goes_to_the_one_most_alike() -> None:
    leaning = sketched(1, ([1.0, 0.5], [0.0, 0.0]), ([0.5, 1.0], [0.0, 0.0]))
    found = link_parts([TWO_KINDS[0], leaning, TWO_KINDS[2]], GRADIENT, RunConfig(tasks="auto", cut=0.5))
    assert found.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("tasks", "expected"), [(2, 2), (3, 3)])
def test_a_number_of_tasks_is_obeyed_even_if_it_takes_noise(tasks: int, expected: int) -> None:
    assert len(set(link_parts(TWO_KINDS, GRADIENT, RunConfig(tasks=tasks)).labels.tolist())) == expected


def test_where_every_sketch_is_noise_all_are_linked() -> None:
    found = link_parts([sketched(0, BETWEEN), sketched(1, BETWEEN)], GRADIENT, RunConfig(tasks="auto"))
    assert found.labels.tolist() == [0, 0]


@pytest.mark.parametrize(("rows", "expected"), [(0, 6), (240, 6), (420, 7), (600, 10), (10_000, 10)])
def test_a_client_with_more_rows_makes_more_local_clusters(rows: int, expected: int) -> None:
    assert auto_clusters(rows) == expected
