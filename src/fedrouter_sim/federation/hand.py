"""A worker of Ray from the inside: one backbone, the rows of its clients, and what it does with them when told to.

Nothing here knows Ray. The other side is `crew.py`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice

import torch

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Floats
from fedrouter_sim.backbone.asking import Asking, Replies
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.questions import Question
from fedrouter_sim.federation.workers import Order, one_by_one
from fedrouter_sim.messages import Failed, Message, Update
from fedrouter_sim.version import __version__

Sketches = Mapping[int, Floats]
"""What a client keeps, (m,) each, by position of the example."""


@dataclass(frozen=True)
class Means:
    """What else than settings and data decides the bytes of a run; it has to be the same in every worker."""

    program: str  # version
    torch: str  # version
    backbone: str  # digest
    dtype: str
    device: str

    @classmethod
    def of(cls, backbone: Backbone) -> "Means":
        """Return those of this process."""
        return cls(__version__, torch.__version__, backbone.digest, backbone.dtype, backbone.device)

    def check(self, own: "Means") -> None:
        """Refuse a worker that has others.

        Raises:
            UserError: naming the first that differs.
        """
        for name in (field.name for field in fields(self)):
            here, there = getattr(self, name), getattr(own, name)
            if here != there:
                raise UserError(
                    f"--workers: a worker has another {name} ({there}) than this process ({here}), so its bytes would "
                    "differ; install the same on every machine, and name --dtype and --device"
                )


class Hand:
    """Does what it is told, one thing after the other, in one thread."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # the promise of equal bytes is one of equal threads
        self._clients: dict[int, dict[int, Client]] = {}  # by population and client
        self._backbone: Backbone | None = None
        self._config: RunConfig | None = None

    def process(self) -> int:
        """Return the id of the process."""
        return os.getpid()

    def open(self, config: RunConfig, means: Means) -> None:
        """Be ready for a run: load the backbone, unless that of the last run serves it too, and forget its clients.

        Raises:
            UserError: it is not usable here, or not the same as the server's.
        """
        self._config, self._clients = config, {}
        if self._backbone is None or not self._backbone.serves(config):
            self._backbone = Backbone(config)
        means.check(Means.of(self._backbone))

    def hold(self, population: int, rows: Mapping[int, Sequence[Example]], sketches: Mapping[int, Sketches]) -> None:
        """Make clients of their rows, and let them have what they kept.

        Args:
            population: the number under which they are spoken of.
            rows: client -> its rows.
            sketches: client -> its sketches.
        """
        made = {number: Client(number, own, self._ready, self._settings) for number, own in rows.items()}
        self._clients[population] = made
        self.recall(population, sketches)

    def recall(self, population: int, sketches: Mapping[int, Sketches]) -> None:
        """Let clients have what they kept in another process."""
        for number, own in sketches.items():
            self._clients[population][number].recall(own)

    def train(
        self, population: int, order: Order, start: Adapter, anchor: Adapter | None
    ) -> tuple[Update | Failed, list[float]]:
        """Train an order, whose adapters come beside it: they are sent once a round. Return its losses by step, too."""
        losses: list[float] = []
        client, told = self._clients[population][order.group.client], replace(order, start=start, anchor=anchor)
        update = client.train(told.group, told.start, told.anchor, told.steps, told.lr, told.round, losses.append)
        return update, losses

    def ask(
        self, population: int, question: Question[Message], clients: Sequence[int]
    ) -> list[tuple[Message, Sketches]]:
        """Return the answer of each client, and what it keeps since."""
        found: list[tuple[Message, Sketches]] = []
        for number in one_by_one(clients):
            client = self._clients[population][number]
            before = len(client.kept_sketches)
            answer = question.answer(client)
            found.append((answer, dict(islice(client.kept_sketches.items(), before, None))))
        return found

    def embed(self, lists: Sequence[Sequence[str]]) -> list[Floats]:
        """Embed lists of texts, (n, d) each."""
        return [self._ready.embed(texts) for texts in lists]

    def answer(self, asked: Asking) -> Replies:
        """Answer texts."""
        return asked.answered_by(self._ready)

    @property
    def _ready(self) -> Backbone:
        assert self._backbone is not None, "open() comes first"
        return self._backbone

    @property
    def _settings(self) -> RunConfig:
        assert self._config is not None, "open() comes first"
        return self._config
