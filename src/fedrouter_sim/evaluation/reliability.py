"""Whether a router is as often right as it says: the expected calibration error of its confidence."""

from collections.abc import Sequence

import numpy as np

BINS = 10


def calibration_error(confidence: Sequence[float | None], right: Sequence[bool]) -> float | None:
    """Return the expected calibration error, in 0..1; 0 is best. None where a text has no confidence, or of nothing.

    Texts are sorted into 10 bins of equal width by confidence; each bin counts by its share of the texts:
    sum over bins of share * |accuracy - mean confidence| (Guo et al. 2017, arXiv 1706.04599).

    Args:
        confidence: of each text, the probability that its adapter is the right one.
        right: whether it was.
    """
    if not confidence or any(value is None for value in confidence):
        return None
    sure, hit = np.array(confidence, dtype=np.float64), np.array(right, dtype=np.float64)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [abs(float((hit - sure)[bins == place].sum())) for place in range(BINS)]  # share * n * |accuracy - mean|
    return sum(gaps) / len(sure)
