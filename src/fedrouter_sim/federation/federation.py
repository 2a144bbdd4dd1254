"""A federation as a method sees it: the settings, facts of the clients, and what may be asked of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Ints
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.clustering.across_clients import local_clusters_of
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import LAST
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.crew import Crew
from fedrouter_sim.federation.hostile import Lies, attack_of, attackers_of, poisoned
from fedrouter_sim.federation.on_ray import OnRay
from fedrouter_sim.federation.outbox import Outbox, Step
from fedrouter_sim.federation.privacy.budget import Budget
from fedrouter_sim.federation.privacy.guard import PUBLIC_TEXTS, Bounds, Guard
from fedrouter_sim.federation.questions import AskFacts, Question
from fedrouter_sim.federation.restricting import AskOfRows
from fedrouter_sim.federation.unrelated import Unrelated, unrelated
from fedrouter_sim.federation.workers import InProcess, Workers
from fedrouter_sim.messages import ClientFacts, Message
from fedrouter_sim.partition.partitioning import ClientShares
from fedrouter_sim.partition.run_data import RunData

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True)
class Federation:
    """What a method plans for. It goes by messages alone; only `oracle` and `central` ask for task labels."""

    config: RunConfig
    clients: tuple[ClientFacts, ...]  # in client order
    workers: Workers
    initial: Adapter  # that every pool starts from
    max_tokens: int  # texts are cut at this many tokens
    backbone_digest: str
    rows: Mapping[int, Ints] | None = None  # client -> its rows, where questions are about some rows of some clients
    embedded: tuple[int | str, ...] = (LAST,)  # the layers whose hidden states embed a text, side by side
    unrelated: Callable[[], list[Unrelated]] | None = None  # makes the server's own rows, which are seldom needed
    guard: Guard | None = None  # what is done to messages under differential privacy; None: there is none

    def ask(self, question: Question[Answer], clients: Iterable[int] | None = None) -> list[Answer]:
        """Ask clients, and return their answers in client order; None asks all."""
        if self.rows is None:
            return self.workers.ask(question, clients)
        return self.workers.ask(AskOfRows(question, self.rows), self.rows if clients is None else clients)

    def tell(self, messages: Mapping[int, Message]) -> None:
        """Send a message to each of these clients."""
        self.workers.tell(messages)

    @property
    def ids(self) -> list[int]:
        """The ids of the clients, in order."""
        return [client.id for client in self.clients]

    @property
    def longest_answer(self) -> int:
        """The longest training response of all clients in tokens."""
        return max(client.answer_tokens for client in self.clients)

    def gathered(self) -> "Federation":
        """Return the federation of a single client that holds everybody's examples."""
        return self._with(self.workers.gathered())

    def after_drift(self) -> "Federation":
        """Return the federation of the clients with the data that they drift to."""
        return self._with(self.workers.after_drift())

    def restricted(self, rows: Mapping[int, Ints]) -> "Federation":
        """Return the federation of some clients as if each held but some of its rows, for questions only.

        Args:
            rows: client -> positions of its rows, ascending, at least one; clients in order.
        """
        narrow = replace(self, rows=rows)
        return replace(narrow, clients=tuple(narrow.ask(AskFacts())))

    def _with(self, workers: Workers) -> "Federation":
        return replace(self, workers=workers, clients=tuple(workers.ask(AskFacts())))


def build_federation(
    config: RunConfig, data: RunData, backbone: Backbone, budget: Budget | None = None, crew: Crew | None = None
) -> Federation:
    """Make the clients of a run: around the one backbone in this process, or dealt out to a crew; some of them hostile,
    if the settings say so.

    Args:
        config: the settings.
        data: the clients' examples.
        backbone: the one of this process.
        budget: of differential privacy; None: there is none.
        crew: which holds the clients; None: this process does.

    Raises:
        UserError: there is no such attack.
    """
    attack, hostile = attack_of(config), attackers_of(len(data.clients), config)

    def rows(shares: Iterable[ClientShares]) -> list[Sequence[Example]]:
        return [
            poisoned(attack, client, own.train, config.seed) if attack and client in hostile else own.train
            for client, own in enumerate(shares)
        ]

    def clients(shares: Iterable[ClientShares]) -> list[Client]:
        return [Client(number, own, backbone, config) for number, own in enumerate(rows(shares))]

    guard = None
    if budget is not None:
        bounds = Bounds.of(backbone.embed(list(PUBLIC_TEXTS)))
        guard = Guard(budget, config, len(data.clients), local_clusters_of(config), bounds)
    guards: list[Step] = [] if guard is None else [guard]
    lies: list[Step] = [Lies(attack, config.seed)] if attack else []
    # What attackers send is of the form that the protocol asks for: it goes through the guard as well.
    outbox = Outbox(guards, {client: [*lies, *guards] for client in hostile})
    workers: Workers
    if crew is None:
        workers = InProcess(clients(data.clients), clients(data.drifted), outbox)
    else:
        crew.open(config, backbone)
        workers = OnRay(crew, rows(data.clients), rows(data.drifted), outbox)
    return Federation(
        config,
        tuple(workers.ask(AskFacts())),
        workers,
        backbone.initial_adapter(config.seed),
        backbone.encoder.limit,
        backbone.digest,
        embedded=backbone.embedded,
        unrelated=partial(unrelated, backbone, config),
        guard=guard,
    )
