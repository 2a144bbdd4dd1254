"""Dirichlet mixtures."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from dealing import deal, mixture, rows


@pytest.mark.parametrize("alpha", [0.1, 0.5, 5.0])
def test_dirichlet_clients_are_equally_large_and_more_skewed_with_a_smaller_alpha(alpha: float) -> None:
    dealt = deal(6, 4, "dirichlet", alpha=alpha, train=rows("train", 4, 900))
    sizes = [len(client.train) for client in dealt]
    assert max(sizes) - min(sizes) <= 4  # one row of rounding a task
    largest = np.mean([max(mixture(client.train).values()) / len(client.train) for client in dealt])
    assert {0.1: largest > 0.75, 0.5: 0.4 < largest < 0.9, 5.0: largest < 0.5}[alpha]


def test_dirichlet_uses_up_the_scarcest_task() -> None:
    dealt = deal(6, 4, "dirichlet", train=rows("train", 4, 500))
    handed = Counter(chain.from_iterable(mixture(client.train).elements() for client in dealt))
    assert max(handed.values()) >= 494
