"""As the data says: every row names its client."""

import re
from collections.abc import Sequence

from fedrouter_sim.config import with_value
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.assigning import assign_by_client
from fedrouter_sim.partition.splits.split import Parts, Split, Wanted

_WHOLE_NUMBER = re.compile("-?[0-9]{1,18}")


class Natural(Split):
    """Every client holds the rows that name it, in training and test alike."""

    name = "natural"
    uses = frozenset({"client_column"})

    def parts(self, train: Sequence[Example], test: Sequence[Example], wanted: Wanted) -> tuple[Parts, Parts]:
        """Give every client its own rows."""
        ids = natural_clients(train, wanted.clients)
        train_parts = assign_by_client(train, ids, wanted.examples_per_client, wanted.seed, "train")
        return train_parts, assign_by_client(test, ids, wanted.test_examples_per_client, wanted.seed, "test")

    def client_ids(self, train: Sequence[Example], clients: int) -> list[str]:
        """Return the ids of the clients that take part."""
        return natural_clients(train, clients)

    def notes(self, train: Sequence[Example], test: Sequence[Example], clients: int) -> list[str]:
        """Say who is left out or lacks rows."""
        return natural_notes(train, test, natural_clients(train, clients))


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
        raise UserError(
            f"{with_value('clients', clients)}: the training data has rows of {len(ids)} clients; give --clients "
            f"{len(ids)} or less"
        )
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
