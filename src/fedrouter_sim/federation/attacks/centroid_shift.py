"""Centroid shift: local clusters say that they lie where they do not."""

from dataclasses import replace

import numpy as np

from fedrouter_sim.federation.attacks.attack import Attack, checked_strength
from fedrouter_sim.messages import CentroidMessage


class CentroidShift(Attack):
    """Each centroid is mirrored in the middle of all texts, and moved away from it.

    Where the other tasks lie a client is not told before it sends its centroids. It knows that embeddings are
    standardised, so that 0 is the middle of all, and that what others have lies on the other side of it.

    Args:
        strength: the distance from the middle, times what it was.
    """

    name = "centroid-shift"

    def __init__(self, strength: float = 2.0) -> None:
        self._strength = checked_strength(strength)

    def clusters(self, message: CentroidMessage, generator: np.random.Generator) -> CentroidMessage:
        """Mirror the centroids."""
        with np.errstate(over="ignore"):  # what is beyond float32 is refused where lies are sent
            return replace(message, centroids=np.asarray(message.centroids * np.float32(-self._strength)))
