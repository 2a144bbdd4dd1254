"""FAISS k-means and nearest centroid over (n, d) arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Floats, Ints

RESTARTS = 10
ITERATIONS = 50

FARTHEST = 1e12
"""From 0 in any feature: the squares of larger numbers may add up to more than a float32 holds."""

_SOME = 4  # points for each centroid, which are looked at before all
_WORTH_THREADS = 10**8  # multiplications of one pass over all points and centroids


@contextmanager
def _few_threads(points: Floats, centroids: int) -> Iterator[None]:
    """Run FAISS in one thread where little is to be done: its threads would wait for each other most of the time, for
    seconds on a busy machine. Its results are the same bits with any number of threads."""
    before = faiss.omp_get_max_threads()
    if points.size * centroids < _WORTH_THREADS:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@dataclass(frozen=True)
class Clustering:
    """A clustering without empty clusters; clusters are numbered by their first member."""

    centroids: Floats  # (k, d)
    labels: Ints  # (n,), cluster of each point
    sizes: Ints  # (k,), points in each cluster


def kmeans(
    points: Floats,
    k: int,
    seed: int,
    weights: Floats | None = None,
    restarts: int = RESTARTS,
    iterations: int = ITERATIONS,
) -> Clustering:
    """Cluster points by FAISS k-means: k-means++ initialisation, several restarts, no subsampling.

    With fewer than `k` distinct points every distinct point is its own cluster. A cluster that ends empty is dropped,
    so the result may have fewer than `k` clusters.

    Args:
        points: (n, d), n > 0.
        k: clusters wanted.
        seed: in [0, 2**31).
        weights: of the points, (n,); None: all the same.
        restarts: runs, of which the best is taken.
        iterations: of a run, at most.

    Raises:
        ValueError: there are no points, or a value is not finite, or beyond FARTHEST.
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    if not len(points):
        raise ValueError("there are no points to cluster")
    if not (points.min() >= -FARTHEST and points.max() <= FARTHEST):  # FAISS would end the process
        raise ValueError(f"a point is not finite, or beyond {FARTHEST:g}")
    # Sorting all points takes the memory of several copies, and mostly the first ones say that there are enough.
    centroids: Floats = np.unique(points[: _SOME * k], axis=0)
    if len(centroids) <= k:
        centroids = np.unique(points, axis=0)
    if len(centroids) > k:
        trainer = faiss.Kmeans(
            points.shape[1],
            k,
            niter=iterations,
            nredo=restarts,
            seed=seed,
            init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
            min_points_per_centroid=1,  # else FAISS prints a warning past Python, into the progress display
            max_points_per_centroid=len(points),  # else FAISS trains on a sample
        )
        with _few_threads(points, k):
            trainer.train(points, weights)
        centroids = np.asarray(trainer.centroids)
    return numbered(points, nearest(points, centroids).index, weights)


def numbered_by_first(labels: Ints) -> Ints:
    """Number labels from 0 on in the order in which they first occur."""
    _, first, places = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[places], dtype=np.int64)


def numbered(points: Floats, labels: Ints, weights: Floats | None = None) -> Clustering:
    """Number the clusters of labelled points by first member, and take their means.

    Args:
        points: (n, d).
        labels: cluster of each point, (n,), numbered anyhow.
        weights: of the points, (n,); None: all the same.
    """
    labels = numbered_by_first(labels)
    count = int(labels.max()) + 1
    if weights is None:
        means = [points[labels == c].mean(axis=0, dtype=np.float64) for c in range(count)]
    else:
        means = [np.average(points[labels == c], axis=0, weights=weights[labels == c]) for c in range(count)]
    centroids = np.stack(means)
    return Clustering(centroids.astype(np.float32), labels, np.bincount(labels).astype(np.int64))


@dataclass(frozen=True)
class Nearest:
    """The nearest centroid of each of n points."""

    index: Ints  # (n,)
    distance: NDArray[np.float64]  # (n,), L2


def nearest(points: Floats, centroids: Floats) -> Nearest:
    """Find each point's nearest centroid in L2, by a flat FAISS index.

    Args:
        points: (n, d).
        centroids: (k, d), k > 0.
    """
    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids, dtype=np.float32))
    with _few_threads(points, len(centroids)):
        # Two are looked for: for one alone FAISS computes otherwise, with other last bits, and other labels of equals.
        squared, found = index.search(np.ascontiguousarray(points, dtype=np.float32), min(2, len(centroids)))
    # FAISS returns squared distances, and rounding may take one below zero.
    distance = np.sqrt(np.maximum(squared[:, 0].astype(np.float64), 0))
    return Nearest(found[:, 0].astype(np.int64), distance)


def most_alike(points: Floats, others: Floats) -> Ints:
    """Return for each of n points (n, d) which of k others (k, d) it has the largest inner product with, by a flat
    FAISS index: in memory that grows with n + k."""
    index = faiss.IndexFlatIP(others.shape[1])
    index.add(np.ascontiguousarray(others, dtype=np.float32))
    with _few_threads(points, len(others)):
        _, found = index.search(np.ascontiguousarray(points, dtype=np.float32), 1)
    return np.asarray(found[:, 0], dtype=np.int64)


def distances(points: Floats, centroids: Floats) -> NDArray[np.float64]:
    """Return the L2 distance of each of n points to each of k centroids, (n, k), by a flat FAISS index."""
    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids, dtype=np.float32))
    with _few_threads(points, len(centroids)):
        squared, found = index.search(np.ascontiguousarray(points, dtype=np.float32), len(centroids))
    ordered = np.empty(squared.shape)
    np.put_along_axis(ordered, found, np.sqrt(np.maximum(squared.astype(np.float64), 0)), axis=1)
    return ordered
