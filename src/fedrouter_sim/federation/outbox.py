"""The only way out of a client: what is sent passes here, is changed here and nowhere else, and is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.messages import Message

Sent = TypeVar("Sent", bound=Message)


class Step(Protocol):
    """What becomes of a message before it leaves its client: a protection, or a lie.

    What it draws is keyed by client, round and group, never by what it was called for before: then a run that goes on
    sends what it would have sent.
    """

    def __call__(self, message: Sent, client: int, start: Adapter | None) -> Sent:
        """Return the message as it is sent.

        Args:
            message: from the client, or from the step before.
            client: who sends it.
            start: of an update, the adapter that its training started from.
        """
        ...


@dataclass(frozen=True)
class Traffic:
    """Bytes sent by clients (up) and to clients (down)."""

    up: int = 0
    down: int = 0


NO_TRAFFIC = Traffic()


class Outbox:
    """Passes on what clients send, and counts it; counts what is sent to clients as well.

    Args:
        steps: what every message of every client goes through, in order.
        of_attackers: client -> the steps of its messages instead.
    """

    def __init__(self, steps: Sequence[Step] = (), of_attackers: Mapping[int, Sequence[Step]] | None = None) -> None:
        self._steps = tuple(steps)
        self._of_attackers = dict(of_attackers or {})
        self._up = self._down = 0
        self._taken = Traffic()

    def send(self, message: Sent, client: int | None = None, start: Adapter | None = None) -> Sent:
        """Send a message from a client to the server; return what arrives.

        Args:
            message: as the client made it.
            client: who sends it; None: it goes through no steps.
            start: of an update, the adapter that its training started from.
        """
        if client is not None:
            for step in self._of_attackers.get(client, self._steps):
                message = step(message, client, start)
        return self.count(message)

    def count(self, message: Sent) -> Sent:
        """Count a message that has gone through its steps already: one that was sent in an earlier process."""
        self._up += message.nbytes
        return message

    def deliver(self, nbytes: int) -> None:
        """Count what is sent to one client."""
        self._down += nbytes

    @property
    def total(self) -> Traffic:
        """All traffic so far."""
        return Traffic(self._up, self._down)

    def restore(self, total: Traffic) -> None:
        """Go on counting from here: what was counted in an earlier process, all of which was taken."""
        self._up, self._down = total.up, total.down
        self._taken = total

    def take(self) -> Traffic:
        """Return the traffic since the last call."""
        before, self._taken = self._taken, self.total
        return Traffic(self._up - before.up, self._down - before.down)
