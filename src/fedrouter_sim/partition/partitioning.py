"""Partitioning: each client's training examples, and the test examples that it answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.assigning import split_iid
from fedrouter_sim.partition.splits.split import Split, Wanted


@dataclass(frozen=True)
class ClientShares:
    """What one client holds: training examples, test examples of the same mixture, and its shard of all tasks' test."""

    train: tuple[Example, ...]
    test_own: tuple[Example, ...]
    test_all: tuple[Example, ...]


def partition(
    train: Sequence[Example], test: Sequence[Example], split: Split, wanted: Wanted
) -> tuple[ClientShares, ...]:
    """Partition training and test examples among the clients.

    Raises:
        UserError: the data lacks the task labels or client ids that the split goes by, or has too few of its rows or
            ids for every client to get one.
    """
    all_parts = split_iid(test, wanted.clients, wanted.test_examples_per_client, wanted.seed)
    parts = split.parts(train, test, wanted)
    return tuple(ClientShares(*own) for own in zip(*parts, all_parts, strict=True))
