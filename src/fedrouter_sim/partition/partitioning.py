"""Partitioning: each client's training examples, and the test examples that it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedrouter_sim.config import with_value
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.assigning import split_iid
from fedrouter_sim.partition.splits.split import Parts, Split, Wanted


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
    train_parts, own_parts = _checked(split, split.parts(train, test, wanted), wanted.clients)
    return tuple(ClientShares(*own) for own in zip(train_parts, own_parts, all_parts, strict=True))


def _checked(split: Split, parts: Any, clients: int) -> tuple[Parts, Parts]:
    """Return what a split gave, which may be the user's own, if it is a part per client."""
    wrong = f"--split {split.name}: parts has to give two lists of {clients} parts, training and test"
    try:
        train_parts, own_parts = ([tuple(own) for own in side] for side in parts)
    except (TypeError, ValueError):
        raise UserError(f"{wrong}; it gave {type(parts).__name__}") from None
    if (len(train_parts), len(own_parts)) != (clients, clients):
        raise UserError(f"{wrong}; it gave {len(train_parts)} and {len(own_parts)}")
    if empty := [client for client, own in enumerate(train_parts) if not own]:
        raise UserError(
            f"--split {split.name}: client {empty[0]} would get no training example; lower "
            f"{with_value('clients', clients)}"
        )
    return train_parts, own_parts
