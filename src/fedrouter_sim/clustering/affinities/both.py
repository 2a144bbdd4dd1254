"""Affinity by gradients and centroids together."""

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.affinities.affinity import GRADIENTS, Affinity, Embedded
from fedrouter_sim.clustering.affinities.centroid import CentroidAffinity
from fedrouter_sim.clustering.affinities.gradient import GradientAffinity
from fedrouter_sim.errors import UserError


class GradientAndCentroid(Affinity):
    """A weighted mean of the affinity by gradients and that by centroids.

    Gradients know what a task is, and miss tasks whose answers take several forms; centroids know what inputs look
    alike. With a fifth of the weight on centroids one cut serves a tiny and a real model.

    Args:
        centroid_share: weight of the centroids, in [0, 1].

    Raises:
        UserError: `centroid_share` is outside of that.
    """

    name = "both"
    evidence = GRADIENTS

    def __init__(self, centroid_share: float = 0.2) -> None:
        if not 0 <= centroid_share <= 1:
            raise UserError(f"--option centroid_share={centroid_share:g}: must be in [0, 1]")
        self._share = centroid_share

    def vectors(self, embedded: Embedded) -> Floats:
        """Set the vectors of both side by side, each scaled by the root of its weight."""
        gradients = GradientAffinity().vectors(embedded) * np.float32((1 - self._share) ** 0.5)
        centroids = CentroidAffinity().vectors(embedded) * np.float32(self._share**0.5)
        return np.concatenate([gradients, centroids], axis=1)
