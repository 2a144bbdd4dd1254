"""Affinity by gradients: two local clusters are one task if the same change of the adapter helps both."""

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.affinities.affinity import GRADIENTS, Affinity, Embedded
from fedrouter_sim.clustering.normalizing import unit_rows

LEAST_RELIABILITY = 0.1  # a sketch that is nearly all noise must not be blown up without bound


class GradientAffinity(Affinity):
    """The cosine of two sketches, corrected for the noise of few rows: cos(g_i, g_j) / sqrt(rel_i rel_j)."""

    name = "gradient"
    evidence = GRADIENTS

    def vectors(self, embedded: Embedded) -> Floats:
        """Scale unit sketches by 1 / sqrt(rel)."""
        if embedded.halves is None:
            raise ValueError("the gradients' sketches are needed")
        whole = unit_rows(embedded.halves.sum(axis=1))
        return np.asarray(whole / np.sqrt(reliability(embedded.halves))[:, None], dtype=np.float32)


def reliability(halves: Floats) -> Floats:
    """Return how reliable sketches are, (n,) in [0.1, 1]: 2 h / (1 + h), h the cosine of their halves (n, 2, m).

    That is the Spearman-Brown formula: how a sum of two halves would agree with another such sum, where the halves
    agree with each other by h.
    """
    units = unit_rows(halves.reshape(-1, halves.shape[-1])).reshape(halves.shape)
    agreement = (units[:, 0] * units[:, 1]).sum(axis=1)
    found = 2 * agreement / np.maximum(1 + agreement, np.finfo(np.float32).tiny)
    return np.asarray(np.clip(found, LEAST_RELIABILITY, 1), dtype=np.float32)
