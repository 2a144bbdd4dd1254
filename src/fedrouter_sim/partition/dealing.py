"""Dealing examples to clients: who holds how much of which task, for training and test alike.

A split is a rule for the matrix of fractions F (clients, tasks): client i gets the fraction F[i, t] of task t's rows.
The split `natural` leaves it to the data, whose rows say whose they are. Every client's rows are disjoint from every
other's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, tasks_of
from fedrouter_sim.randomness import numpy_generator


@dataclass(frozen=True)
class ClientShares:
    """What one client holds: training examples, test examples of the same mixture, and its shard of all tasks' test."""

    train: tuple[Example, ...]
    test_own: tuple[Example, ...]
    test_all: tuple[Example, ...]


def deal_out(
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    clients: int,
    split: str,
    alpha: float,
    examples_per_client: int,
    test_examples_per_client: int,
    seed: int,
) -> tuple[ClientShares, ...]:
    """Deal training and test examples to `clients` clients: by a split of the paper, Dirichlet mixtures, or naturally.

    Raises:
        UserError: the data lacks the task labels or client ids that the split goes by, or has too few of its rows or
            ids for every client to get one.
    """
    all_parts = deal_iid(test, clients, test_examples_per_client, seed)
    if split == "natural":
        ids = natural_clients(train, clients)
        train_parts = deal_naturally(train, ids, examples_per_client, seed, "train")
        own_parts = deal_naturally(test, ids, test_examples_per_client, seed, "test")
        return _client_shares(train_parts, own_parts, all_parts)
    labelled = bool(tasks_of(train)) and bool(tasks_of(test))
    if not labelled and split != "all":
        raise UserError(f"--split {split} deals out by task and the data has no task column; use --split all")
    train_rows, test_rows = (_rows_by_task(share, labelled) for share in (train, test))
    tasks = sorted(train_rows)
    available = np.array([len(train_rows[task]) for task in tasks])
    fractions = _fractions(split, available, clients, alpha, seed)
    counts = _column_counts(fractions, available)
    counts = np.array([_shrink(row, examples_per_client) for row in counts])
    if (empty := np.flatnonzero(counts.sum(axis=1) == 0)).size:
        raise UserError(
            f"--clients {clients}: client {empty[0]} would get no example of {available.sum()} under --split {split}; "
            "lower --clients or give more data"
        )
    test_available = np.array([len(test_rows.get(task, ())) for task in tasks])
    test_pool = _column_counts(_fractions(split, test_available, clients, alpha, seed), test_available)
    test_counts = np.array(
        [_match(mixture, pool, test_examples_per_client) for mixture, pool in zip(counts, test_pool, strict=True)]
    )
    train_parts = _deal(train, train_rows, tasks, counts, split, seed, "train")
    own_parts = _deal(test, test_rows, tasks, test_counts, split, seed, "test")
    return _client_shares(train_parts, own_parts, all_parts)


def deal_iid(examples: Sequence[Example], clients: int, most: int, seed: int) -> list[tuple[Example, ...]]:
    """Deal examples into `clients` IID shards of at most `most` examples, as even as it goes."""
    order = numpy_generator(seed, "deal all tasks").permutation(len(examples))
    return [_in_order(examples, order[client::clients][:most]) for client in range(clients)]


def deal_naturally(
    examples: Sequence[Example], ids: Sequence[str], most: int, seed: int, share: str
) -> list[tuple[Example, ...]]:
    """Give each of the clients `ids` the examples that name it, at most `most` of them, drawn by seed."""
    rows: dict[str | None, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault(example.client, []).append(row)
    hands = []
    for client in ids:
        drawn = numpy_generator(seed, "deal natural", share, client).permutation(rows.get(client, []))[:most]
        hands.append(_in_order(examples, drawn.astype(np.int64)))
    return hands


def natural_clients(train: Sequence[Example], clients: int | None = None) -> list[str]:
    """Return the ids of the first `clients` clients (None: of all) that the training rows name, in a fixed order.

    Ids are ordered as numbers where all are whole numbers, else as text.

    Raises:
        UserError: a row names no client, or there are fewer ids than clients.
    """
    unnamed = sum(example.client is None for example in train)
    if unnamed == len(train):
        raise UserError(
            "--split natural: the training data does not say whose row it is in every row; name the column that does "
            "with --client-column, or take another --split"
        )
    if unnamed:
        raise UserError(f"--split natural: {unnamed} of {len(train)} training rows name no client; fill or drop them")
    ids = {example.client for example in train if example.client is not None}
    if clients is not None and len(ids) < clients:
        raise UserError(f"--clients {clients}: the training data has rows of {len(ids)} clients; lower --clients")
    numbers = all(_WHOLE_NUMBER.fullmatch(client) for client in ids)
    return sorted(ids, key=lambda client: (int(client) if numbers else 0, client))[:clients]


def natural_notes(train: Sequence[Example], test: Sequence[Example], ids: Sequence[str]) -> list[str]:
    """Return what a user should know of a natural partition among the clients `ids`: who is left out or lacks rows."""
    every = {example.client for example in train}
    tested = {example.client for example in test if example.client is not None}
    untested = sum(client not in tested for client in ids)
    notes = []
    if len(every) > len(ids):
        notes.append(f"--clients {len(ids)}: the first of the {len(every)} clients that the training data names")
    if tested - every:
        notes.append(f"{len(tested - every)} clients of the test data have no training rows and do not take part")
    if untested:
        notes.append(f"{untested} of {len(ids)} clients have no test rows of their own")
    return notes


def largest_remainder(weights: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return whole numbers in proportion to `weights` that sum to `total`; ties go to the first."""
    exact = weights / weights.sum() * total
    counts: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    rest = total - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:rest]] += 1
    return counts


_WHOLE_NUMBER = re.compile("-?[0-9]{1,18}")


def _client_shares(*parts: Sequence[tuple[Example, ...]]) -> tuple[ClientShares, ...]:
    return tuple(ClientShares(*own) for own in zip(*parts, strict=True))


def _in_order(examples: Sequence[Example], rows: NDArray[np.int64]) -> tuple[Example, ...]:
    """Return the examples in these rows in the order of the data."""
    return tuple(examples[row] for row in np.sort(rows).tolist())


def _rows_by_task(examples: Sequence[Example], labelled: bool) -> dict[str, list[int]]:
    """Return the row numbers of each task; data without labels is one task."""
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault((example.task or "") if labelled else "", []).append(row)
    return rows


def _owners(clients: int, tasks: int) -> NDArray[np.int64]:
    """Return each client's (first) task: clients over tasks as even as it goes, the remainder to the first tasks."""
    counts = largest_remainder(np.ones(tasks), clients)
    return np.array([task for task in range(tasks) for _ in range(counts[task])], dtype=np.int64)


def _fractions(split: str, available: NDArray[np.int64], clients: int, alpha: float, seed: int) -> NDArray[np.float64]:
    """Return F (clients, tasks); every column sums to at most 1."""
    tasks = len(available)
    if split == "dirichlet":
        # Hsu et al. 2019 (arXiv 1909.06335): client i's mixture is q_i ~ Dir(alpha); all clients are equally large.
        mixtures = numpy_generator(seed, "mixtures").dirichlet(np.full(tasks, alpha), clients)
        demand = mixtures.sum(axis=0)
        size = min(available[t] / demand[t] for t in range(tasks) if demand[t] > 0)
        return np.asarray(mixtures * size / np.maximum(available, 1))
    first = np.eye(tasks)[_owners(clients, tasks)]
    if split == "single":
        held = first
    elif split == "dual":
        # The clients of task j share the first half of task j and the second half of task j + 1.
        held = np.zeros((clients, tasks))
        for part in (first, np.roll(first, 1, axis=1)):
            held += part / np.maximum(2 * part.sum(axis=0), 1)
        return held
    else:
        held = np.ones((clients, tasks))
    return np.asarray(held / np.maximum(held.sum(axis=0), 1))


def _column_counts(fractions: NDArray[np.float64], available: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn fractions into whole rows (clients, tasks), a column at a time; fractions below 1 leave rows over."""
    rest = np.maximum(1 - fractions.sum(axis=0, keepdims=True), 0)
    padded = np.concatenate([fractions, rest])
    columns = [largest_remainder(padded[:, t], int(n)) for t, n in enumerate(available)]
    return np.stack(columns, axis=1)[:-1]


def _shrink(counts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return counts if counts.sum() <= most else largest_remainder(counts.astype(np.float64), most)


def _match(mixture: NDArray[np.int64], pool: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return as many test rows as fit in `pool` with the training mixture, at most `most` (rounded to whole rows)."""
    wanted = np.where(pool > 0, mixture, 0).astype(np.float64)
    if not wanted.any():
        return np.zeros_like(pool)
    shares = wanted / wanted.sum()
    fitting = int(min(pool[t] / shares[t] for t in np.flatnonzero(shares)) + 1e-9)
    return np.minimum(largest_remainder(shares, min(most, fitting)), pool)


def _deal(
    examples: Sequence[Example],
    rows: dict[str, list[int]],
    tasks: Sequence[str],
    counts: NDArray[np.int64],
    split: str,
    seed: int,
    share: str,
) -> list[tuple[Example, ...]]:
    """Hand out `counts` (clients, tasks) rows of each task in shuffled order; return each client's, in file order."""
    clients = len(counts)
    hands: list[list[NDArray[np.int64]]] = [[np.zeros(0, dtype=np.int64)] for _ in range(clients)]
    owners = _owners(clients, len(tasks))
    for t, task in enumerate(tasks):
        if not rows.get(task):
            continue
        shuffled = numpy_generator(seed, "deal", share, task).permutation(rows[task])
        # Clients whose first task this is come first, so that dual gives them the first half.
        order = sorted(range(clients), key=lambda client: (owners[client] != t, client))
        ends = np.cumsum([counts[client, t] for client in order])
        for client, part in zip(order, np.split(shuffled, ends)[:-1], strict=True):
            hands[client].append(part)
    return [_in_order(examples, np.concatenate(hand)) for hand in hands]
