"""The simulation: the round loop, once, for every method."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.client import Client, participants, share_steps
from fedrouter_sim.federation.server import Server
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import Deployment, Federation, LastRound, Method, Plan
from fedrouter_sim.randomness import numpy_generator


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

    def add(self, update: Update, batch_size: int, private: bool) -> None:
        """Count one update; one of a private pool is not sent."""
        if not private:
            self.bytes_up += update.nbytes
            self.bytes_down += update.nbytes  # the group's start: the pool's adapter, which has the same shape
        self.examples += update.steps * batch_size
        self.steps += update.steps
        self.tokens += update.tokens


class Observer:
    """What wants to know how the simulation goes: the display, the run folder. Does nothing by itself."""

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        """A plan has begun, for so many rounds and about so many optimizer steps."""

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

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        for observer in self._observers:
            observer.planned(plan, rounds, steps)

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
class Stage:
    """A plan that was followed, and the clients as they were then."""

    plan: Plan
    clients: tuple[Client, ...]


@dataclass(frozen=True)
class Outcome:
    """What a simulation leaves in memory: the stages, an adapter a pool of the last one, the records of all rounds."""

    stages: list[Stage]
    adapters: dict[str, Adapter]
    records: list[RoundRecord]
    setup_seconds: float

    @property
    def plan(self) -> Plan:
        """The plan that ended the run: who answers."""
        return self.stages[-1].plan

    @property
    def deployment(self) -> Deployment:
        """What answers, beside the adapters."""
        return Deployment(self.plan.pools, self.plan.router, self.plan.kept)


def simulate(
    federation: Federation,
    method: Method,
    observer: Observer,
    drifted: tuple[Client, ...] = (),
    plan: Plan | None = None,
) -> Outcome:
    """Run all rounds of a method over the clients, one after the other.

    Args:
        federation: the settings, the backbone and the clients.
        method: says which groups train and which pools average them.
        observer: is told what happens.
        drifted: the clients as they are from round `drift_at` on.
        plan: the method's first, if it is made already.
    """
    config = federation.config
    started = perf_counter()
    plan = plan or method.plan(federation)
    server = Server(federation.backbone.initial_adapter(config.seed))
    setup_seconds = perf_counter() - started
    stages: list[Stage] = []
    records: list[RoundRecord] = []

    def begin(new: Plan) -> Plan:
        server.open({pool.name: pool.parent for pool in new.pools})
        stages.append(Stage(new, new.clients or federation.clients))
        rounds = last_round(new, config) - len(records)
        observer.planned(new, rounds, rounds * _steps_of_a_round(stages[-1], config))
        return new

    begin(plan)
    while (round_ := len(records) + 1) <= last_round(plan, config):
        if round_ == config.drift_at <= config.rounds:
            federation = replace(federation, clients=drifted)
            plan = begin(method.follow(federation, plan))
        deciding = plan.then if round_ == plan.until else None
        record = _open_round(round_, stages[-1], config, everyone=deciding is not None)
        observer.round_started(record)

        # Clients: train every group from its pool's adapter.
        started = perf_counter()
        starts, decisive = server.adapters, []
        for update in _train(stages[-1], record, starts, config, observer):
            server.receive(update)
            observer.received(update)
            if deciding is not None:
                decisive.append(update)
        record.seconds["train"] = perf_counter() - started

        # Server: average per pool.
        started = perf_counter()
        server.aggregate()
        record.seconds["aggregate"] = perf_counter() - started
        records.append(record)
        observer.round_ended(record, server.adapters)
        if deciding is not None:
            plan = begin(deciding(federation, LastRound(plan, starts, tuple(decisive))))
    return Outcome(stages, server.adapters, records, setup_seconds)


def _open_round(round_: int, stage: Stage, config: RunConfig, everyone: bool) -> RoundRecord:
    """Sample the participants of a round and set its learning rate."""
    participation = 1.0 if everyone else config.participation
    chosen = sample_participants(stage.clients, participation, config.seed, round_)
    # A plan that goes on beyond the rounds of the run starts the schedule anew.
    lr = learning_rate((round_ - 1) % config.rounds + 1, config.rounds, config.lr, config.lr_min)
    return RoundRecord(round_, lr, [client.id for client in chosen])


def _train(
    stage: Stage, record: RoundRecord, starts: Mapping[str, Adapter], config: RunConfig, observer: Observer
) -> Iterator[Update]:
    """Train the groups of a round's participants, one after the other, and count what they do."""
    private = {pool.name for pool in stage.plan.pools if pool.private}
    losses: dict[str, list[tuple[float, int]]] = {}
    by_id = {client.id: client for client in stage.clients}
    for client in (by_id[number] for number in record.participants):
        groups = stage.plan.groups_of(client.id)
        steps = share_steps(groups, config.local_steps, config.budget)
        observer.client_started(client, sum(steps))
        for group, group_steps in zip(groups, steps, strict=True):
            update = client.train(group, starts, group_steps, record.lr, record.round, observer.stepped)
            record.add(update, config.batch_size, private=group.pool in private)
            losses.setdefault(group.pool, []).append((update.loss, update.steps))
            yield update
    record.losses = {pool: _weighted_mean(pairs) for pool, pairs in sorted(losses.items())}


def last_round(plan: Plan, config: RunConfig) -> int:
    """Return the last round of a plan; 0 if there is nothing to train."""
    return (plan.until or config.rounds) if plan.groups else 0


def sample_participants(clients: tuple[Client, ...], participation: float, seed: int, round_: int) -> list[Client]:
    """Sample a round's participants without replacement, at least one; returned in client order."""
    count = participants(len(clients), participation)
    chosen = numpy_generator(seed, "participants", round_).permutation(len(clients))[:count]
    return [clients[i] for i in sorted(chosen)]


def learning_rate(round_: int, rounds: int, highest: float, lowest: float) -> float:
    """Return lr_min + (lr_max - lr_min) / 2 * (1 + cos(pi (r - 1) / R)) for round r = 1..R."""
    return lowest + (highest - lowest) / 2 * (1 + math.cos(math.pi * (round_ - 1) / rounds))


def _steps_of_a_round(stage: Stage, config: RunConfig) -> int:
    """Return the optimizer steps of a round; with partial participation, those to be expected."""
    plan, clients = stage.plan, stage.clients
    steps = sum(sum(share_steps(plan.groups_of(client.id), config.local_steps, config.budget)) for client in clients)
    return round(steps * participants(len(clients), config.participation) / len(clients))


def _weighted_mean(pairs: list[tuple[float, int]]) -> float:
    return sum(loss * steps for loss, steps in pairs) / sum(steps for _, steps in pairs)
