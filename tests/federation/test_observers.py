"""Observers only watch: each is told everything, in order."""

import pytest

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.observers import SILENT, Display, Observer, Observers, RoundRecord
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.messages import LOSS, Failed, Update

UPDATE = Update(0, 0, "one", 3, 5, (), {}, loss=1.0, steps=1, tokens=1)
FAILED = Failed(4, 0, "one", 3, 0.5, LOSS, steps=1, spared=2, tokens=1)


class Named(Observer):
    """Writes down what it is told."""

    def __init__(self, name: str, heard: list[tuple[str, str]]) -> None:
        self._name, self._heard = name, heard

    def _hear(self, what: str) -> None:
        self._heard.append((self._name, what))

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self._hear(f"planned {rounds} {steps}")

    def round_started(self, record: RoundRecord) -> None:
        self._hear(f"started {record.round}")

    def client_started(self, client: int, steps: int) -> None:
        self._hear(f"client {client} {steps}")

    def stepped(self, loss: float) -> None:
        self._hear(f"stepped {loss}")

    def received(self, update: Update) -> None:
        self._hear(f"received {update.pool}")

    def failed(self, failed: Failed) -> None:
        self._hear(f"failed {failed.client}")

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        self._hear(f"ended {record.round}")


def tell(observer: Observer) -> None:
    observer.planned(Plan(), 3, 24)
    observer.round_started(RoundRecord(3, 0.1, []))
    observer.client_started(2, 8)
    observer.stepped(0.5)
    observer.received(UPDATE)
    observer.failed(FAILED)
    observer.round_ended(RoundRecord(3, 0.1, []), {})


def test_several_observers_are_called_in_order() -> None:
    heard: list[tuple[str, str]] = []
    tell(Observers(Named("one", heard), Named("two", heard)))
    said = ["planned 3 24", "started 3", "client 2 8", "stepped 0.5", "received one", "failed 4", "ended 3"]
    assert heard == [(name, what) for what in said for name in ("one", "two")]


def test_an_observer_and_a_display_do_nothing_by_themselves() -> None:
    for observer in (Observer(), Observers(), Display(), SILENT):
        tell(observer)
    SILENT.started("a phase", 3)
    SILENT.advanced(1)
    SILENT.noted("x")
    SILENT.before_training(lambda: pytest.fail("nobody wants to know the cost"))


def test_a_display_notes_what_failed_in_a_line_with_client_round_and_rate() -> None:
    notes: list[str] = []

    class Notes(Display):
        def noted(self, text: str) -> None:
            notes.append(text)

    Notes().failed(FAILED)
    assert notes == [str(FAILED)]
    assert notes[0].startswith(
        "round 3, client 4: training of one stopped after step 1, at learning rate 0.5: the loss"
    )
