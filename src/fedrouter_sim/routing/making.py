"""Making a router from where clients' local clusters lie and to which tasks they belong."""

from collections.abc import Sequence

import numpy as np

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.kmeans import kmeans
from fedrouter_sim.clustering.normalizing import Normalizer
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
    its prototypes are those centroids, thinned by k-means with their sizes for weights where there are many.

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
    centroids, prototypes, owners = [], [], []
    for task in range(int(tasks.max()) + 1):
        own = points[tasks == task]
        centroids.append(own.mean(axis=0, dtype=np.float64))
        thinned = _thinned(own, sizes[tasks == task])
        prototypes.append(thinned)
        owners += [task] * len(thinned)
    return Router(
        np.stack(centroids).astype(np.float32),
        normalizer,
        max_tokens,
        backbone_digest,
        rule,
        tuple(options),
        np.concatenate(prototypes),
        np.array(owners, dtype=np.int64),
    )


def _thinned(points: Floats, sizes: Ints) -> Floats:
    """Return at most `MOST_PROTOTYPES` centroids of (k, d) weighted points."""
    # Nothing is drawn by the run's seed: the same archive gives the same router, whoever makes it.
    return kmeans(points, MOST_PROTOTYPES, seed=0, weights=sizes.astype(np.float32)).centroids
