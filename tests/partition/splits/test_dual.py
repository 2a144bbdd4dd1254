"""Two tasks per client: half of its own and half of the next."""

from collections import Counter

import pytest
from dealing import GRID, deal, mixture, owners


@pytest.mark.parametrize(("clients", "tasks"), [(n, t) for n, t in GRID if t > 1])
def test_dual_gives_each_client_its_task_and_the_next_half_of_each(clients: int, tasks: int) -> None:
    dealt = deal(clients, tasks, "dual")
    first = owners(clients, tasks)
    holders = Counter(first)
    for client, task in zip(dealt, first, strict=True):
        following = (task + 1) % tasks
        assert set(mixture(client.train)) == {f"t{task}", f"t{following}"}
        assert abs(mixture(client.train)[f"t{task}"] - 30 / holders[task]) < 1
        assert abs(mixture(client.train)[f"t{following}"] - 30 / holders[task]) < 1


def test_dual_with_one_task_shares_it_out() -> None:
    assert [len(client.train) for client in deal(4, 1, "dual")] == [15] * 4


@pytest.mark.parametrize(("clients", "tasks"), [(4, 4), (8, 4), (10, 4), (7, 3)])
@pytest.mark.parametrize("share", ["train", "test_own"])
def test_dual_gives_a_tasks_halves_to_its_own_clients_and_to_those_before(clients: int, tasks: int, share: str) -> None:
    dealt = deal(clients, tasks, "dual")
    first = owners(clients, tasks)
    for task in range(tasks):
        own, before = (
            [
                example
                for client, start in zip(dealt, first, strict=True)
                for example in getattr(client, share)
                if start == wanted and example.task == f"t{task}"
            ]
            for wanted in (task, (task - 1) % tasks)
        )
        assert own and before and not set(own) & set(before)
        if share == "train":
            assert len(own) == len(before) == 30


def test_the_first_half_of_a_task_is_its_own_clients_and_the_same_rows_under_single_and_dual() -> None:
    halves = [set(client.train) for client in deal(8, 4, "single")]
    for task, client in enumerate(deal(4, 4, "dual")):
        assert set(client.train) == halves[2 * task] | halves[(2 * task + 3) % 8]
