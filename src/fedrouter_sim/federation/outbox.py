"""The only way out of a client: what is sent passes here, and nothing else counts bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fedrouter_sim.messages import Message

Sent = TypeVar("Sent", bound=Message)

Step = Callable[[Any], Any]
"""What is done to a message on its way out: takes one, and returns one of the same class."""


@dataclass(frozen=True)
class Traffic:
    """Bytes sent by clients (up) and to clients (down)."""

    up: int = 0
    down: int = 0


NO_TRAFFIC = Traffic()


class Outbox:
    """Passes on what clients send, and counts it; counts what is sent to clients as well.

    Args:
        steps: done to every message that is sent, in this order. An update that was kept from an earlier process is
            sent again, and so has them done again.
    """

    def __init__(self, steps: Sequence[Step] = ()) -> None:
        self._steps = tuple(steps)
        self._up = self._down = 0
        self._taken = Traffic()

    def send(self, message: Sent) -> Sent:
        """Send a message from a client to the server; return what arrives."""
        for step in self._steps:
            message = step(message)
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
