"""The simulation: the round loop, once, for every method."""

import math
from dataclasses import dataclass, field
from time import perf_counter

from fedrouter_sim.adapters import Adapter
from fedrouter_sim.client import Client, share_steps
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import Federation, Method, Plan
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.server import Server


@dataclass
class RoundRecord:
    """What one round did; a line of rounds.jsonl."""

    round: int
    lr: float
    participants: list[int]
    losses: dict[str, float] = field(default_factory=dict)  # mean over a pool's updates, weighted by steps
    bytes_up: int = 0
    bytes_down: int = 0
    examples: int = 0  # seen in this round's batches
    steps: int = 0  # optimizer steps
    tokens: int = 0  # real tokens trained on
    validation: dict[str, float] | None = None  # scores on the validation share, in rounds that are evaluated
    seconds: dict[str, float] = field(default_factory=dict)  # per phase

    def add(self, update: Update, batch_size: int) -> None:
        """Count one update."""
        self.bytes_up += update.nbytes
        self.bytes_down += update.nbytes  # the group's start: the pool's adapter, which has the same shape
        self.examples += update.steps * batch_size
        self.steps += update.steps
        self.tokens += update.tokens


class Observer:
    """What wants to know how the simulation goes: the display, the run folder. Does nothing by itself."""

    def planned(self, plan: Plan) -> None:
        """Groups and pools are fixed."""

    def round_started(self, record: RoundRecord) -> None:
        """Participants are sampled."""

    def client_started(self, client: Client, steps: int) -> None:
        """A participant is about to train for so many optimizer steps."""

    def stepped(self, loss: float) -> None:
        """An optimizer step is done."""

    def received(self, update: Update) -> None:
        """The server has received an update."""

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        """The server has aggregated."""


class Observers(Observer):
    """Several observers as one, called in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def planned(self, plan: Plan) -> None:
        for observer in self._observers:
            observer.planned(plan)

    def round_started(self, record: RoundRecord) -> None:
        for observer in self._observers:
            observer.round_started(record)

    def client_started(self, client: Client, steps: int) -> None:
        for observer in self._observers:
            observer.client_started(client, steps)

    def stepped(self, loss: float) -> None:
        for observer in self._observers:
            observer.stepped(loss)

    def received(self, update: Update) -> None:
        for observer in self._observers:
            observer.received(update)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        for observer in self._observers:
            observer.round_ended(record, adapters)


@dataclass(frozen=True)
class Outcome:
    """What a simulation leaves in memory: the plan, an adapter a pool, and the records of all rounds."""

    plan: Plan
    adapters: dict[str, Adapter]
    records: list[RoundRecord]
    setup_seconds: float


def simulate(federation: Federation, method: Method, observer: Observer) -> Outcome:
    """Run all rounds of a method over the clients, one after the other."""
    config = federation.config
    started = perf_counter()
    plan = method.plan(federation)
    server = Server([pool.name for pool in plan.pools], federation.backbone.initial_adapter(config.seed))
    setup_seconds = perf_counter() - started
    observer.planned(plan)
    records = []
    for round_ in range(1, config.rounds + 1 if plan.groups else 1):
        participants = sample_participants(federation.clients, config.participation, config.seed, round_)
        lr = learning_rate(round_, config.rounds, config.lr, config.lr_min)
        record = RoundRecord(round_, lr, [client.id for client in participants])
        observer.round_started(record)

        # Clients: train every group from its pool's adapter.
        started = perf_counter()
        losses: dict[str, list[tuple[float, int]]] = {}
        for client in participants:
            groups = plan.groups_of(client.id)
            steps = share_steps(groups, config.local_steps, config.budget)
            observer.client_started(client, sum(steps))
            for group, group_steps in zip(groups, steps, strict=True):
                update = client.train(group, server.adapters[group.pool], group_steps, lr, round_, observer.stepped)
                server.receive(update)
                observer.received(update)
                record.add(update, config.batch_size)
                losses.setdefault(group.pool, []).append((update.loss, update.steps))
        record.losses = {pool: _weighted_mean(pairs) for pool, pairs in sorted(losses.items())}
        record.seconds["train"] = perf_counter() - started

        # Server: average per pool.
        started = perf_counter()
        server.aggregate()
        record.seconds["aggregate"] = perf_counter() - started
        records.append(record)
        observer.round_ended(record, server.adapters)
    return Outcome(plan, server.adapters, records, setup_seconds)


def sample_participants(clients: tuple[Client, ...], participation: float, seed: int, round_: int) -> list[Client]:
    """Sample a round's participants without replacement, at least one; returned in client order."""
    count = max(1, round(participation * len(clients)))
    chosen = numpy_generator(seed, "participants", round_).permutation(len(clients))[:count]
    return [clients[i] for i in sorted(chosen)]


def learning_rate(round_: int, rounds: int, highest: float, lowest: float) -> float:
    """Return lr_min + (lr_max - lr_min) / 2 * (1 + cos(pi (r - 1) / R)) for round r = 1..R."""
    return lowest + (highest - lowest) / 2 * (1 + math.cos(math.pi * (round_ - 1) / rounds))


def _weighted_mean(pairs: list[tuple[float, int]]) -> float:
    return sum(loss * steps for loss, steps in pairs) / sum(steps for _, steps in pairs)
