"""Making a router from where clients' local clusters lie and to which tasks they belong."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.kmeans import kmeans
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.routing import ROUTERS
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import Router

MOST_PROTOTYPES = 8  # of a task


def router_of(
    archive: Archive,
    normalizer: Normalizer,
    max_tokens: int,
    backbone_digest: str,
    rule: str,
    options: Sequence[str] = (),
) -> Router:
    """Make a router: a task's centroid is the mean of its local clusters' centroids, unweighted as in the paper, and
    its prototypes are those centroids, thinned by k-means with their sizes for weights where there are many. Of a rule
    that `keeps_all` they are all local centroids.

    Local clusters that do not count have no part in it.

    Args:
        archive: the clients' local clusters and their tasks.
        normalizer: of embeddings, in whose space the archive is.
        max_tokens: embedded texts are cut at this many tokens.
        backbone_digest: of the backbone that embeds.
        rule: a name of the routers, or FILE.py:CLASS.
        options: of the rule, as name=value.
    """
    points = np.concatenate([message.centroids for message in archive.clients])
    sizes = np.concatenate([message.sizes for message in archive.clients])
    tasks = np.concatenate([np.asarray(own, dtype=np.int64) for own in archive.assignment])
    count = int(tasks.max()) + 1
    if archive.counted is not None:
        counted = np.concatenate([np.asarray(own, dtype=bool) for own in archive.counted])
        points, sizes, tasks = points[counted], sizes[counted], tasks[counted]
    centroids = np.stack([points[tasks == task].mean(axis=0, dtype=np.float64) for task in range(count)])
    made = Router(centroids.astype(np.float32), normalizer, max_tokens, backbone_digest, rule, tuple(options))
    if ROUTERS.class_of(rule).keeps_all:
        return replace(made, prototypes=points, owners=tasks, sizes=sizes)
    thinned = [_thinned(points[tasks == task], sizes[tasks == task]) for task in range(count)]
    owners = np.repeat(np.arange(count), [len(of_task) for of_task in thinned])
    return replace(made, prototypes=np.concatenate(thinned), owners=owners)


def _thinned(points: Floats, sizes: Ints) -> Floats:
    """Return at most `MOST_PROTOTYPES` centroids of (k, d) weighted points."""
    # Nothing is drawn by the run's seed: the same archive gives the same router, whoever makes it.
    return kmeans(points, MOST_PROTOTYPES, seed=0, weights=sizes.astype(np.float32)).centroids
