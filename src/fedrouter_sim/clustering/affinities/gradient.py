"""Affinity by gradients: two local clusters are one task if the same change of the adapter helps both."""

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.affinities.affinity import GRADIENTS, Affinity, Embedded
from fedrouter_sim.clustering.normalizing import unit_rows

LEAST_RELIABILITY = 0.1  # a sketch that is nearly all noise must not be blown up without bound

_AT_ONCE = 1024  # sketches


class GradientAffinity(Affinity):
    """The cosine of two sketches, corrected for the noise of few rows: cos(g_i, g_j) / sqrt(rel_i rel_j)."""

    name = "gradient"
    evidence = GRADIENTS
    above_unrelated = 0.283  # so that the cut is 0.45 with the tiny GPT-2, with which it was chosen

    def vectors(self, embedded: Embedded) -> Floats:
        """Scale unit sketches by 1 / sqrt(rel)."""
        return corrected_sketches(embedded)


def corrected_sketches(embedded: Embedded, beside: int = 0) -> Floats:
    """Return unit sketches times 1 / sqrt(rel), (n, m + `beside`); the columns beside them are still to be filled.

    Raises:
        ValueError: there are no sketches.
    """
    if embedded.halves is None:
        raise ValueError("the gradients' sketches are needed")
    count, _, width = embedded.halves.shape
    vectors = np.empty((count, width + beside), dtype=np.float32)
    for rows in _parts(count):
        halves = embedded.halves[rows]
        whole = unit_rows(halves.sum(axis=1, dtype=np.float32))
        vectors[rows, :width] = whole / np.sqrt(reliability(halves))[:, None]
    return vectors


def reliability(halves: Floats) -> Floats:
    """Return how reliable sketches are, (n,) in [0.1, 1]: 2 h / (1 + h), h the cosine of their halves (n, 2, m).

    That is the Spearman-Brown formula: how a sum of two halves would agree with another such sum, where the halves
    agree with each other by h.
    """
    agreement = np.empty(len(halves), dtype=np.float32)
    for rows in _parts(len(halves)):
        one, other = (unit_rows(halves[rows, half].astype(np.float32)) for half in (0, 1))
        agreement[rows] = (one * other).sum(axis=1)
    found = 2 * agreement / np.maximum(1 + agreement, np.finfo(np.float32).tiny)
    return np.asarray(np.clip(found, LEAST_RELIABILITY, 1), dtype=np.float32)


def _parts(count: int) -> list[slice]:
    """Cut so many rows into parts, by which what is computed on the way stays small."""
    return [slice(first, first + _AT_ONCE) for first in range(0, count, _AT_ONCE)]
