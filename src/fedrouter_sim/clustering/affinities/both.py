"""Affinity by gradients and centroids together."""

import math

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.affinities.affinity import GRADIENTS, Affinity, Embedded
from fedrouter_sim.clustering.affinities.gradient import corrected_sketches
from fedrouter_sim.errors import UserError


class GradientAndCentroid(Affinity):
    """The affinity by gradients, plus the mean cosine of the local clusters' embeddings, times a weight.

    Gradients know what a task is, and miss that two clusters whose answers differ in form are asked the same. The inner
    product of two centroids of unit rows is the mean cosine of a row of the one and a row of the other. Centroids of
    other rows are shortened to length 1.

    Embeddings are standardised, so that cosines are seen from the middle of all rows. Where there are several tasks,
    the local clusters of one are nearer to each other than to that. Where there is one task only, they lie around it,
    and have nothing but their gradients in common: then less affinity is enough.

    Args:
        centroid_weight: of the mean cosine, 0 or more.

    Raises:
        UserError: `centroid_weight` is negative, or not finite.
    """

    name = "both"
    evidence = GRADIENTS
    above_unrelated = 0.365  # so that the cut is 0.45 with the tiny GPT-2, with which it was chosen
    lenience = (
        0.12  # in 144 random federations, the last merge was at 0.36 to 0.76 for most single tasks, else below 0.27
    )

    def __init__(self, centroid_weight: float = 0.8) -> None:
        if not (math.isfinite(centroid_weight) and centroid_weight >= 0):
            raise UserError(f"--option centroid_weight={centroid_weight:g}: must be 0 or more")
        self._weight = centroid_weight

    def vectors(self, embedded: Embedded) -> Floats:
        """Set the vectors of both side by side, the centroids scaled by the root of their weight."""
        lengths = np.linalg.norm(embedded.centroids, axis=1, keepdims=True)
        width = embedded.centroids.shape[1]
        vectors = corrected_sketches(embedded, beside=width)
        vectors[:, -width:] = embedded.centroids / np.maximum(lengths, 1) * np.float32(self._weight**0.5)
        return vectors
