"""Giving rows to clients: every client's rows are disjoint from every other's."""

from itertools import chain

import pytest
from dealing import rows

from fedrouter_sim.partition.assigning import split_iid


@pytest.mark.parametrize(("n", "clients", "most"), [(10, 3, 100), (10, 3, 2), (2, 5, 1), (0, 2, 5)])
def test_iid_shards_are_disjoint_even_and_capped(n: int, clients: int, most: int) -> None:
    shards = split_iid(rows("x", 1, n), clients, most, seed=0)
    handed = list(chain.from_iterable(shards))
    sizes = [len(shard) for shard in shards]
    assert len(shards) == clients and len(handed) == len(set(handed)) == min(n, sum(sizes))
    assert max(sizes) - min(sizes) <= 1 and max(sizes) <= most
    assert len(handed) == n or max(sizes) == most
