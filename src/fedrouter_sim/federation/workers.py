"""Workers: who trains clients and asks them. In this process, one client after the other."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fedrouter_sim.adapters.state import Adapter, adapter_bytes
from fedrouter_sim.arrays import Floats
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.outbox import Outbox
from fedrouter_sim.federation.questions import Question
from fedrouter_sim.machine import give_back_memory
from fedrouter_sim.messages import Failed, Message, Update

Answer = TypeVar("Answer", bound=Message)

TRIMMED_EVERY = 64  # clients that are asked


def one_by_one(clients: Iterable[int]) -> Iterator[int]:
    """Yield clients that are asked, and now and then give memory back that lies free between what is kept of them."""
    for number, client in enumerate(clients, 1):
        if number % TRIMMED_EVERY == 0:
            give_back_memory()
        yield client


@dataclass(frozen=True)
class Order:
    """What a client is to train in a round: one group."""

    group: Group
    start: Adapter  # of the group's pool
    anchor: Adapter | None  # what the group's proximal term pulls to, where it has one
    steps: int  # optimizer steps
    lr: float
    round: int
    private: bool = False  # of a pool that stays with the client: nothing is sent
    vanishes: bool = False  # the client vanishes when it has trained: nothing is sent

    @property
    def nbytes(self) -> int:
        """Size in bytes of what is sent to the client: the adapter that it starts from."""
        return 0 if self.private else adapter_bytes(self.start)


class Workers(ABC):
    """Trains and asks clients. Both answer in the order of what was given, whatever is done first."""

    in_one_place: bool = False
    """Whether all data are with the server, and nobody sends a message of its own."""

    @property
    @abstractmethod
    def outbox(self) -> Outbox:
        """What all traffic passes through."""

    @property
    def size(self) -> int:
        """How many clients train at a time."""
        return 1

    @abstractmethod
    def train(
        self, orders: Sequence[Order], observer: Observer, received: Sequence[Update | Failed] = ()
    ) -> Iterator[Update | Failed]:
        """Yield the update of each order, or that its training failed, in the order of the orders.

        Args:
            orders: of all clients of a round, in client and group order.
            observer: is told of clients and steps.
            received: what some of the orders gave as it was sent, where they were trained before an interruption: it
                is counted, and they are not trained again.
        """

    @abstractmethod
    def ask(self, question: Question[Answer], clients: Iterable[int] | None = None) -> list[Answer]:
        """Return the answer of each client, in client order; None asks all."""

    def tell(self, messages: Mapping[int, Message]) -> None:
        """Send a message to each of these clients."""
        for client in sorted(messages):
            self.outbox.deliver(messages[client].nbytes)

    def _sent(self, order: Order, given: Update | Failed, before: bool) -> Update | Failed:
        """Send what an order gave, unless it stays with the client; count only what was sent in an earlier process."""
        if order.private or order.vanishes:
            return given
        if before:
            return self.outbox.count(given)
        return self.outbox.send(given, self._sender(order.group.client), order.start)

    def _sender(self, client: int) -> int | None:
        return None if self.in_one_place else client

    @abstractmethod
    def kept_sketches(self) -> Mapping[int, Mapping[int, Floats]]:
        """Return what each client keeps between two plans: its sketches, by position of the example."""

    @abstractmethod
    def recall(self, sketches: Mapping[int, Mapping[int, Floats]]) -> None:
        """Let clients have what they kept in an earlier process."""

    @abstractmethod
    def gathered(self) -> "Workers":
        """Return workers for a single client, 0, that holds the examples of all; the same ones each time."""

    @abstractmethod
    def after_drift(self) -> "Workers":
        """Return workers for the clients with the data that they drift to."""


class InProcess(Workers):
    """Clients in this process, which share one backbone."""

    def __init__(
        self,
        clients: Sequence[Client],
        drifted: Sequence[Client] = (),
        outbox: Outbox | None = None,
        in_one_place: bool = False,
    ) -> None:
        """Take clients in.

        Args:
            clients: in order.
            drifted: the same with the data that they drift to.
            outbox: what they send by; None: one of their own.
            in_one_place: whether all data are with the server, and nobody sends a message of its own.
        """
        self._clients = {client.id: client for client in clients}
        self._drifted = tuple(drifted)
        self._gathered: InProcess | None = None
        self._outbox = outbox or Outbox()
        self.in_one_place = in_one_place

    @property
    def outbox(self) -> Outbox:
        """What all traffic passes through."""
        return self._outbox

    def train(
        self, orders: Sequence[Order], observer: Observer, received: Sequence[Update | Failed] = ()
    ) -> Iterator[Update | Failed]:
        """Train one order after the other."""
        kept = {(update.client, update.group): update for update in received}
        steps: dict[int, int] = {}
        for order in orders:
            if (order.group.client, order.group.rank) not in kept:
                steps[order.group.client] = steps.get(order.group.client, 0) + order.steps
        for order in orders:
            client, group = self._clients[order.group.client], order.group
            self._outbox.deliver(order.nbytes)
            if (before := kept.get((client.id, group.rank))) is not None:
                yield self._sent(order, before, before=True)
                continue
            if client.id in steps:
                observer.client_started(client.id, steps.pop(client.id))
            update = client.train(
                group, order.start, order.anchor, order.steps, order.lr, order.round, observer.stepped
            )
            yield self._sent(order, update, before=False)

    def ask(self, question: Question[Answer], clients: Iterable[int] | None = None) -> list[Answer]:
        """Ask one client after the other."""
        answers = []
        for client in one_by_one(self._clients if clients is None else clients):
            self._outbox.deliver(question.nbytes)
            answers.append(self._outbox.send(question.answer(self._clients[client]), self._sender(client)))
        return answers

    def kept_sketches(self) -> Mapping[int, Mapping[int, Floats]]:
        """Return the sketches of all clients that have any."""
        return {number: client.kept_sketches for number, client in self._clients.items() if client.kept_sketches}

    def recall(self, sketches: Mapping[int, Mapping[int, Floats]]) -> None:
        """Give the clients their sketches back."""
        for number, own in sketches.items():
            self._clients[number].recall(own)

    def gathered(self) -> "InProcess":
        """Put all examples into one client, the same one each time: what it has made of its rows is made once."""
        if self._gathered is None:
            everybody = Client.holding_all(list(self._clients.values()))
            self._gathered = InProcess([everybody], outbox=self._outbox, in_one_place=True)
        return self._gathered

    def after_drift(self) -> "InProcess":
        """Take the drifted clients."""
        return InProcess(self._drifted, outbox=self._outbox)
