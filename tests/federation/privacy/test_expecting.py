"""How many clients are to be expected in a pool goes by what is public."""

import numpy as np
import pytest

from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Plan, Pool
from fedrouter_sim.federation.privacy.expecting import expected_clients, public_members
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.routing.archive import Archive

GROUPS = (Group(0, 0, (0,), "task_0"), Group(0, 1, (1,), "own"), Group(1, 0, (0,), "task_0"))
POOLS = (Pool("task_0", 1), Pool("own", 1, private=True), Pool("task_1", 1))


def test_clients_of_shared_pools_are_counted_as_often_as_they_take_part() -> None:
    assert expected_clients(Plan(GROUPS, POOLS), 0.25) == {"task_0": pytest.approx(0.5), "task_1": 0}


def test_a_cluster_without_rows_counts_where_clusters_were_assigned() -> None:
    sent = [CentroidMessage(i, np.zeros((2, 3), np.float32), np.ones(2, int), np.ones(2, int)) for i in range(2)]
    plan = Plan(GROUPS, POOLS, archive=Archive(tuple(sent), ((0, 1), (0, 0))))
    assert expected_clients(plan, 1.0) == {"task_0": 2, "task_1": 1}


def test_what_clients_are_known_to_be_of_has_the_order_of_the_pools() -> None:
    """Sets of names would have that of their hashes, which changes from process to process, and sums with it."""
    pools = tuple(Pool(f"task_{task}", 1) for task in range(9))
    sent = CentroidMessage(0, np.zeros((9, 3), np.float32), np.ones(9, int), np.ones(9, int))
    plan = Plan(GROUPS, pools, archive=Archive((sent,), ((5, 3, 8, 0, 7, 1, 6, 2, 5),)))
    assert public_members(plan) == [("task_0", "task_1", "task_2", "task_3", "task_5", "task_6", "task_7", "task_8")]
