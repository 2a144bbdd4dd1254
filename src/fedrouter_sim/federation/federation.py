"""A federation as a method sees it: the settings, facts of the clients, and what may be asked of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Ints
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.crew import Crew
from fedrouter_sim.federation.on_ray import OnRay
from fedrouter_sim.federation.questions import AskFacts, Question
from fedrouter_sim.federation.restricting import AskOfRows
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


def build_federation(config: RunConfig, data: RunData, backbone: Backbone, crew: Crew | None = None) -> Federation:
    """Make the clients of a run: around the one backbone in this process, or dealt out to a crew."""

    def clients(shares: Iterable[ClientShares]) -> list[Client]:
        return [Client(number, own.train, backbone, config) for number, own in enumerate(shares)]

    workers: Workers
    if crew is None:
        workers = InProcess(clients(data.clients), clients(data.drifted))
    else:
        crew.open(config, backbone)
        workers = OnRay(crew, [own.train for own in data.clients], [own.train for own in data.drifted])
    return Federation(
        config,
        tuple(workers.ask(AskFacts())),
        workers,
        backbone.initial_adapter(config.seed),
        backbone.encoder.limit,
        backbone.digest,
    )
