"""Giving rows to clients: every client's rows are disjoint from every other's."""

from collections.abc import Sequence

import numpy as np

from fedrouter_sim.arrays import Ints
from fedrouter_sim.examples.record import Example
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.rounding import largest_remainder


def split_iid(examples: Sequence[Example], clients: int, most: int, seed: int) -> list[tuple[Example, ...]]:
    """Split examples into `clients` IID shards of at most `most` examples, as even as it goes."""
    order = numpy_generator(seed, "deal all tasks").permutation(len(examples))
    return [in_order(examples, order[client::clients][:most]) for client in range(clients)]


def assign_by_client(
    examples: Sequence[Example], ids: Sequence[str], most: int, seed: int, share: str
) -> list[tuple[Example, ...]]:
    """Give each of the clients `ids` the examples that name it, at most `most` of them, drawn by seed."""
    rows: dict[str | None, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault(example.client, []).append(row)
    parts = []
    for client in ids:
        drawn = numpy_generator(seed, "deal natural", share, client).permutation(rows.get(client, []))[:most]
        parts.append(in_order(examples, drawn.astype(np.int64)))
    return parts


def assign_counts(
    examples: Sequence[Example],
    rows: dict[str, list[int]],
    tasks: Sequence[str],
    counts: Ints,
    seed: int,
    share: str,
) -> list[tuple[Example, ...]]:
    """Give client i `counts[i, t]` rows of task t, in shuffled order; return each client's, in file order.

    Args:
        examples: the share.
        rows: positions of each task's examples.
        tasks: the columns of `counts`.
        counts: (clients, tasks).
        seed: of the order.
        share: 'train' or 'test', which are shuffled apart.
    """
    clients = len(counts)
    parts: list[list[Ints]] = [[np.zeros(0, dtype=np.int64)] for _ in range(clients)]
    first = owners(clients, len(tasks))
    for t, task in enumerate(tasks):
        if not rows.get(task):
            continue
        shuffled = numpy_generator(seed, "deal", share, task).permutation(rows[task])
        # Clients whose first task this is come first, so that dual gives them the first half.
        order = sorted(range(clients), key=lambda client: (first[client] != t, client))
        ends = np.cumsum([counts[client, t] for client in order])
        for client, part in zip(order, np.split(shuffled, ends)[:-1], strict=True):
            parts[client].append(part)
    return [in_order(examples, np.concatenate(own)) for own in parts]


def owners(clients: int, tasks: int) -> Ints:
    """Return each client's (first) task: clients over tasks as even as it goes, the remainder to the first tasks."""
    counts = largest_remainder(np.ones(tasks), clients)
    return np.array([task for task in range(tasks) for _ in range(counts[task])], dtype=np.int64)


def in_order(examples: Sequence[Example], rows: Ints) -> tuple[Example, ...]:
    """Return the examples in these rows in the order of the data."""
    return tuple(examples[row] for row in np.sort(rows).tolist())
