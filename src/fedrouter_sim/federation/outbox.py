"""The only way out of a client: what is sent passes here, and nothing else counts bytes."""

from dataclasses import dataclass
from typing import TypeVar

from fedrouter_sim.messages import Message

Sent = TypeVar("Sent", bound=Message)


@dataclass(frozen=True)
class Traffic:
    """Bytes sent by clients (up) and to clients (down)."""

    up: int = 0
    down: int = 0


NO_TRAFFIC = Traffic()


class Outbox:
    """Passes on what clients send, and counts it; counts what is sent to clients as well."""

    def __init__(self) -> None:
        self._up = self._down = 0
        self._taken = Traffic()

    def send(self, message: Sent) -> Sent:
        """Send a message from a client to the server; return what arrives."""
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
