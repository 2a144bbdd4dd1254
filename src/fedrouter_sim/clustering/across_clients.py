"""Clustering across clients: what all clients sent becomes the tasks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedrouter_sim.arrays import Bools, Floats, Ints
from fedrouter_sim.clustering.affinities import CENTROID
from fedrouter_sim.clustering.affinities.affinity import Affinity, Embedded
from fedrouter_sim.clustering.affinities.gradient import reliability
from fedrouter_sim.clustering.kmeans import Clustering, kmeans, most_alike, nearest, numbered_by_first
from fedrouter_sim.clustering.linking import Linked, cut_in, link
from fedrouter_sim.clustering.trusting import counted_parts
from fedrouter_sim.config import RunConfig, with_value
from fedrouter_sim.config.words import AUTO
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.randomness import derive_seed

LEAST_RELIABLE = 0.2  # of a sketch; those of rows of two kinds, or of a row or two, are at 0.1
AUTO_CLUSTERS = 6  # local clusters, where their number is not given: more than most clients have tasks
MOST_AUTO_CLUSTERS = 10
ROWS_OF_A_CLUSTER = 60
"""A client with more rows makes more local clusters, so that small tasks are seldom mixed with large ones."""


def local_clusters_of(config: RunConfig) -> int:
    """Return how many local clusters every client is asked for, whatever its rows."""
    return AUTO_CLUSTERS if isinstance(config.local_clusters, str) else config.local_clusters


def auto_clusters(rows: int) -> int:
    """Return how many local clusters a client with so many rows makes where no number is given."""
    return min(max(AUTO_CLUSTERS, rows // ROWS_OF_A_CLUSTER), MOST_AUTO_CLUSTERS)


def cluster_globally(messages: Sequence[CentroidMessage], tasks: int, seed: int, robust: float = 0.0) -> Clustering:
    """Cluster all clients' local centroids into `tasks` tasks (step 3), unweighted.

    Args:
        messages: of all clients, in client order.
        tasks: how many, at most.
        seed: the run's.
        robust: share of the local clusters that is set aside before; they then join the nearest task.

    Returns:
        A clustering whose rows are the local clusters of all clients, in client order. Where some were set aside, its
        sizes are of the others alone, and labels are not numbered by first member.

    Raises:
        UserError: there are fewer distinct local centroids than tasks.
    """
    everything = stacked_centroids(messages)
    points = everything[counted_parts(messages, robust)]
    distinct = len(np.unique(points, axis=0))
    if distinct < tasks:
        raise UserError(
            f"{with_value('tasks', tasks)} is more than the {distinct} different local centroids that {len(messages)} "
            "clients sent; lower --tasks, or raise --clients or --local-clusters"
        )
    found = kmeans(points, tasks, derive_seed(seed, "global clustering"))
    if len(points) == len(everything):
        return found
    return replace(found, labels=nearest(everything, found.centroids).index)


def link_parts(messages: Sequence[CentroidMessage], affinity: Affinity, config: RunConfig) -> Linked:
    """Link the local clusters of all clients to tasks by an affinity, up to the cut or the number of the settings.

    Those that the settings set aside, and those whose sketch is noise, join the task of the one that is most alike.

    Raises:
        UserError: there are fewer local clusters than tasks wanted.
    """
    count = sum(len(message.sizes) for message in messages)
    tasks = None if isinstance(config.tasks, str) else config.tasks
    if tasks is not None and tasks > count:
        raise UserError(
            f"{with_value('tasks', tasks)} is more than the {count} local clusters that "
            f"{len(messages)} clients sent; lower --tasks, or raise --clients or --local-clusters"
        )
    seed = derive_seed(config.seed, "micro-clusters")
    vectors, sketched_well = _seen(messages, affinity)
    counted = counted_parts(messages, config.robust_clustering)
    well = counted & sketched_well
    if well.sum() >= (tasks or 1):
        counted = well
    # Of many clients, a copy of all vectors takes much memory.
    linking = vectors if counted.all() else vectors[counted]
    cut = cut_in(config.cut)
    linked = link(linking, cut, tasks, seed, cut - affinity.lenience)
    if counted.all():
        return linked
    own = np.empty(len(vectors), dtype=np.int64)  # (n,): the one among those that count whose task it has
    own[counted] = np.arange(int(counted.sum()))
    own[~counted] = most_alike(vectors[~counted], vectors[counted])
    return replace(linked, labels=numbered_by_first(linked.labels[own]), units=linked.units[own])


def embedded_of(messages: Sequence[CentroidMessage]) -> Embedded:
    """Return what is known of the local clusters of all clients, in client order."""
    halves = [message.halves for message in messages if message.halves is not None]
    return Embedded(stacked_centroids(messages), np.concatenate(halves) if halves else None)


def _seen(messages: Sequence[CentroidMessage], affinity: Affinity) -> tuple[Floats, Bools]:
    """Return the vectors of all local clusters, (n, any width), and of which the sketch is more than noise, (n,)."""
    embedded = embedded_of(messages)
    return affinity.vectors(embedded), _sketched_well(embedded)


def _sketched_well(embedded: Embedded) -> Bools:
    """Say of which local clusters the sketch is more than noise, (n,); of all, where none is sketched.

    A cluster of a row or two has halves that do not agree, and the correction for noise makes it seem alike to all.
    """
    if embedded.halves is None:
        return np.ones(len(embedded.centroids), dtype=bool)
    return np.asarray(reliability(embedded.halves) >= LEAST_RELIABLE)


def by_kmeans(config: RunConfig) -> bool:
    """Say whether the global stage is the paper's: k-means on centroids, into a given number of tasks."""
    return config.tasks != AUTO and config.affinity == CENTROID


def stacked_centroids(messages: Sequence[CentroidMessage]) -> Floats:
    """Return the local centroids of all clients, (sum of k, d), in client order."""
    return np.concatenate([message.centroids for message in messages])


def split_by_client(labels: Ints, messages: Sequence[CentroidMessage]) -> tuple[tuple[int, ...], ...]:
    """Cut one label per local cluster into a tuple per client."""
    ends = np.cumsum([len(message.sizes) for message in messages])
    return tuple(tuple(int(label) for label in part) for part in np.split(labels, ends)[:-1])
