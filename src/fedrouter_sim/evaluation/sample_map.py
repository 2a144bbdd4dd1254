"""Training samples in two dimensions: what clustering and routing saw, small enough to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from fedrouter_sim.federation.questions import AskSpacedEmbeddings, spaced
from fedrouter_sim.routing import task_name
from fedrouter_sim.simulation import Stage

SAMPLES_NAME = "samples.json"
_DIGITS = 4


def sample_map(stage: Stage, labels: Mapping[int, Sequence[str | None]], most: int = 600) -> dict[str, Any] | None:
    """Project some training samples and the task centroids onto the samples' first two principal components.

    The space is the router's: normalised embeddings. Every client gives as many samples as the others, at evenly
    spaced positions; with more clients than `most`, evenly spaced clients give one each. Nothing is drawn at random.

    Args:
        stage: the run's first.
        labels: client -> the true task of each of its examples, which is shown beside what was found.
        most: samples at most.

    Returns:
        JSON-able `{"explained": [a, b], "points": [...], "centroids": [...]}`: the share of variance of each axis;
        `x, y, client, cluster, pool, task` of every sample (`task` is None without labels, `pool` where none trains
        it); `pool, x, y` of every task centroid. None for a plan without a router.
    """
    plan, federation = stage.plan, stage.federation
    router = plan.router
    if router is None or not federation.clients:
        return None
    chosen = [federation.ids[i] for i in spaced(len(federation.ids), most)]
    answers = federation.ask(AskSpacedEmbeddings(most // len(chosen)), chosen)
    pools = {(group.client, i): group.pool for group in plan.groups for i in group.examples}
    points = [
        {
            "client": answer.client,
            "cluster": int(plan.local_clusters[answer.client][i]),
            "pool": pools.get((answer.client, i)),
            "task": labels[answer.client][i],
        }
        for answer in answers
        for i in answer.positions
    ]
    samples = router.normalizer(np.concatenate([answer.embeddings for answer in answers])).astype(np.float64)
    explained, flat, middles = _flattened(samples, router.centroids.astype(np.float64))
    return {
        "explained": explained,
        "points": [_place(xy) | point for xy, point in zip(flat, points, strict=True)],
        "centroids": [{"pool": task_name(task)} | _place(xy) for task, xy in enumerate(middles)],
    }


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
