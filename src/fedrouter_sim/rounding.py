"""Whole numbers in given proportions."""

import numpy as np
from numpy.typing import NDArray


def largest_remainder(weights: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return whole numbers in proportion to `weights` that sum to `total`; ties go to the first."""
    exact = weights / weights.sum() * total
    counts: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    rest = total - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:rest]] += 1
    return counts
