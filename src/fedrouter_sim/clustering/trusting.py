"""Which local clusters count: those that fewest clients have anything like are set aside, as lies are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Bools, Floats, Ints
from fedrouter_sim.clustering.affinities.affinity import Embedded
from fedrouter_sim.clustering.affinities.gradient import corrected_sketches
from fedrouter_sim.messages import CentroidMessage

_AT_ONCE = 512  # local clusters that are compared with all others together

USUAL = 0.8
"""Of the median support: what has at least so much is not set aside."""

LIKE = 0.5
"""How alike two local clusters have to be for one to support the other."""


def counted_parts(messages: Sequence[CentroidMessage], share: float, tasks: Ints | None = None) -> Bools:
    """Say which local clusters of all clients count, (n,).

    Those with the least support (see `support`) are set aside, up to a share of all, rounded down, and none that has
    almost as much as is usual: where nobody lies, no whole task is lost. What remains has a local cluster of every
    task.

    Args:
        messages: of all clients, in client order.
        share: of the local clusters that is set aside at most; 0: all count.
        tasks: of the local clusters, (n,), where they are known: only one of the same task then supports another.
    """
    count = sum(len(message.sizes) for message in messages)
    counted = np.ones(count, dtype=bool)
    aside = int(share * count + 1e-9)
    if not aside:
        return counted
    found = support(messages, tasks)
    least = np.argsort(found, kind="stable")[:aside]
    counted[least[found[least] < USUAL * np.median(found)]] = False
    if tasks is not None:
        left = set(tasks[counted].tolist())
        counted |= np.array([task not in left for task in tasks.tolist()])
    return counted


def support(messages: Sequence[CentroidMessage], tasks: Ints | None = None) -> NDArray[np.float64]:
    """Return how many other clients have something like each local cluster, (n,).

    Every other client counts by the one of its local clusters that is most alike, and by 1 at most, so that nobody
    counts more who sends more. Two local clusters are alike as far as both their centroids and, where there are any,
    their gradient sketches are: one that lies in either has its support only from those who lie alike.

    Args:
        messages: of all clients, in client order.
        tasks: of the local clusters, (n,), where they are known.
    """
    centroids = np.concatenate([message.centroids for message in messages])
    squares = (centroids.astype(np.float64) ** 2).sum(axis=1)
    sketches = [message.halves for message in messages if message.halves is not None]
    gradients = None
    if len(sketches) == len(messages):
        gradients = corrected_sketches(Embedded(centroids, np.concatenate(sketches)))
    ends = np.cumsum([len(message.sizes) for message in messages])
    first = np.concatenate([[0], ends[:-1]])
    owners = np.repeat(np.arange(len(messages)), np.diff([0, *ends]))
    found = np.zeros(len(centroids))
    for start in range(0, len(centroids), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(centroids)))
        alike = _alike(centroids, squares, rows)
        if gradients is not None:
            alike = np.minimum(alike, gradients[rows] @ gradients.T)
        if tasks is not None:
            alike[tasks[rows][:, None] != tasks[None, :]] = 0
        alike = np.where(alike > LIKE, np.minimum(alike, 1), 0)
        of_clients = np.maximum.reduceat(alike, first, axis=1)
        of_clients[np.arange(len(rows)), owners[rows]] = 0
        found[rows] = of_clients.sum(axis=1)
    return found


def _alike(centroids: Floats, squares: NDArray[np.float64], rows: Ints) -> NDArray[np.float64]:
    """Return 2 a b / (a^2 + b^2) of some centroids with all, (k, n): the cosine of two that are equally long, and less
    of others."""
    sums = squares[rows][:, None] + squares[None, :]
    products = (centroids[rows] @ centroids.T).astype(np.float64)
    return np.asarray(2 * products / np.maximum(sums, np.finfo(np.float64).tiny))
