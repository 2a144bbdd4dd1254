"""The server: global clustering of what clients sent, and the aggregation of their updates, per pool."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedrouter_sim.adapters.state import Adapter, WeightedMean
from fedrouter_sim.clustering.kmeans import Clustering, Floats, Ints, kmeans
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage, Update
from fedrouter_sim.randomness import derive_seed


class Server:
    """Holds one adapter a pool. Memory grows with the pools, not with the clients."""

    def __init__(self, initial: Adapter) -> None:
        self.adapters: dict[str, Adapter] = {}
        self._initial = initial
        self._means: dict[str, WeightedMean] = {}

    def open(self, parents: Mapping[str, str | None]) -> None:
        """Hold these pools from now on (name -> pool it starts from, or None), and drop all others.

        A pool that is there already keeps its adapter; a new one starts from its parent's, or from the initial one.
        """
        before = self.adapters
        self.adapters = {
            pool: before[pool] if pool in before else self._initial if parent is None else before[parent]
            for pool, parent in parents.items()
        }

    def receive(self, update: Update) -> None:
        """Add an update to its pool's running mean, weighted by example count. Call in client and group order."""
        self._means.setdefault(update.pool, WeightedMean()).add(update.adapter, update.examples)

    def aggregate(self) -> None:
        """Replace each pool's adapter by the mean of what it received; one that received nothing keeps its adapter."""
        # A new mapping: whoever still holds the round's starts keeps them.
        self.adapters = self.adapters | {pool: mean.result() for pool, mean in self._means.items()}
        self._means = {}


def cluster_globally(messages: Sequence[CentroidMessage], tasks: int, seed: int) -> Clustering:
    """Cluster all clients' local centroids into `tasks` tasks (step 3), unweighted.

    Returns:
        A clustering whose rows are the local clusters of all clients, in client order.

    Raises:
        UserError: there are fewer distinct local centroids than tasks.
    """
    points = stacked_centroids(messages)
    distinct = len(np.unique(points, axis=0))
    if distinct < tasks:
        raise UserError(
            f"--tasks {tasks} is more than the {distinct} different local centroids that {len(messages)} clients sent; "
            "lower --tasks, or raise --clients or --local-clusters"
        )
    return kmeans(points, tasks, derive_seed(seed, "global clustering"))


def stacked_centroids(messages: Sequence[CentroidMessage]) -> Floats:
    """Return the local centroids of all clients, (sum of k, d), in client order."""
    return np.concatenate([message.centroids for message in messages])


def split_by_client(labels: Ints, messages: Sequence[CentroidMessage]) -> tuple[tuple[int, ...], ...]:
    """Cut one label per local cluster into a tuple per client."""
    ends = np.cumsum([len(message.sizes) for message in messages])
    return tuple(tuple(int(label) for label in part) for part in np.split(labels, ends)[:-1])
