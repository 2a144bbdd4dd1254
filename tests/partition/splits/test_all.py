"""IID over all tasks."""

import pytest
from dealing import GRID, check_even, deal, mixture

from fedrouter_sim.examples.record import Example


@pytest.mark.parametrize(("clients", "tasks"), GRID)
def test_all_gives_each_client_every_task_as_even_as_it_goes(clients: int, tasks: int) -> None:
    dealt = deal(clients, tasks, "all")
    assert all(len(mixture(client.train)) == tasks for client in dealt)
    check_even(dealt, tasks)


def test_unlabelled_data_is_dealt_out_iid_by_all() -> None:
    unlabelled = [Example(f"i{i}", "r") for i in range(20)]
    dealt = deal(3, 1, "all", train=unlabelled, test=unlabelled)
    assert [len(client.train) for client in dealt] == [7, 7, 6]
    assert all(client.test_own for client in dealt)
