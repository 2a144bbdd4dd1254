"""Who watches a simulation: the display, the run folder, a stream of metrics. Observers only watch."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.door import Refusal
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.messages import Failed, Update


@dataclass
class RoundRecord:
    """What one round did; a line of rounds.jsonl."""

    round: int
    lr: float
    participants: list[int]
    losses: dict[str, float] = field(default_factory=dict)  # mean over a pool's updates, weighted by steps
    gaps: dict[str, float | None] = field(default_factory=dict)  # of a pool's mean factors (see `FactorGap`)
    bytes_up: int = 0
    bytes_down: int = 0
    examples: int = 0  # seen in this round's batches
    steps: int = 0  # optimizer steps
    tokens: int = 0  # real tokens trained on
    validation: dict[str, float] | None = None  # scores on the validation share, in rounds that are evaluated
    seconds: dict[str, float] = field(default_factory=dict)  # per phase
    failed: dict[str, list[int]] = field(default_factory=dict)  # pool -> clients whose training of it failed
    refused: list[Refusal] = field(default_factory=list)  # updates that did not count

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values; what failed or was refused only where something was."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("failed", "refused")}


def said_of_refused(records: Sequence[RoundRecord]) -> list[str]:
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

    def waited(self) -> None:
        """Clients train elsewhere, and a moment has passed without word from them."""

    def received(self, update: Update) -> None:
        """The server has received an update that counts, as it was sent."""

    def failed(self, failed: Failed) -> None:
        """A client has no update to send, as a number in its training was not finite."""

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

    def waited(self) -> None:
        for observer in self._observers:
            observer.waited()

    def received(self, update: Update) -> None:
        for observer in self._observers:
            observer.received(update)

    def failed(self, failed: Failed) -> None:
        for observer in self._observers:
            observer.failed(failed)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        for observer in self._observers:
            observer.round_ended(record, adapters)


class Stopping(Observer):
    """Asks after each optimizer step whether to stop, and while others train."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def stepped(self, loss: float) -> None:
        self._check()

    def waited(self) -> None:
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


SILENT = Display()
