"""Rows of toy tasks, dealt out among clients by a split."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.partitioning import ClientShares, partition
from fedrouter_sim.partition.splits import find_split
from fedrouter_sim.partition.splits.split import Split, Wanted

GRID = [(1, 1), (1, 3), (2, 2), (3, 4), (4, 3), (5, 2), (7, 7), (8, 4), (10, 4), (10, 7)]
"""Numbers of clients and of tasks."""


def rows(share: str, tasks: int, each: int) -> list[Example]:
    """`each` examples of each task, the tasks in turn."""
    return [Example(f"{share} {t} {i}", "response", f"t{t}") for i in range(each) for t in range(tasks)]


def owned(share: str, sizes: dict[str, int]) -> list[Example]:
    """So many examples of each client, shuffled, of two tasks."""
    every = [Example(f"{share} {c} {i}", "r", f"t{i % 2}", c) for c, size in sizes.items() for i in range(size)]
    return [every[i] for i in np.random.default_rng(0).permutation(len(every))]


def deal(clients: int, tasks: int, split: str | Split, **changes: Any) -> tuple[ClientShares, ...]:
    """What each client gets: of 60 training and 30 test rows a task, without caps, unless changed."""
    train, test = changes.pop("train", rows("train", tasks, 60)), changes.pop("test", rows("test", tasks, 30))
    uncapped = {"examples_per_client": 10**6, "test_examples_per_client": 10**6, "seed": 1}
    found = find_split(split) if isinstance(split, str) else split
    return partition(train, test, found, Wanted(clients, **{**uncapped, **changes}))


def mixture(examples: Sequence[Example]) -> Counter[str]:
    """Examples by task."""
    return Counter(example.task or "" for example in examples)


def owners(clients: int, tasks: int) -> list[int]:
    """Each client's first task: as even as it goes, the remainder to the first tasks."""
    share, rest = divmod(clients, tasks)
    return [task for task in range(tasks) for _ in range(share + (task < rest))]


def check_even(dealt: Sequence[ClientShares], tasks: int) -> None:
    """Whoever holds a task holds as much of it as the others, up to a row."""
    for task in range(tasks):
        held = [count for client in dealt if (count := mixture(client.train)[f"t{task}"])]
        assert not held or max(held) - min(held) <= 1
