"""Who watches a simulation: the display, the run folder, a stream of metrics. Observers only watch."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.door import Refusal
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.sharing import SharedFrom
from fedrouter_sim.messages import Failed, Update


@dataclass
class RoundRecord:
    """What one round did; a line of rounds.jsonl."""

    round: int
    lr: float
    participants: list[int]
    losses: dict[str, float] = field(default_factory=dict)  # mean over a pool's updates, weighted by steps
    rates: dict[str, float] = field(default_factory=dict)  # of the pools that train at less than `lr`
    gaps: dict[str, float | None] = field(default_factory=dict)  # of a shared pool's mean factors (`FactorGap`)
    bytes_up: int = 0
    bytes_down: int = 0
    examples: int = 0  # seen in this round's batches
    steps: int = 0  # optimizer steps
    tokens: int = 0  # real tokens trained on
    validation: dict[str, float] | None = None  # scores on the validation share, in rounds that are evaluated
    seconds: dict[str, float] = field(default_factory=dict)  # per phase
    failed: dict[str, list[int]] = field(default_factory=dict)  # pool -> clients whose training of it failed
    refused: list[Refusal] = field(default_factory=list)  # updates that did not count
    dropped: list[int] = field(default_factory=list)  # clients that vanished before they sent
    late: list[int] = field(default_factory=list)  # clients whose updates came when the round was over
    joined: list[int] = field(default_factory=list)  # clients whose updates of the round before came in this one
    skipped: bool = False  # too few clients' updates came: no adapter changed that is shared

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values; rates that are not `lr`, and what went wrong, only where there are any."""
        return {name: value for name, value in asdict(self).items() if value or name not in _WHERE_ANY}


_WHERE_ANY = ("rates", "failed", "refused", "dropped", "late", "joined", "skipped")


def totals(records: Sequence[RoundRecord]) -> dict[str, Any]:
    """Return what the rounds took, and how often what went wrong in them, by the names that the summary has."""
    return {
        "optimizer_steps": sum(record.steps for record in records),
        "tokens_trained": sum(record.tokens for record in records),
        "updates_refused": sum(len(record.refused) for record in records),
        "clients_dropped": sum(len(record.dropped) for record in records),
        "clients_late": sum(len(record.late) for record in records),
        "clients_joined": sum(len(record.joined) for record in records),
        "rounds_skipped": sum(record.skipped for record in records),
    }


def said_of_clients(records: Sequence[RoundRecord]) -> list[str]:
    """Say in a line each what clients did wrong; nothing where they did not."""
    return [*_said_of_refused(records), *_said_of_absences(records)]


def _said_of_absences(records: Sequence[RoundRecord]) -> list[str]:
    count, said = totals(records), []
    if dropped := count["clients_dropped"]:
        said.append(f"clients that vanished before they sent, summed over rounds: {dropped} (dropped in rounds.jsonl)")
    if late := count["clients_late"]:
        joined = count["clients_joined"]
        said.append(
            f"clients whose updates came late, summed over rounds: {late}; those of {joined} counted a round later, "
            f"those of {late - joined} never"
        )
    if skipped := [record.round for record in records if record.skipped]:
        said.append(
            f"rounds that changed no shared adapter, as fewer than --min-participants clients arrived: {len(skipped)}, "
            f"first round {skipped[0]}"
        )
    return said


def _said_of_refused(records: Sequence[RoundRecord]) -> list[str]:
    """Say how many updates the server refused, and which was the first; nothing where there were none."""
    refused = [(record.round, refusal) for record in records for refusal in record.refused]
    if not refused:
        return []
    round_, first = refused[0]
    return [
        f"updates that the server refused: {len(refused)}, which did not count (rounds.jsonl names each); the first, "
        f"in round {round_}, from client {first['client']} for {first['pool']}: {first['reason']}"
    ]


class Observer:
    """Is told how a simulation goes. Does nothing by itself."""

    def resumed(self, records: Sequence[RoundRecord]) -> None:
        """An earlier process ran these rounds; it goes on after them."""

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        """A plan has begun, for so many rounds and about so many optimizer steps."""

    def round_started(self, record: RoundRecord) -> None:
        """Participants are sampled."""

    def client_started(self, client: int, steps: int) -> None:
        """A participant is about to train for so many optimizer steps."""

    def stepped(self, loss: float) -> None:
        """An optimizer step is done."""

    def received(self, update: Update) -> None:
        """The server has received an update that counts, as it was sent."""

    def failed(self, failed: Failed) -> None:
        """A client has no update to send, as a number in its training was not finite."""

    def skipped(self, record: RoundRecord, arrived: int) -> None:
        """Updates of only so many clients came in a round, which is too few: it changes no shared adapter."""

    def shared(self, by: SharedFrom) -> None:
        """The server has aggregated, and task pools have shared."""

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        """The server has aggregated."""


class Observers(Observer):
    """Several observers as one, called in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def resumed(self, records: Sequence[RoundRecord]) -> None:
        for observer in self._observers:
            observer.resumed(records)

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        for observer in self._observers:
            observer.planned(plan, rounds, steps)

    def round_started(self, record: RoundRecord) -> None:
        for observer in self._observers:
            observer.round_started(record)

    def client_started(self, client: int, steps: int) -> None:
        for observer in self._observers:
            observer.client_started(client, steps)

    def stepped(self, loss: float) -> None:
        for observer in self._observers:
            observer.stepped(loss)

    def received(self, update: Update) -> None:
        for observer in self._observers:
            observer.received(update)

    def failed(self, failed: Failed) -> None:
        for observer in self._observers:
            observer.failed(failed)

    def skipped(self, record: RoundRecord, arrived: int) -> None:
        for observer in self._observers:
            observer.skipped(record, arrived)

    def shared(self, by: SharedFrom) -> None:
        for observer in self._observers:
            observer.shared(by)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        for observer in self._observers:
            observer.round_ended(record, adapters)


class Stopping(Observer):
    """Asks after each optimizer step whether to stop."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def stepped(self, loss: float) -> None:
        self._check()


class Display(Observer):
    """What shows the progress of an operation; silent by itself."""

    def started(self, what: str, total: int | None = None) -> None:
        """A phase has begun; `total` is its number of units, if known."""

    def advanced(self, units: int) -> None:
        """So many units of the phase are done."""

    def before_training(self, cost: Callable[[], Cost]) -> None:
        """Training is about to begin; `cost` counts and measures what it will take, for who wants to know."""

    def noted(self, text: str) -> None:
        """Something that the user may want to know while it runs."""

    def failed(self, failed: Failed) -> None:
        self.noted(str(failed))

    def skipped(self, record: RoundRecord, arrived: int) -> None:
        self.noted(
            f"round {record.round}: updates of {arrived} clients came, fewer than --min-participants; shared adapters "
            "stay as they are"
        )


SILENT = Display()
