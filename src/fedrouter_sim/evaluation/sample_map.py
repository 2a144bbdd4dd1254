"""Training samples in two dimensions: what clustering and routing saw, small enough to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from fedrouter_sim.federation.client import Client
from fedrouter_sim.methods import Plan
from fedrouter_sim.routing.router import task_name

SAMPLES_NAME = "samples.json"
_DIGITS = 4


def sample_map(clients: Sequence[Client], plan: Plan, most: int = 600) -> dict[str, Any] | None:
    """Project some training samples and the task centroids onto the samples' first two principal components.

    The space is the router's: normalised embeddings. Every client gives as many samples as the others, at evenly
    spaced positions; with more clients than `most`, evenly spaced clients give one each. Nothing is drawn at random.

    Args:
        clients: the clients of the plan.
        plan: a fixed plan.
        most: samples at most.

    Returns:
        JSON-able `{"explained": [a, b], "points": [...], "centroids": [...]}`: the share of variance of each axis;
        `x, y, client, cluster, pool, task` of every sample (`task` is None without labels, `pool` where none trains
        it); `pool, x, y` of every task centroid. None for a plan without a router.
    """
    router = plan.router
    if router is None or not clients:
        return None
    chosen = [clients[i] for i in _spaced(len(clients), most)]
    each = most // len(chosen)
    pools = {(group.client, i): group.pool for group in plan.groups for i in group.examples}
    points: list[dict[str, Any]] = []
    embeddings = []
    for client in chosen:
        positions = _spaced(len(client.examples), each)
        embeddings.append(client.embeddings[positions])
        points += [
            {
                "client": client.id,
                "cluster": int(plan.local_clusters[client.id][i]),
                "pool": pools.get((client.id, i)),
                "task": client.examples[i].task,
            }
            for i in positions
        ]
    samples = router.normalizer(np.concatenate(embeddings)).astype(np.float64)
    explained, flat, middles = _flattened(samples, router.centroids.astype(np.float64))
    return {
        "explained": explained,
        "points": [_place(xy) | point for xy, point in zip(flat, points, strict=True)],
        "centroids": [{"pool": task_name(task)} | _place(xy) for task, xy in enumerate(middles)],
    }


def _spaced(count: int, most: int) -> list[int]:
    """Return at most `most` of `count` positions, in the middles of equal stretches."""
    wanted = min(count, most)
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def _flattened(
    samples: NDArray[np.float64], centroids: NDArray[np.float64]
) -> tuple[list[float], NDArray[np.float64], NDArray[np.float64]]:
    """Fit two axes to samples (n, d); return their shares of variance, the samples (n, 2) and centroids (T, 2)."""
    axes, shares = np.zeros((2, samples.shape[1])), np.zeros(2)
    if len(samples) > 1 and np.ptp(samples, axis=0).any():  # else there is no variance to explain
        pca = PCA(min(2, *samples.shape), svd_solver="full").fit(samples)
        # An axis may point either way: its largest coefficient is positive here.
        largest = np.abs(pca.components_).argmax(axis=1)
        signs = np.sign(pca.components_[np.arange(len(largest)), largest])
        axes[: len(signs)] = pca.components_ * signs[:, None]
        shares[: len(signs)] = pca.explained_variance_ratio_
    middle = samples.mean(axis=0)
    return [round(float(s), _DIGITS) for s in shares], (samples - middle) @ axes.T, (centroids - middle) @ axes.T


def _place(xy: NDArray[np.float64]) -> dict[str, float]:
    return {"x": round(float(xy[0]), _DIGITS), "y": round(float(xy[1]), _DIGITS)}
