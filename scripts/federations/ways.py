"""The ways to find tasks that are compared, and what is measured of each."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from sklearn.metrics import adjusted_rand_score, silhouette_score

from federations.draw import Drawn
from fedrouter_sim.arrays import Ints
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.clustering.across_clients import AUTO_CLUSTERS, cluster_globally, stacked_centroids
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import AUTO, COSINE
from fedrouter_sim.examples.record import Shares
from fedrouter_sim.federation.federation import Federation, build_federation
from fedrouter_sim.federation.finding import FoundTasks, find_tasks
from fedrouter_sim.partition.partitioning import ClientShares
from fedrouter_sim.partition.run_data import RunData

TOLD_CLUSTERS = (2, 4, AUTO_CLUSTERS)
MOST_BY_SILHOUETTE = 12


@dataclass(frozen=True)
class Measured:
    """How a way did on one federation."""

    ari: float  # of the rows' found tasks with their true ones
    tasks: int  # found

    def to_dict(self) -> dict[str, float]:
        """Return the values by name."""
        return asdict(self)


Way = Callable[[Federation, Drawn], Measured]


def federation_of(drawn: Drawn, backbone: Backbone, config: RunConfig) -> Federation:
    """Make the clients of a drawn federation, and let each forget its labels' meaning: no way is handed them."""
    rows = tuple(example for own in drawn.clients for example in own)
    clients = tuple(ClientShares(own, (), ()) for own in drawn.clients)
    config = replace(config, clients=len(clients), split="natural")
    return build_federation(config, RunData(Shares(rows, (), ()), clients), backbone)


def discovered(federation: Federation, drawn: Drawn, **settings: object) -> Measured:
    """Find the tasks by the program, under its defaults for `--tasks auto` or others."""
    return _measured(find_tasks(_under(federation, {"tasks": AUTO, **settings})), drawn)


def told(federation: Federation, drawn: Drawn, clusters: int) -> Measured:
    """Find the tasks as the paper does: k-means on centroids, told the true number of tasks.

    Where few clients make fewer local clusters than there are tasks, each makes as many more as it takes.
    """
    clusters = max(clusters, -(-len(drawn.tasks) // len(drawn.clients)))
    found = find_tasks(_under(federation, {"tasks": len(drawn.tasks), "local_clusters": clusters}))
    return _measured(found, drawn)


def by_silhouette(federation: Federation, drawn: Drawn) -> Measured:
    """Find the tasks by k-means on centroids, for the number of tasks with the highest mean silhouette."""
    first = find_tasks(_under(federation, {"tasks": 1, "local_clusters": AUTO_CLUSTERS}))
    points = stacked_centroids(first.messages)
    best, labels = -1.0, np.zeros(len(points), dtype=np.int64)
    for tasks in range(2, min(MOST_BY_SILHOUETTE, len(np.unique(points, axis=0)) - 1) + 1):
        found = cluster_globally(first.messages, tasks, federation.config.seed).labels
        if (value := float(silhouette_score(points, found))) > best:
            best, labels = value, found
    return _compared(_rows(first, labels), drawn)


def majority(federation: Federation, drawn: Drawn) -> Measured:
    """Label every local cluster by the true task of most of its rows: what linking alone could reach at best."""
    found = find_tasks(_under(federation, {"tasks": 1, "local_clusters": AUTO_CLUSTERS, "normalize": COSINE}))
    names = {task: number for number, task in enumerate(drawn.tasks)}
    labels = []
    for answer, rows in zip(found.clients, drawn.clients, strict=True):
        true = np.array([names[row.task or ""] for row in rows])
        labels += [
            int(np.bincount(true[answer.grouping.labels == part]).argmax()) for part in range(len(answer.sent.sizes))
        ]
    return _compared(_rows(found, np.array(labels)), drawn)


WAYS: Mapping[str, Way] = {
    "auto": discovered,
    "auto, gradients alone": partial(discovered, affinity="gradient"),
    "auto, first updates": partial(discovered, affinity="update"),
    "auto, centroids alone": partial(discovered, affinity="centroid"),
    **{f"told T, k_l = {clusters}": partial(told, clusters=clusters) for clusters in TOLD_CLUSTERS},
    "silhouette": by_silhouette,
    "majority of local clusters": majority,
}


def _under(federation: Federation, settings: Mapping[str, object]) -> Federation:
    """Return the federation under other settings of clustering, and the defaults of the rest."""
    kept = {
        name: getattr(federation.config, name)
        for name in ("model", "max_tokens", "dtype", "clients", "split", "data", "embedding")
    }
    return replace(federation, config=RunConfig.build(kept, settings))


def _measured(found: FoundTasks, drawn: Drawn) -> Measured:
    return _compared(_rows(found, np.array([task for own in found.assignment for task in own])), drawn)


def _rows(found: FoundTasks, tasks: Ints) -> Ints:
    """Return the task of every row, in client order, from that of every part."""
    ends = np.cumsum([len(answer.sent.sizes) for answer in found.clients])
    parts = np.split(tasks, ends)[:-1]
    return np.concatenate([own[answer.grouping.labels] for own, answer in zip(parts, found.clients, strict=True)])


def _compared(rows: Ints, drawn: Drawn) -> Measured:
    return Measured(float(adjusted_rand_score(drawn.labels, rows)), len(np.unique(rows)))
