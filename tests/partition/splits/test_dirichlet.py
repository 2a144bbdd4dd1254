"""Dirichlet mixtures."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from dealing import deal, mixture, rows

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError


@pytest.mark.parametrize("alpha", [0.1, 0.5, 5.0])
def test_dirichlet_clients_are_equally_large_and_more_skewed_with_a_smaller_alpha(alpha: float) -> None:
    dealt = deal(6, 4, "dirichlet", alpha=alpha, train=rows("train", 4, 900))
    sizes = [len(client.train) for client in dealt]
    assert max(sizes) - min(sizes) <= 4  # one row of rounding a task
    largest = np.mean([max(mixture(client.train).values()) / len(client.train) for client in dealt])
    assert {0.1: largest > 0.75, 0.5: 0.4 < largest < 0.9, 5.0: largest < 0.5}[alpha]


def test_a_task_without_test_rows_takes_no_others_away() -> None:
    left = [row for row in rows("test", 4, 50) if row.task != "t3"]
    dealt = deal(6, 4, "dirichlet", train=rows("train", 4, 500), test=left)
    asked = Counter(chain.from_iterable(mixture(client.test_own).elements() for client in dealt))
    assert set(asked) == {"t0", "t1", "t2"} and max(asked.values()) >= 40


def test_a_concentration_that_no_mixture_can_be_drawn_by_is_refused() -> None:
    with pytest.raises(UserError, match=r"--alpha 1e\+308: must be at most"):
        RunConfig(alpha=1e308)
    deal(6, 4, "dirichlet", alpha=1e9, train=rows("train", 4, 500))


def test_dirichlet_uses_up_the_scarcest_task() -> None:
    dealt = deal(6, 4, "dirichlet", train=rows("train", 4, 500))
    handed = Counter(chain.from_iterable(mixture(client.train).elements() for client in dealt))
    assert max(handed.values()) >= 494
