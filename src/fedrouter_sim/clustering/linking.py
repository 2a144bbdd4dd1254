"""Linking local clusters to tasks by their affinity: average linkage, cut at an affinity or at a number of tasks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, fcluster, linkage
from scipy.spatial.distance import squareform

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.kmeans import kmeans

MOST_LINKED = 1000  # beyond so many, k-means makes micro-clusters first: linkage takes memory by the square
MICRO_CLUSTERS = 500


@dataclass(frozen=True)
class Linked:
    """Local clusters, linked."""

    labels: Ints  # (n,), task of each local cluster; tasks are numbered by first member
    affinity: Floats  # (u, u), of the units that were linked: the local clusters, or micro-clusters of them
    units: Ints  # (n,), the unit of each local cluster
    tree: NDArray[np.float64]  # (u - 1, 4), SciPy's linkage matrix; heights are 1 - affinity
    cut: float  # the affinity at which it was cut


def link(vectors: Floats, cut: float, tasks: int | None = None, seed: int = 0) -> Linked:
    """Link local clusters whose mean affinity is above a cut.

    Args:
        vectors: (n, d), n > 0; inner products are affinities, and are clipped to [-1, 1].
        cut: the affinity.
        tasks: so many tasks instead, if there are as many units; `cut` is then not used.
        seed: of the k-means that makes micro-clusters.
    """
    units = np.arange(len(vectors))
    if len(vectors) > MOST_LINKED:
        micro = kmeans(vectors, MICRO_CLUSTERS, seed, restarts=1, iterations=5)
        vectors, units = micro.centroids, micro.labels
    affinity = np.clip(vectors @ vectors.T, -1, 1)
    np.fill_diagonal(affinity, 1)
    if len(vectors) == 1:
        return Linked(np.zeros(len(units), dtype=np.int64), affinity, units, np.empty((0, 4)), cut)
    tree = linkage(squareform(1 - (affinity.astype(np.float64) + affinity.T) / 2, checks=False), "average")
    if tasks is None:
        found = fcluster(tree, 1 - cut, "distance")[units]
    else:  # by the number of merges: several may be at the same height
        cut = _cut_into(tree, tasks)
        found = cut_tree(tree, n_clusters=min(tasks, len(vectors)))[units, 0]
    _, first, labels = np.unique(found, return_index=True, return_inverse=True)
    return Linked(np.argsort(np.argsort(first))[labels].astype(np.int64), affinity, units, tree, cut)


def _cut_into(tree: NDArray[np.float64], tasks: int) -> float:
    """Return the affinity between the two merges around so many tasks."""
    heights = np.concatenate([[2 * tree[0, 2] - tree[-1, 2] - 1], tree[:, 2], [tree[-1, 2] + 1]])
    merges = max(0, len(tree) + 1 - tasks)
    return float(1 - (heights[merges] + heights[merges + 1]) / 2)
