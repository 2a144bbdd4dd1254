"""Whole numbers in given proportions."""

import numpy as np
import pytest

from fedrouter_sim.rounding import largest_remainder


@pytest.mark.parametrize("total", [0, 1, 2, 3, 7, 10, 999, 10_000])
@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [0.5, 0.25, 0.25], [0, 3, 0], [1e-12, 1, 7], [2, 3, 5, 7, 11]])
def test_largest_remainder_sums_to_the_total_and_is_proportional(weights: list[float], total: int) -> None:
    counts = largest_remainder(np.array(weights, dtype=np.float64), total)
    assert counts.sum() == total and (counts >= 0).all()
    exact = np.array(weights) / sum(weights) * total
    assert (np.abs(counts - exact) < 1).all()


def test_largest_remainder_gives_ties_to_the_first_and_nothing_to_weight_zero() -> None:
    assert largest_remainder(np.ones(4), 6).tolist() == [2, 2, 1, 1]
    assert largest_remainder(np.array([0.0, 1, 1]), 3).tolist() == [0, 2, 1]
    assert largest_remainder(np.full(10, 0.1), 100).tolist() == [10] * 10
