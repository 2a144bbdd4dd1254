"""What an attack is: other rows to train on, or lies in what is sent."""

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar, cast

import numpy as np

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.messages import CentroidMessage, LocalClusters, Message, Update

Sent = TypeVar("Sent", bound=Message)


class Attack(ABC):
    """What hostile clients do. A new one is a file here and a row in the table.

    A hostile client knows what a client knows: its rows, the settings, what it was sent, and what it would send if it
    were honest. It draws by the generator that it is given, and by no other, or a run that goes on would lie otherwise.
    """

    name: ClassVar[str]

    def rows(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Example]:
        """Return the rows that the client trains on; as many as it has."""
        return examples

    def update(self, update: Update, start: Adapter, generator: np.random.Generator) -> Update:
        """Return what the client sends in place of an update.

        Args:
            update: what it would send.
            start: the adapter that its training started from.
            generator: of its own, for this client, round and group.
        """
        return update

    def clusters(self, message: CentroidMessage, generator: np.random.Generator) -> CentroidMessage:
        """Return what the client sends in place of its local clusters.

        Args:
            message: what it would send.
            generator: of its own, for this client.
        """
        return message

    def lie(self, message: Sent, start: Adapter | None, generator: np.random.Generator) -> Sent:
        """Return what the client sends in place of any message: here those that the methods above are about."""
        found: Message = message
        if isinstance(message, Update) and start is not None:
            found = self.update(message, start, generator)
        elif isinstance(message, CentroidMessage):
            found = self.clusters(message, generator)
        elif isinstance(message, LocalClusters):
            found = replace(message, sent=self.clusters(message.sent, generator))
        return cast(Sent, found)


def checked_strength(strength: float, least: float = 0.0) -> float:
    """Return the strength of an attack.

    Raises:
        UserError: it is not a number above `least`.
    """
    if not least < strength < float("inf"):
        raise UserError(f"--option strength={strength:g}: must be a number above {least:g}")
    return strength
