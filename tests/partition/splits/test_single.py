"""One task per client."""

import pytest
from dealing import GRID, check_even, deal, mixture, owners


@pytest.mark.parametrize(("clients", "tasks"), GRID)
def test_single_gives_each_client_one_task_as_even_as_it_goes(clients: int, tasks: int) -> None:
    dealt = deal(clients, tasks, "single")
    assert [set(mixture(client.train)) for client in dealt] == [{f"t{task}"} for task in owners(clients, tasks)]
    check_even(dealt, tasks)
