"""The simulation: the round loop, once, for every method."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from fedrouter_sim.adapters.aggregation import find_aggregation
from fedrouter_sim.adapters.sharing.rule import Memory
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config.words import BY_CLIENTS, COUNT
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.absences import Absences, check_reachable, draw_absences
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import Observer, RoundRecord
from fedrouter_sim.federation.outbox import NO_TRAFFIC, Traffic
from fedrouter_sim.federation.plan import Deployment, LastRound, Plan
from fedrouter_sim.federation.privacy.expecting import (
    expected_clients,
    noised_means,
    public_members,
    refused_with_privacy,
)
from fedrouter_sim.federation.schedule import (
    client_steps,
    last_round,
    poisson_participants,
    round_learning_rate,
    sample_participants,
    shares_of_rate,
    steps_of_round,
)
from fedrouter_sim.federation.server import Server
from fedrouter_sim.federation.sharing import task_sharing
from fedrouter_sim.federation.workers import Order
from fedrouter_sim.messages import Failed, Update
from fedrouter_sim.methods.method import Method
from fedrouter_sim.showing import shown
from fedrouter_sim.tables import parse_options

Validate = Callable[[int, Deployment, Mapping[str, Adapter]], dict[str, float] | None]
"""Scores the adapters on the validation share after a round; None in rounds that are not evaluated."""


@dataclass(frozen=True)
class Stage:
    """A plan that was followed, and the federation as it was then."""

    plan: Plan
    federation: Federation  # whose clients trained
    drifted: bool = False  # whether the clients' data had changed
    begins: int = 1  # its first round; clients that drift in it never trained by the plan
    planning: Traffic = NO_TRAFFIC  # what making the plan took; it belongs to no round


@dataclass(frozen=True)
class Outcome:
    """What a simulation has in memory after a round: its stages, the adapters of the last one, the records of all
    rounds. Draws are keyed, so it is all that going on needs, and it is all that the last round leaves."""

    stages: list[Stage]
    adapters: dict[str, Adapter]
    records: list[RoundRecord]
    traffic: Traffic  # of the whole run, planning included
    received: tuple[Update | Failed, ...] = ()  # the first ones of the round after it, where that was interrupted
    late: tuple[Update, ...] = ()  # what comes in the round after it, in client and group order
    sharing: Memory = field(default_factory=dict)  # what the sharing rule keeps between rounds

    @property
    def plan(self) -> Plan:
        """The plan that ended the run."""
        return self.stages[-1].plan

    @property
    def deployment(self) -> Deployment:
        """What answers, beside the adapters."""
        return self.plan.deployment


def simulate(
    federation: Federation,
    method: Method,
    observer: Observer,
    validate: Validate = lambda round_, deployment, adapters: None,
    plan: Plan | None = None,
    resumed: Outcome | None = None,
    keep: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Run all rounds of a method.

    Args:
        federation: the settings, the clients, and who trains them.
        method: says which groups train and which pools average them.
        observer: is told what happens.
        validate: scores the adapters after a round.
        plan: the method's first, if it is made already.
        resumed: where to go on, instead of at the first plan: what `keep` was given in an earlier process.
        keep: is given all that going on needs, before the first round and after each.

    Raises:
        UserError: the method gave no plan that can be followed, or no training of a round gave finite numbers.
    """
    config, outbox = federation.config, federation.workers.outbox
    new_aggregation = find_aggregation(config.aggregation, config.lora_rank, parse_options(config.option))
    sharing = task_sharing(config, method.uses)
    server = Server(
        federation.initial, new_aggregation, config.seed, config.clip_update, noised_means(federation), sharing
    )
    stages: list[Stage] = []
    records: list[RoundRecord] = []
    scales, shares = config.lr_scaling == BY_CLIENTS and "lr_scaling" in method.uses, dict[str, float]()

    def begin(new: Plan) -> Stage:
        own = federation.gathered() if new.gathered else federation
        stages.append(Stage(new, own, drifted, len(records) + 1, outbox.take()))
        check_reachable(new, len(own.ids), config)
        server.open({pool.name: pool.parent for pool in new.pools})
        announce(stages[-1])
        return stages[-1]

    def announce(stage: Stage) -> None:
        nonlocal shares
        shares = _shares_of_rate(stage) if scales else {}
        server.admit(
            {client.id: client.examples for client in stage.federation.clients},
            {pool.name for pool in stage.plan.pools if pool.private},
            expected_clients(stage.plan, config.participation),
            public_members(stage.plan),
        )
        rounds = last_round(stage.plan, config) - len(records)
        observer.planned(stage.plan, rounds, rounds * steps_of_round(stage.plan, stage.federation.ids, config))

    drifted = False
    received: tuple[Update | Failed, ...] = ()
    late: tuple[Update, ...] = ()
    if resumed is None:
        stage = begin(checked_plan(plan or method.plan(federation), method, federation.guard is not None))
    else:
        stages, records = [*resumed.stages], [*resumed.records]
        received, late = resumed.received, resumed.late
        stage, server.adapters = stages[-1], dict(resumed.adapters)
        federation, drifted = federation.after_drift() if stage.drifted else federation, stage.drifted
        server.remember(resumed.sharing)
        outbox.restore(resumed.traffic)
        observer.resumed(records)
        announce(stage)

    def outcome() -> Outcome:
        return Outcome(stages, server.adapters, records, outbox.total, late=late, sharing=server.memory)

    keep(outcome())
    while (round_ := len(records) + 1) <= last_round(stage.plan, config):
        if round_ == config.drift_at <= config.rounds:
            federation, drifted, late = federation.after_drift(), True, ()  # what comes late is of a plan that is over
            stage = begin(checked_plan(method.follow(federation, stage.plan), method))
        replans = stage.plan.more_follows and round_ == stage.plan.until
        record = _open_round(round_, stage, replans, shares)
        observer.round_started(record)
        server.begin(round_)

        # Clients: train every group from its pool's adapter.
        started, starts, decisive = perf_counter(), server.adapters, []
        record.refused = server.refused  # which grows as updates come
        train = _Training(stage, record, observer, late)
        for update in train.updates(starts, received):
            counted = server.receive(update)
            if counted is not None:
                observer.received(update)
            # A plan by updates needs all; what was refused moves nothing.
            if replans and stage.plan.by_updates and update.round == round_:
                decisive.append(counted or replace(update, adapter=starts[update.pool]))
        record.seconds["train"] = perf_counter() - started

        # Server: aggregate per pool.
        started = perf_counter()
        if stage.plan.shares and len(train.arrived) < config.min_participants:
            record.skipped, record.joined = True, []
            observer.skipped(record, len(train.arrived))
            server.skip()
        record.gaps = server.aggregate()
        record.seconds["aggregate"] = perf_counter() - started
        if server.shared_from is not None:
            observer.shared(server.shared_from)
        record.validation = validate(round_, stage.plan.deployment, server.adapters)
        records.append(record)
        observer.round_ended(record, server.adapters)

        # Method: plan anew, where its plan says so.
        if replans:
            last = LastRound(stage.plan, starts, tuple(decisive), server.adapters)
            stage = begin(checked_plan(method.next_plan(federation, last), method))
        received, late = (), tuple(train.late)
        keep(outcome())
    return replace(outcome(), late=())


def checked_plan(plan: Any, method: Method, private: bool = False) -> Plan:
    """Return what a method gave, which may be the user's own, if it is a plan whose pools are there.

    Args:
        plan: what it gave.
        method: the method.
        private: whether differential privacy is wanted, which some plans cannot have.

    Raises:
        UserError: it is not.
    """
    if not isinstance(plan, Plan):
        raise UserError(f"method {method.name}: has to give a Plan, and gave {type(plan).__name__}")
    names = [pool.name for pool in plan.pools]
    if odd := [name for name in names if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name))]:
        raise UserError(
            f"method {method.name}: calls a pool {shown(odd[0])}; it names folders, so letters, digits, _ and -"
        )
    if private and (plan.more_follows or plan.gathered):
        raise UserError(refused_with_privacy(method.name, "plans by what single clients sent"))
    needed = {group.pool for group in plan.groups} | {group.pull.pool for group in plan.groups if group.pull}
    if unknown := sorted(needed - {*names}):
        raise UserError(f"method {method.name}: a group of its plan is of pool {unknown[0]!r}, which the plan lacks")
    return plan


def _shares_of_rate(stage: Stage) -> dict[str, float]:
    """Return the share of `--lr` that each pool takes that somebody trains; under differential privacy by what is
    public, which does not say of all pools who trains them."""
    pools, clients = stage.plan.pools, len(stage.federation.ids)
    if stage.federation.guard is not None:
        return shares_of_rate(pools, public_members(stage.plan), clients)
    shares = shares_of_rate(pools, stage.plan.members, clients)
    return {pool: share for pool, share in shares.items() if share}


def _open_round(round_: int, stage: Stage, everyone: bool, shares: Mapping[str, float]) -> RoundRecord:
    """Sample the participants of a round, and those of them that fail, and set its learning rate, of which pools take
    their shares.

    Where `everyone` is needed, and where clients send nothing, nobody fails.
    """
    config = stage.federation.config
    participation = 1.0 if everyone else config.participation
    sample = sample_participants if stage.federation.guard is None else poisson_participants
    chosen = sample(stage.federation.ids, participation, config.seed, round_)
    absent = Absences() if everyone or not stage.plan.shares else draw_absences(chosen, config, round_)
    lr = round_learning_rate(round_, config)
    rates = {pool: round_learning_rate(round_, config, share) for pool, share in shares.items() if share < 1}
    return RoundRecord(round_, lr, chosen, rates=rates, dropped=[*absent.dropped], late=[*absent.late])


class _Training:
    """Has the groups of a round's participants trained, and says in the round's record what that took.

    Args:
        stage: whose plan is followed.
        record: of the round; it is filled.
        observer: is told of failures, and by the workers of steps.
        before: the updates of the round before that come in this one.
    """

    def __init__(self, stage: Stage, record: RoundRecord, observer: Observer, before: Sequence[Update]) -> None:
        self.late: list[Update] = []
        """The updates that come in the next round, in client and group order."""
        self.arrived: set[int] = set()
        """The clients of which an update of a shared pool has counted."""
        self._stage, self._record, self._observer, self._before = stage, record, observer, before
        self._private = {pool.name for pool in stage.plan.pools if pool.private}
        self._losses: dict[str, list[tuple[float, int]]] = {}

    def updates(self, starts: Mapping[str, Adapter], received: Sequence[Update | Failed]) -> Iterator[Update]:
        """Yield the updates that come in this round: those of the round before, then its own, but for those that are
        lost or late.

        Args:
            starts: the pools' adapters before the round.
            received: what need not be trained again.

        Raises:
            UserError: all trainings failed.
        """
        record, workers, config = self._record, self._stage.federation.workers, self._stage.federation.config
        finite = False
        for under_way in self._before:
            yield from self._judged(under_way)
        for update in workers.train(list(self._orders(starts)), self._observer, received):
            record.examples += update.steps * config.batch_size
            record.steps += update.steps
            record.tokens += update.tokens
            if isinstance(update, Failed):
                record.failed.setdefault(update.pool, []).append(update.client)
                self._observer.failed(update)
                continue
            finite = True
            if self._absent(record.late, update):
                if config.late == COUNT:
                    self.late.append(update)
            elif not self._absent(record.dropped, update):
                yield from self._judged(update)
        if record.failed and not finite:
            raise UserError(
                f"round {record.round}: no client's training gave finite numbers at --lr {config.lr:g}, so there is "
                "nothing to go on from; lower --lr or --clip, or the weight of the method's proximal term"
            )
        record.losses = {pool: _weighted_mean(pairs) for pool, pairs in sorted(self._losses.items())}
        traffic = workers.outbox.take()
        record.bytes_up, record.bytes_down = traffic.up, traffic.down

    def _judged(self, update: Update) -> Iterator[Update]:
        """Yield an update, and count its loss if the server, which has judged it then, counts the rest."""
        refused = len(self._record.refused)
        yield update
        if len(self._record.refused) > refused:
            return
        self._losses.setdefault(update.pool, []).append((update.loss, update.steps))
        if update.pool not in self._private:
            self.arrived.add(update.client)
        if update.round < self._record.round and update.client not in self._record.joined:
            self._record.joined.append(update.client)

    def _absent(self, clients: Sequence[int], update: Update) -> bool:
        """Say whether an update is of one of these clients; what stays with a client is there all the same."""
        return update.client in clients and update.pool not in self._private

    def _orders(self, starts: Mapping[str, Adapter]) -> Iterator[Order]:
        """Say what the participants of a round train, in client and group order."""
        plan, record, config = self._stage.plan, self._record, self._stage.federation.config
        for client in record.participants:
            vanishes = client in record.dropped
            steps = client_steps(plan, client, config)
            for group, of_group in zip(plan.groups_of(client), steps, strict=True):
                start, anchor = starts[group.pool], starts[group.pull.pool] if group.pull else None
                private = group.pool in self._private
                lr = record.rates.get(group.pool, record.lr)
                yield Order(group, start, anchor, of_group, lr, record.round, private, vanishes)


def _weighted_mean(pairs: list[tuple[float, int]]) -> float:
    return sum(loss * steps for loss, steps in pairs) / sum(steps for _, steps in pairs)
