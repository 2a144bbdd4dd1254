"""The bare backbone trains nothing."""

from collections.abc import Callable

import pytest

from fedrouter_sim.methods import METHODS, Asked, Choice, Deployment, Federation, Plan
from fedrouter_sim.simulation import Observer, simulate


def test_trains_and_sends_nothing(federate: Callable[..., Federation], monkeypatch: pytest.MonkeyPatch) -> None:
    federation = federate()

    def train(*arguments: object, **settings: object) -> None:
        raise AssertionError("base trained something")

    monkeypatch.setattr(type(federation.clients[0]), "train", train)
    outcome = simulate(federation, METHODS["base"], Observer())
    assert outcome.plan == Plan()
    assert outcome.adapters == {}
    assert outcome.records == []


def test_nobody_answers(federate: Callable[..., Federation]) -> None:
    client = federate().clients[0]
    asked = Asked(0, client.examples[:3], lambda: pytest.fail("nobody needs embeddings"))
    choices = METHODS["base"].answered_by(Deployment(()), asked, "fixed")
    assert choices == [Choice()] * 3
    assert {choice.pool for choice in choices} == {None}
