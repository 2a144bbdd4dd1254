"""Clients in workers of Ray. They get the orders and questions, and give the messages, of clients in this process."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeVar, cast

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Floats
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.crew import Call, Crew, Population
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.outbox import Outbox
from fedrouter_sim.federation.questions import Question
from fedrouter_sim.federation.workers import Order, Workers
from fedrouter_sim.messages import Failed, Message, Update

Answer = TypeVar("Answer", bound=Message)
Rows = Sequence[Sequence[Example]]
"""The rows of each client, in client order."""


class OnRay(Workers):
    """Clients that a crew holds. This process has the rows that it dealt out, and nothing that is made of them."""

    def __init__(
        self,
        crew: Crew,
        rows: Rows,
        drifted: Rows = (),
        outbox: Outbox | None = None,
        in_one_place: bool = False,
    ) -> None:
        self._crew, self.in_one_place = crew, in_one_place
        self._rows, self._drifted_rows = rows, drifted
        self._held: Population | None = None
        self._drifted: OnRay | None = None
        self._gathered: OnRay | None = None
        self._outbox = outbox or Outbox()

    @property
    def outbox(self) -> Outbox:
        """What all traffic passes through."""
        return self._outbox

    @property
    def size(self) -> int:
        """How many clients train at a time."""
        return self._crew.size

    def train(
        self, orders: Sequence[Order], observer: Observer, received: Sequence[Update | Failed] = ()
    ) -> Iterator[Update | Failed]:
        """Hand out the orders, each adapter once, and receive in their order."""
        kept = {(update.client, update.group): update for update in received}
        new = [order for order in orders if (order.group.client, order.group.rank) not in kept]
        steps: dict[int, int] = {}
        for order in new:
            steps[order.group.client] = steps.get(order.group.client, 0) + order.steps
        found = self._crew.in_order(self._calls(new))
        for order in orders:
            client = order.group.client
            self._outbox.deliver(order.nbytes)
            if (before := kept.get((client, order.group.rank))) is not None:
                yield self._sent(order, before, before=True)
                continue
            update, losses = next(found)
            if client in steps:
                observer.client_started(client, steps.pop(client))
            for loss in losses:
                observer.stepped(loss)
            yield self._sent(order, update, before=False)

    def ask(self, question: Question[Answer], clients: Iterable[int] | None = None) -> list[Answer]:
        """Hand out the question once, and take the answers in the order of the clients."""
        wanted = list(range(len(self._rows)) if clients is None else clients)
        population, sent = self._population, self._crew.put(question)
        shares: dict[int, list[int]] = {}
        for client in wanted:
            shares.setdefault(self._crew.worker_of(client), []).append(client)
        calls = [Call(worker, "ask", (population.number, sent, own)) for worker, own in shares.items()]
        found = dict(zip(shares, map(iter, self._crew.in_order(calls)), strict=True))
        answers, nbytes = [], question.nbytes
        for client in wanted:
            self._outbox.deliver(nbytes)
            # Ray's arrays lie in memory that it shares with others, and must not be written to.
            answer, sketches = deepcopy(next(found[self._crew.worker_of(client)]))
            if sketches:
                population.sketches.setdefault(client, {}).update(sketches)
            answers.append(self._outbox.send(cast(Answer, answer), self._sender(client)))
        return answers

    def kept_sketches(self) -> Mapping[int, Mapping[int, Floats]]:
        """Return the sketches of all clients that have any."""
        kept = self._population.sketches
        return {client: kept[client] for client in sorted(kept)}

    def recall(self, sketches: Mapping[int, Mapping[int, Floats]]) -> None:
        """Give the clients their sketches back."""
        self._crew.recall(self._population, sketches)

    def gathered(self) -> "OnRay":
        """Put all examples into one client, the same one each time."""
        if self._gathered is None:
            rows = [[example for own in self._rows for example in own]]
            self._gathered = OnRay(self._crew, rows, outbox=self._outbox, in_one_place=True)
        return self._gathered

    def after_drift(self) -> "OnRay":
        """Take the drifted clients, the same ones each time."""
        if self._drifted is None:
            self._drifted = OnRay(self._crew, self._drifted_rows, outbox=self._outbox)
        return self._drifted

    @property
    def _population(self) -> Population:
        """The clients, dealt out when they are first needed."""
        if self._held is None:
            self._held = self._crew.hold(dict(enumerate(self._rows)))
        return self._held

    def _calls(self, orders: Sequence[Order]) -> Iterator[Call]:
        sent: dict[int, Any] = {}  # by adapter; they are all alive as long as the orders are

        def once(adapter: Adapter | None) -> Any:
            if adapter is not None and id(adapter) not in sent:
                sent[id(adapter)] = self._crew.put(adapter)
            return None if adapter is None else sent[id(adapter)]

        for order in orders:
            bare, number = replace(order, start={}, anchor=None), self._population.number
            worker = self._crew.worker_of(order.group.client)
            yield Call(worker, "train", (number, bare, once(order.start), once(order.anchor)))
