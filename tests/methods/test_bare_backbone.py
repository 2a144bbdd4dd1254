"""The bare backbone trains nothing."""

from collections.abc import Callable

import pytest

from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Plan
from fedrouter_sim.methods import find_method
from fedrouter_sim.simulation import Observer, simulate


def test_trains_and_sends_nothing(federate: Callable[..., Federation], monkeypatch: pytest.MonkeyPatch) -> None:
    federation = federate()

    def train(*arguments: object, **settings: object) -> None:
        raise AssertionError("base trained something")

    monkeypatch.setattr(Client, "train", train)
    outcome = simulate(federation, find_method("base"), Observer())
    assert outcome.plan == Plan()
    assert outcome.adapters == {}
    assert outcome.records == []
    assert outcome.traffic == Traffic()


def test_nobody_answers() -> None:
    asked = Asked(0, ("a", "b", "c"), lambda: pytest.fail("nobody needs embeddings"))
    choices = find_method("base").answered_by(Deployment(()), asked, "fixed")
    assert choices == [Choice()] * 3
    assert {choice.pool for choice in choices} == {None}
